"""While rules are tried out, their paths and secrets are not the real ones.

Wherever a path of a rules file comes from (a parameter, a template, a plugin's own model), it
is made in one place, and so is what a secret stands for. There a test steps in, so that no way
is left on which a rule under test could reach a real folder or read a real key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

Place = Callable[[Path], Path]

MADE_UP_SECRET = "made-up-secret-of-a-test"  # noqa: S105 - it opens nothing

_place: ContextVar[Place | None] = ContextVar("place of paths in a test", default=None)


@contextmanager
def rehearsing(place: Place) -> Iterator[None]:
    """Have each path of rules be where ``place`` says, and each secret be made up.

    In this task or thread, and in what it starts. ``place`` must leave alone what it gave before.
    """
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def is_rehearsal() -> bool:
    """Say whether rules are only tried out."""
    return _place.get() is not None


def placed(path: Path) -> Path:
    """Give where a path of rules is."""
    place = _place.get()
    return path if place is None else place(path)
