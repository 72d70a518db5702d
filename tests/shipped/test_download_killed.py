"""hydrusd is killed while a program downloads for it; that one lives on, and the next begins."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest
from downloads import Site

from hydrusd.testing import paint

PICTURES = {f"/{name}.png": ("image/png", paint(f"{name}.png")) for name in "abc"}
HASHES = {hashlib.sha256(content).hexdigest() for _, content in PICTURES.values()}
RULES = """
allow: [gallery_dl]
rules:
  - name: download
    on: {url_list: {path: urls.txt}}
    do: [{gallery_dl: {to: inbox, url: URLS}}]
  - name: import
    on: {watch_folder: {path: inbox, sidecars: [json], settle: 50ms}}
    do: [{add_file: }]
"""


@pytest.fixture
def site():
    site = Site(PICTURES)
    yield site
    site.close()


def wait_for(what):
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_is_lost_and_nothing_comes_twice_or_by_half(project, site):
    urls = [site.url + path for path in PICTURES]
    made = project({"rules.yaml": RULES.replace("URLS", str(urls)), "urls.txt": urls[0]})
    site.held = {"/c.png"}
    command = [sys.executable, "-m", "hydrusd", "run", made.folder / "rules.yaml"]
    command += ["--state-dir", made.state_dir]
    inbox = made.folder / "inbox"

    def imported():
        files = dict(made.simulator.files)
        return {sha256 for sha256, file in files.items() if file.status == "current"}

    def seen():
        return [path.name for path in inbox.iterdir() if path.name[0] != "."]

    daemon = subprocess.Popen(command, cwd=made.folder, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: any(inbox.rglob("*c.png.part")))
        daemon.kill()
        daemon.wait()
        assert seen() == []
        site.held = set()
        daemon = subprocess.Popen(command, cwd=made.folder, stdout=subprocess.DEVNULL)
        wait_for(lambda: imported() == HASHES)
        # The one that was left alone is answered at last, and has nowhere to put it.
        site.release()
        if os.name != "nt":
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
    assert imported() == HASHES
    assert len(seen()) == 1
    assert (site.asked["/a.png"], site.asked["/b.png"]) == (1, 1)
