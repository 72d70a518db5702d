"""Says what a file is to another one: duplicate, alternate, better, worse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, cast

from pydantic import AfterValidator, Field

from hydrusd.builtin.actions._changing import MetadataChange, is_here, local_domains, no_file
from hydrusd.builtin.actions._relating import relationships
from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    FileMetadata,
    FileRelationships,
    Foreseen,
    HydrusClient,
    Outcome,
    Pair,
    Permission,
    Relation,
    SetAction,
)

_HASH = re.compile(r"[0-9a-f]{64}")
_RELATIONS = {
    "potential": Relation.POTENTIAL,
    "not_related": Relation.FALSE_POSITIVE,
    "same_quality": Relation.SAME_QUALITY,
    "alternate": Relation.ALTERNATE,
    "better": Relation.A_IS_BETTER,
    "worse": Relation.B_IS_BETTER,
}
# What two files stay to each other although Hydrus is told, and says yes, that they are not.
_CLOSER = {Relation.SAME_QUALITY: "duplicates", Relation.ALTERNATE: "alternates"}
RelationName = Literal["potential", "not_related", "same_quality", "alternate", "better", "worse"]

Known = Mapping[str, FileRelationships]
Rows = Mapping[str, FileMetadata]


def _hash_or_template(text: str) -> str:
    if "{{" in text or "{%" in text:
        return text
    if not _HASH.fullmatch(text.strip().lower()):
        raise ValueError("is no SHA-256 hash: 64 hexadecimal digits, or a template that gives them")
    return text.strip().lower()


@dataclass(frozen=True, slots=True)
class _Deed:
    """One pair to be sent, and what the receipt will say of it."""

    pair: Pair
    receipt: Mapping[str, object]
    deleted: Mapping[str, object]


class SetRelationship(SetAction):
    """Tell Hydrus what the file is to another one, as a person does in the duplicate filter.

    Where the two are related so already, nothing is said again and nothing merged again.
    `merge` and the deletions do what Hydrus' user has set up for that relation: tags, ratings
    and the like are carried over, files go to the trash. Merging cannot be taken back.

    Needs Client API ≥ 41.
    """

    action: ClassVar[str] = "set_relationship"
    needs_files: ClassVar[bool] = True
    no_undo: ClassVar[str] = (
        "Hydrus' API cannot dissolve what files are to each other: do it in Hydrus"
    )
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_RELATIONSHIPS})

    to: Annotated[str, AfterValidator(_hash_or_template)] = Field(
        description="The other file: its SHA-256 hash, or a template that gives it."
    )
    relation: RelationName = Field(
        description=(
            "What the file is to the other one: `better` or `worse` (duplicates), `same_quality` "
            "(duplicates), `alternate`, `not_related` (a false positive), or `potential` (for "
            "the duplicate filter to decide)."
        )
    )
    merge: bool = Field(
        default=False,
        description="Have Hydrus merge tags, ratings and the like, as set up in its options.",
    )
    delete_this: bool = Field(default=False, description="Send the file to Hydrus' trash.")
    delete_other: bool = Field(default=False, description="Send the other one to Hydrus' trash.")

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for."""
        if (spoken := client.info.api_version) < 41:
            yield Fault(
                f"set_relationship needs Client API ≥ 41, this client speaks {spoken}",
                "update Hydrus",
            )

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Say it of all pairs that are not so yet, in one request, in order."""
        client = calls[0].client
        about = []
        for call in calls:
            if call.file_hashes:
                about.append(call)
            else:
                call.finish(no_file("relate"))
        known, rows = await _look(client, about)
        deeds: dict[Call[SetAction], list[_Deed]] = {}
        said: set[Pair] = set()
        for call in about:
            if (wrong := _wrong(call, known, rows)) is not None:
                call.finish(Outcome.dead(wrong))
            else:
                mine = [d for d in _deeds(call, known, rows) if d.pair not in said]
                said.update(deed.pair for deed in mine)
                deeds[call] = mine
        pairs = [deed.pair for mine in deeds.values() for deed in mine]
        if pairs:
            await client.set_file_relationships(pairs)
        kept = await _kept(client, pairs)
        for call, mine in deeds.items():
            call.finish(_ending(call, mine, kept))

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose files are not, or no longer, what they should be."""
        known, rows = await _look(calls[0].client, calls)
        return [
            call
            for call in calls
            if _wrong(call, known, rows) is not None or any(_deeds(call, known, rows))
        ]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files would be related anew."""
        known, rows = await _look(calls[0].client, calls)
        foreseen = []
        for call in calls:
            action = _action(call)
            unseen = [h for h in call.file_hashes if rows and not rows[h].is_known]
            if not call.file_hashes or unseen:
                foreseen.append(Foreseen(f"would relate what the steps before it name: {action}"))
            elif (wrong := _wrong(call, known, rows)) is not None:
                foreseen.append(Foreseen.dead(f"would become a dead letter: {wrong}"))
            elif deeds := _deeds(call, known, rows):
                words = ", ".join(f"{d.pair.a} {action.relation} {action.to}" for d in deeds)
                foreseen.append(Foreseen(f"would relate {words}{action.besides}"))
            else:
                foreseen.append(Foreseen("nothing to do: related so already", changes=False))
        return foreseen

    @property
    def besides(self) -> str:
        """What is done besides, in words."""
        done = {
            "merge": self.merge,
            "delete this": self.delete_this,
            "delete the other": self.delete_other,
        }
        words = " and ".join(word for word, wanted in done.items() if wanted)
        return f", and {words}" if words else ""

    def __str__(self) -> str:
        return f"{self.relation} {self.to}{self.besides}"


def _action(call: Call[SetAction] | Call[AnyAction]) -> SetRelationship:
    assert isinstance(call.action, SetRelationship)
    return call.action


async def _look(
    client: HydrusClient, calls: Sequence[Call[SetAction]] | Sequence[Call[AnyAction]]
) -> tuple[Known, Rows | None]:
    """Give what all files are to others and, where the key may look, their metadata."""
    hashes = [h for call in calls for h in (*call.file_hashes, _action(call).to)]
    asked = [h for h in dict.fromkeys(hashes) if _HASH.fullmatch(h)]
    if not asked:
        return {}, {}
    rows = await MetadataChange.look(client, asked)
    return await relationships(client, asked, rows), rows


def _wrong(call: Call[SetAction] | Call[AnyAction], known: Known, rows: Rows | None) -> str | None:
    """Say why a call cannot be carried out."""
    other = _action(call).to
    if not _HASH.fullmatch(other):
        return f"{other[:80]!r} is no SHA-256 hash"
    if all(h == other for h in call.file_hashes):
        return "a file cannot be related to itself"
    if rows is not None and not rows[other].is_known:
        return f"Hydrus has never heard of the other file, {other}"
    if _action(call).relation == "not_related":
        for sha256 in call.file_hashes:
            for relation, word in _CLOSER.items():
                if _is_so(relation, sha256, other, known):
                    return f"Hydrus has them as {word}, and keeps that: dissolve it there first"
    return None


async def _kept(client: HydrusClient, pairs: Sequence[Pair]) -> set[str]:
    """Give the files that were to be deleted and are still there: Hydrus does not say so."""
    files = {h for p in pairs for h, gone in ((p.a, p.delete_a), (p.b, p.delete_b)) if gone}
    rows = await MetadataChange.look(client, sorted(files)) if files else None
    return {h for h, row in (rows or {}).items() if is_here(row)}


def _ending(call: Call[SetAction], deeds: Sequence[_Deed], kept: set[str]) -> Outcome:
    receipts: dict[str, object] = {}
    left: set[str] = set()
    for deed in deeds:
        left |= kept & set(deed.deleted)
        deleted = {h: where for h, where in deed.deleted.items() if h not in kept}
        receipts[deed.pair.a] = {**deed.receipt, "deleted": deleted}
    related = {**receipts, **_earlier(call)}
    receipt = {"related": related}
    if left:
        why = f"related, but Hydrus kept {', '.join(sorted(left))}: locked against deletion?"
        return replace(Outcome.dead(why), receipt=receipt)
    if not related:
        return Outcome.done("nothing to do: they are related so already", receipt=receipt)
    count = f": {len(deeds)} files" if len(deeds) > 1 else ""
    return Outcome.done(f"related: {_action(call).relation}{count}", receipt=receipt)


def _deeds(call: Call[SetAction] | Call[AnyAction], known: Known, rows: Rows | None) -> list[_Deed]:
    """Give what is to be said of a call's files; nothing of those that are as they should be."""
    action = _action(call)
    relation = _RELATIONS[action.relation]
    deeds = []
    for sha256 in call.file_hashes:
        if sha256 == action.to:
            continue
        is_so = _is_so(relation, sha256, action.to, known)
        deletes = {
            h: wanted and (rows is None or is_here(rows[h]))
            for h, wanted in ((sha256, action.delete_this), (action.to, action.delete_other))
        }
        if rows is None and is_so:
            deletes = dict.fromkeys(deletes, False)  # nobody can see whether that is due
        if is_so and not any(deletes.values()):
            continue
        merges = action.merge and not is_so
        pair = Pair(sha256, action.to, relation, merges, deletes[sha256], deletes[action.to])
        deeds.append(_Deed(pair, _receipt(pair, known), _places(call.client, pair, rows)))
    return deeds


