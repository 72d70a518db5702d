"""Every trigger and action keeps the contract, in the example that the documents give of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_examples import EXAMPLES

from hydrusd.testing import Promise

PLANNED = "tests/plan plans each of these examples, and looks at more than the contract can"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_it_keeps_the_contract(name, contract):
    example = EXAMPLES[name].told(name)
    waived = {**example.waived, Promise.PLAN: PLANNED}
    contract(replace(example, waived=waived), name)
