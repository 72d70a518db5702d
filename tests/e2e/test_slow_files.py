"""Files that take their time to come: taken when they are whole, and once."""

from __future__ import annotations

import threading
import time

import pytest
from PIL import Image
from stage import digest, wait_until

PIECES = 20
WRITING_SECONDS = 5


@pytest.fixture
def settle():
    return "2s"  # a writer pauses for an eighth of that


@pytest.fixture
def picture(tmp_path):
    """A picture that is one even when it is cut, to a client that does not mind."""
    path = tmp_path / "original.png"
    Image.effect_noise((200, 200), 80).save(path)
    return path


def write_slowly(picture, target):
    content = picture.read_bytes()
    size = -(-len(content) // PIECES)
    with target.open("wb") as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            file.flush()
            time.sleep(WRITING_SECONDS / PIECES)


def reopen_slowly(picture, target):
    content = picture.read_bytes()
    size = -(-len(content) // PIECES)
    for start in range(0, len(content), size):
        with target.open("ab") as file:
            file.write(content[start : start + size])
        time.sleep(WRITING_SECONDS / PIECES)


def download(picture, target):
    part = target.with_name(target.name + ".part")
    write_slowly(picture, part)
    part.rename(target)


def test_slow_files_are_imported_whole_and_once(place, simulator, daemon, picture, tmp_path):
    originals = {}
    writers = []
    for number, write in enumerate((write_slowly, reopen_slowly, download)):
        original = tmp_path / f"{number}.png"
        # Behind its end a picture may carry anything: three files, one picture.
        original.write_bytes(picture.read_bytes() + bytes([number]))
        target = place.inbox / f"{write.__name__}.png"
        originals[target.name] = digest(original)
        writers.append(threading.Thread(target=write, args=(original, target)))
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    wait_until(lambda: place.ended(3), "all three imported")

    assert sorted(simulator.committed_files()) == sorted(originals.values())
    assert simulator.imports() == dict.fromkeys(originals.values(), 1)
    assert {path.name: digest(path) for path in place.trashed()} == originals
    assert place.waiting() == set()
    assert [str(job.state) for job in place.jobs()] == ["done"] * 3
    assert daemon.stop() == 0
