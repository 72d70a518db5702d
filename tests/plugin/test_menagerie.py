"""One daemon with all the bad plugins at once: it works, and says of each what is wrong with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import menagerie
import pytest
from menagerie import BEASTS

from hydrusd.errors import LedgerError
from hydrusd.model import JobState
from hydrusd.testing._project import Project

HERE = Path(__file__).parent
PATIENCE_SECONDS = 60.0


class Zoo:
    """The daemon with all of them, when it is over: what it logged, and what is known of it."""

    def __init__(self, folder: Path):
        with_client = Project(folder, {})
        try:
            self._run(folder, with_client)
        finally:
            with_client.close()

    def _run(self, folder, client):
        (folder / "inbox").mkdir()
        plugins = folder / "plugins"
        plugins.mkdir()
        for name in BEASTS:
            file = plugins / f"{name}.py"
            file.write_text(menagerie.source(name), encoding="utf-8")
            if name == "public":
                file.chmod(0o666)
        text = f"client: {{url: '{client.url}', access_key: '{client.access_key}'}}"
        (folder / "rules.yaml").write_text(menagerie.rules(text), encoding="utf-8")
        self.folder, self.client = folder, client
        client.drop("inbox/first.png")
        log = folder / "log"
        with log.open("wb") as stderr:
            daemon = self.start("run", stderr=stderr)
            try:
                self.wait(daemon, self.is_first_over)
                client.drop("inbox/second.png")
                self.wait(daemon, lambda: len(self.jobs_of("good", JobState.DONE)) == 2)
                self.conditions = {
                    (each.kind, each.name): f"{each.state} {each.reason}"
                    for each in self.client.conditions
                }
                daemon.send_signal(signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGTERM)
                self.printed = daemon.communicate(timeout=PATIENCE_SECONDS)[0]
            finally:
                daemon.kill()
                daemon.communicate()
        self.code = daemon.returncode
        self.log = log.read_text(encoding="utf-8")
        told = self.start("plugins", stderr=None)
        self.told = json.loads(told.communicate(timeout=PATIENCE_SECONDS)[0])
        self.jobs = {job.rule: job for job in reversed(self.client.jobs)}
        self.details = {letter.job_id: letter.detail for letter in self.client.dead_letters}

    def start(self, name, *, stderr):
        arguments = [name, "rules.yaml", "--state-dir", "state", "--json"]
        command = [sys.executable, str(HERE / "menagerie.py"), *arguments]
        new_group = subprocess.CREATE_NEW_PROCESS_GROUP if os.name == "nt" else 0
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            creationflags=new_group,
        )

    def jobs_of(self, rule, *states):
        return [job for job in self.client.jobs if job.rule == rule and job.state in states]

    def is_first_over(self):
        """The good rule is through, and every bad one has been at work once."""
        jobs = {job.rule: job for job in self.client.jobs}
        expected = {name for name, beast in BEASTS.items() if beast.detail}
        went = {
            name
            for name in expected & jobs.keys()
            if jobs[name].steps or jobs[name].state in {JobState.DONE, JobState.DEAD}
        }
        return went == expected and bool(self.jobs_of("good", JobState.DONE))

    @staticmethod
    def _so(fact):
        try:
            return fact()
        except LedgerError:
            return False  # which is only just being made

    def wait(self, daemon, fact):
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._so(fact):
            if daemon.poll() is not None or time.monotonic() > until:
                log = (self.folder / "log").read_text(encoding="utf-8")
                pytest.fail(f"{self.client.story()}\n{log}", pytrace=False)
            time.sleep(0.2)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return Zoo(tmp_path_factory.mktemp("zoo") / "here")


def test_the_daemon_is_healthy_and_stops_when_it_is_told_to(zoo):
    assert zoo.code == 0
    assert len(zoo.jobs_of("good", JobState.DONE)) == 2
    assert not zoo.jobs_of("good", JobState.DEAD)
    assert zoo.printed == b""
    assert '"stopped"' in zoo.log


def test_there_are_at_least_twenty():
    assert len(BEASTS) >= 20


@pytest.mark.parametrize("name", BEASTS)
def test_a_beast_is_named_and_harms_only_its_own_rule(zoo, name):
    beast = BEASTS[name]
    if name == "public" and os.name == "nt":
        pytest.skip("Windows keeps who may write where stat does not show it")
    left_out = {fault["plugin"]: fault["message"] for fault in zoo.told["left_out"]}
    loaded = {plugin["name"]: plugin for plugin in zoo.told["plugins"]}
    if beast.left_out:
        assert beast.left_out in left_out[name]
        assert name not in loaded
        assert beast.left_out in zoo.log
    else:
        assert loaded[name]["kind"] == "folder"
        assert loaded[name]["origin"].endswith(f"{name}.py")
    if beast.error:
        assert beast.error in loaded[name]["cost"]["last_error"]
        assert loaded[name]["cost"]["errors"] >= 1
    if beast.parked:
        state = zoo.conditions["rule", name]
        assert state.startswith("parked ")
        assert beast.parked in state
        assert f"plugin {name} was left out" in state
        assert all(
            job.state is JobState.READY and not job.steps for job in zoo.jobs_of(name, *JobState)
        )
    if beast.detail:
        job = zoo.jobs[name]
        said = " ".join([zoo.details.get(job.job_id, ""), *(step.detail for step in job.steps)])
        assert beast.detail in said
    if beast.waits:
        assert any(
            kind == "trigger" and beast.waits in state
            for (kind, _), state in zoo.conditions.items()
        )
    if beast.logged:
        assert beast.logged in zoo.log
