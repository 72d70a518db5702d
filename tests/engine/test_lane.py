"""The lane against a client over HTTP: what goes wrong, and what becomes of the jobs."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


async def test_a_picture_is_imported_tagged_and_disposed_of(bench):
    at = bench()
    async with at.running():
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "done"
        assert at.tags("a.jpg") == {0: {"one", "two"}}
        assert at.simulator.committed_files() == {at.hash_of("a.jpg")}
        assert at.is_moved("a.jpg")
