"""What was expected held against what there is.

Each line of what is expected is looked at by itself, so that a difference has a place. What went
wrong and is not spoken of counts as a difference, too: a test that says nothing of a dead letter
did not expect one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydrusd.rehearsal._library import Held
from hydrusd.rules import OUTCOMES, SOURCE, Position, RuleTest, named

ALWAYS = ("dead", "waiting")
"""What is a difference where the test does not speak of it."""
MISSING, EXTRA, SAME = "-", "+", "="


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it was expected.

    ``lines`` begin with ``=`` where both agree, ``-`` for what was expected and is not, ``+`` for
    what is and was not expected. ``items`` are what it is about, as the test calls them.
    """

    place: Position
    what: str
    lines: Sequence[str]
    items: Sequence[str] = ()


@dataclass
class Facts:
    """What came of a test.

    ``outcomes``: by the words of ``expect``, the items and why. ``hashes`` of files by the names
    in the test. ``sources`` and ``texts`` of files on the disk (None: gone) by their paths.
    ``ran``: what was noted in place of being run. ``stories``: what happened to each item.
    """

    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes | None] = field(default_factory=dict)
    ran: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stories: dict[str, list[str]] = field(default_factory=dict)


def differences(
    test: RuleTest, facts: Facts, same_path: Callable[[str, str], bool]
) -> list[Difference]:
    """Give all differences, in the order of the file."""
    found = [
        *_outcomes(test, facts),
        *_holdings(test, facts),
        *_sources(test, facts, same_path),
        *_files(test, facts),
        *_ran(test, facts),
    ]
    return sorted(found, key=lambda each: (each.place.line, each.place.column))


def _outcomes(test: RuleTest, facts: Facts) -> Iterator[Difference]:
    for outcome in OUTCOMES:
        expected: Mapping[str, str | None] | None = getattr(test.expect, outcome)
        if expected is None and outcome not in ALWAYS:
            continue
        wanted = {_label(test, item): reason for item, reason in (expected or {}).items()}
        there = facts.outcomes.get(outcome, {})
        wrong = [item for item in wanted if item not in there]
        wrong += [item for item in there if item not in wanted]
        # The reason may be told in part.
        other = [
            item
            for item, reason in wanted.items()
            if reason and item in there and reason.casefold() not in there[item].casefold()
        ]
        if not wrong and not other:
            continue
        lines = [f"{SAME} {i}" for i in wanted if i in there and i not in other]
        lines += [
            f"{MISSING} {_told(i, wanted[i])}" for i in wanted if i not in there or i in other
        ]
        lines += [f"{EXTRA} {_told(i, there[i])}" for i in there if i not in wanted or i in other]
        place = test.place(("expect", outcome))
        yield Difference(place, outcome.replace("_", " "), lines, [*wrong, *other])


def _told(item: str, reason: str | None) -> str:
    return f"{item}: {reason}" if reason else item


def _holdings(test: RuleTest, facts: Facts) -> Iterator[Difference]:
    nothing = Held({}, frozenset(), {})
    for item, tags in (test.expect.tags or {}).items():
        held = facts.held.get(_hash(test, facts, item), nothing)
        if isinstance(tags, dict):
            pairs = [
                (f" in {service}", texts, held.tags.get(service, frozenset()))
                for service, texts in tags.items()
            ]
        else:
            pairs = [("", tags, frozenset[str]().union(*held.tags.values()))]
        for where, wanted, there in pairs:
            yield from _compared(test, "tags", item, f"tags of {item}{where}", wanted, there)
    for item, urls in (test.expect.urls or {}).items():
        held = facts.held.get(_hash(test, facts, item), nothing)
        yield from _compared(test, "urls", item, f"urls of {item}", urls, held.urls)
    for item, notes in (test.expect.notes or {}).items():
        held = facts.held.get(_hash(test, facts, item), nothing)
        asked = [f"{name}: {text}" for name, text in notes.items()]
        found = [f"{name}: {text}" for name, text in held.notes.items()]
        yield from _compared(test, "notes", item, f"notes of {item}", asked, found)


