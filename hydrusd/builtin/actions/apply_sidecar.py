"""Gives the client's file what the sidecars beside its source say.

It is made of the actions that do each kind of thing, so that looking before changing, sending
in sets and telling the difference are what they are there. Kind after kind goes out for the
whole set: what many sidecars say alike is one request. In the same way it is taken back, by the
receipts of these actions, the last kind first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from hydrusd.builtin.actions._changing import no_file
from hydrusd.builtin.actions._editing import FileEdit, unrendered
from hydrusd.builtin.actions._taking_back import TakesBack, joined, joined_receipt
from hydrusd.builtin.actions.add_tags import AddTags
from hydrusd.builtin.actions.associate_url import AssociateUrl
from hydrusd.builtin.actions.set_notes import SetNotes
from hydrusd.builtin.actions.set_rating import SetRating
from hydrusd.builtin.actions.set_time import SetTime
from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    OutcomeKind,
    PermanentError,
    RequestRejected,
    SetAction,
    Undo,
    keep_receipts,
)

Kind = Literal["tags", "urls", "notes", "times", "ratings"]
TimeName = Literal["modified_on_web", "modified_on_disk", "imported", "archived"]

A = TypeVar("A", bound=AnyAction)
ORDER: tuple[Kind, ...] = ("tags", "urls", "notes", "times", "ratings")
_LOCAL = "local"
_BY: Mapping[Kind, type[TakesBack]] = {
    "tags": AddTags,
    "urls": AssociateUrl,
    "notes": SetNotes,
    "times": SetTime,
    "ratings": SetRating,
}


def _none_as_null(value: object) -> object:
    return None if value == "none" else value


class ApplySidecar(SetAction):
    """Give the file in Hydrus what the sidecars of its source say: tags, URLs, notes, times,
    ratings.

    Only what Hydrus does not have is sent. A tag that somebody deleted from the file stays
    deleted, and a note whose name is taken is brought in beside the one that is there. Without
    a sidecar, or with one that says nothing, there is nothing to do.

    It also runs for a sidecar that comes, or changes, after the rule has had its file.
    """

    action: ClassVar[str] = "apply_sidecar"
    takes_sidecars: ClassVar[bool] = True
    needs_sidecars: ClassVar[bool] = True
    # What the key must be allowed depends on what sidecars say; Hydrus itself tells what lacks.

    tags: Annotated[str | None, BeforeValidator(_none_as_null)] = Field(
        default="my tags",
        description="The tag service for tags, by name or key; `none` leaves them out.",
    )
    keep_services: bool = Field(
        default=False,
        description=(
            "`true` gives tags that a sidecar has for a tag service by name, as write_sidecar "
            "writes them, to that service; `false` gives all of them to `tags`."
        ),
    )
    urls: bool = Field(default=True, description="Whether to note URLs.")
    notes: bool = Field(default=True, description="Whether to write notes.")
    times: tuple[TimeName, ...] = Field(
        default=("modified_on_web",),
        description=(
            "Which times to set: `modified_on_web`, `modified_on_disk`, `imported`, `archived`. "
            "All but the first must be there already."
        ),
    )
    ratings: bool = Field(default=True, description="Whether to rate, in services of those names.")

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a tag service that the client does not have, or has twice."""
        if self.tags is not None and not unrendered(self.tags):
            try:
                client.tag_service(self.tags)
            except RequestRejected as error:
                yield Fault(error.message, path=("tags",))

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Do what each sidecar says, one kind after the other for all of them."""
        work = [each for call in calls if (each := _begun(call)) is not None]
        for batch in _batches(work):
            await _run_batch(batch, batch.by.run_set, work)
        for each in work:
            each.call.finish(each.outcome())

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those with a part that is lost."""
        work = [_Work.of(call) for call in calls]
        lost = {each.call for each in work if each.refusal}
        for batch in _batches(work):
            gone = await batch.by.lost([part.call for part in batch.parts])
            again = {id(call) for call in gone}
            lost |= {part.work.call for part in batch.parts if id(part.call) in again}
        return [call for call in calls if call in lost]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what each part would change."""
        work = [_Work.of(call) for call in calls]
        told: dict[Call[Any], list[str]] = {call: [] for call in calls}
        for batch in _batches([each for each in work if each.call.file_hashes]):
            foreseen = await batch.by.plan([part.call for part in batch.parts])
            for part, one in zip(batch.parts, foreseen, strict=True):
                if one.changes:
                    told[part.work.call].append(one.detail)
        return [_foreseen(each, told[each.call]) for each in work]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Have each kind taken back by the action that did it, the last one first."""
        work = [_Work(call, {}, back=True) for call in calls]
        for batch in _batches_back(work):
            await _run_batch(batch, batch.by.undo_set, work)
        for each in work:
            each.call.finish(each.outcome())

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say what would be taken back of each kind, and what is left alone."""
        work = [_Work(call, {}, back=True) for call in calls]
        told: dict[Call[Any], list[Foreseen]] = {call: [] for call in calls}
        for batch in _batches_back(work):
            foreseen = await batch.by.undo_plan([part.call for part in batch.parts])
            for part, one in zip(batch.parts, foreseen, strict=True):
                told[part.work.call].append(replace(one, detail=f"{part.name}: {one.detail}"))
        return [
            Foreseen(
                "; ".join(one.detail for one in some) or "nothing",
                changes=any(one.changes for one in some),
            )
            for some in told.values()
        ]

    def parts(self, told: Mapping[str, Any]) -> Iterator[tuple[Kind, str, FileEdit]]:
        """Give the actions that do what a sidecar says, and what their receipts are kept under.

        Those under one name can be told from each other in one receipt. Raises PermanentError.
        """
        try:
            for service, tags in self._tags(told).items():
                yield "tags", "tags", AddTags.model_validate({service: tags})
            if self.urls and told["urls"]:
                yield "urls", "urls", AssociateUrl(add=tuple(told["urls"]))
            if self.notes and told["notes"]:
                yield "notes", "notes", SetNotes(notes=told["notes"], merge=True)
            for time in self._times(told["times"]):
                of = " of ".join(str(value) for name, value in time.items() if name != "at")
                yield "times", f"times: {of}", SetTime.model_validate(time)
            if self.ratings:
                for service, rating in told["ratings"].items():
                    rate = SetRating(service=service, rating=rating)
                    yield "ratings", f"ratings: {service}", rate
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise PermanentError(f"what the sidecar says cannot be done: {first['msg']}") from None

    def _tags(self, told: Mapping[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if self.tags is not None and told["tags"]:
            found[self.tags] = list(told["tags"])
        for name, tags in told["services"].items():
            service = name if self.keep_services else self.tags
            if service is not None and tags:
                found.setdefault(service, []).extend(tags)
        return found

    def _times(self, told: Mapping[str, Any]) -> Iterator[Data]:
        for domain, at in told.get("modified", {}).items():
            if domain == _LOCAL and "modified_on_disk" in self.times:
                yield {"kind": "modified_on_disk", "at": at}
            elif domain != _LOCAL and "modified_on_web" in self.times:
                yield {"kind": "modified_on_web", "at": at, "domain": domain}
        if "imported" in self.times:
            for service, at in told.get("imported", {}).items():
                yield {"kind": "imported", "at": at, "file_service": service}
        if "archived" in self.times and told.get("archived"):
            yield {"kind": "archived", "at": told["archived"]}


@dataclass(eq=False, slots=True)
class _Work:
    """One call on its way through the kinds. ``back``: it takes back, and tells all it left."""

    call: Call[Any]
    parts: Mapping[Kind, Sequence[tuple[str, FileEdit]]]
    refusal: str = ""
    receipts: dict[str, object] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    failed: Outcome | None = None
    back: bool = False
    coming: tuple[str, Data] | None = None  # what a part is about to change

    @classmethod
    def of(cls, call: Call[Any]) -> _Work:
        action, told = call.action, call.data.get("sidecar")
        assert isinstance(action, ApplySidecar)
        if call.sidecars is None or not isinstance(told, Mapping):
            return cls(call, {}, "what this rule's trigger notices has no sidecars")
        if told["hash"] is not None and call.file_hashes and told["hash"] not in call.file_hashes:
            return cls(
                call,
                {},
                f"the sidecar says that it is about another file ({told['hash']}); "
                "if it is about this one, take that out of it",
            )
        parts: dict[Kind, list[tuple[str, FileEdit]]] = {}
        try:
            for kind, name, part in action.parts(told):
                parts.setdefault(kind, []).append((name, part))
        except PermanentError as error:
            return cls(call, {}, str(error))
        return cls(call, parts)

    def note(self, name: str, outcome: Outcome | None) -> None:
        """Take in how a part ended."""
        if outcome is None:
            outcome = Outcome.retry(f"{name}: it was not said how that ended")
        self.coming = None
        if outcome.receipt:
            self.receipts = self._with(name, outcome.receipt)
        if outcome.kind is not OutcomeKind.DONE:
            worse = self.failed is None or outcome.kind is OutcomeKind.DEAD
            self.failed = outcome if worse else self.failed
        elif self.back:
            self.details.append(f"{name}: {outcome.detail}")
        elif outcome.receipt or outcome.receipt is None:
            self.details.append(outcome.detail)

    def all_receipts(self) -> Data:
        """Give what this run and those before it have changed, or were about to."""
        new = self._with(*self.coming) if self.coming is not None else self.receipts
        return joined_receipt(self.call, new)

    def _with(self, name: str, receipt: Data) -> dict[str, object]:
        there = self.receipts.get(name)
        new = receipt if there is None else joined(there, receipt)
        return {**self.receipts, name: new}

    def outcome(self) -> Outcome:
        """Say how it ended in all."""
        receipt = self.all_receipts()
        if self.failed is not None:
            return Outcome(self.failed.kind, self.failed.detail, receipt=receipt)
        if self.back:
            return Outcome.done("; ".join(self.details) or "nothing to take back", receipt=receipt)
        if not self.call.sidecars or not self.call.sidecars.files:
            detail = "there is no sidecar" if not self.parts else "; ".join(self.details)
            return Outcome.done(detail or "all of it is there already", receipt=receipt)
        nothing = "all of it is there already" if self.parts else "the sidecar says nothing"
        return Outcome.done("; ".join(self.details) or nothing, receipt=receipt)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one action is to do for one call, and what its receipt is kept under."""

    work: _Work
    name: str
    call: Call[Any]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Parts of one kind, of each call at most one."""

    by: type[TakesBack]
    parts: Sequence[_Part]

    async def keep(self, receipts: Mapping[Any, Data]) -> None:
        """Have what parts are about to change, by their jobs, kept with what their calls have."""
        parts = [part for part in self.parts if part.call.job_id in receipts]
        for part in parts:
            part.work.coming = part.name, receipts[part.call.job_id]
        await keep_receipts({part.work.call: part.work.all_receipts() for part in parts})


async def _run_batch(
    batch: _Batch,
    run: Callable[[Sequence[Call[Any]]], Awaitable[None]],
    work: Sequence[_Work],
) -> None:
    """Have a batch done, or taken back, and note how its parts ended."""
    for part in batch.parts:
        part.call.keeper = batch.keep
    try:
        await run([part.call for part in batch.parts])
    except Exception:
        for part in batch.parts:
            if part.call.outcome is not None:
                part.work.note(part.name, part.call.outcome)
        # What is done again finds nothing that is new.
        known = {each.call: each.all_receipts() for each in work if each.call.outcome is None}
        await keep_receipts({call: receipt for call, receipt in known.items() if receipt})
        raise
    for part in batch.parts:
        part.work.note(part.name, part.call.outcome)


def _begun(call: Call[SetAction]) -> _Work | None:
    """Give the work of a call, or finish it where there is none."""
    if not call.file_hashes:
        call.finish(no_file("apply a sidecar to"))
        return None
    work = _Work.of(call)
    if work.refusal:
        call.finish(Outcome.dead(work.refusal))
        return None
    return work


def _batches(work: Sequence[_Work]) -> Iterator[_Batch]:
    """Give the parts of all, by kind, and within a kind the first of each call first."""
    # Equal parts of many calls share one action, so that what it looks up is looked up once.
    shared: dict[str, FileEdit] = {}
    for kind in ORDER:
        turn = 0
        while some := [each for each in work if len(each.parts.get(kind, ())) > turn]:
            parts = []
            for each in some:
                name, part = each.parts[kind][turn]
                action = shared.setdefault(f"{kind} {part.model_dump_json()}", part)
                if not _is_too_old(each, kind, action):
                    parts.append(_Part(each, name, _part_call(each.call, action)))
            if parts:
                yield _Batch(_BY[kind], parts)
            turn += 1


def _batches_back(work: Sequence[_Work]) -> Iterator[_Batch]:
    """Give what receipts tell of, the last kind first, of each call one name at a time."""
    for kind in reversed(ORDER):
        named = {each: _names(each.call.action.receipt, kind) for each in work}
        turn = 0
        while some := [each for each, names in named.items() if len(names) > turn]:
            parts = []
            for each in some:
                name, undo = named[each][turn], each.call.action
                taken = Undo.model_construct(
                    receipt=undo.receipt[name], values={}, others=undo.others, before=undo.before
                )
                parts.append(_Part(each, name, _part_call(each.call, taken)))
            yield _Batch(_BY[kind], parts)
            turn += 1


def _names(receipt: Mapping[str, Any], kind: Kind) -> list[str]:
    return [name for name in receipt if name.partition(":")[0] == kind]


def _is_too_old(work: _Work, kind: Kind, action: FileEdit) -> bool:
    spoken = work.call.client.info.api_version
    if spoken >= action.needs_api:
        return False
    off = "times: []" if kind == "times" else f"{kind}: {'none' if kind == 'tags' else 'false'}"
    text = (
        f"the sidecar's {kind} need Client API ≥ {action.needs_api}, this client speaks {spoken}; "
        f"update Hydrus, or say `{off}`"
    )
    work.note(kind, Outcome.dead(text))
    return True


def _part_call(call: Call[Any], action: A) -> Call[A]:
    return Call(
        action=action,
        job_id=call.job_id,
        rule=call.rule,
        data=call.data,
        client=call.client,
        clock=call.clock,
        file_hashes=call.file_hashes,
        attempt=call.attempt,
    )


def _foreseen(work: _Work, told: Sequence[str]) -> Foreseen:
    if work.refusal:
        return Foreseen(f"would become a dead letter: {work.refusal}", changes=False)
    if not work.parts:
        return Foreseen("nothing to do: no sidecar says anything", changes=False)
    if not work.call.file_hashes:
        return Foreseen(f"would apply {', '.join(work.parts)} from the sidecar")
    if not told:
        return Foreseen("nothing to do: all of it is there already", changes=False)
    return Foreseen("; ".join(told))
