"""The way through a rule's blocks: what runs, what is passed over, and that a crash changes none
of it.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings, strategies as st
from ruling import EXPRESSIONS, FILE, compiled, rule_set

from hydrusd.engine.checking import doubts_about
from hydrusd.engine.compiling import compile_rule
from hydrusd.engine.matching import judge
from hydrusd.engine.program import Branch, End, Loop, Program, every
from hydrusd.errors import ConfigError, ExpressionError
from hydrusd.model import EventId, Job, JobId, OutcomeKind, StepRecord
from hydrusd.plugin import AnyAction
from hydrusd.rules import entry_at

# --- a small rule, as any that can be written, and what should come of it --------------------


class Condition:
    def __init__(self, holds):
        self.text = str(holds)
        self._holds = holds

    def holds(self, context):
        return self._holds


class Work:
    """A step that is only noted."""

    name = "work"
    action_class = AnyAction
    takes_sidecars = False

    def __init__(self, number, condition):
        self.number = number
        self.condition = condition


CONDITIONS = st.booleans().map(Condition)
STEPS = st.builds(Work, st.integers(0, 9), st.none() | CONDITIONS)
ENDS = st.builds(End, st.just(lambda _: "enough"), st.none() | CONDITIONS)


def blocks(inner):
    rows = st.lists(inner, max_size=3)
    loops = st.builds(
        Loop,
        st.integers(0, 2).map(lambda n: lambda _: list(range(n))),
        st.just("item"),
        st.lists(inner, min_size=1, max_size=2),
    )
    return st.builds(Branch, CONDITIONS, rows, rows) | loops


NODES = st.lists(st.recursive(STEPS | ENDS, blocks, max_leaves=8), min_size=1, max_size=4)


class _StoppedError(Exception):
    pass


def meant(nodes, items=()):
    """Give what runs, by the plainest reading: the numbers of steps, with the items around."""
    for node in nodes:
        condition = getattr(node, "condition", None)
        holds = condition is None or condition.holds({})
        if isinstance(node, Branch):
            yield from meant(node.body if holds else node.otherwise, items)
        elif isinstance(node, Loop):
            for item in node.items({}):
                yield from meant(node.body, (*items, item))
        elif not holds:
            continue
        elif isinstance(node, End):
            raise _StoppedError
        else:
            yield node.number


def expected(nodes):
    found = []
    with contextlib.suppress(_StoppedError):
        found.extend(meant(nodes))
    return found


def walked(program, crashes):
    """Go through it as the lane does, forgetting all that was not stored where it crashes."""
    known, ran, position, visits = {}, [], 0, []
    while True:
        arrival = program.arrive(position, dict(known), lambda *_: {})
        if crashes and crashes.pop():
            continue  # nothing was stored
        known.update({record.position: record for record in arrival.records})
        position = arrival.position
        if position == len(program):
            return ran, known, visits
        ran.append(program[position].number)
        visits.append(position)
        known[position] = StepRecord(position, "work", OutcomeKind.DONE, "", {}, None)
        position += 1


@settings(max_examples=300, deadline=None)
@given(NODES, st.lists(st.booleans(), max_size=6))
def test_what_runs_is_what_is_meant_whatever_crashes(nodes, crashes):
    program = Program(nodes)
    ran, known, visits = walked(program, list(crashes))
    assert ran == expected(nodes)
    assert visits == sorted(set(visits))
    for position, record in known.items():
        node = program[position]
        assert record.action == node.name
        assert program.is_on_the_way(position, known) or record.outcome is OutcomeKind.PASSED
    again, same, _ = walked(program, [])
    assert (again, {p: r.outcome for p, r in same.items()}) == (
        ran,
        {p: r.outcome for p, r in known.items()},
    )


@settings(max_examples=200, deadline=None)
@given(NODES, st.data())
def test_every_position_has_its_node_and_a_way_out(nodes, data):
    program = Program(nodes)
    position = data.draw(st.integers(0, len(program) - 1))
    spot = program.at(position)
    assert spot.node in list(every(nodes))
    assert all(scope.block < position < scope.end for scope in spot.scopes)
    assert {id(node) for node in every(nodes)} >= {id(node) for node in program.behind(position)}
    with pytest.raises(IndexError):
        program.at(len(program))


def test_what_a_client_lost_may_lead_another_way():
    """A decision is made anew on the way back, and what was done on the other way stays told."""
    holds = Condition(holds=True)
    program = Program([Branch(holds, [Work(1, None)], [Work(2, None)]), Work(3, None)])
    _, known, _ = walked(program, [])
    holds._holds = False
    arrival = program.arrive(0, known, lambda *_: {})
    assert arrival.position == 2
    assert known[1].outcome is OutcomeKind.DONE
    assert not program.is_on_the_way(1, known)
    assert program.arrive(1, known, lambda *_: {}).position == 2


# --- rules as they are written ---------------------------------------------------------------


def test_what_a_job_sees_is_what_came_before_on_its_way(tmp_path):
    rule = compiled(
        """
      - add_file
      - for_each: [x, "{{ file.stem }}"]
        do:
          - log: {message: "{{ item }} {{ item_number }}"}
      - log: {message: "{{ steps.log.text | default('none') }}"}
        if: file.size > 10
