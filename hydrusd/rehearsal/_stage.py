"""Where a test takes place: a temporary folder in which all paths of the rules are.

``~/inbox`` is ``/home/ann/inbox`` to the rules, and ``…/disk/home/ann/inbox`` in a test. What is
told of a test has the first, because its reader has never heard of the second.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path


class Stage:
    """A folder for a test, emptied between tests. ``root`` is an existing folder, empty.

    ``disk`` is where the rules' paths are, ``scratch`` where what has no path goes, ``state``
    where the ledger is.
    """

    def __init__(self, root: Path, rules_folder: Path) -> None:
        self._root = root.resolve()
        self._rules_folder = rules_folder.absolute()
        self._anchors: dict[str, str] = {}
        self.disk = self._root / "disk"
        self.scratch = self._root / "scratch"
        self.state = self._root / "state"

    def clear(self) -> None:
        """Take away what the last test left."""
        for folder in (self.disk, self.scratch, self.state):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def place(self, path: Path) -> Path:
        """Give where a path of the rules is; what is there already stays."""
        # ``..`` would lead out of it.
        whole = Path(os.path.abspath(self._rules_folder / path))  # noqa: PTH100 - follows no links
        if whole.is_relative_to(self._root):
            return whole
        names = [name for name in re.split(r"[\\/:]+", whole.anchor) if name not in {"", "?", "."}]
        here = self.disk.joinpath(*names)
        self._anchors[f"{here}{os.sep}"] = whole.anchor
        return here.joinpath(*whole.parts[1:])

    def told(self, text: str) -> str:
        """Give a text with the paths in it as the rules have them."""
        for here, anchor in sorted(self._anchors.items(), key=lambda pair: -len(pair[0])):
            text = _replaced(text, here, anchor)
        return _replaced(text, f"{self.scratch}{os.sep}", "")

    def told_tree(self, value: object) -> object:
        """Do the same with all texts in plain data."""
        if isinstance(value, str):
            return self.told(value)
        if isinstance(value, dict):
            return {key: self.told_tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.told_tree(item) for item in value]
        return value


def _replaced(text: str, what: str, by: str) -> str:
    # In tags, Hydrus has made small letters of them.
    return re.sub(re.escape(what), lambda _: by, text, flags=re.IGNORECASE)
