"""Which names in a watched folder are wanted.

The matching is our own, because it must be the same for a path that a scan found
and one that the system hinted at, on every system and for every version of the
library that brings the hints.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence

TEMPORARY = (
    # downloads that are not complete
    "*.part", "*.partial", "*.crdownload", "*.download", "*.opdownload", "*.!qb", "*.!ut", "*.!bt",
    "*.bc!", "*.aria2", "*.aria2__temp", "*.lftp-pget-status", "*.st", "*.ytdl", "*.fdmdownload",
    "*.dtapart", "*.filepart", "*.!sync", ".getxfer.*", ".com.google.chrome.*",
    ".org.chromium.chromium.*", ".pending-*",
    # what editors, office programs and copying tools leave beside the real file
    "*.tmp", "*.temp", "*~", ".~*", "~$*", "#*#", ".#*", "*.swo", "*.swp", "*.swx",
    ".goutputstream-*", ".syncthing.*", "~syncthing~*", ".nfs*", ".fuse_hidden*", ".smbdelete*",
    "__rar_*", "rar$*", "_unpack_*",
    # what our own actions write while they copy
    "*.hydrusd-part",
    # what a system keeps for itself in any folder: what it knows of files, and what was deleted
    "thumbs.db", "ehthumbs.db", "desktop.ini", "._*", ".ds_store", ".*.icloud", "@eadir",
    ".@__thumb", "#recycle", "@recycle", "#snapshot", "$recycle.bin", "system volume information",
    ".trash", ".trash-*", ".trashes", ".trashed-*", "lost+found",
)  # fmt: skip
"""Names that are never noticed: files that are still written, or that nobody means to keep.

Folders of such a name are not looked into.
"""

COMPANIONS = (".aria2", ".st", ".lftp-pget-status")
"""What a downloader adds to the name of a file for its notes on it: while these are there, the
file has its final name and is not complete."""
EMPTY_COMPANIONS = (".part", ".crdownload", ".partial")
"""The same for a name that is only kept free meanwhile, by an empty file."""


# A pattern that says only how a name ends, in letters whose case is beyond doubt.
_ENDING = re.compile(r"\*([^*?\[\u0080-\U0010ffff]+)")


_FILLERS = ("x", "qz", "7")


def samples_of(pattern: str) -> list[str]:
    """Give paths below the watched folder that a pattern matches, made up; few, or none."""
    globs = _globs((pattern,))
    made = (_filled(_folded(pattern), filler) for filler in _FILLERS)
    return [each for each in dict.fromkeys(made) if each and globs.match(each)]


def _filled(pattern: str, filler: str) -> str:
    parts = [filler if part == "**" else part for part in pattern.split("/")]
    text = "/".join(part for part in parts if part not in {"", "."})
    text = re.sub(r"\[([^\]!])[^\]]*\]", r"\1", text)  # the first that a class allows
    return text.replace("*", filler).replace("?", filler[0]) + (
        f"/{filler}" if pattern.endswith("/") else ""
    )


def problem_of(pattern: str) -> str | None:
    """Say what is wrong with a pattern; None where it can be used."""
    if not pattern.strip("/"):
        return "a pattern cannot be empty"
    if "\\" in pattern:
        return f"{pattern!r} has a backslash; separate folders with / on every system"
    if ".." in pattern.split("/"):
        return f"{pattern!r} leaves the watched folder"
    try:
        _globs((pattern,))
    except re.error as error:
        return f"{pattern!r} cannot be used: {error}"
    return None


class Globs:
    """A list of patterns: does any of them match?

    Case does not count. A pattern without ``/`` is matched with the name, in whatever
    folder; one with ``/`` with the path below the watched folder. ``*`` and ``?`` stand
    for anything but ``/``, ``[abc]`` and ``[!abc]`` for one character, ``**`` between
    slashes for any number of folders.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        named, odd, odd_texts, placed, endings = [], [], [], [], []
        self.matches_all = False
        for pattern in patterns:
            text = _folded(pattern)
            if "/" in text:
                placed.append(_path_regex(text))
            elif text.strip("*"):
                named.append(_part_regex(text))
                if ending := _ENDING.fullmatch(text):
                    endings.append(ending[1].lower())
                else:
                    odd.append(_part_regex(text))
                    odd_texts.append(text)
            else:
                self.matches_all = True
        self._names = _any_of(named)
        self._paths = _any_of(placed)
        # What a scan asks a million times: most patterns are endings, most names are ASCII.
        self._endings = tuple(endings)
        self._odd = _any_of(odd)
        # Mostly their first letters show that the odd ones do not match.
        begins = "".join(pattern[:1] for pattern in odd_texts)
        self._begins = "" if set(begins) & set("*?[") else begins.lower() + begins.upper()

    def match(self, relative: str) -> bool:
        """Say whether a path below the watched folder, with ``/``, is matched."""
        name = relative[relative.rfind("/") + 1 :]
        return self.match_known(relative, name, name.lower())

    def match_known(self, relative: str, name: str, lowered: str) -> bool:
        """Do the same, given its name, and that in lower case."""
        if self.matches_all:
            return True
        if name.isascii():
            if lowered.endswith(self._endings):
                return True
            if (
                self._odd is not None
                and (not self._begins or name[0] in self._begins)
                and self._odd.fullmatch(name)
            ):
                return True
        elif self._names is not None and self._names.fullmatch(_folded(name)):
            return True
        return self._paths is not None and bool(self._paths.fullmatch(_folded(relative)))


