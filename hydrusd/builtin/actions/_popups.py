"""How hydrusd knows its own popups again.

A popup carries data that only the API shows. What we put there says which of our jobs it
tells of: a step that is done again after a crash, between showing a popup and noting that,
finds it, and shows no second one. It also says what popup a user has put away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hydrusd.plugin import AnyAction, Call, Popup, SetAction

_MARK = "hydrusd"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a popup of ours says of itself.

    ``told`` are the calls it was last shown for. One that is ``passing`` goes by itself after
    a time, so that nobody can tell whether its user has put it away.
    """

    name: str
    told: frozenset[str]
    passing: bool

    @classmethod
    def of(cls, popup: Popup) -> Self | None:
        """Read it; None for a popup that is not from show_popup."""
        mark = (popup.api_data or {}).get(_MARK)
        if not isinstance(mark, Mapping) or not isinstance(mark.get("told"), list):
            return None
        told = frozenset(each for each in mark["told"] if isinstance(each, str))
        return cls(str(mark.get("name", "")), told, bool(mark.get("passing")))

    def to_data(self) -> dict[str, object]:
        """Give it as the popup carries it."""
        mark = {"name": self.name, "told": sorted(self.told), "passing": self.passing}
        return {_MARK: mark}


def token(call: Call[SetAction] | Call[AnyAction]) -> str:
    """Name a step of a job, the same for each run of it and for no other."""
    # The data, too: a new ledger counts its jobs from one again, beside the same client.
    job = [call.rule, call.position, call.job_id, call.data]
    text = json.dumps(job, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
