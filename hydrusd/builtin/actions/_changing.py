"""Changing a state that files have in the client: look, change what differs, look again.

The look before makes repeats harmless and receipts true: only what was not so already is
sent, and only that is claimed. The look after is for what a client does without a word:
it answers 200 to a deletion that a delete lock forbids, and to a migration that it has
only put on its list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Generic, TypeVar, cast

from anyio import to_thread

from hydrusd.builtin.actions._taking_back import TakesBack
from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    FileChangedError,
    FileMetadata,
    FileSource,
    Foreseen,
    HydrusClient,
    HydrusFailed,
    Outcome,
    PermissionMissing,
    RequestRejected,
    Service,
    ServiceType,
    SetAction,
    SourceState,
    VersionTooOld,
    keep_receipts,
    source_outcome,
)

Row = TypeVar("Row")

ASK_AGAIN_SECONDS = 60.0
SHORTEST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
CONFLICT = 409
"""How a client says that a file is locked against deletion."""


@dataclass(slots=True)
class _Item:
    """One call on its way: the files it is about, those to change, and what they were before."""

    call: Call[SetAction]
    hashes: Sequence[str]
    due: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    before: dict[str, object] = field(default_factory=dict)


class FileChange(TakesBack, Generic[Row]):
    """What actions share that bring files into one state, alike for all files of a request.

    ``Row`` is what a look tells of one file. Where a change takes its time in the client,
    ``give_up_seconds`` says how long to look for it.
    """

    needs_files: ClassVar[bool] = True
    since_api: ClassVar[int] = 0
    verb: ClassVar[str] = ""
    past: ClassVar[str] = ""
    goes_by_source: ClassVar[bool] = False
    """True where the step may stand before add_file: the hash is then that of the source."""
    looks_again: ClassVar[bool] = True

    # --- what each says ------------------------------------------------------------------

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, Row] | None:
        """Give what the client knows of the files; None where the key may not look."""
        raise NotImplementedError  # see Action.run

    def is_due(self, client: HydrusClient, row: Row) -> bool:
        """Say whether the file is not yet in the wanted state."""
        raise NotImplementedError  # see Action.run

    def before(self, client: HydrusClient, row: Row) -> Mapping[str, object]:
        """Give the old state, for the receipt."""
        raise NotImplementedError  # see Action.run

    async def change(
        self, client: HydrusClient, hashes: Sequence[str], rows: Mapping[str, Row], rule: str
    ) -> None:
        """Bring the files into the wanted state. ``rows`` is empty where nobody could look."""
        raise NotImplementedError  # see Action.run

    def refusal(self, client: HydrusClient, row: Row) -> str:
        """Say why the file can never get into the wanted state; nothing if it can."""
        del client, row
        return ""

    def objection(self, rows: Sequence[Row]) -> str:
        """Say why the files of one job cannot all get into the wanted state."""
        del rows
        return ""

    def is_under_way(self, client: HydrusClient, row: Row) -> bool:
        """Say whether the client, once asked, may still be busy with a file that is due."""
        del client, row
        return True

    def kept(self, client: HydrusClient, row: Row) -> str:
        """Say what is wrong with a file that is still due afterwards."""
        del client, row
        return f"Hydrus said yes and has not {self.past} it"

    def is_new(self, row: Row) -> bool:
        """Say whether the client has never heard of the file."""
        del row
        return False

    @property
    def needs_api(self) -> int:
        """The Client API version that these parameters need."""
        return self.since_api

    @property
    def give_up_seconds(self) -> float | None:
        """How long to look for a change that takes its time; None where there is none such."""
        return None

    @property
    def told(self) -> str:
        """The state wanted, in a word."""
        return self.past

    @property
    def nothing(self) -> str:
        """Why there may be nothing to do."""
        return f"it is {self.told} already"

    @property
    def extra_receipt(self) -> Mapping[str, object]:
        """What a receipt says besides the old states."""
        return {}

    # --- what they share -----------------------------------------------------------------

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for."""
        spoken = client.info.api_version
        if spoken < self.needs_api:
            yield Fault(
                f"{self.action} as written needs Client API ≥ {self.needs_api}, "
                f"this client speaks {spoken}",
                "update Hydrus",
            )

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Change what is due, with one request for all files that are to become alike."""
        client = calls[0].client
        items = await cls._items(calls)
        rows = await cls.look(client, _all(items)) if items else None
        taken: dict[FileChange[Row], set[str]] = {}
        groups: dict[FileChange[Row], list[_Item]] = {}
        for item in items:
            action = _action(cls, item.call)
            action.judge(item, rows, taken.setdefault(action, set()))
            if item.call.outcome is not None:
                continue
            if item.due:
                groups.setdefault(action, []).append(item)
            else:
                item.call.finish(action.ending(item, rows, rows))
        if rows is not None:
            await keep_receipts(
                {
                    item.call: {
                        "before": {**item.before, **_earlier(item.call)},
                        **action.extra_receipt,
                    }
                    for action, group in groups.items()
                    for item in group
                }
            )
        for action, group in groups.items():
            await action.change_group(client, group, rows)

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those with a file that is not, or no longer, in the wanted state."""
        client = calls[0].client
        hashes = list(dict.fromkeys(h for call in calls for h in call.file_hashes))
        rows = await cls.look(client, hashes)
        if rows is None:
            return calls
        return [
            call
            for call in calls
            if not call.file_hashes
            or any(_action(cls, call).differs(client, rows[h]) for h in call.file_hashes)
        ]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files would change."""
        client = calls[0].client
        items = {item.call: item for item in await cls._items(calls, foresee=True)}
        rows = await cls.look(client, _all(list(items.values()))) if items else None
        return [
            _action(cls, call).foresee(items.get(cast("Call[SetAction]", call)), rows)
            for call in calls
        ]

    @classmethod
    async def _items(
        cls, calls: Sequence[Call[SetAction]] | Sequence[Call[AnyAction]], *, foresee: bool = False
    ) -> list[_Item]:
        """Find the files of each call; one that is about none is finished, if run."""
        items = []
        for each in calls:
            call = cast("Call[SetAction]", each)
            found: Sequence[str] | Outcome = call.file_hashes
            if not found and cls.goes_by_source and call.source is not None:
                found = await to_thread.run_sync(_hashed, call.source, abandon_on_cancel=True)
            if isinstance(found, Outcome):
                if not foresee:
                    call.finish(found)
            elif found:
                items.append(_Item(call, found))
            elif not foresee:
                call.finish(no_file(cls.verb))
        return items

    def differs(self, client: HydrusClient, row: Row) -> bool:
        return not self.refusal(client, row) and self.is_due(client, row)

    def judge(self, item: _Item, rows: Mapping[str, Row] | None, taken: set[str]) -> None:
        """Say which files of a call are to change; the same file for one call only."""
        client = item.call.client
        if rows is None:
            item.due = list(item.hashes)
            return
        mine = {h: rows[h] for h in item.hashes}
        if objection := self.objection(list(mine.values())):
            item.call.finish(Outcome.dead(objection))
            return
        for sha256, row in mine.items():
            if why := self.refusal(client, row):
                # What is only about to be imported may well be unknown.
                if item.call.file_hashes:
                    item.refused[sha256] = why
            elif self.is_due(client, row) and sha256 not in taken:
                taken.add(sha256)
                item.due.append(sha256)
                item.before[sha256] = self.before(client, row)

    async def change_group(
        self, client: HydrusClient, group: Sequence[_Item], rows: Mapping[str, Row] | None
    ) -> None:
        asked = [h for item in group for h in self._to_ask(item, rows)]
        locked = ""
        try:
            if asked:
                await self.change(client, asked, rows or {}, group[0].call.rule)
        except HydrusFailed as error:
            if error.status != CONFLICT:
                raise
            if len(group) > 1:
                # One locked file has spoilt it for all.
                middle = len(group) // 2
                await self.change_group(client, group[:middle], rows)
                await self.change_group(client, group[middle:], rows)
                return
            locked = error.excerpt or error.message
        after = None
        if rows is not None and (self.looks_again or locked):
            after = await self.look(client, _all(group))
        for item in group:
            item.call.finish(self.ending(item, rows, after, locked))

    def _to_ask(self, item: _Item, rows: Mapping[str, Row] | None) -> list[str]:
        """Leave out what the client was asked for a short while ago."""
        waited, asked_at = _waited(item.call)
        if rows is None or asked_at is None or waited - asked_at >= ASK_AGAIN_SECONDS:
            return item.due
        client = item.call.client
        return [h for h in item.due if not self.is_under_way(client, rows[h])]

    def ending(
        self,
        item: _Item,
        rows: Mapping[str, Row] | None,
        after: Mapping[str, Row] | None,
        locked: str = "",
    ) -> Outcome:
        """Say how a call ended, by what the files were and what they are now."""
        call = item.call
        if rows is None:
            if locked:
                return Outcome.dead(f"Hydrus refuses: {locked}")
            return Outcome.done(f"{self.told} (the access key may not look whether it was already)")
        left = [h for h in item.due if after is not None and self.differs(call.client, after[h])]
        before = {**item.before, **_earlier(call)}
        changed = {h: state for h, state in before.items() if h not in left}
        receipt = {"before": changed, **self.extra_receipt}
        if locked:
            return replace(Outcome.dead(f"Hydrus refuses: {locked}"), receipt=receipt)
        if left:
            assert after is not None
            return self._unfinished(item, after[left[0]], len(left), before, receipt)
        if item.refused and len(item.refused) == len(item.hashes):
            return Outcome.dead("; ".join(dict.fromkeys(item.refused.values())))
        detail = self.told if changed else f"nothing to do: {self.nothing}"
        if len(changed) > 1:
            detail += f": {len(changed)} files"
        if item.refused:
            detail += f"; not {len(item.refused)}: {next(iter(item.refused.values()))}"
        return Outcome.done(detail, receipt=receipt)

    def _unfinished(
        self,
        item: _Item,
        row: Row,
        count: int,
        before: Mapping[str, object],
        receipt: Mapping[str, object],
    ) -> Outcome:
        call, patience = item.call, self.give_up_seconds
        waited, asked_at = _waited(call)
        why = self.kept(call.client, row) + (f" ({count} files)" if count > 1 else "")
        if patience is None or waited >= patience:
            since = f", {waited:.0f} s after it was asked" if patience is not None else ""
            return replace(Outcome.dead(why + since), receipt=receipt)
        if asked_at is None or waited - asked_at >= ASK_AGAIN_SECONDS:
            asked_at = waited
        delay = min(max(waited, SHORTEST_DELAY_SECONDS), LONGEST_DELAY_SECONDS)
        # Seconds of looking are counted, not of a clock: a night without a client is no reason
        # to give up in the morning.
        values = {"waited_seconds": waited + delay, "asked_at_seconds": asked_at, "before": before}
        return Outcome.later(f"asked; {why} yet", delay_seconds=delay, values=values)

    def foresee(self, item: _Item | None, rows: Mapping[str, Row] | None) -> Foreseen:
        if item is None or rows is None or any(self.is_new(rows[h]) for h in item.hashes):
            if self.goes_by_source:
                return Foreseen(f"nothing to do: {self.nothing}", changes=False)
            return Foreseen(f"would {self.verb} what the steps before it name")
        mine = [rows[h] for h in item.hashes]
        client = item.call.client
        if objection := self.objection(mine):
            return Foreseen.dead(f"would become a dead letter: {objection}")
        due = sum(self.differs(client, row) for row in mine)
        if due:
            return Foreseen(f"would {self.verb} {due} file{'s' if due > 1 else ''}")
        why = next(filter(None, (self.refusal(client, row) for row in mine)), "")
        return Foreseen(f"nothing to do: {why or self.nothing}", changes=False)


class MetadataChange(FileChange[FileMetadata]):
    """A change that shows in the metadata of files."""

    @classmethod
    async def look(
        cls, client: HydrusClient, hashes: Sequence[str]
    ) -> Mapping[str, FileMetadata] | None:
        """Give the metadata of files."""
        if not client.can_look_up_files:
            return None
        try:
            return {row.hash: row for row in await client.file_metadata(hashes)}
        except (PermissionMissing, VersionTooOld):
            return None

    def is_new(self, row: FileMetadata) -> bool:
        """Say whether the client has never heard of the file."""
        return not row.is_known


def no_file(verb: str) -> Outcome:
    """Give the end of a step on files whose job is about none."""
    return Outcome.dead(f"there is no file to {verb}: put add_file or add_url before it")


def is_here(row: FileMetadata) -> bool:
    """Say whether the client has the file, and not in its trash."""
    return bool(row.is_local) and not row.is_trashed


def not_here(row: FileMetadata) -> str:
    """Say why a file that is not here is not; nothing where it is."""
    if is_here(row):
        return ""
    return f"Hydrus {'has it in its trash only' if row.is_trashed else 'does not have the file'}"


def local_domains(client: HydrusClient) -> set[str]:
    """Give the references of all local file domains."""
    return {s.reference for s in client.services if s.type == ServiceType.LOCAL_FILE_DOMAIN}


def local_domain(client: HydrusClient, name_or_key: str) -> Service:
    """Give a local file domain by its name or key. Raises RequestRejected where it is none."""
    service = client.file_service(name_or_key)
    if service.type != ServiceType.LOCAL_FILE_DOMAIN:
        raise RequestRejected(f"{name_or_key!r} is no local file domain")
    return service


def wrong_domains(client: HydrusClient, name: str, domains: Sequence[str]) -> Iterator[Fault]:
    """Name those of a parameter's domains that the client does not have."""
    for position, domain in enumerate(domains):
        if "{{" in domain or "{%" in domain:
            continue  # which one it is, each file will tell
        try:
            local_domain(client, domain)
        except RequestRejected as error:
            yield Fault(error.message, path=(name, position))


