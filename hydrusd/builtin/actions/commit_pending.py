"""Uploads what waits for a repository or an IPFS service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hydrusd.builtin.actions._pending import PendingStep, foreseen, received, waiting
from hydrusd.plugin import AnyAction, Call, Foreseen, HydrusClient


class CommitPending(PendingStep):
    """Have Hydrus upload what waits for a tag or file repository, or an IPFS service.

    That is all that waits there, whoever left it pending. Hydrus is told once for many files;
    while an upload to the service is running, the step waits for it. Where Hydrus cannot begin,
    because the repository is paused, say, the job becomes a dead letter.
    """

    action: ClassVar[str] = "commit_pending"
    past: ClassVar[str] = "committed"
    may_wait_for_user: ClassVar[bool] = True

    @classmethod
    async def end(cls, client: HydrusClient, service: str) -> None:
        """Start the upload."""
        await client.commit_pending(service)

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those that have uploaded something to a service for which something waits again."""
        counts = await calls[0].client.get_pending_counts()
        return [
            call
            for call in calls
            if any(waiting(counts, service) != {} for service in received(call, cls.past))
        ]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be uploaded."""
        return await foreseen(calls, "upload")
