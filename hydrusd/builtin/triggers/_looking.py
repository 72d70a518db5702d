"""Looking at a watched folder: one path, or everything below it in slices.

Plain blocking code, meant for a worker thread. A walk is a generator of slices, so
that its caller decides when it goes on: memory stays bounded, the event loop gets its
turn, and a walk that nobody wants any more is simply dropped.
"""

from __future__ import annotations

import os
import stat as stat_module
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hydrusd.builtin.triggers._globs import Selection
from hydrusd.plugin import FileSource, FolderIdentity

SLICE_ENTRIES = 1_000
_WINDOWS_HIDDEN = 0x2
_WINDOWS_JUNCTION = 0xA0000003


class FolderAway(Exception):
    """The watched folder is not there or cannot be listed. The text says what to do."""


@dataclass(slots=True)
class Slice:
    """A part of what a walk found. ``unreadable`` are paths it could not look at."""

    sources: list[FileSource] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Looker:
    """Knows the watched folder and what of it is wanted.

    Symbolic links and junctions are neither taken nor followed: what they lead to is
    not in the folder, and disposing of it would surprise.
    """

    root: Path
    selection: Selection
    recursive: bool

    def identity(self) -> FolderIdentity:
        """Give what tells this folder from another one put in its place.

        Raises ``FolderAway`` where there is no folder that can be listed.
        """
        try:
            return FolderIdentity.of(self.root)
        except FileNotFoundError as error:
            raise FolderAway(f"{self.root} does not exist; create it or correct `path`") from error
        except NotADirectoryError as error:
            raise FolderAway(f"{self.root} is not a folder; correct `path`") from error
        except OSError as error:
            raise FolderAway(
                f"{self.root} cannot be read ({error.strerror}); "
                "allow the user that runs hydrusd to read it, or correct `path`"
            ) from error

    def walk(self, relative: str = "") -> Iterator[Slice]:
        """Give every wanted file in a folder below the root, in slices of bounded size.

        A folder that vanishes meanwhile is passed over; one that cannot be read is named.
        """
        if relative and not self.reaches(relative):
            return
        found, folders = Slice(), [relative]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    for entry in entries:
                        self._sort_in(entry, folder, found, folders)
                        if found.entries >= SLICE_ENTRIES:
                            yield found
                            found = Slice()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                found.unreadable.append(str(self.root / folder))
        yield found

    def _sort_in(
        self, entry: os.DirEntry[str], folder: str, found: Slice, folders: list[str]
    ) -> None:
        found.entries += 1
        relative = f"{folder}/{entry.name}" if folder else entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                if (
                    self.recursive
                    and self.selection.enters(relative)
                    and (sys.platform != "win32" or self._passable(entry.stat()))
                ):
                    folders.append(relative)
            elif entry.is_file(follow_symlinks=False) and self.selection.takes(relative):
                status = entry.stat(follow_symlinks=False)
                if self._passable(status):
                    found.sources.append(self._describe(Path(entry.path), status))
        except FileNotFoundError:
            return
        except OSError:
            found.unreadable.append(entry.path)

    def look_at(self, relatives: Iterable[str]) -> list[FileSource]:
        """Give those of some files, by their paths below the root, that are there and wanted."""
        relatives = list(relatives)
        folders = {_folder_of(relative) for relative in relatives}
        reached = {folder for folder in folders if self.reaches(folder)}
        found = []
        for relative in relatives:
            if _folder_of(relative) in reached and self.selection.takes(relative):
                path = self.root / relative
                try:
                    status = path.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat_module.S_ISREG(status.st_mode) and self._passable(status):
                    found.append(self._describe(path, status))
        return found

    def reaches(self, relative: str) -> bool:
        """Say whether a walk from the root would come to look into this folder."""
        if not relative:
            return True
        if not self.recursive or not self.reaches(_folder_of(relative)):
            return False
        try:
            status = (self.root / relative).stat(follow_symlinks=False)
        except OSError:
            return False
        return (
            stat_module.S_ISDIR(status.st_mode)
            and self._passable(status)
            and self.selection.enters(relative)
        )

    def objection(self, relative: str) -> str:
        """Say why a file, by its path below the root, is not noticed; nothing where it is."""
        folder = _folder_of(relative)
        if folder and not self.recursive:
            return "it is in a folder below, and `recursive` is false"
        above = [parent.as_posix() for parent in reversed(PurePosixPath(relative).parents[:-1])]
        for part in above:
            if why := self.selection.objection(part, folder=True):
                return why
        if why := self.selection.objection(relative, folder=False):
            return why
        for part in (*above, relative):
            if (self.root / part).is_symlink():
                return f"{part!r} is a symbolic link; these are neither taken nor followed"
        # What is left are matters of the disk: attributes, junctions, what cannot be read.
        if (self.root / relative).exists() and not self.look_at([relative]):
            return "the system hides it, or it is no ordinary file"
        return ""

    def _passable(self, status: os.stat_result) -> bool:
        # Attributes and reparse tags exist on Windows only; elsewhere a name says it all.
        attributes = getattr(status, "st_file_attributes", 0)
        junction = getattr(status, "st_reparse_tag", 0) == _WINDOWS_JUNCTION
        return not junction and (self.selection.hidden or not attributes & _WINDOWS_HIDDEN)

    def _describe(self, path: Path, status: os.stat_result) -> FileSource:
        if sys.platform == "win32":
            # A listing there has no inodes, a stat has: the same file must not get two keys.
            return FileSource(path, self.root, status.st_size, status.st_mtime_ns, None)
        return FileSource.of(path, self.root, status)


def _folder_of(relative: str) -> str:
    return relative.rpartition("/")[0]
