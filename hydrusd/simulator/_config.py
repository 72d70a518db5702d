"""What a simulated client is told before it starts: the user's side of the real one.

A real client gets these things in its windows (services, access keys, import
options) or from the machine it runs on (how long an import takes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_ACCESS_KEY = "0123456789abcdef" * 4

Veto = Callable[[str, int, str], str | None]
"""Given sha256, size in bytes and mime of a new file: why it is refused, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What an access key may do. ``basic`` are the numbers of the API (0 to 13)."""

    name: str = "full"
    basic: frozenset[int] = frozenset()
    permits_everything: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A service that the user has made; ``type`` is Hydrus' number of its kind.

    Names need not be unique, keys are. Without a ``key`` (hex) one is derived
    from the name and its place in the list, the same in every run. ``stars`` and
    ``allows_zero`` are for numerical ratings. ``svg``: the drawing of a rating's stars.
    """

    name: str
    type: int
    key: str = ""
    stars: int = 5
    allows_zero: bool = True
    svg: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRules:
    """What a tag service knows about its tags; the API can only read it.

    ``siblings``: worse tag to the ideal one. ``parents``: tag to the tags it implies. All clean.
    """

    service_key: str
    siblings: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _default_access_keys() -> dict[str, Permissions]:
    return {DEFAULT_ACCESS_KEY: Permissions(name="full", permits_everything=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """All that can be chosen about a simulated client.

    ``api_version``: 95, 32 or 11, the clients that were recorded.
    ``access_keys``: hex key to permissions; without it ``DEFAULT_ACCESS_KEY`` may do everything.
    ``state_dir``: where committed state is kept; None keeps it in memory.
    ``commit_seconds``: from the first uncommitted write to its commit (``math.inf``: never).
    ``lose_uncommitted``: a crash loses what was not committed; False commits each write at once.
    ``add_url_seconds``: how long ``add_url`` sleeps before it answers; real ones 0.05.
    ``fetch_hosts``: hosts that URLs may be fetched from besides this machine.
    ``web``: what is at URLs, instead of the network, of which nothing is fetched then.
    ``import_seconds``, ``known_seconds``: how long the client is busy with a new file and with
    one it has already; real ones take about 0.06 and 0.0035.
    ``migrate_seconds``: from the answer of ``migrate_files`` to its work.
    ``tag_rules``: siblings and parents of tag services.
    ``archived_files_delete_locked``: an archived file cannot be deleted physically (409).
    ``viewing_statistics``: False refuses to edit them (403).
    ``control``: answer ``/_simulator/…`` too, for tests in another process.
    ``veto_over_bytes``, ``veto``: files that the import options refuse (status 7).
    """

    api_version: int = 95
    access_keys: Mapping[str, Permissions] = field(default_factory=_default_access_keys, repr=False)
    state_dir: Path | None = None
    commit_seconds: float = 30.0
    lose_uncommitted: bool = True
    import_seconds: float = 0.0
    known_seconds: float = 0.0
    add_url_seconds: float = 0.0
    fetch_hosts: frozenset[str] = frozenset()
    web: Mapping[str, bytes] | None = None
    migrate_seconds: float = 0.02
    extra_services: tuple[Service, ...] = ()
    tag_rules: tuple[TagRules, ...] = ()
    archived_files_delete_locked: bool = False
    viewing_statistics: bool = True
    control: bool = False
    veto_over_bytes: int | None = None
    veto: Veto | None = None

    def refusal(self, sha256: str, size: int, mime: str) -> str | None:
        """Say why the import options refuse a file, or None."""
        if self.veto_over_bytes is not None and size > self.veto_over_bytes:
            return f"file was {size} bytes, but the limit is {self.veto_over_bytes}!"
        return self.veto(sha256, size, mime) if self.veto else None
