"""Work beside the lane does not go on when nobody would ask after it."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from outside import call_of

from hydrusd.model import OutcomeKind
from hydrusd.plugin import BesideAction, Outcome

ENDED = []


class Long(BesideAction):
    """Takes for ever."""

    action = "long"
    no_undo = "it is a test"

    @classmethod
    async def perform(cls, calls):
        try:
            await anyio.sleep(60)
        finally:
            ENDED.append([call.job_id for call in calls])
        return Outcome.done()


def test_what_is_cancelled_before_its_note_is_ended():
    async def cancelled():
        with anyio.move_on_after(0.05) as scope:
            await Long.run_set([call_of(Long())])
        assert scope.cancelled_caught
        assert ENDED == [[7]]

    ENDED.clear()
    anyio.run(cancelled)


def test_what_has_its_note_goes_on():
    async def cancelled():
        first = call_of(Long())
        await Long.run_set([first])  # not over at once: from now on there is a note
        assert first.outcome.kind is OutcomeKind.LATER
        with anyio.CancelScope() as scope:
            scope.cancel()
            await Long.run_set([call_of(Long(), step=(OutcomeKind.LATER, first.outcome.values))])
        await anyio.lowlevel.checkpoint()
        assert ENDED == []

    ENDED.clear()
    anyio.run(cancelled)
