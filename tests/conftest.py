"""What every test may use."""

from __future__ import annotations

import pytest

pytest_plugins = ("hydrusd.testing",)


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
