"""A daemon that goes on while its rules are changed."""

from __future__ import annotations

import pytest
from living import Living


@pytest.fixture
def living(project):
    """``living(files, …)``: a project whose daemon runs in a thread until the test has ended."""
    running = []

    def make(files, simulator=None):
        running.append(Living(project(files, simulator)))
        running[-1].start()
        return running[-1]

    yield make
    for each in running:
        each.stop()
