"""Tries out rules by the tests that they carry, on a client that is none.

Everything but the world is real: triggers look into real folders, a daemon works off a real
ledger, and speaks HTTP with a simulated client. The folders are not those of the rules but others
below a temporary one; time is a clock that is moved on whenever all have come to rest, so that
nothing is waited for; and what would reach beyond all that (programs, messages, websites) is
noted instead of done.
"""

from hydrusd.rehearsal._judging import Difference
from hydrusd.rehearsal._pictures import paint
from hydrusd.rehearsal._requests import request
from hydrusd.rehearsal._running import Rehearsal, Result
from hydrusd.rehearsal._telling import told

__all__ = ["Difference", "Rehearsal", "Result", "paint", "request", "told"]
