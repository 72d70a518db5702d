"""Throws away what waits for a repository or an IPFS service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hydrusd.builtin.actions._pending import PendingStep, foreseen, received, waiting
from hydrusd.plugin import AnyAction, Call, Foreseen, HydrusClient


class ForgetPending(PendingStep):
    """Throw away what waits for a tag or file repository, or an IPFS service: for good.

    That is all that waits there, whoever left it pending, and nothing brings it back.
    `rescind_pend` in `change_tags` takes back the tags of single files.
    """

    action: ClassVar[str] = "forget_pending"
    past: ClassVar[str] = "forgotten"

    @classmethod
    async def end(cls, client: HydrusClient, service: str) -> None:
        """Forget it."""
        await client.forget_pending(service)

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those for whose services exactly what was forgotten waits again.

        Anything else may be new, and what is thrown away twice is lost twice.
        """
        counts = await calls[0].client.get_pending_counts()
        return [
            call
            for call in calls
            if any(
                forgotten and waiting(counts, service) == forgotten
                for service, forgotten in received(call, cls.past).items()
            )
        ]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be lost."""
        return await foreseen(calls, "throw away, for good")