""",
        tmp_path,
    )
    records = [StepRecord(0, "add_file", OutcomeKind.DONE, "", {"hash": "h"}, {})]
    arrival = rule.arrive(1, FILE, records)
    assert (arrival.position, arrival.records[0].values) == (2, {"items": ["x", "a"]})
    records += arrival.records
    context = rule.context(FILE, records, 3)
    assert (context["item"], context["item_number"]) == ("a", 2)
    assert context["steps"] == {"add_file": {"hash": "h"}}
    assert rule.steps[3].rendered(context) == {"message": "a 2"}
    assert rule.arrive(4, FILE, records).position == 102
    assert entry_at([{"a": 1}, {"for_each": [], "do": [{"b": 1}]}, {"c": 1}], 102) == {"c": 1}
    assert entry_at([{"a": 1}, {"for_each": [], "do": [{"b": 1}]}, {"c": 1}], 57) == {"b": 1}
    with pytest.raises(LookupError):
        entry_at([{"a": 1}, {"if": "x", "do": [{"b": 1}], "else": [{"c": 1}]}], 4)


def test_the_places_of_disposals_are_known_without_going_through_every_turn(tmp_path):
    rule = compiled(
        """
      - add_file
      - for_each: [a]
        do: [{for_each: [b], do: [{log: {message: x}}]}]
      - if: file.size > 10
        do: [trash_source]
        else: [{move_source: {to: other}}]
""",
        tmp_path,
    )
    assert rule.disposals == [10_103, 10_104]
    assert [rule.steps[at].name for at in rule.disposals] == ["trash_source", "move_source"]
    assert compiled("      - add_file\n      - trash_source\n", tmp_path).disposals == [1]


def test_a_variable_that_cannot_be_had_is_nothing_to_those_that_do_not_use_it(tmp_path):
    text = """
  - name: one
    on: {watch_folder: {path: inbox}}
    vars: {artist: "{{ (file.stem | replace('a', 'b')).none_such }}"}
    if: file.size > 10
    do:
      - log: {message: "{{ file.name }}"}
        if: file.suffix == '.jpg'
      - log: {message: "{{ vars.artist }}"}
