"""Parameters that have an example of their own in the documents: it does what it says."""

from __future__ import annotations

import pytest
from exampling import run_example
from sidecars import OF_PARAMETERS


@pytest.mark.parametrize("name", sorted(OF_PARAMETERS))
def test_the_example_of_a_parameter_does_what_it_says(name, tmp_path):
    assert run_example(name, OF_PARAMETERS[name], tmp_path)
