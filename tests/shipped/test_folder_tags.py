"""The shipped plugin that tags with the names of folders."""

from __future__ import annotations

import pytest

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobId, JobState
from hydrusd.plugin import Call, FileSource, Undo
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig
from hydrusd.testing import paint

RULES = """
rules:
  - name: albums
    on:
      watch_folder: {path: inbox, settle: 50ms}
    do:
      - add_file:
      - add_folder_tags: {service: my tags}
"""


def test_each_folder_below_the_watched_one_becomes_a_tag(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/2024/Iceland/a.jpg").drop("inbox/b.png").run().assert_success()
    tags = made.simulator.committed_tags
    assert tags(made.sha256("inbox/2024/Iceland/a.jpg")) == {0: {"folder:2024", "folder:iceland"}}
    assert tags(made.sha256("inbox/b.png")) == {}
    assert made.job("inbox/b.png").steps[1].detail == "it lies in the watched folder itself"


def test_the_namespace_and_the_service_can_be_chosen(project):
    rules = RULES.replace("{service: my tags}", "{service: downloader tags, namespace: album}")
    made = project({"rules.yaml": rules})
    made.drop("inbox/Cats/a.webp").run().assert_success()
    hashed = made.sha256("inbox/Cats/a.webp")
    assert made.simulator.tags(hashed, "downloader tags") == {0: {"album:cats"}}
    assert made.simulator.tags(hashed) == {}


def test_a_folder_with_an_odd_name_stays_one_tag_and_is_no_template(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/{{ 7 * 6 }}/system:-x, y/a.gif").run().assert_success()
    hashed = made.sha256("inbox/{{ 7 * 6 }}/system:-x, y/a.gif")
    assert made.simulator.tags(hashed) == {0: {"folder:{{ 7 * 6 }}", "folder:x, y"}}


def test_without_an_import_before_it_there_is_nothing_to_tag(project):
    made = project({"rules.yaml": RULES.replace("      - add_file:\n", "")})
    made.drop("inbox/Cats/a.jpg").run()
    [letter] = made.dead_letters
    assert "put add_file before add_folder_tags" in letter.detail
    assert (made.folder / "inbox/Cats/a.jpg").exists()


def test_a_service_that_the_client_does_not_have_makes_a_dead_letter_that_names_it(project):
    made = project({"rules.yaml": RULES.replace("my tags", "my tagz")})
    made.drop("inbox/Cats/a.jpg").run()
    assert made.job("inbox/Cats/a.jpg").state is JobState.DEAD
    assert "'my tagz'" in made.dead_letters[0].detail
    assert "did you mean 'my tags'" in made.dead_letters[0].detail


@pytest.mark.anyio
@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_the_plan_tells_which_tags_are_new_and_writes_nothing(tmp_path, api_version):
    [loaded] = [a for n, a in load_plugins([]).actions.items() if n == "add_folder_tags"]
    (tmp_path / "2024" / "Iceland").mkdir(parents=True)
    path = tmp_path / "2024" / "Iceland" / "a.jpg"
    path.write_bytes(paint("a.jpg"))
    data = {"file": FileSource.of(path, tmp_path, path.lstat()).to_data()}
    simulator = Simulator(SimulatorConfig(api_version=api_version))
    with simulator, simulator.serve() as url:
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            imported = await client.add_file(path)

            def call(*hashes):
                return Call(loaded(), JobId(1), "albums", data, client, SystemClock(), hashes)

            calls = [call(imported.hash), call("ab" * 32), call()]
            before = dict(simulator.requests)
            plans = await loaded.plan(calls)
            asked = {p for p, n in simulator.requests.items() if n != before.get(p, 0)}
            assert all(path.startswith("/get_") for path in asked)
            assert [p.changes for p in plans] == [True, True, False]
            assert plans[0].detail == "would add folder:2024, folder:iceland"
            assert (await calls[0].action.run(calls[0])).detail == "folder:2024, folder:Iceland"
            # A client before API 12 cannot be asked for files that it may not have.
            knows = api_version >= 12
            plans = await loaded.plan(calls)
            assert [p.changes for p in plans] == [not knows, True, False]
            assert (plans[0].detail == "no tag is new") is knows


async def undo(client, call, receipt):
    """Take back what a receipt tells of, as the engine has it done; the outcome."""
    action = type(call.action)
    taken = Call(
        action=Undo.model_construct(receipt=receipt, values={}),
        job_id=JobId(2),
        rule="undo of albums",
        data=call.data,
        client=client,
        clock=SystemClock(),
    )
    [seen] = await action.undo_plan([taken])
    await action.undo_set([taken])
    assert seen.changes == bool(next(iter(taken.outcome.receipt.values())))
    return taken.outcome


@pytest.mark.anyio
async def test_just_the_tags_that_were_new_are_taken_back_and_put_back(stage, tmp_path):
    server, url = stage
    action = load_plugins([]).actions["add_folder_tags"]
    path = tmp_path / "2024" / "Cats" / "a.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(paint("a.png"))
    with Simulator(SimulatorConfig()) as simulator:
        server.simulator = simulator
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            sha256 = (await client.add_file(path)).hash
            await client.add_tags([sha256], {"my tags": ["folder:2024"]})
            source = FileSource.of(path, tmp_path, path.stat())
            call = Call(
                action=action(),
                job_id=JobId(1),
                rule="albums",
                data={"file": source.to_data()},
                client=client,
                clock=SystemClock(),
                file_hashes=(sha256,),
            )
            done = await call.action.run(call)
            assert simulator.tags(sha256)[0] == {"folder:2024", "folder:cats"}
            undone = await undo(client, call, done.receipt)
            assert simulator.tags(sha256)[0] == {"folder:2024"}
            redone = await undo(client, call, undone.receipt)
            assert simulator.tags(sha256)[0] == {"folder:2024", "folder:cats"}
            # A person takes it off: then there is nothing left to take back.
            await undo(client, call, redone.receipt)
            again = await undo(client, call, redone.receipt)
            assert again.receipt == {"deleted": {}}
            assert simulator.tags(sha256)[0] == {"folder:2024"}
