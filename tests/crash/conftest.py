"""Pictures, and what a round takes when nobody is killed: both found out once."""

from __future__ import annotations

import pytest
from stage import paint
from story import usual

FILES = 60


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("pictures"), 200)


@pytest.fixture(scope="session")
def few(pictures):
    return dict(list(pictures.items())[:FILES])


@pytest.fixture(scope="session")
def unharmed(tmp_path_factory, pictures):
    return usual(tmp_path_factory.mktemp("unharmed"), pictures)