def _compared(
    test: RuleTest,
    part: str,
    item: str,
    what: str,
    wanted: Collection[str],
    there: Collection[str],
) -> Iterator[Difference]:
    if set(wanted) == set(there):
        return
    lines = [f"{SAME} {each}" for each in wanted if each in there]
    lines += [f"{MISSING} {each}" for each in wanted if each not in there]
    lines += [f"{EXTRA} {each}" for each in sorted(there) if each not in wanted]
    yield Difference(test.place(("expect", part, item)), what, lines, [_label(test, item)])


def _sources(
    test: RuleTest, facts: Facts, same_path: Callable[[str, str], bool]
) -> Iterator[Difference]:
    for item, wanted in (test.expect.sources or {}).items():
        label = _label(test, item)
        there = facts.sources.get(label, "was never there")
        moved, is_moved = SOURCE.fullmatch(wanted), SOURCE.fullmatch(there)
        same = wanted == there
        if moved and is_moved and moved[1] and is_moved[1]:
            same = same_path(moved[1], is_moved[1])
        if not same:
            place = test.place(("expect", "sources", item))
            lines = [f"{MISSING} {wanted}", f"{EXTRA} {there}"]
            yield Difference(place, f"what became of {item}", lines, [label])


def _files(test: RuleTest, facts: Facts) -> Iterator[Difference]:
    for path, wanted in (test.expect.files or {}).items():
        place = test.place(("expect", "files", path))
        content = facts.texts[path]
        if isinstance(wanted, str):
            there = "gone" if content is None else "there"
            if there != wanted:
                yield Difference(place, path, [f"{MISSING} {wanted}", f"{EXTRA} {there}"])
            continue
        if content is None:
            yield Difference(place, path, [f"{MISSING} there", f"{EXTRA} gone"])
            continue
        expected = wanted.text.rstrip("\n").splitlines()
        text = content.decode("utf-8", "backslashreplace").rstrip("\n").splitlines()
        if expected != text:
            yield Difference(place, path, list(_lines(expected, text)))


def _lines(expected: Sequence[str], there: Sequence[str]) -> Iterator[str]:
    import difflib

    marks = {" ": SAME, "-": MISSING, "+": EXTRA}
    for line in difflib.ndiff(expected, there):
        if line[0] in marks:
            yield f"{marks[line[0]]} {line[2:]}"


def _ran(test: RuleTest, facts: Facts) -> Iterator[Difference]:
    left = list(facts.ran)
    lines, missing = [], False
    for each in test.expect.ran or ():
        name, wanted = (each, {}) if isinstance(each, str) else next(iter(each.items()))
        fitting = next((r for r in left if r[0] == name and _is_part(wanted or {}, r[1])), None)
        if fitting is None:
            missing = True
            lines.append(f"{MISSING} {_call(name, wanted or {})}")
        else:
            left.remove(fitting)
            lines.append(f"{SAME} {_call(name, wanted or {})}")
    lines += [f"{EXTRA} {_call(name, given)}" for name, given in left]
    if missing or left:
        yield Difference(test.place(("expect", "ran")), "what would have been run", lines)


def _is_part(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Say whether what is wanted of parameters is so: numbers may be written as text."""
    return all(name in given and _same(value, given[name]) for name, value in wanted.items())


def _same(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(given, dict):
        return wanted.keys() == given.keys() and _is_part(wanted, given)
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(map(_same, wanted, given))
    return bool(wanted == given) or str(wanted) == str(given)


def _call(name: str, parameters: Mapping[str, Any]) -> str:
    told = {key: value for key, value in parameters.items() if value not in (None, "", [], {})}
    return f"{name} {json.dumps(told, ensure_ascii=False)}" if told else name


def _label(test: RuleTest, item: str) -> str:
    """Give what an item is called in the facts."""
    return next(iter(named(item, test.names)), item)


def _hash(test: RuleTest, facts: Facts, item: str) -> str:
    return facts.hashes.get(_label(test, item), "")


def unspoken(items: Iterable[Difference], known: Collection[str]) -> list[str]:
    """Give the items of some differences that there is a story of, each once."""
    return [i for i in dict.fromkeys(i for each in items for i in each.items) if i in known]
