"""The simulator as tests and demos hold it: start it, look inside, make it suffer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp

from hydrusd.simulator._application import Application
from hydrusd.simulator._client import Client
from hydrusd.simulator._config import SimulatorConfig
from hydrusd.simulator._control import Control, State
from hydrusd.simulator._disk import Commit
from hydrusd.simulator._entries import Entry
from hydrusd.simulator._faults import Fault, Faults
from hydrusd.simulator._relationships import DOCUMENT as RELATIONSHIPS, Relationships
from hydrusd.simulator._serving import Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file as the simulator holds it. ``status``: "current", "trashed" or "deleted".

    ``times_imported`` counts the answers with status 1, lost imports included;
    ``times_committed`` those that a commit made permanent.
    """

    hash: str
    file_id: int
    size: int
    mime: str
    status: str
    inbox: bool
    times_imported: int
    times_committed: int


class Simulator:
    """A stand-in for one Hydrus client. Every member may be used from any thread.

    ``app`` is the ASGI application; ``serve`` puts it on a socket. ``close`` (or ``with``)
    commits and lets go of the state directory.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self._client = Client(self.config)
        self._store = self._client.store
        self._faults = Faults()
        control = Control(self._faults, self.state) if self.config.control else None
        self._application = Application(self._client, self._faults, control)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Running

    @property
    def app(self) -> ASGIApp:
        """The ASGI application."""
        return self._application

    @property
    def request_line_bytes(self) -> int:
        """How long a request line with its headers may be."""
        return self._client.era.request_line_bytes

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Serving:
        """Give a (sync or async) context in which the simulator listens; its value is the URL."""
        return Serving(self, host, port)

    def commit(self) -> None:
        """Commit now, as ``force_commit`` does."""
        self._store.commit()

    def save(self) -> None:
        """Commit all there is, also what is otherwise written now and then: pages, cookies."""
        with self._store.lock:
            self._client.saving.save_all()
            self._store.commit()

    def crash(self) -> None:
        """Lose what was not committed and start anew: other boot id, sessions dead.

        For a server that is listening this is a client killed and started again between two
        requests.
        """
        with self._store.lock:
            self._store.crash()
            self._client.boot()

    def shut_down(self) -> None:
        """Commit and start anew, as a client that the user closes and opens."""
        with self._store.lock:
            self.save()
            self._client.boot()

    def close(self) -> None:
        """Commit, and let go of everything. The simulator cannot be used afterwards."""
        with self._store.lock:
            self._client.saving.save_all()
            self._client.downloads.close()
            self._store.close()

    # Making it suffer

    def inject(self, fault: Fault) -> None:
        """Order a fault for the next fitting requests."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Cancel the faults that have not happened yet."""
        self._faults.clear()

    @property
    def faults_waiting(self) -> int:
        """How many requests will still go wrong."""
        return self._faults.waiting()

    def expire_sessions(self) -> None:
        """Make every session 24 hours old, without a restart."""
        self._client.access.expire_sessions()

    def revoke(self, access_key: str) -> None:
        """Delete an access key, as the user can in the client."""
        self._client.access.revoke(access_key)

    def open_permission_dialog(self) -> None:
        """Open the dialog that lets ``/request_new_permissions`` hand out a key."""
        self._client.access.dialog_open = True

    def approve_permissions(self) -> None:
        """Press OK in that dialog: the keys it handed out work from now on."""
        self._client.access.approve()

    @property
    def is_busy(self) -> bool:
        """Whether pages have something under way that is not waiting."""
        return self._client.downloads.is_busy

    def set_idle(self, idle: bool) -> None:
        """Say what ``/client_info`` tells of the user's presence."""
        self._client.idle = idle

    def add_potential_duplicates(
        self, one: str, other: str, distance: int = 0, *, same_pixels: bool = False
    ) -> None:
        """Let the client find that two files may be duplicates, ``distance`` bits apart."""
        with self._store.lock:
            known = Relationships(self._store.document(RELATIONSHIPS))
            known.add_potential(one, other, distance, same_pixels=same_pixels)
            self._store.put_document(RELATIONSHIPS, known.tables)

    # Looking inside

    @property
    def boot_id(self) -> str:
        """The id of this boot; another one after each restart."""
        return self._client.boot_id

    @property
    def files(self) -> Mapping[str, FileRecord]:
        """All files by hash as the running client has them, uncommitted ones included."""
        with self._store.lock:
            times = self._store.acknowledged()
            committed = self.committed_imports()
            return {
                sha256: _record(sha256, entry, times[sha256], committed[sha256])
                for sha256, entry in self._store.entries.items()
                if entry.file
            }

    def tags(self, sha256: str, service_name: str = "my tags") -> dict[int, set[str]]:
        """Give a file's tags in one service: status (0 current, 1 pending, 2 deleted) to tags."""
        with self._store.lock:
            return self._tags(self._store.entries.get(sha256), service_name)

    def petition_reasons(self, sha256: str, service_name: str) -> dict[str, str]:
        """Give why tags of a file shall go from a repository: tag to reason."""
        with self._store.lock:
            entry = self._store.entries.get(sha256)
            key = self._service_key(service_name)
            return dict(entry.reasons.get(key, {})) if entry else {}

    def committed_tags(self, sha256: str, service_name: str = "my tags") -> dict[int, set[str]]:
        """Give a file's tags in one service as the last commit left them."""
        with self._store.lock:
            return self._tags(self._store.committed(sha256), service_name)

    def committed_files(self) -> set[str]:
        """Give the hashes of all files that would be there, in a domain, after a crash now."""
        with self._store.lock:
            return {
                sha256
                for sha256 in self._store.committed_hashes()
                if (entry := self._store.committed(sha256)) and entry.file and entry.file.is_current
            }

    def imports(self) -> Counter[str]:
        """Count how often each hash was answered with status 1, lost imports included.

        With a state directory, kills included.
        """
        return self._store.acknowledged()

    def committed_imports(self) -> Counter[str]:
        """Count how often an import of each hash was committed, over all boots."""
        return Counter(sha256 for commit in self._store.journal() for sha256 in commit.imported)

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The journal of commits, oldest first, over all boots."""
        return self._store.journal()

    def committed_at(self, sha256: str) -> float | None:
        """Give when the import of a hash was last committed, as time.time(); None if never."""
        times = [c.time for c in self._store.journal() if sha256 in c.imported]
        return times[-1] if times else None

    def wait_for_commit(self, number: int, timeout_seconds: float) -> bool:
        """Wait until commit ``number`` is done; False if it was not within the time."""
        return self._store.wait_for_commit(number, timeout_seconds)

    @property
    def requests(self) -> Counter[str]:
        """Requests so far by path; "(other)" for paths that this client does not have."""
        return self._application.requests()

    def contents(self) -> dict[str, Any]:
        """Give all that the running client holds, as JSON can hold it, to be compared.

        ``files`` by hash, with tags, notes, ratings, URLs, times; ``popups``; ``documents``: what
        belongs to no file (pages, cookies, headers, relationships, favourites).
        """
        with self._store.lock:
            return {
                "files": {sha256: e.to_json() for sha256, e in self._store.entries.items()},
                "popups": self._client.popups.bodies(only_in_view=False),
                "documents": {**self._store.documents(), **self._client.saving.live()},
            }

    def state(self) -> State:
        """Give all of this as JSON can hold it; the shape is told in ``_control``."""
        with self._store.lock:
            names = {s.key: s.name for s in self._client.services.tag_services}
            return {
                "boot_id": self.boot_id,
                "files": {sha256: asdict(record) for sha256, record in self.files.items()},
                "tags": {
                    sha256: {
                        names[key]: {str(number): sorted(tags) for number, tags in statuses.items()}
                        for key, statuses in entry.tags.items()
                    }
                    for sha256, entry in self._store.entries.items()
                    if entry.tags
                },
                "committed_files": sorted(self.committed_files()),
                "imports": dict(self.imports()),
                "committed_imports": dict(self.committed_imports()),
                "commits": [asdict(commit) for commit in self.commits],
                "requests": dict(self.requests),
                "faults_waiting": self.faults_waiting,
            }

    def _tags(self, entry: Entry | None, service_name: str) -> dict[int, set[str]]:
        key = self._service_key(service_name)
        statuses = entry.tags.get(key, {}) if entry else {}
        return {status: set(tags) for status, tags in statuses.items() if tags}

    def _service_key(self, name: str) -> str:
        service = self._client.services.named(name)
        if service is None:
            raise LookupError(f"no service is named {name}")
        return service.key


def _record(sha256: str, entry: Entry, times: int, committed: int) -> FileRecord:
    file = entry.file
    assert file is not None
    status = "current" if file.is_current else "trashed" if file.is_trashed else "deleted"
    return FileRecord(
        hash=sha256,
        file_id=entry.file_id,
        size=file.size,
        mime=file.mime,
        status=status,
        inbox=file.inbox,
        times_imported=times,
        times_committed=committed,
    )
