"""Looking at a watched folder: one path, or everything below it in slices.

Plain blocking code, meant for a worker thread. A walk is a generator of slices, so
that its caller decides when it goes on: memory stays bounded, the event loop gets its
turn, and a walk that nobody wants any more is simply dropped.

A million files are looked at again and again, and almost never is one of them news. So
until one is, a file is a name and three numbers in the listing of its folder, and of a
folder that is too large to be kept in memory there are only digests: should these show
that something has changed, that part of it is listed once more.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat as stat_module
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hydrusd.builtin.triggers._globs import COMPANIONS, EMPTY_COMPANIONS, Selection
from hydrusd.builtin.triggers._methods import inodes_last
from hydrusd.plugin import (
    FileFacts,
    FileGroup,
    FileSource,
    FolderIdentity,
    Tally,
    depth_of,
    mount_of,
    part_of,
    system_path,
)

SLICE_ENTRIES = 4_000
MOST_HELD = 20_000
"""How many files of one folder are kept until all are listed; of larger ones none are."""
MANY = 16
NAMES_FOR_EACH = 16
"""To go through so many names takes as long as to ask the system about one file's companions."""
_ALL_COMPANIONS = COMPANIONS + EMPTY_COMPANIONS
_ASKS_FOR_LINKS = os.access in os.supports_follow_symlinks
_LEADS_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_WINDOWS_HIDDEN = 0x2
_WINDOWS_JUNCTION = 0xA0000003


class FolderAway(Exception):
    """The watched folder is not there or cannot be listed. The text says what to do."""


@dataclass(slots=True)
class Listing:
    """The wanted files of one folder, or some of them: ``last`` says that no more come.

    ``folder`` is its path below the root, with ``/``; ``path`` the one the system knows.
    """

    folder: str
    path: str
    files: list[FileFacts] = field(default_factory=list)
    last: bool = False


@dataclass(slots=True)
class Slice:
    """A part of what a walk found. ``unreadable`` are paths it could not look at."""

    root: Path
    listings: list[Listing] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    entries: int = 0

    @property
    def sources(self) -> list[FileSource]:
        """The files."""
        return [_source(each.path, f, self.root) for each in self.listings for f in each.files]


@dataclass(slots=True)
class Survey:
    """A part of what a walk found, with the digests of its groups of files.

    ``listings`` are whole folders; those that are too large to be held have no files there.
    ``count`` is how many files this part has.
    """

    digests: dict[FileGroup, bytes] = field(default_factory=dict)
    listings: dict[str, Listing] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    count: int = 0


@dataclass(slots=True)
class _Disk:
    """What is known of the file system of a folder, since which folder that was.

    ``looks`` counts what it was asked, but for the entries of the slice that a walk fills.
    """

    identity: FolderIdentity | None = None
    inodes: bool = True
    looks: int = 0
    slice: Slice = field(default_factory=lambda: Slice(Path()))

    def begin(self, root: Path, listings: Sequence[Listing] = ()) -> Slice:
        self.looks += 1
        self.slice = Slice(root, list(listings))
        return self.slice