@functools.lru_cache(maxsize=128)
def _globs(patterns: tuple[str, ...]) -> Globs:
    # Thousands of rules mostly have the same few lists.
    return Globs(patterns)


class Selection:
    """What of a watched folder is noticed: names of files, and folders to look into.

    ``exclude``, the temporary names and, unless ``hidden``, names with a leading dot
    pass over files and whole folders alike; ``include`` speaks of files only.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str], *, hidden: bool) -> None:
        self._include = _globs(tuple(include))
        self._exclude = _globs((*exclude, *TEMPORARY))
        self.hidden = hidden

    def takes(self, relative: str) -> bool:
        """Say whether a file is wanted, given that the folder it is in is looked into."""
        return self.takes_named(relative, relative[relative.rfind("/") + 1 :])

    def takes_named(self, relative: str, name: str) -> bool:
        """Do the same, given its name, too."""
        if not self.hidden and name[0] == ".":
            return False
        lowered = name.lower()
        if self._exclude.match_known(relative, name, lowered):
            return False
        return self._include.matches_all or self._include.match_known(relative, name, lowered)

    def enters(self, relative: str) -> bool:
        """Say whether a folder is looked into, given that the one it is in is."""
        return (self.hidden or not _dotted(relative)) and not self._exclude.match(relative)

    def objection(self, relative: str, *, folder: bool) -> str:
        """Say why a file, or a folder, is not wanted; nothing where it is."""
        name = relative[relative.rfind("/") + 1 :]
        if not self.hidden and _dotted(relative):
            return f"{name!r} is hidden, and `hidden` is false"
        if _globs(TEMPORARY).match(relative):
            return f"{name!r} is a name of unfinished or passing files"
        if self._exclude.match(relative):
            return f"`exclude` matches {relative!r}"
        if not folder and not self._include.match(relative):
            return f"`include` does not match {relative!r}"
        return ""


def _dotted(relative: str) -> bool:
    return relative.startswith(".", relative.rfind("/") + 1)


def _folded(text: str) -> str:
    # macOS hands out names in another normal form than people type them.
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _any_of(regexes: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(regexes), re.IGNORECASE | re.DOTALL) if regexes else None


def _path_regex(pattern: str) -> str:
    # "photos/" means what is in it; a leading "/" or "./" says only what is so anyway.
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    if pattern.endswith("/"):
        parts.append("**")
    regex = ""
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == "**":
            regex += ".+" if last else "(?:[^/]+/)*"
        else:
            regex += _part_regex(part) + ("" if last else "/")
    return regex


@functools.lru_cache(maxsize=512)
def _part_regex(part: str) -> str:
    regex, position = "", 0
    while position < len(part):
        character = part[position]
        position += 1
        if character == "*":
            # Two stars in a row say no more than one, and would cost the matcher dearly.
            regex += "" if regex.endswith("[^/]*") else "[^/]*"
        elif character == "?":
            regex += "[^/]"
        elif character == "[" and (end := part.find("]", position + 1)) > 0:
            members = part[position:end]
            position = end + 1
            negated = members.startswith("!") and len(members) > 1
            members = members[1:] if negated else members
            escaped = re.sub(r"([\\^\[\]&~|])", r"\\\1", members)
            # A range that begins or ends with a hyphen: two in a row are to mean something else
            # to Python one day, and it warns of them.
            escaped = re.sub(r"^--", r"\\--", escaped)
            escaped = re.sub(r"(?<=[^\\])--", r"-\\-", escaped)
            regex += f"[^/{escaped}]" if negated else f"[{escaped}]"
        else:
            regex += re.escape(character)
    return regex
