"""Editing what Hydrus knows about files: look, send only what changes, tell the difference.

Looking first is what makes a repeat harmless and a receipt true. What a file needs depends on
what it has, so files are grouped by what they *need*, not by what was asked: however many
files share a need, they share a request. A call gets its outcome when all its files have theirs.

Within a round no file occurs twice. A second call about a file must see what the first one
left, or its receipt would claim what the other did, and the last word would not be the last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from hydrusd.builtin.actions._changing import no_file
from hydrusd.builtin.actions._taking_back import (
    Change,
    Item,
    State,
    TakesBack,
    by_file,
    intended_receipts,
    known_receipt,
    told,
)
from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    PermanentError,
    PermissionMissing,
    RequestRejected,
    SetAction,
    VersionTooOld,
    keep_receipts,
)

T = TypeVar("T")


class Wish(ABC):
    """What one action, with its parameters, wants of each of its files."""

    nothing: ClassVar[str] = "it is so already"
    """Why there may be nothing to do."""

    @abstractmethod
    def change(self, file_hash: str, state: State | None) -> Change | None:
        """Give what a file needs, None where it needs nothing; all of it where nobody can look.

        Raises PermanentError for a file that can never become what is wanted.
        """

    def recognised(self, noted: Mapping[str, Any], state: State) -> Mapping[str, object]:
        """Give what a try before this one did to a file, where only a look tells.

        ``noted`` is what ``Change.intended`` gave then; what is given is as of ``Change.kept``.
        """
        del noted, state
        return {}

    def diff(self, state: State) -> Sequence[str]:
        """Show what of it a file has, and what it would get or lose; see ``Foreseen``."""
        del state
        return ()


class FileEdit(TakesBack):
    """What actions share that edit what Hydrus knows about files."""

    needs_files: ClassVar[bool] = True
    verb: ClassVar[str] = ""
    """What cannot be done where a job is about no file: "tag"."""
    since_api: ClassVar[int] = 0

    def wish(self, client: HydrusClient) -> Wish:
        """Give what is wanted, with its services found.

        Raises PermanentError or RequestRejected for parameters that this client cannot take.
        """
        raise NotImplementedError  # see Action.run

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, State]:
        """Give what the client knows of the files now."""
        return {row.hash: row for row in await client.file_metadata(hashes)}

    @property
    def needs_api(self) -> int:
        """The Client API version that these parameters need."""
        return self.since_api

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for."""
        return too_old(self.action, self.needs_api, client)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Send what each file needs, with one request for all that need the same."""
        for some in in_rounds(calls, cls.verb):
            await cls._run_round(some)

    @classmethod
    async def _run_round(cls, calls: Sequence[Call[SetAction]]) -> None:
        client = calls[0].client
        states = await looked_up(cls.look, calls)
        wishes = _Wishes(client)
        groups: dict[Change, list[tuple[Item, str]]] = {}
        for call in calls:
            try:
                wish = wishes.of(call)
                needs = _needs(wish, call.file_hashes, states)
            except (PermanentError, RequestRejected) as error:
                call.finish(Outcome.dead(str(error)))
                continue
            item = Item(call, needs, len(needs))
            if states is not None:
                _recognise(item, wish, states)
            if not needs:
                call.finish(_ending(item, wish, looked=states is not None))
            for file_hash, change in needs.items():
                groups.setdefault(change, []).append((item, file_hash))
        if states is not None:
            await keep_receipts(intended_receipts(groups, states))
        for change, group in groups.items():
            answer = await change.send(client, [file_hash for _, file_hash in group])
            words = change.words(answer)
            for item, file_hash in group:
                item.words[words] = item.words.get(words, 0) + 1
                if states is not None:
                    item.keep(file_hash, change.kept(states[file_hash], answer))
                item.left -= 1
                if not item.left:
                    wish = wishes.of(item.call)
                    item.call.finish(_ending(item, wish, looked=states is not None))

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those with a file that needs the change (again)."""
        states = await looked_up(cls.look, calls)
        if states is None:
            return calls
        wishes = _Wishes(calls[0].client)
        return [call for call in calls if _is_lost(call, wishes, states)]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what the files that are known by now need."""
        states = await looked_up(cls.look, calls)
        wishes = _Wishes(calls[0].client)
        return [cls._foreseen(call, wishes, states) for call in calls]

    @classmethod
    def _foreseen(
        cls, call: Call[AnyAction], wishes: _Wishes, states: Mapping[str, State] | None
    ) -> Foreseen:
        try:
            wish = wishes.of(call)
            if not call.file_hashes:
                return Foreseen(f"would {cls.verb} the file that the steps before it name")
            needs = _needs(wish, call.file_hashes, states)
            only = states[call.file_hashes[0]] if states and len(call.file_hashes) == 1 else None
            diff = wish.diff(only) if only is not None else ()
        except (PermanentError, RequestRejected) as error:
            return Foreseen.dead(f"would become a dead letter: {error}")
        if not needs:
            return Foreseen(f"nothing to do: {wish.nothing}", changes=False, diff=diff)
        counts: dict[str, int] = {}
        for change in needs.values():
            counts[change.words()] = counts.get(change.words(), 0) + 1
        unseen = "" if states is not None else " (the access key may not look what is there)"
        words = f"would change: {told(counts, len(call.file_hashes))}{unseen}"
        return Foreseen(words, diff=diff)


class _Wishes:
    """The wishes of the calls of a set. Without templates, all share one action."""

    def __init__(self, client: HydrusClient) -> None:
        self._client = client
        self._found: dict[int, Wish] = {}

    def of(self, call: Call[Any]) -> Wish:
        action = call.action
        if id(action) not in self._found:
            assert isinstance(action, FileEdit)
            self._found[id(action)] = action.wish(self._client)
        return self._found[id(action)]


def in_rounds(calls: Sequence[Call[SetAction]], verb: str) -> Iterator[list[Call[SetAction]]]:
    """Give the calls in their order, in rounds in which no file occurs twice.

    Those that are about no file are finished instead.
    """
    some: list[Call[SetAction]] = []
    seen: set[str] = set()
    for call in calls:
        if not call.file_hashes:
            call.finish(no_file(verb))
            continue
        if not seen.isdisjoint(call.file_hashes):
            yield some
            some, seen = [], set()
        some.append(call)
        seen.update(call.file_hashes)
    if some:
        yield some


async def looked_up(
    look: Callable[[HydrusClient, Sequence[str]], Any],
    calls: Sequence[Call[SetAction]] | Sequence[Call[AnyAction]],
) -> Mapping[str, State] | None:
    """Look at all files of the calls; None where the key may not, or the client is too old."""
    client = calls[0].client
    hashes = list(dict.fromkeys(h for call in calls for h in call.file_hashes))
    if not hashes:
        return {}
    if not client.can_search:
        return None
    try:
        return cast("Mapping[str, State]", await look(client, hashes))
    except (PermissionMissing, VersionTooOld):
        return None


def too_old(action: str, since_api: int, client: HydrusClient) -> Iterator[Fault]:
    """Say where a client cannot do what an action, as it is written, asks for."""
    spoken = client.info.api_version
    if spoken < since_api:
        yield Fault(
            f"{action} as written needs Client API ≥ {since_api}, this client speaks {spoken}",
            "update Hydrus",
        )


def unrendered(value: object) -> bool:
    """Say whether a text still holds a template, so that its value is not known yet."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _or_template(value: object, check: ValidatorFunctionWrapHandler) -> object:
    return value if unrendered(value) else check(value)