"""
    rule = compile_rule(rule_set(text, tmp_path).rules[0], EXPRESSIONS, tmp_path)
    assert judge(rule, FILE).failure == ""
    assert rule.arrive(0, FILE, ()).position == 0
    job = _job(FILE)
    assert rule.call(0, job, None, None).action.message == "a.jpg"
    with pytest.raises(ExpressionError, match=r"the variable 'artist'.*none_such"):
        rule.call(1, job, None, None)


def _job(data):
    return Job(JobId(1), "one", "", EventId(1), "k", data, 0, 1, None, None)


SAFE = None
IMPORTED = "trash_source would dispose of files that were not imported on every way to it"


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("[{if: file.size, do: [add_file]}, trash_source]", IMPORTED),
        ("[{add_file: , if: file.size}, trash_source]", IMPORTED),
        ("[{for_each: '{{ [] }}', do: [add_file]}, trash_source]", IMPORTED),
        ("[{if: file.size, do: [add_file], else: [trash_source]}]", "no step before"),
        ("[{if: file.size, do: [add_file], else: [add_file]}, trash_source]", SAFE),
        ("[{if: file.size, do: [add_file], else: [stop]}, trash_source]", SAFE),
        ("[{if: file.size, do: [add_file, trash_source]}]", SAFE),
        ("[add_file, {trash_source: , if: file.size}]", SAFE),
        ("[add_file, {if: file.size, do: [trash_source]}, add_file]", "may have disposed of it"),
        ("[add_file, {if: file.size, do: [trash_source, stop]}, add_file]", SAFE),
        ("[add_file, {if: a, do: [trash_source], else: [{move_source: {to: b}}]}]", SAFE),
        ("[add_file, {if: a, do: [trash_source]}, {move_source: {to: b}}]", "once"),
        ("[add_file, {for_each: [a], do: [trash_source]}]", "in a loop"),
        ("[{add_file: {duplicates: dispose}}, {if: a, do: [trash_source]}]", "no step after it"),
        ("[{if: a, do: [{add_file: {duplicates: dispose}}, trash_source]}]", SAFE),
    ],
)
def test_no_way_through_a_rule_can_lose_a_file(steps, problem, tmp_path):
    text = f"  - {{name: r, on: {{watch_folder: {{path: i}}}}, do: {steps}}}\n"
    try:
        rule_set(text, tmp_path)
    except ConfigError as error:
        said = " / ".join(f"{p.message} ({p.hint})" for p in error.problems)
        assert problem is not SAFE
        assert problem in said
    else:
        assert problem is SAFE


@pytest.mark.parametrize(
    ("steps", "path", "message"),
    [
        ("[stop, add_file]", ("do", 1), "this can never run: the job always ends before it"),
        (
            "[{if: file.size, do: [stop], else: [add_file, stop]}, add_file]",
            ("do", 1),
            "this can never run: the job always ends before it",
        ),
        (
            "[{if: 1 > 2, do: [add_file]}]",
            ("do", 0, "if"),
            "this is never true: what is under it never runs",
        ),
        (
            "[{if: 2 > 1, do: [add_file], else: [stop]}]",
            ("do", 0, "if"),
            "this is always true: what is under its `else` never runs",
        ),
        (
            "[{add_file: , if: false}]",
            ("do", 0, "if"),
            "this is never true: what is under it never runs",
        ),
        (
            "[{for_each: [], do: [add_file]}]",
            ("do", 0, "for_each"),
            "this list is empty: what is under it never runs",
        ),
        (
            "[add_file, {for_each: [1], as: n, do: [{log: {message: '{{ m }}'}}]}]",
            ("do", 1, "do", 0, "log", "message"),
            "m: watch_folder gives no 'm'",
        ),
        (
            "[{if: steps.add_fiel, do: [stop]}]",
            ("do", 0, "if"),
            "steps.add_fiel: no step comes before (this is first)",
        ),
        (
            "[{log: {message: '{{ vars.a }}'}}]",
            ("do", 0, "log", "message"),
            "vars.a: there is no variable 'a'",
        ),
    ],
)
def test_what_can_never_run_or_never_be_known_is_doubted(steps, path, message, tmp_path):
    text = f"  - {{name: r, on: {{watch_folder: {{path: i}}}}, do: {steps}}}\n"
    [rule] = rule_set(text, tmp_path).rules
    [doubt] = doubts_about(rule, EXPRESSIONS)
    assert (doubt.path, doubt.message) == (path, message)
