"""What files_behaviour.py says, of a real Hydrus client.

As test_real_client.py: set HYDRUSD_TEST_URL and HYDRUSD_TEST_KEY (a key with every
permission), and never point it at a collection that matters. The client must be on this
machine: it is told paths.
"""

from __future__ import annotations

import os

import pytest
from files_behaviour import *  # noqa: F403 - its tests are the tests

URL = os.environ.get("HYDRUSD_TEST_URL", "")
KEY = os.environ.get("HYDRUSD_TEST_KEY", "")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not (URL and KEY), reason="needs a real client: HYDRUSD_TEST_URL and HYDRUSD_TEST_KEY"
    ),
]


@pytest.fixture
def address():
    return URL, KEY
