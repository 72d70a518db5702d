"""What a daemon, which stays for months, does not load: every megabyte is one for good."""

from __future__ import annotations

import importlib
import sys


def load_without_rich() -> None:
    """Import what takes rich along wherever that is installed, and leave rich out.

    structlog wants it for colourful tracebacks, where those of a daemon are plain; httpx for a
    command of its own. It is 4 MB. Whoever imports it later gets it all the same.
    """
    if "rich" in sys.modules:
        return
    # So Python notes what is not to be had.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        for name in ("hydrusd.logs", "hydrusd.hydrus"):
            importlib.import_module(name)
    finally:
        del sys.modules["rich"]
