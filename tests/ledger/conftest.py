from __future__ import annotations

import shutil

import pytest

from hydrusd.ledger import Ledger


@pytest.fixture(scope="session")
def fresh_ledger(tmp_path_factory):
    """A ledger that Alembic has made, to be copied: making one takes a moment."""
    path = tmp_path_factory.mktemp("fresh") / "ledger.sqlite"
    Ledger.open(path).close()
    return path


@pytest.fixture
def path(tmp_path, fresh_ledger):
    return shutil.copy(fresh_ledger, tmp_path / "ledger.sqlite")


@pytest.fixture
def ledger(path):
    opened = Ledger.open(path)
    yield opened
    opened.close()
