"""A rule is taken out of the file while its jobs wait for the client to commit."""

from __future__ import annotations

import shutil

import pytest
from stage import DaemonProcess, digest, paint, tags_of, wait_until

from hydrusd.simulator import Simulator, SimulatorConfig


@pytest.fixture
def simulator():
    # This client cannot be told to commit, and for an hour does not do so by itself.
    with Simulator(SimulatorConfig(api_version=32, commit_seconds=3600)) as client:
        yield client


def test_what_a_restart_loses_meanwhile_is_redone_when_the_rule_is_back(place, simulator, tmp_path):
    originals = paint(tmp_path / "originals", 2)
    relative, other = originals
    rules = place.folder / "rules.yaml"
    elsewhere = place.folder / "elsewhere"
    daemon = DaemonProcess(place)
    try:
        with simulator.serve() as url:
            place.write_rules(url, commit_wait_seconds=3600)
            place.drop(relative, originals[relative])
            daemon.start()
            wait_until(lambda: place.states()["settling"] == 1, "settling")
            assert daemon.stop() == 0
            simulator.crash()

            place.write_rules(url, commit_wait_seconds=0.5)
            with_rule = rules.read_text(encoding="utf-8")
            without = with_rule.replace("import all", "other").replace("inbox", "elsewhere")
            rules.write_text(without, encoding="utf-8")
            elsewhere.mkdir()
            daemon.start()
            wait_until(lambda: daemon.said("settled"), "looked at")
            # When this one is through, the first has had the time to be taken for durable.
            shutil.copy(originals[other], elsewhere)
            wait_until(lambda: place.states()["done"] == 1, "another rule's file disposed of")
            assert daemon.stop() == 0
            assert place.states() == {"settling": 1, "done": 1}

            rules.write_text(with_rule, encoding="utf-8")
            daemon.start()
            wait_until(lambda: place.ended(2), "redone and disposed of")
            daemon.wait_until_started()
            assert daemon.stop() == 0
            sha256 = digest(originals[relative])
            assert place.waiting() == set()
            assert simulator.tags(sha256)[0] == tags_of(relative)
            assert simulator.imports()[sha256] == 2
    finally:
        daemon.close()
