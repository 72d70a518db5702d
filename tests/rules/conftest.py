"""Rules to read, and what is wrong with them."""

from __future__ import annotations

import pytest
from rules_vocabulary import KEY, VOCABULARY

from hydrusd.errors import ConfigError
from hydrusd.rules import parse


@pytest.fixture(scope="session")
def vocabulary():
    return VOCABULARY


@pytest.fixture
def read(vocabulary, tmp_path):
    """Parse a text as the file rules.yaml in a folder of its own."""

    def read(text, *, environ=None, **options):
        return parse(
            text,
            vocabulary,
            file="rules.yaml",
            folder=tmp_path,
            environ={"KEY": KEY} if environ is None else environ,
            **options,
        )

    return read


@pytest.fixture
def problems(read):
    """Give what is wrong with a text, as (place, message) pairs."""

    def problems(text, **options):
        with pytest.raises(ConfigError) as caught:
            read(text, **options)
        return caught.value.problems

    return problems
