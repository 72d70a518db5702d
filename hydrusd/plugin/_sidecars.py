"""Sidecars: small files that say something about the file beside them.

A sidecar is no file of its own to any rule. What it says travels with its file's event, as
plain data under ``sidecar``, so that templates, conditions and actions see it, and a restart
forgets none of it. How sidecars of a kind are called and read is a ``SidecarFormat``, which
plugins can bring; what they say always has the same shape, ``SidecarData``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hydrusd.model import Data
from hydrusd.plugin._source import FileSource

Rating = bool | int | str | None
SidecarForm = Literal["name", "stem", "folder"]
"""How a sidecar is called after its file: as `a.jpg.txt`, as `a.txt`, or one for a folder."""


class MalformedSidecar(Exception):
    """A sidecar cannot be read as what its name says it is. The text says where and why."""


@dataclass(frozen=True, slots=True)
class SidecarData:
    """What a sidecar says about its file.

    ``tags`` are those without a service, ``services`` those that name theirs. ``notes``: name →
    text. ``times`` are ISO texts with a time zone: ``{"modified": {domain or "local": …},
    "imported": {service: …}, "archived": …}``, each as far as it is there. ``ratings``:
    service → rating. ``sha256`` is the file that it says it belongs to. ``raw``: all of it,
    as plain JSON.
    """

    tags: Sequence[str] = ()
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)
    urls: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, object] = field(default_factory=dict)
    ratings: Mapping[str, Rating] = field(default_factory=dict)
    sha256: str | None = None
    raw: object = None


@dataclass(frozen=True, slots=True)
class SidecarFormat:
    """A kind of sidecar.

    ``name`` is its name under ``sidecars`` in YAML. ``suffixes``, in lower case and with their
    dot, are what follows the name of the file. ``read`` gets the bytes of a sidecar, at most
    a megabyte, in a thread; it raises ``MalformedSidecar``.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[bytes], SidecarData]


@dataclass(frozen=True, slots=True)
class SidecarFile:
    """A sidecar on the disk, as it was when it was read.

    ``form`` says how it is called after its file: ``name`` as ``a.jpg.txt``, ``stem`` as
    ``a.txt``, ``folder`` for one that all files of a folder share.
    """

    source: FileSource
    format: str
    form: SidecarForm
    suffix: str

    def name_for(self, main: str) -> str:
        """Give the name that it should have beside a file of that name."""
        return f"{main if self.form == 'name' else Path(main).stem}{self.suffix}"

    def to_data(self) -> dict[str, object]:
        """Give plain JSON."""
        of = self.source
        return {
            "path": str(of.path),
            "format": self.format,
            "form": self.form,
            "suffix": self.suffix,
            "size": of.size,
            "mtime_ns": of.mtime_ns,
            "inode": of.inode,
        }


@dataclass(frozen=True, slots=True)
class Sidecars:
    """What an event knows of sidecars.

    ``late_for`` names the rules that have had the file already: for them the event is about
    the sidecar alone. ``fault`` says why it cannot be read. ``suffixes`` are those by which
    sidecars were told from files.
    """

    files: Sequence[SidecarFile]
    late_for: frozenset[str] = frozenset()
    fault: str = ""
    suffixes: tuple[str, ...] = ()

    @classmethod
    def from_data(cls, data: Data) -> Sidecars | None:
        """Read them back from an event; None where its trigger does not look for sidecars."""
        told = data.get("sidecar")
        if not isinstance(told, Mapping) or "late_for" not in told:
            return None  # as mostly
        main = FileSource.from_data(data)
        if main is None:
            return None
        files = [
            SidecarFile(
                FileSource(
                    file["path"],
                    main.root,
                    file["size"],
                    file["mtime_ns"],
                    file["inode"],
                    main.root_identity,
                ),
                file["format"],
                file["form"],
                file["suffix"],
            )
            for file in told["files"]
        ]
        return cls(files, frozenset(told["late_for"]), told["fault"], tuple(told["suffixes"]))

    def come_late_for(self, rule: str) -> bool:
        """Say whether a rule has had the file before, without them."""
        return rule in self.late_for
