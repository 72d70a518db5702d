"""Taking back what was done to files: look, take back what is still so, leave the rest alone.

What is to be taken back is what a receipt says: of each file what was new, or what was there
before. Whoever has changed a file since has the last word: what is no longer as it was left stays
as it is, and the outcome says so. The change that takes something back gives a receipt like the
first one, by which that can be taken back in turn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

from hydrusd.plugin import (
    Call,
    Data,
    Foreseen,
    HydrusClient,
    Outcome,
    PermissionMissing,
    SetAction,
    Undo,
    keep_receipts,
    tells,
)

LOOK_AGAIN_SECONDS = 2.0
LOOKS_FOR_ONE = 30
"""How often to look whether the client has done what it only begins, before it is asked again: what
it was asked for twice it does twice, and the second time may be after somebody has changed it."""
MOST_LOOKS = 300
MOST_LEFT = 3
"""How many reasons are told why something is left alone."""

NOTED = "noted"
"""The kind of change that is none: what was there before something of which only Hydrus' answer
tells what it has done. Of a step that has ended well no receipt has it."""

State = Any
"""What a look tells of one file: of the kind that the action's own ``look`` gives."""


class Change(ABC):
    """What some files need, alike for all of them. Frozen and hashable: equal ones are one."""

    goes_on: ClassVar[bool] = False
    """True where the client only begins it, and something is left to do when it has done it."""

    @abstractmethod
    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> object:
        """Do it for these files. What is given back is passed to ``words`` and ``kept``."""

    @abstractmethod
    def words(self, answer: object = None) -> str:
        """Tell it in a few words; without an answer, before it is done."""

    @abstractmethod
    def kept(self, state: State, answer: object) -> Mapping[str, object]:
        """Give what the receipt keeps of one file: kind of change → what to take back."""

    def intended(self, state: State) -> Mapping[str, object]:
        """Give what ``kept`` will, before it is done.

        Where only the answer tells, give under ``NOTED`` what is there now: by it a later try
        finds out what was done (``Wish.recognised``).
        """
        return self.kept(state, None)


@dataclass(eq=False, slots=True)
class Item:
    """One call on its way."""

    call: Call[Any]
    needs: dict[str, Change]
    left: int
    kept: dict[str, dict[str, object]] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)

    def keep(self, file_hash: str, changes: Mapping[str, object]) -> None:
        """Put what was changed on a file into the receipt."""
        for kind, content in changes.items():
            files = self.kept.setdefault(kind, {})
            files[file_hash] = joined(files[file_hash], content) if file_hash in files else content


class TakesBack(SetAction):
    """What actions share that can take back what they have done to files."""

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, State] | None:
        """Give what the client knows of the files now; None where the key may not look."""
        raise NotImplementedError  # see Action.run

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: State
    ) -> tuple[Change | None, Sequence[str]]:
        """Give what takes back what was done to a file, and in words what is left alone of it.

        ``taken`` is what ``Change.kept`` gave of the file, ``state`` what ``look`` gives now.
        """
        raise NotImplementedError  # see Action.run

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Take back what is still as it was left, with one request for all that need the same."""
        for some in undo_rounds(calls):
            await cls._undo_round(some)

    @classmethod
    async def _undo_round(cls, calls: Sequence[Call[Undo]]) -> None:
        client = calls[0].client
        states = await looked_up_again(cls, calls)
        groups: dict[Change, list[tuple[Item, str]]] = {}
        left: dict[Item, list[str]] = {}
        for call in calls:
            needs, alone = cls._to_take_back(client, call, states)
            item = Item(call, needs, len(needs))
            left[item] = alone
            if not needs:
                call.finish(_undone(item, alone))
            for file_hash, change in needs.items():
                groups.setdefault(change, []).append((item, file_hash))
        await keep_receipts(intended_receipts(groups, states))
        for change, group in groups.items():
            due = [h for item, h in group if not (change.goes_on and _was_asked(item.call))]
            answer = await change.send(client, due) if due else None
            words = change.words(answer)
            for item, file_hash in group:
                item.words[words] = item.words.get(words, 0) + 1
                item.keep(file_hash, change.kept(states[file_hash], answer))
                item.left -= 1
                if not item.left:
                    item.call.finish(_undone(item, left[item]))

    @classmethod
    def _to_take_back(
        cls, client: HydrusClient, call: Call[Undo], states: Mapping[str, State]
    ) -> tuple[dict[str, Change], list[str]]:
        needs: dict[str, Change] = {}
        alone: list[str] = []
        for file_hash, taken in by_file(call.action.receipt).items():
            change, words = cls.taking_back(client, file_hash, taken, states[file_hash])
            if change is not None:
                needs[file_hash] = change
            alone += words
        return needs, alone

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say what is still as it was left, and what is not."""
        client = calls[0].client
        states = await looked_up_again(cls, calls)
        foreseen = []
        for call in calls:
            needs, alone = cls._to_take_back(client, call, states)
            counts: dict[str, int] = {}
            for change in needs.values():
                counts[change.words()] = counts.get(change.words(), 0) + 1
            words = told(counts, len(by_file(call.action.receipt))) if needs else "nothing"
            foreseen.append(Foreseen(with_left(words, alone), changes=bool(needs)))
        return foreseen