@dataclass(frozen=True, slots=True)
class Looker:
    """Knows the watched folder and what of it is wanted.

    Symbolic links are neither taken nor followed unless ``follows``: what they lead to is
    not in the folder, and disposing of it would surprise. Junctions never are.

    ``identity`` finds out whether inodes belong to what files are known by: ask it first.
    """

    root: Path
    selection: Selection
    recursive: bool
    follows: bool = False
    _disk: _Disk = field(default_factory=_Disk, init=False, repr=False, compare=False)

    @property
    def answers(self) -> tuple[int, int, int]:
        """What becomes another with each answer of the disk, so that its silence can be told."""
        found = self._disk.slice
        return self._disk.looks, found.entries, len(found.listings)

    def heard(self) -> None:
        """Count an answer that the disk gave to somebody else."""
        self._disk.looks += 1

    @property
    def above(self) -> str:
        """What the paths of all files in the folder begin with."""
        return str(self.root / "x")[:-1]

    def relatives(self, paths: Iterable[str]) -> list[str]:
        """Give the paths below the root, with ``/``, of files in the folder."""
        above = self.above
        return [path.removeprefix(above).replace(os.sep, "/") for path in paths]

    def identity(self) -> FolderIdentity:
        """Give what tells this folder from another one put in its place.

        Raises ``FolderAway`` where there is no folder that can be listed.
        """
        try:
            identity = FolderIdentity.of(self.root)
            if identity != self._disk.identity:
                self._disk.inodes = inodes_last(mount_of(self.root))
        except FileNotFoundError as error:
            raise FolderAway(f"{self.root} does not exist; create it or correct `path`") from error
        except NotADirectoryError as error:
            raise FolderAway(f"{self.root} is not a folder; correct `path`") from error
        except OSError as error:
            raise _unreadable(self.root, error) from error
        self._disk.identity = identity
        return identity

    def walk(self, relative: str = "") -> Iterator[Slice]:
        """Give every wanted file in a folder below the root, in slices of bounded size.

        A folder that vanishes meanwhile is passed over; one that cannot be read is named. Raises
        ``FolderAway`` where that is the root, after what could be found all the same.
        """
        failure: OSError | None = None
        if relative and not self.reaches(relative):
            return
        found, folders = self._disk.begin(self.root), [relative]
        while folders:
            listing = self._listing(folders.pop())
            found.listings.append(listing)
            try:
                with os.scandir(system_path(listing.path)) as entries:
                    while self._sort_in(entries, listing, found, folders):
                        if found.entries >= SLICE_ENTRIES:
                            yield found
                            found = self._disk.begin(self.root, [self._listing(listing.folder)])
                            listing = found.listings[0]
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                if listing.folder:
                    found.unreadable.append(listing.path)
                else:
                    failure = error
            listing.last = True
        yield found
        self._disk.begin(self.root)  # nobody needs what was found any more
        if failure is not None:
            raise _unreadable(self.root, failure) from failure

    def _listing(self, folder: str) -> Listing:
        return Listing(folder, str(self.root / folder))

    def _sort_in(
        self,
        entries: Iterator[os.DirEntry[str]],
        listing: Listing,
        found: Slice,
        folders: list[str],
    ) -> bool:
        """Find the wanted files among the next entries of a folder, and the folders to go into.

        False where there were no more entries, or none that fit into the slice.
        """
        # The innermost loop of every scan: what could be called here is written out.
        before = found.entries
        prefix = f"{listing.folder}/" if listing.folder else ""
        takes, add = self.selection.takes_named, listing.files.append
        inodes = self._disk.inodes
        for entry in itertools.islice(entries, SLICE_ENTRIES - before):
            found.entries += 1
            name = entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if (
                        self.recursive
                        and self.selection.enters(prefix + name)
                        and (sys.platform != "win32" or self._passable(entry.stat()))
                    ):
                        folders.append(prefix + name)
                elif entry.is_file(follow_symlinks=False) and takes(prefix + name, name):
                    status = entry.stat(follow_symlinks=False)
                    if sys.platform != "win32":
                        inode = (inodes and status.st_ino) or None
                        add((name, status.st_size, status.st_mtime_ns, inode))
                    elif self._passable(status):
                        # A listing there has no inodes, a stat has: see `_describe`.
                        add((name, status.st_size, status.st_mtime_ns, None))
                elif (
                    self.follows
                    and entry.is_symlink()
                    and (facts := self._followed(entry, prefix + name, folders)) is not None
                ):
                    add(facts)
            except FileNotFoundError:
                continue
            except OSError:
                found.unreadable.append(entry.path)
        return found.entries > before

    def _followed(
        self, entry: os.DirEntry[str], relative: str, folders: list[str]
    ) -> FileFacts | None:
        """Give the file that a link leads to, or put the folder that it leads to with the others.

        A link to nothing, or to itself, is passed over.
        """
        try:
            status = entry.stat()
        except OSError as error:
            if error.errno in _LEADS_NOWHERE:
                return None
            raise
        if stat_module.S_ISDIR(status.st_mode):
            if self.recursive and self.selection.enters(relative) and not self._loops(relative):
                folders.append(relative)
        elif stat_module.S_ISREG(status.st_mode) and self.selection.takes(relative):
            inode = self._inode(status)
            return entry.name, status.st_size, status.st_mtime_ns, inode
        return None

    def _loops(self, relative: str) -> bool:
        """Say whether a link leads to a folder that is looked into anyway, or around one.

        That is: into the watched folder, or to a folder that was passed on the way to the link,
        or above one.
        """
        target = (self.root / relative).resolve()
        above = [self.root, *(self.root / p for p in PurePosixPath(relative).parents[:-1])]
        passed = [folder.resolve() for folder in above]
        return target.is_relative_to(passed[0]) or any(p.is_relative_to(target) for p in passed)

    def survey(self, relative: str = "") -> Iterator[Survey]:
        """Do the same, but give whole folders, with what tells whether they are as they were."""
        tally, files, count = Tally(), list[FileFacts](), 0
        for found in self.walk(relative):
            survey = Survey(unreadable=found.unreadable)
            for listing in found.listings:
                tally.add(listing.files)
                count += len(listing.files)
                survey.count += len(listing.files)
                if count > MOST_HELD:
                    files = []
                else:
                    files = files + listing.files if files else listing.files
                if not listing.last:
                    continue
                if count:
                    listing.files = files
                    survey.listings[listing.path] = listing
                    for part, digest in tally.digests().items():
                        survey.digests[listing.path, part] = digest
                    tally, files, count = Tally(), [], 0
            yield survey

    def files_in(
        self, survey: Survey, groups: Iterable[FileGroup], most: int
    ) -> Iterator[list[tuple[FileSource, FileGroup]]]:
        """Give all files of some groups of a survey, each with its group, so many at a time.

        What was not held is listed again, and the survey's digests of it are made to tell of
        the files that were given.
        """
        parts: dict[str, set[int]] = {}
        for path, part in groups:
            parts.setdefault(path, set()).add(part)
        batch: list[tuple[FileSource, FileGroup]] = []
        for path, wanted in parts.items():
            listing = survey.listings[path]
            depth = depth_of(next(iter(wanted)))
            tally = None if listing.files else Tally(depth)
            for files in [listing.files] if listing.files else self._again(listing, wanted, depth):
                if tally is not None:
                    tally.add(files)
                for facts in files:
                    part = part_of(facts[0], depth)
                    if part in wanted:
                        batch.append((_source(path, facts, self.root), (path, part)))
                    if len(batch) >= most:
                        yield batch
                        batch = []
            if tally is not None:
                for part in wanted:
                    del survey.digests[path, part]
                survey.digests |= {(path, p): digest for p, digest in tally.digests().items()}
        if batch:
            yield batch

    def _again(self, listing: Listing, parts: set[int], depth: int) -> Iterator[list[FileFacts]]:
        """List some parts of a folder, in slices."""
        try:
            with os.scandir(system_path(listing.path)) as entries:
                here = (entry for entry in entries if part_of(entry.name, depth) in parts)
                again = self._listing(listing.folder)
                while self._sort_in(here, again, Slice(self.root), []):
                    yield again.files
                    again = self._listing(listing.folder)
        except OSError:
            pass  # it was readable a moment ago, and the next scan will tell

    def look_at(self, relatives: Iterable[str]) -> list[FileSource]:
        """Give those of some files, by their paths below the root, that are there and wanted."""
        above = self.above
        reached: dict[str, bool] = {}
        found = []
        for relative in relatives:
            folder, _, name = relative.rpartition("/")
            if folder not in reached:
                reached[folder] = self.reaches(folder)
            self._disk.looks += 1
            if reached[folder] and self.selection.takes_named(relative, name):
                path = above + relative.replace("/", os.sep)
                try:
                    status = os.stat(system_path(path), follow_symlinks=self.follows)  # noqa: PTH116
                except OSError:
                    continue
                if stat_module.S_ISREG(status.st_mode) and self._passable(status):
                    found.append(self._describe(path, status))
        if self.follows:
            real = self.root.resolve()
            for source in found:
                self._disk.looks += 1
                source.linked = source.path.resolve() != real / source.path.relative_to(self.root)
        return found

    def unfinished(self, source: FileSource) -> str:
        """Give the name of what says, beside a file, that it is not complete; "" without any."""
        self._disk.looks += 1
        names = COMPANIONS if source.size else COMPANIONS + EMPTY_COMPANIONS
        for ending in names:
            if _is_there(source.text + ending):
                return f"{source.path.name}{ending}"
        return ""

    def unfinished_among(self, sources: Sequence[FileSource]) -> set[str]:
        """Give the paths of those that something beside them says are not complete.

        Of many in one folder nothing is asked one by one: its names are gone through, and mostly
        none of them belongs to a download.
        """
        by_folder: dict[str, list[FileSource]] = {}
        for source in sources:
            folder = os.path.dirname(source.text)  # noqa: PTH120 - quicker
            by_folder.setdefault(folder, []).append(source)
        return {
            source.text
            for folder, some in by_folder.items()
            if len(some) < MANY or self._may_have_companions(folder, NAMES_FOR_EACH * len(some))
            for source in some
            if self.unfinished(source)
        }

    def _may_have_companions(self, folder: str, most: int) -> bool:
        """Say whether a folder has a name that a downloader gives to its notes, or more than so
        many names, or cannot be listed.
        """
        try:
            with os.scandir(system_path(folder)) as entries:
                for count, entry in enumerate(entries):
                    self._disk.looks += 1
                    if count == most or entry.name.lower().endswith(_ALL_COMPANIONS):
                        return True
        except OSError:
            return True
        return False

    def reaches(self, relative: str) -> bool:
        """Say whether a walk from the root would come to look into this folder."""
        if not relative:
            return True
        if not self.recursive or not self.reaches(_folder_of(relative)):
            return False
        folder = self.root / relative
        try:
            if self.follows and folder.is_symlink() and self._loops(relative):
                return False
            status = os.stat(system_path(str(folder)), follow_symlinks=self.follows)  # noqa: PTH116
        except OSError:
            return False
        return (
            stat_module.S_ISDIR(status.st_mode)
            and self._passable(status)
            and self.selection.enters(relative)
        )

    def objection_to_name(self, relative: str) -> str:
        """Say why no file of that path below the root is noticed; nothing where one would be.

        Looks at no disk: it may be one that does not answer.
        """
        if _folder_of(relative) and not self.recursive:
            return "it is in a folder below, and `recursive` is false"
        for part in _above(relative):
            if why := self.selection.objection(part, folder=True):
                return why
        return self.selection.objection(relative, folder=False)

    def objection(self, relative: str) -> str:
        """Say why a file, by its path below the root, is not noticed; nothing where it is."""
        if why := self.objection_to_name(relative):
            return why
        for part in (*_above(relative), relative):
            if (self.root / part).is_symlink():
                if not self.follows:
                    return f"{part!r} is a symbolic link, and `symlinks` is `skip`"
                if (self.root / part).is_dir() and self._loops(part):
                    return f"{part!r} is a symbolic link to a folder that is looked into anyway"
        # What is left are matters of the disk: attributes, junctions, what cannot be read.
        found = self.look_at([relative])
        if (self.root / relative).exists() and not found:
            return "the system hides it, or it is no ordinary file"
        if found and (beside := self.unfinished(found[0])):
            return f"{beside!r} beside it says that it is not complete"
        return ""

    def _passable(self, status: os.stat_result) -> bool:
        # Attributes and reparse tags exist on Windows only; elsewhere a name says it all.
        attributes = getattr(status, "st_file_attributes", 0)
        junction = getattr(status, "st_reparse_tag", 0) == _WINDOWS_JUNCTION
        return not junction and (self.selection.hidden or not attributes & _WINDOWS_HIDDEN)

    def _describe(self, path: str, status: os.stat_result) -> FileSource:
        size, mtime_ns = status.st_size, status.st_mtime_ns
        return FileSource(path, self.root, size, mtime_ns, self._inode(status))

    def _inode(self, status: os.stat_result) -> int | None:
        # On Windows a listing has no inodes, a stat has: the same file must not get two keys.
        known = self._disk.inodes and sys.platform != "win32"
        return (known and status.st_ino) or None


