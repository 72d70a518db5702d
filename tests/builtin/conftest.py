"""Fixtures for the tests of folders that are watched, and of actions that dispose of a source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest
from disposal import CONTENT, MTIME_NS, Power

from hydrusd.clock import ManualClock
from hydrusd.model import JobId
from hydrusd.plugin import Call, FileSource, HydrusClient

_POWER = Power()  # an audit hook cannot be removed: one for all tests


@pytest.fixture
def power():
    yield _POWER
    _POWER.off()


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def root(inbox):
    """The same as what a trigger watches."""
    return inbox


@pytest.fixture
def picture(inbox):
    path = inbox / "a.jpg"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(MTIME_NS, MTIME_NS))
    return path


@pytest.fixture
def call(inbox):
    """Make the call of an action for a file as it is now."""

    def make(action, path: Path, *, source: FileSource | None = None, job_id: int = 7):
        source = source or FileSource.of(path, inbox, path.lstat())
        return Call(
            action=action,
            job_id=JobId(job_id),
            rule="a rule",
            data={"file": source.to_data()},
            client=cast("HydrusClient", None),
            clock=ManualClock(),
        )

    return make