OR_TEMPLATE = WrapValidator(_or_template)
"""Lets a field hold a template while rules are read: what it gives is checked when it is known."""


def rendered(value: T, name: str) -> T:
    """Give a value that may have been a template. Raises PermanentError where it still is one."""
    if isinstance(value, str):
        # What a template gave looks like one: a name from outside, and never to be rendered.
        raise PermanentError(f"{name}: {value[:80]!r} is not what is wanted here")
    return value


def _needs(
    wish: Wish, hashes: Sequence[str], states: Mapping[str, State] | None
) -> dict[str, Change]:
    return {
        file_hash: change
        for file_hash in hashes
        if (change := wish.change(file_hash, None if states is None else states[file_hash]))
        is not None
    }


def _recognise(item: Item, wish: Wish, states: Mapping[str, State]) -> None:
    """Find what an earlier try has done, of which it knew only what was there before."""
    earlier = item.call.earlier
    noted = by_file(earlier.receipt) if earlier is not None and earlier.receipt else {}
    for file_hash in noted.keys() & states.keys():
        item.keep(file_hash, wish.recognised(noted[file_hash], states[file_hash]))


def _is_lost(call: Call[AnyAction], wishes: _Wishes, states: Mapping[str, State]) -> bool:
    try:
        return bool(_needs(wishes.of(call), call.file_hashes, states))
    except (PermanentError, RequestRejected):
        return True  # the step itself will say why


def _ending(item: Item, wish: Wish, *, looked: bool) -> Outcome:
    detail = wish.nothing
    if item.needs:
        detail = told(item.words, len(item.call.file_hashes))
    return Outcome.done(detail, receipt=known_receipt(item.call, item.kept) if looked else None)
