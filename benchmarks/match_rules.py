"""How fast events are matched with many rules: 10,000 of each, and 100 rules against one.

What is measured is what intake asks for each event, as it asks it: the verdict of every rule that
listens. Rules with triggers of their own are asked about their own events only. Those that share a
trigger ask, each for something else: what a table tells (the usual condition); one of five things;
for a size; for two things together; for a piece of a name; and for what first has to be worked out
of an event. The last shape is what no table helps with: each rule works out something of its own.

    python benchmarks/match_rules.py [RULES [EVENTS]]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from _measuring import KEY, Figure, folder
from upload_memory import resident

from hydrusd.daemon import read_configuration
from hydrusd.engine import RuleBook
from hydrusd.engine.matching import judge
from hydrusd.ledger import NewJob
from hydrusd.rules import RuleSpec

MANY = 100
ROUNDS = 5
AT_ONCE = 2_000

HEAD = f"""\
client: {{url: 'http://127.0.0.1:1', access_key: {KEY}}}
x-on: &on {{watch_folder: {{path: in}}}}
x-do: &do [add_file, add_tags: {{my tags: ["folder:{{{{ file.parent.name }}}}"]}}]
rules:
"""
RULE = """\
- {{name: r{number}, on: {on}, if: "{condition}", do: *do}}
"""

Condition = Callable[[int], str]


def looked_up(number: int) -> str:
    """Ask for the folder, which differs from rule to rule, and for something else."""
    return f"file.parent.name == 'f{number}' and file.size > 9"


def alike(number: int) -> str:
    """Ask for one of five things."""
    return f"file.size > {1 + number % 5} * MB"


def sizes(number: int) -> str:
    """Ask for a size, another in each rule."""
    return f"file.size > {123_406 + number}"


def together(number: int) -> str:
    """Ask for what is the same in each rule, and for a size."""
    return f"file.suffix in ['.jpg', '.png'] and file.size > {123_406 + number}"


def pieces(number: int) -> str:
    """Ask for a piece of the name."""
    return f"'{number:02}' in file.name"


def worked_out(number: int) -> str:
    """Ask for what has to be worked out first, and is the same for each rule."""
    return f"(file.name | lower | length) * 2 > {number} and file.stem.startswith('{number}')"


def apart(number: int) -> str:
    """Ask for what is another thing in each rule."""
    return f"file.size * {number + 1} % 7 == 3"


def events(count: int, folders: int, where: Path) -> list[dict[str, object]]:
    """Make up what a watched folder tells of so many files in so many folders."""
    return [_event(number, number % folders, where) for number in range(count)]


def _event(number: int, folder: int, where: Path) -> dict[str, object]:
    parent = where / "in" / f"f{folder}"
    file: dict[str, object] = {
        "path": str(parent / f"{number}.jpg"),
        "name": f"{number}.jpg",
        "stem": str(number),
        "suffix": ".jpg",
        "size": 123_456,
        "mtime_ns": 1_700_000_000_000_000_000 + number,
        "inode": number,
        "root": str(parent.parent),
        "relative": f"{parent.name}/{number}.jpg",
        "parent": {"name": parent.name, "path": str(parent)},
    }
    return {"file": file}


def book(where: Path, count: int, condition: Condition, *, own_folders: bool = False) -> RuleBook:
    """Read so many rules, as a daemon does; in portions, as a file holds only some thousands."""
    path = where / "rules.yaml"
    rules: list[RuleSpec] = []
    for first in range(0, count, AT_ONCE):
        texts = (
            RULE.format(
                number=number,
                on=f"{{watch_folder: {{path: in{number}}}}}" if own_folders else "*on",
                condition=condition(number),
            )
            for number in range(first, min(first + AT_ONCE, count))
        )
        path.write_text(HEAD + "".join(texts), encoding="utf-8")
        read = read_configuration(path, safe_mode=True)
        rules += read.rules.rules
    together = replace(read.rules, rules=tuple(rules))
    return RuleBook(together, read.vocabulary, read.expressions)


Judged = tuple[Callable[[dict[str, object]], object], Sequence[dict[str, object]]]


def rates(*ways: Judged) -> list[float]:
    """Give how many events a second are judged in each of these ways, at best; in turns."""
    best = [0.0] * len(ways)
    for _ in range(ROUNDS):
        for way, (judged, given) in enumerate(ways):
            began = time.perf_counter()
            for data in given:
                judged(data)
            best[way] = max(best[way], len(given) / (time.perf_counter() - began))
    return best


def compare(where: Path, shape: Condition, reach: float) -> None:
    """Hold a hundred rules against one, each event in a folder that one of them asks for.

    And against the same rules, each asked for itself.
    """
    name = f"{MANY} rules, {shape.__name__.replace('_', ' ')}"
    [one] = book(where, 1, shape).sources()
    [source] = book(where, MANY, shape).sources()
    given = events(1_000, MANY, where)
    few, many, alone = rates(
        (one.matching.judge, events(1_000, 1, where)),
        (source.matching.judge, given),
        (lambda data: [judge(rule, data) for rule in source.rules], given[:100]),
    )
    Figure(f"{name}, against one", many, few, "events/s", reach).print()
    Figure(f"{name}, against each asked for itself", many, alone, "events/s", 1).print()


def compare_apart(where: Path) -> None:
    """Hold a hundred rules against one where each has a trigger of its own."""
    given = events(1_000, 1, where)
    [one] = book(where, 1, looked_up, own_folders=True).sources()
    first, *others = book(where, MANY, looked_up, own_folders=True).sources()
    assert len(others) == MANY - 1
    few, many = rates((one.matching.judge, given), (first.matching.judge, given))
    name = f"{MANY} rules, each with its own trigger, against one"
    Figure(name, many, few, "events/s", 0.5).print()


def main(rules: int, count: int) -> None:
    """Match many events with many rules, then a hundred against one."""
    with folder() as where:
        memory = resident()
        before = memory()
        began = time.perf_counter()
        [source] = book(where, rules, looked_up).sources()
        _ = source.matching
        read = time.perf_counter() - began
        held = memory() - before
        given = events(count, count, where)
        for data in given[:MANY]:
            jobs = [type(verdict) for verdict in source.matching.judge(data)].count(NewJob)
            assert jobs == 1, "each of these events is wanted by one rule"
        began = time.perf_counter()
        for data in given:
            source.matching.judge(data)
        took = time.perf_counter() - began
        print(
            f"{rules:,} rules read in {read:.1f} s, {held:.0f} MB; {count:,} events matched with "
            f"each of them in {took:.2f} s: {count / took:,.0f} events/s, "
            f"{rules * count / took:,.0f} verdicts/s"
        )
        compare_apart(where)
        for shape in (looked_up, alike, sizes, together, pieces, worked_out):
            compare(where, shape, 0.5)
        compare(where, apart, 0)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*given, *(10_000, 10_000)[len(given) :])
