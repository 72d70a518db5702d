"""The tutorial, followed to the letter, ends where it says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from following import TUTORIAL, Follower, blocks_of


def test_following_it_leads_to_the_plugin_at_work(tmp_path):
    # What the tutorial calls venv is where the tests run.
    (tmp_path / "venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    follower = Follower(tmp_path, {**os.environ, "HOME": str(tmp_path)}, installs=False)
    follower.follow(TUTORIAL.read_text(encoding="utf-8"))
    assert [done for done in follower.done if done.startswith("ran venv/bin/hydrusd api search")]
    assert len(follower.done) >= 12


def test_only_installing_is_left_out_here():
    blocks = blocks_of(TUTORIAL.read_text(encoding="utf-8"))
    installing = [block for block in blocks if "pip install" in block.text]
    assert len(installing) == 1
    assert installing == blocks[:1]
