"""What waits to be uploaded: what both actions share that make an end of it.

A run of many jobs needs one upload, not one for each: calls about the same service are one.
Looked at first is whether anything waits at all; after that, a repeat finds nothing to do.

Where Hydrus cannot begin an upload (a repository is paused, an account not ready) it shows a
message in its window and answers only when somebody has closed that. Each repeat would show
one more, so there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

from pydantic import Field

from hydrusd.builtin.actions._editing import too_old, unrendered
from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    Fault,
    Foreseen,
    HydrusClient,
    HydrusFailed,
    HydrusUnavailable,
    Outcome,
    OutcomeKind,
    Permission,
    RequestRejected,
    SetAction,
    keep_receipts,
)

_SINCE_API = 66
_CONFLICT = 409
_CANNOT_BEGIN = 422
_BUSY_SECONDS = 30.0

Counts = Mapping[str, int]
"""Kind of content → how much of it waits, only what does."""


class PendingStep(SetAction):
    """What actions share that make an end of what waits for a service."""

    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.COMMIT_PENDING})

    no_undo: ClassVar[str] = "what was uploaded or thrown away cannot be had back"
    past: ClassVar[str] = ""
    """The receipt's word for it."""

    may_wait_for_user: ClassVar[bool] = False
    """Whether Hydrus may ask its user something before it answers."""

    service: str = Field(description="the tag or file repository or IPFS service, by name or key")

    @classmethod
    async def end(cls, client: HydrusClient, service: str) -> None:
        """Do it to all that waits for a service."""
        raise NotImplementedError  # see Action.run

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a service that is not there, or to which nothing is uploaded."""
        yield from too_old(self.action, _SINCE_API, client)
        if not unrendered(self.service):
            try:
                client.upload_service(self.service)
            except RequestRejected as error:
                yield Fault(error.message, path=("service",))

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Do it once for each service, if anything waits for it."""
        client = calls[0].client
        groups: dict[str, list[Call[SetAction]]] = {}
        for call in calls:
            try:
                groups.setdefault(_service(call), []).append(call)
            except RequestRejected as error:
                call.finish(Outcome.dead(str(error)))
        counts = await client.get_pending_counts() if groups else {}
        await keep_receipts(
            {
                call: cls._receipt(call, service, now)
                for service, group in groups.items()
                if (now := waiting(counts, service)) != {}
                for call in group
            }
        )
        for service, group in groups.items():
            now = waiting(counts, service)
            outcome = await cls._ended(client, service, now)
            # What could not be done leaves what a try before has: the note of it is not true.
            done = now if outcome.kind is OutcomeKind.DONE else {}
            for call in group:
                call.finish(replace(outcome, receipt=cls._receipt(call, service, done)))

    @classmethod
    def _receipt(cls, call: Call[SetAction], service: str, counts: Counts | None) -> Data:
        """Say what was ended now, or by a try before whose note is all that is left of it."""
        ended = dict(received(call, cls.past))
        if counts != {}:
            ended[service] = dict(counts or {})
        return {cls.past: ended}

    @classmethod
    async def _ended(cls, client: HydrusClient, service: str, counts: Counts | None) -> Outcome:
        if counts == {}:
            return Outcome.done("nothing waits to be uploaded")
        try:
            await cls.end(client, service)
        except HydrusFailed as error:
            if error.status == _CANNOT_BEGIN:
                return Outcome.dead(str(error))
            if error.status != _CONFLICT:
                raise
            return Outcome.later("an upload is running", delay_seconds=_BUSY_SECONDS)
        except HydrusUnavailable as error:
            if not (error.outcome_unknown and cls.may_wait_for_user):
                raise
            # Where Hydrus is away, this raises too, and the step is begun anew.
            if waiting(await client.get_pending_counts(), service) != {}:
                return Outcome.dead(
                    f"unknown: {error}. Hydrus may be showing a message that waits for you: "
                    "look at its window, then retry"
                )
        return Outcome.done(f"{cls.past}: {told(counts)}")


def waiting(counts: Mapping[str, Counts], service: str) -> Counts | None:
    """Give what waits for a service; None where the client does not count it."""
    found = counts.get(service)
    return None if found is None else {kind: n for kind, n in found.items() if n}


def told(counts: Counts | None) -> str:
    """Give "12 pending tag mappings, 1 petitioned tag mapping"."""
    if counts is None:
        return "what waits"
    return ", ".join(
        f"{n} {kind.replace('_', ' ').removesuffix('s' if n == 1 else '')}"
        for kind, n in counts.items()
    )


def received(call: Call[Any], past: str) -> Mapping[str, Counts]:
    """Give what an earlier run of a step ended: service → counts."""
    receipt = call.earlier.receipt if call.earlier is not None else None
    return cast("Mapping[str, Counts]", (receipt or {}).get(past, {}))


async def foreseen(calls: Sequence[Call[AnyAction]], words: str) -> Sequence[Foreseen]:
    """Say what would become of what waits now."""
    counts = await calls[0].client.get_pending_counts()
    return [_foreseen(call, counts, words) for call in calls]


def _foreseen(call: Call[AnyAction], counts: Mapping[str, Counts], words: str) -> Foreseen:
    try:
        now = waiting(counts, _service(call))
    except RequestRejected as error:
        return Foreseen.dead(f"would become a dead letter: {error}")
    if now == {}:
        return Foreseen("nothing waits to be uploaded, as of now", changes=False)
    return Foreseen(f"would {words}: {told(now)}")


def _service(call: Call[SetAction] | Call[AnyAction]) -> str:
    return call.client.upload_service(cast("PendingStep", call.action).service)
