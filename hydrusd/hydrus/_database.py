"""The client's database as a whole: making what it acknowledged durable."""

from __future__ import annotations

from ._calls import Calls, Route
from ._permissions import Permission

FORCE_COMMIT = Route(
    "POST", "/manage_database/force_commit", Permission.MANAGE_DATABASE, since_api=76
)


class DatabaseRoutes(Calls):
    """Routes about the database."""

    @property
    def can_force_commit(self) -> bool:
        """Whether ``force_commit`` would be sent: API ≥ 76 and "manage database"."""
        return self._allows(FORCE_COMMIT)

    async def force_commit(self) -> None:
        """Have the client write all that it acknowledged to disk; returns when that is done.

        Needs Client API ≥ 76 and "manage database". Without it a client commits by itself
        after 30 to 46 seconds, and what it acknowledged since is lost if it dies.
        """
        self._require(FORCE_COMMIT)
        # The answer comes a few milliseconds before the commit, and a client killed in between
        # loses everything (v682: 8 of 8). Its database does one thing after the other, so what
        # is answered after that was asked after the commit: the second request is the proof.
        await self._tell(FORCE_COMMIT, {})
        await self._tell(FORCE_COMMIT, {})