def by_file(receipt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give a receipt by its files: hash → kind of change → what was changed."""
    found: dict[str, dict[str, Any]] = {}
    for kind, files in receipt.items():
        if isinstance(files, Mapping):
            for file_hash, content in files.items():
                found.setdefault(file_hash, {})[kind] = content
    return found


def undo_rounds(calls: Sequence[Call[Undo]]) -> Iterator[list[Call[Undo]]]:
    """Give the calls in their order, in rounds in which no file occurs twice."""
    some: list[Call[Undo]] = []
    seen: set[str] = set()
    for call in calls:
        files = by_file(call.action.receipt).keys()
        if not seen.isdisjoint(files):
            yield some
            some, seen = [], set()
        some.append(call)
        seen.update(files)
    if some:
        yield some


async def looked_up_again(
    action: type[TakesBack], calls: Sequence[Call[Undo]]
) -> Mapping[str, State]:
    """Look at all files in the receipts.

    Raises PermissionMissing or VersionTooOld where nobody can: nothing is taken back blindly.
    """
    hashes = list(dict.fromkeys(h for call in calls for h in by_file(call.action.receipt)))
    found = await action.look(calls[0].client, hashes) if hashes else {}
    if found is None:
        raise PermissionMissing(
            "to undo this, the access key has to look at what is there now: tick 'search for and "
            "fetch files' for it in Hydrus (services → review services → client api → edit)",
            permission="search for and fetch files",
        )
    return found


def with_left(words: str, alone: Sequence[str]) -> str:
    """Say what is taken back and what is left alone: the first few reasons."""
    if not alone:
        return words
    counts = {each: alone.count(each) for each in alone}
    told = [f"{each} ({n} times)" if n > 1 else each for each, n in counts.items()]
    more = f" and {len(told) - MOST_LEFT} more" if len(told) > MOST_LEFT else ""
    return f"{words}; left alone: {', '.join(told[:MOST_LEFT])}{more}"


def _undone(item: Item, alone: Sequence[str]) -> Outcome:
    receipt = joined_receipt(item.call, item.kept)
    if any(change.goes_on for change in item.needs.values()):
        number = _looks(item.call) + 1
        if number > MOST_LOOKS:
            return replace(Outcome.dead("Hydrus said yes and has not done it"), receipt=receipt)
        detail = f"{told(item.words, len(item.needs))}, which takes Hydrus a while"
        return Outcome.later(detail, delay_seconds=LOOK_AGAIN_SECONDS, values={"looks": number})
    if item.needs:
        words = told(item.words, len(by_file(item.call.action.receipt)))
    else:
        # What a try before this one did is no longer there to be seen.
        before, alone = tells(receipt), () if tells(receipt) else alone
        words = "taken back already" if before else "nothing to take back"
    return Outcome.done(with_left(words, alone), receipt=receipt)


def _looks(call: Call[Any]) -> int:
    """Give how often was looked since the client was asked for what it only begins."""
    looks = call.progress.get("looks", 0)
    return looks if isinstance(looks, int) else 0


def _was_asked(call: Call[Any]) -> bool:
    """Say whether the client was asked for it a short while ago."""
    return _looks(call) % LOOKS_FOR_ONE > 0


def intended_receipts(
    groups: Mapping[Change, Sequence[tuple[Item, str]]], states: Mapping[str, State]
) -> dict[Call[Any], Data]:
    """Give what the receipts will say, as far as is known before it is done."""
    intended: dict[Item, Data] = {}
    for change, group in groups.items():
        for item, file_hash in group:
            for kind, content in change.intended(states[file_hash]).items():
                kept = intended.setdefault(item, item.kept)
                intended[item] = cast("Data", joined(kept, {kind: {file_hash: content}}))
    return {item.call: joined_receipt(item.call, new) for item, new in intended.items()}


def joined(earlier: object, new: object) -> object:
    """Bring two receipts of one step together: after a restart, both are its doing.

    Of an old state the older one is the truth.
    """
    if isinstance(earlier, Mapping) and isinstance(new, Mapping):
        if {"before", "after"} <= earlier.keys() & new.keys():
            return {**new, "before": earlier["before"]}
        if "put_into" in earlier and "put_into" in new:
            return earlier
        both = {name: joined(earlier[name], new[name]) for name in earlier.keys() & new.keys()}
        if NOTED in both:
            both[NOTED] = {**new[NOTED], **earlier[NOTED]}
        return {**earlier, **new, **both}
    if isinstance(earlier, list) and isinstance(new, list):
        return [*earlier, *(item for item in new if item not in earlier)]
    return new


def joined_receipt(call: Call[Any], new: Data) -> Data:
    """Give a call's receipt together with that of an earlier run of its step."""
    earlier = call.earlier.receipt if call.earlier is not None else None
    return cast("Data", joined(earlier, new)) if earlier else new


def known_receipt(call: Call[Any], new: Data) -> Data:
    """Give it as ``joined_receipt`` does, now that it is known what was done."""
    return {kind: files for kind, files in joined_receipt(call, new).items() if kind != NOTED}


def count_of(number: int, what: str) -> str:
    """Give "1 tag", "2 tags"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def told(counts: Mapping[str, int], files: int) -> str:
    """Give "2 tags added", or "2 tags added on 3 of 4 files"."""
    if files == 1:
        return next(iter(counts))
    return "; ".join(f"{words} on {count} of {files} files" for words, count in counts.items())
