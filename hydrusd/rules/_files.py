"""Reads a rules file, and those that it includes.

Every file is read once, in the order in which they are named. What one of them gets wrong stands
beside what is wrong in the others; a file that includes itself by a detour, or a folder of
thousands, is a problem like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydrusd.rules import _yaml
from hydrusd.rules._problems import Problems
from hydrusd.rules._specs import Sources
from hydrusd.rules._units import resolve_path
from hydrusd.rules._yaml import Document, Path as DataPath

MAX_FILES = 256
MAX_BYTES_TOGETHER = 16 * 1024 * 1024
MAX_DEPTH = 20
"""Through how many files one may be included."""
ENDINGS = frozenset({".yaml", ".yml"})


@dataclass(frozen=True)
class RulesFile:
    """One file that was read. ``by`` is the one that includes it, None for the first."""

    path: Path
    document: Document
    by: RulesFile | None = None


class Gathering:
    """Reads a rules file and all that belongs to it. Problems are noted, none is raised."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._bytes = 0
        self._seen: dict[Path, RulesFile] = {}
        self._told = False
        self.read: list[RulesFile] = []
        self._files: dict[Path, None] = {}
        self._folders: dict[Path, None] = {}

    @property
    def sources(self) -> Sources:
        """All files that were read or are wanted, and the folders of which any file is."""
        return Sources(tuple(self._files), tuple(self._folders))

    def first(self, path: Path, text: str) -> bool:
        """Take in the file that is named on the command line, and whatever it includes.

        False where nothing of it could be read.
        """
        return self._take_in(path, text, None, 0)

    def _take_in(self, path: Path, text: str, by: RulesFile | None, start: int) -> bool:
        self._files[path] = None
        self._bytes += len(text)
        document = _yaml.read(text, self._problems, start)
        if document is None:
            return False
        file = RulesFile(path, document, by)
        self._seen[_identity(path)] = file
        self.read.append(file)
        self._follow(file)
        return True

    def _follow(self, file: RulesFile) -> None:
        data = file.document.data
        raw = data.get("include") if isinstance(data, dict) else None
        if raw is None:
            return
        if not isinstance(raw, str | list):
            place = file.document.value(("include",))
            hint = "as in: include: [more.yaml, rules.d]"
            self._problems.add(place, "'include' must be a list of files and folders", hint)
            return
        for index, item in enumerate(raw if isinstance(raw, list) else [raw]):
            at: DataPath = ("include", index) if isinstance(raw, list) else ("include",)
            place = file.document.value(at)
            if not isinstance(item, str) or not item.strip() or "\0" in item:
                self._problems.add(place, "this must be the path of a file or a folder")
                continue
            try:
                path = resolve_path(item, file.path.parent.absolute())
            except RuntimeError:
                self._problems.add(place, "this must be the path of a file or a folder")
                continue
            self._include(path, file, place)

    def _include(self, path: Path, file: RulesFile, place: tuple[int, int]) -> None:
        try:
            if not path.is_dir():
                self._include_file(path, file, place)
                return
            self._folders[path] = None
            inside = sorted(
                each
                for each in path.iterdir()
                if each.suffix.lower() in ENDINGS and not each.name.startswith(".")
            )
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or error
            self._problems.add(place, f"the folder {path} cannot be read: {words}")
            return
        if not inside:
            hint = "files in it that end with .yaml or .yml are included"
            self._problems.warn(place, f"there is no rules file in {path}", hint)
        for each in inside:
            if not self._told and each.is_file():
                self._include_file(each, file, place)

    def _include_file(self, path: Path, by: RulesFile, place: tuple[int, int]) -> None:
        self._files[path] = None
        if (known := self._seen.get(_identity(path))) is not None:
            chain = _chain(by)
            if known in chain:
                names = [each.path.name for each in reversed(chain[: chain.index(known) + 1])]
                way = " → ".join([*names, known.path.name])
                self._problems.add(place, f"this file includes itself: {way}", "leave one out")
            return
        if len(_chain(by)) > MAX_DEPTH:
            self._problems.add(place, f"this is included through more than {MAX_DEPTH} files")
            return
        if len(self._files) > MAX_FILES or self._bytes > MAX_BYTES_TOGETHER:
            if not self._told:
                self._told = True
                large = MAX_BYTES_TOGETHER // 1024**2
                message = f"more than {MAX_FILES} files, or {large} MiB, of rules"
                self._problems.add(place, message, "this is more than hydrusd reads")
            return
        text = read_text(path, self._problems, place, shown=self._shown(path))
        if text is not None:
            self._take_in(path, text, by, self._problems.open(self._shown(path), text))

    def _shown(self, path: Path) -> str:
        """Name a file as the first one is named: from the same folder."""
        first = next(iter(self._files))
        try:
            return str(Path(self._problems.file).parent / path.relative_to(first.parent))
        except ValueError:
            return str(path)


def read_text(
    path: Path, problems: Problems, place: tuple[int, int], *, shown: str = ""
) -> str | None:
    """Give the text of a file; None, with a problem at this place, where there is none.

    ``shown`` is the name of a file that is included, at this place.
    """
    named = f"{shown}: " if shown else ""
    try:
        # A pipe or a device would be waited for, maybe for ever.
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a file"
            problems.add(place, f"{named}this is {kind}", "give the path of a rules file")
            return None
        with path.open("rb") as opened:
            content = opened.read(_yaml.MAX_BYTES + 1)
        if len(content) <= _yaml.MAX_BYTES:
            return content.decode("utf-8-sig")
        problems.add(place, f"{named}{_yaml.TOO_LARGE}")
    except FileNotFoundError:
        if shown:
            problems.add(place, f"there is no file {shown}")
        else:
            problems.add(place, "there is no such file", "see rules.example.yaml for a start")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8-sig", "replace")
        lines = before.splitlines() or [""]
        if before.endswith(("\n", "\r")):
            lines.append("")
        start = problems.open(shown, "\n" * len(lines)) if shown else 0
        problems.add(
            (start + len(lines), len(lines[-1]) + 1),
            "the file is not UTF-8 text",
            "save it as UTF-8 in your editor",
        )
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        problems.add(place, f"{named}the file cannot be read: {words}")
    return None


def _identity(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path.absolute()


def _chain(file: RulesFile | None) -> list[RulesFile]:
    """Give a file, the one that includes it, and so on."""
    chain = []
    while file is not None:
        chain.append(file)
        file = file.by
    return chain