_HINT = "is its disk or server there?"


def silent(root: Path) -> FolderAway:
    """Say of a watched folder that it does not answer."""
    return FolderAway(f"{root} does not answer; {_HINT}")


def _unreadable(root: Path, error: OSError) -> FolderAway:
    hint = _HINT
    if isinstance(error, PermissionError):
        hint = "allow the user that runs hydrusd to read it, or correct `path`"
    return FolderAway(f"{root} cannot be read ({error.strerror}); {hint}")


def _source(folder: str, facts: FileFacts, root: Path) -> FileSource:
    name, size, mtime_ns, inode = facts
    return FileSource(os.path.join(folder, name), root, size, mtime_ns, inode)  # noqa: PTH118 - quicker


def _is_there(path: str) -> bool:
    """Say whether anything has this name; almost always nothing has."""
    # Where the system knows that question, it says no without an exception being made of it.
    if _ASKS_FOR_LINKS:
        return os.access(path, os.F_OK, follow_symlinks=False)
    return os.path.lexists(path)


def _above(relative: str) -> list[str]:
    """Give the folders that a path leads through, the uppermost first."""
    return [parent.as_posix() for parent in reversed(PurePosixPath(relative).parents[:-1])]


def _folder_of(relative: str) -> str:
    return relative.rpartition("/")[0]