def as_list(value: object) -> object:
    """Take a text for a list with that text in it."""
    return [value] if isinstance(value, str) else value


def _action(cls: type[FileChange[Row]], call: Call[SetAction] | Call[AnyAction]) -> FileChange[Row]:
    assert isinstance(call.action, cls)
    return call.action


def _all(items: Sequence[_Item]) -> list[str]:
    return list(dict.fromkeys(h for item in items for h in item.hashes))


def _waited(call: Call[SetAction]) -> tuple[float, float | None]:
    """Give for how long a change was looked for, and how long it had been at the last request."""
    waited, asked_at = (call.progress.get(f"{name}_seconds") for name in ("waited", "asked_at"))
    return (
        float(waited) if isinstance(waited, int | float) else 0.0,
        float(asked_at) if isinstance(asked_at, int | float) else None,
    )


def _earlier(call: Call[SetAction]) -> dict[str, object]:
    """Give the old states that an earlier run of this step found: the older ones are the truth."""
    earlier = call.earlier.receipt if call.earlier is not None else None
    found: dict[str, object] = {}
    for kept in (call.progress, earlier or {}):
        before = kept.get("before")
        if isinstance(before, Mapping):
            found |= before
    return found


def _hashed(source: FileSource) -> Sequence[str] | Outcome:
    if (stop := source_outcome(source.state(), source)) is not None:
        return stop
    try:
        with source.open() as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileChangedError:
        return source_outcome(SourceState.CHANGED, source) or [""]
    except OSError as error:
        return Outcome.retry(f"{source.path} cannot be read: {error.strerror or error}")
    return source_outcome(source.state(), source) or [digest]
