"""What a daemon, which stays for months, does not load: every megabyte is one for good."""

from __future__ import annotations

import importlib
import sys

LEFT_OUT = ("pygments", "rich")


def load_without_colours() -> None:
    """Import what takes rich and pygments along where they are installed, and leave these out.

    structlog wants them for colourful tracebacks, where those of a daemon are plain; httpx for a
    command of its own. They are 6 MB. Whoever imports them later gets them all the same.
    """
    left_out = [name for name in LEFT_OUT if name not in sys.modules]
    for name in left_out:
        # So Python notes what is not to be had.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        for name in ("hydrusd.logs", "hydrusd.hydrus"):
            importlib.import_module(name)
    finally:
        for name in left_out:
            del sys.modules[name]
