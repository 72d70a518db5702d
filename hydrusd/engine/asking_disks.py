"""Asking a disk that may never answer, as that of a server which has gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


async def in_own_thread(look: Callable[[], T]) -> T:
    """Look at a disk. A thread that does not come back must not be missed by others, nor keep
    whoever waits from being cancelled.
    """
    return await to_thread.run_sync(look, limiter=CapacityLimiter(1), abandon_on_cancel=True)


def unanswered(folder: Path) -> str:
    """Say of a folder that it does not answer."""
    return f"{folder} does not answer; is its disk or server there?"