def _receipt(pair: Pair, known: Known) -> Mapping[str, object]:
    """Tell what two files were to each other."""
    return {
        "to": pair.b,
        "relation": pair.relation.name.lower(),
        "before": [
            relation.name.lower()
            for relation in Relation
            if _is_so(relation, pair.a, pair.b, known, exactly=True)
        ],
        "kings": {h: known[h].king for h in (pair.a, pair.b)},
        "merged": pair.merge,
    }


def _places(client: HydrusClient, pair: Pair, rows: Rows | None) -> Mapping[str, object]:
    """Tell where those were that are deleted; None where nobody may look."""
    deleted = [h for h, gone in ((pair.a, pair.delete_a), (pair.b, pair.delete_b)) if gone]
    if rows is None:
        return dict.fromkeys(deleted)
    return {h: sorted(local_domains(client) & set(rows[h].current)) for h in deleted}


def _is_so(
    relation: Relation, one: str, other: str, known: Known, *, exactly: bool = False
) -> bool:
    """Say whether two files are that already. Relations of groups stand by their kings."""
    ours, theirs = known[one], known[other]
    king = theirs.king or other
    same_group = other in ours.duplicates
    is_related = {
        Relation.FALSE_POSITIVE: king in ours.false_positives,
        Relation.ALTERNATE: king in ours.alternates,
        Relation.SAME_QUALITY: same_group,
        Relation.A_IS_BETTER: same_group and not theirs.is_king,
        Relation.B_IS_BETTER: same_group and not ours.is_king,
    }
    if relation is not Relation.POTENTIAL:
        return is_related[relation]
    # Where it is known what they are, there is nothing left to decide.
    return king in ours.potentials or (not exactly and any(is_related.values()))


def _earlier(call: Call[SetAction]) -> Mapping[str, object]:
    """Give what an earlier run of this step found: the older state is the true one."""
    receipt = call.earlier.receipt if call.earlier is not None else None
    related = (receipt or {}).get("related")
    return cast("Mapping[str, object]", related) if isinstance(related, Mapping) else {}
