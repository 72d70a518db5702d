"""The shipped plugin that asks a program for tags: real programs, written for the occasion."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.model import JobId, JobState, OutcomeKind, ParkScope, StepRecord
from hydrusd.plugin import Call, FileSource
from hydrusd.testing import paint

DOCS = Path(__file__).parents[2] / "docs" / "shipped-plugins.md"

# Answers as its file says: with what it holds, or by dying.
HONEST = """
import json, os, sys
print("Loading a model, hello!", flush=True)
with open("starts", "a") as starts:
    starts.write("x")
for line in sys.stdin:
    path = json.loads(line)["path"]
    said = open(path).read()
    if said == "die":
        os._exit(3)
    if said == "hang":
        import time; time.sleep(60)
    if said != "silent":
        print(json.dumps({"path": path, **json.loads(said)}), flush=True)
"""


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["ask_tagger"]


class Asking:
    def __init__(self, folder, action):
        self.folder, self.action = folder, action
        (folder / "tagger.py").write_text(HONEST)

    def call(self, said, *, job_id=1, step=None, **parameters):
        path = self.folder / f"{job_id}.png"
        path.write_text(said if isinstance(said, str) else json.dumps(said))
        given = {"command": [sys.executable, "tagger.py"], "folder": str(self.folder)}
        made = self.action.model_validate({**given, **parameters})
        data = {"file": FileSource.of(path, path.parent, path.lstat()).to_data()}
        steps = ()
        if step is not None:
            steps = (StepRecord(0, "ask_tagger", OutcomeKind.LATER, "as before", step, None),)
        return Call(made, JobId(job_id), "a rule", data, None, SystemClock(), steps=steps)

    async def ask(self, *said, **parameters):
        """Give the outcomes for files that say this, as they are when the program is over."""
        calls = [self.call(one, job_id=n, **parameters) for n, one in enumerate(said, 1)]
        outcomes = {}
        while True:
            await self.action.run_set(calls)
            for call in calls:
                outcomes[call.job_id] = call.outcome
            calls = [
                self.call(said[c.job_id - 1], job_id=c.job_id, step=c.outcome.values, **parameters)
                for c in calls
                if c.outcome.detail.startswith(("under way", "waits"))
            ]
            if not calls:
                return [outcomes[n] for n in sorted(outcomes)]
            await anyio.sleep(0.02)

    @property
    def starts(self):
        return len((self.folder / "starts").read_text())


@pytest.fixture
def asking(tmp_path, action):
    return Asking(tmp_path, action)


SURE = {
    "general": {"1girl": 0.99, "long_hair": 0.5, "sky": 0.3, "^_^": 0.9, "text_x": 0.8},
    "character": {"hatsune_miku": 0.9, "somebody": 0.6},
    "rating": {"general": 0.6, "explicit": 0.55},
    "copyright": {"vocaloid": 0.99},
}


@pytest.mark.anyio
async def test_what_it_is_sure_of_becomes_tags(asking):
    [outcome] = await asking.ask({"tags": SURE})
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    assert outcome.values["tags"] == [
        "1girl",
        "^_^",
        "text x",
        "long hair",
        "character:hatsune miku",
        "rating:general",
    ]
    assert outcome.values["found"]["character"] == {"hatsune_miku": 0.9}


@pytest.mark.anyio
async def test_thresholds_names_and_exclusion_are_the_rules(asking):
    [outcome] = await asking.ask(
        {"tags": SURE},
        thresholds={"general": 0.2, "copyright": 0.5, "rating": 0.9},
        namespaces={"general": "look"},
        rename={"sky": "place:sky"},
        exclude=["text_*", "1girl", "^_^"],
    )
    assert outcome.values["tags"] == ["look:long hair", "place:sky", "series:vocaloid"]


@pytest.mark.anyio
async def test_one_start_is_for_many_files(asking):
    outcomes = await asking.ask(*({"tags": {"general": {str(n): 1}}} for n in range(5)))
    assert [o.values["tags"] for o in outcomes] == [[str(n)] for n in range(5)]
    assert asking.starts == 1
    await asking.ask({"tags": {}}, {"tags": {}}, {"tags": {}}, most_files=2)
    assert asking.starts == 3


@pytest.mark.anyio
async def test_a_file_that_kills_it_is_blamed_alone(asking):
    good = {"tags": {"general": {"sky": 1}}}
    outcomes = await asking.ask(good, "die", good)
    assert [o.kind for o in outcomes] == [OutcomeKind.DONE, OutcomeKind.RETRY, OutcomeKind.LATER]
    assert "ended while it looked at this file: exit code 3" in outcomes[1].detail
    outcomes = await asking.ask("die", good)
    assert [o.kind for o in outcomes] == [OutcomeKind.RETRY, OutcomeKind.LATER]


@pytest.mark.anyio
async def test_one_that_hangs_is_stopped_and_what_it_said_counts(asking):
    good = {"tags": {"general": {"sky": 1}}}
    outcomes = await asking.ask(good, "hang", timeout="700ms")
    assert [o.kind for o in outcomes] == [OutcomeKind.DONE, OutcomeKind.RETRY]
    assert "its time was up" in outcomes[1].detail


@pytest.mark.anyio
@pytest.mark.parametrize("program", ["import nothing_of_the_kind", None])
async def test_one_that_does_not_work_has_only_its_rule_wait(asking, program):
    command = ["no-such-program"]
    if program is not None:
        (asking.folder / "tagger.py").write_text(program)
        command = [sys.executable, "tagger.py"]
    outcomes = await asking.ask("x", "y", command=command)
    for outcome in outcomes:
        assert (outcome.kind, outcome.scope) == (OutcomeKind.PARK, ParkScope.RULE)
        assert outcome.detail.startswith("the tagger does not work: ")
    assert ("nothing_of_the_kind" if program else "no-such-program") in outcomes[0].detail


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("silent", OutcomeKind.RETRY, "did not answer"),
        ({"error": "no picture"}, OutcomeKind.DEAD, "can say nothing about it: no picture"),
        ({"tags": ["sky"]}, OutcomeKind.DEAD, "answered otherwise"),
        ({"tags": {"general": {"sky": "very"}}}, OutcomeKind.DEAD, "answered otherwise"),
        ({}, OutcomeKind.DEAD, "answered otherwise"),
        ({"tags": {}}, OutcomeKind.DONE, "0 tags"),
    ],
)
async def test_no_good_answers(asking, said, kind, told):
    [outcome] = await asking.ask(said)
    assert (outcome.kind, told in outcome.detail) == (kind, True), outcome.detail


@pytest.mark.anyio
async def test_a_file_that_has_changed_or_gone_is_not_looked_at(asking):
    call = asking.call({"tags": {}})
    (asking.folder / "1.png").unlink()
    await asking.action.run_set([call])
    assert (call.outcome.kind, call.outcome.detail) == (
        OutcomeKind.SKIPPED,
        "the file is no longer there",
    )


@pytest.mark.anyio
async def test_planning_asks_nobody(asking):
    [seen] = await asking.action.plan([asking.call("die")])
    assert (seen.changes, sys.executable in seen.detail) == (False, True)
    assert not (asking.folder / "starts").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": []},
        {"command": ["x", "{{ file.name }}"]},
        {"thresholds": {"general": 2}},
        {"most_files": 0},
    ],
)
def test_wrong_parameters(action, wrong):
    with pytest.raises(ValidationError):
        action.model_validate({"command": ["x"], **wrong})


RULES = """
allow: [ask_tagger]
rules:
  - name: look
    on: {search: {tags: ["system:inbox"], backfill: true}}
    do:
      - ask_tagger: {command: ["PYTHON", tagger.py]}
      - add_tags: {my tags: "{{ steps.ask_tagger.tags }}"}
  - name: broken
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - ask_tagger: {command: ["no-such-program"]}
"""


def example():
    """Give the program of the documents."""
    text = DOCS.read_text(encoding="utf-8")
    return re.search(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def test_the_program_of_the_documents_looks_at_files_of_hydrus(project):
    made = project({"rules.yaml": RULES.replace("PYTHON", sys.executable), "tagger.py": example()})
    moving = paint("a.gif") + b"NETSCAPE2.0"
    hashes = [made.seed("a.gif", moving), made.seed("b.png")]
    made.drop("inbox/c.png", noticed=False)

    def over(project):
        return sum(j.state is JobState.DONE for j in project.jobs) == 2 and any(
            c.name == "broken" and c.state == "parked" for c in project.conditions
        )

    made.run(until=over)
    assert made.simulator.tags(hashes[0])[0] == {"animated", "rating:unknown"}
    assert made.simulator.tags(hashes[1])[0] == {"still", "rating:unknown"}
    [waits] = [c for c in made.conditions if c.name == "broken"]
    assert "the tagger does not work: there is no program 'no-such-program'" in waits.reason
