"""The main job with a real process: dropped, imported, tagged, committed, then trashed."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter

import pytest
from stage import digest, paint, stop_signal, tags_of, wait_until, webm

SIGNALS = [stop_signal()] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    painted = paint(folder, 299)
    film = folder / "films" / "film.webm"
    film.parent.mkdir()
    film.write_bytes(webm())
    return {**painted, "films/film.webm": film}


def check(place, simulator, originals):
    """See that all came to where it belongs, once."""
    hashes = {relative: digest(path) for relative, path in originals.items()}
    assert simulator.committed_files() == set(hashes.values())
    assert simulator.imports() == dict.fromkeys(hashes.values(), 1)
    tags = {relative: simulator.committed_tags(h) for relative, h in hashes.items()}
    assert tags == {relative: {0: tags_of(relative)} for relative in originals}
    assert place.waiting() == set()
    assert Counter(map(digest, place.trashed())) == Counter(hashes.values())
    jobs = place.jobs()
    assert {str(job.state) for job in jobs} == {"done"}
    assert sorted(job.data["file"]["relative"] for job in jobs) == sorted(originals)


def test_300_files_dropped_while_it_runs(place, simulator, daemon, pictures):
    too_early = []
    over = threading.Event()

    def look():
        while not over.wait(0.01):
            # What is gone by now has to be safe by now: the client commits only when told.
            gone = set(dropped) - place.waiting()
            safe = simulator.committed_files()
            too_early.extend(r for r in gone if digest(pictures[r]) not in safe)

    dropped = []
    looking = threading.Thread(target=look)
    looking.start()
    try:
        for relative, original in pictures.items():
            place.drop(relative, original)
            dropped.append(relative)
        wait_until(lambda: place.ended(len(pictures)), "all imported")
    finally:
        over.set()
        looking.join()

    assert too_early == []
    check(place, simulator, pictures)
    assert simulator.files[digest(pictures["films/film.webm"])].mime == "video/webm"
    assert daemon.stop() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_asked_to_stop_with_work_under_way(place, simulator, daemon, pictures, number):
    for relative, original in pictures.items():
        place.drop(relative, original)
    wait_until(lambda: simulator.imports().total() > 20, "some imported", pause=0.001)

    assert daemon.stop(number) == 0
    assert simulator.imports().total() < len(pictures)
    assert "Traceback" not in daemon.words()
    assert place.waiting() == set(pictures)

    daemon.start()
    wait_until(lambda: place.ended(len(pictures)), "the rest imported")
    check(place, simulator, pictures)
    daemon.wait_until_started()
    assert daemon.stop(number) == 0
