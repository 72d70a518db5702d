"""The client's database: everything known by hash, and the commit in between.

A real client holds its work in one transaction and commits it every 30 seconds;
kill it and what was not committed is gone, although it had been acknowledged.
Here ``_before`` keeps a snapshot of each entry as it was at the last commit, for
exactly the entries that changed since: a commit forgets the snapshots, a crash
puts them back.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hydrusd.simulator._disk import Commit, Disk
from hydrusd.simulator._entries import Entry, Removal, StoredFile
from hydrusd.simulator._pictures import Picture
from hydrusd.simulator._services import ALL_LOCAL_MEDIA_KEY, FILE_STORAGE_KEY
from hydrusd.simulator._uploads import CHUNK_BYTES, Upload

_PROMISE_SECONDS = 0.003

Digests = Mapping[str, str]
_DIGESTS = ("sha256", "md5", "sha1", "sha512")


class Store:
    """All that the simulated client remembers. Every method may be called from any thread."""

    def __init__(
        self, *, state_dir: Path | None, commit_seconds: float, lose_uncommitted: bool
    ) -> None:
        self.lock = threading.RLock()
        self.boot_id = ""
        self._commit_seconds = commit_seconds
        self._lose_uncommitted = lose_uncommitted
        self._disk = Disk(state_dir) if state_dir else None
        self._entries: dict[str, Entry] = dict(self._disk.entries()) if self._disk else {}
        self._hashes: dict[int, str] = {e.file_id: h for h, e in self._entries.items()}
        self._next_id = max(self._hashes, default=0) + 1
        self._by_url = self._index_of_urls()
        self._before: dict[str, Entry | None] = {}
        self._documents: dict[str, Any] = self._disk.documents() if self._disk else {}
        self._documents_before: dict[str, Any] = {}
        self._imported: list[str] = []
        self._journal = self._disk.commits() if self._disk else []
        self._acknowledged = self._disk.acknowledged() if self._disk else Counter()
        self._contents: dict[str, bytes] = {}
        self._scratch: Path | None = None
        self._timer: threading.Timer | None = None
        self._promised = False
        self._background: set[threading.Timer] = set()
        self._digests: dict[str, Digests] = {}
        self._committed = threading.Condition(self.lock)

    # Looking

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All entries by hash, as the running client sees them. Hold the lock while reading."""
        return MappingProxyType(self._entries)

    def hash_of(self, file_id: int) -> str | None:
        """Give the hash behind a file id."""
        return self._hashes.get(file_id)

    def hashes_with_url(self, urls: Iterable[str]) -> list[str]:
        """Give all hashes that are known under any of the URLs."""
        with self.lock:
            return list(dict.fromkeys(h for url in urls for h in self._by_url.get(url, ())))

    def document(self, name: str) -> Any:
        """Give what was put under a name (see ``put_document``), or None. Not to be changed."""
        with self.lock:
            return self._documents.get(name)

    def documents(self) -> dict[str, Any]:
        """Give all that was put under a name, uncommitted included. Not to be changed."""
        with self.lock:
            return dict(self._documents)

    def committed(self, sha256: str) -> Entry | None:
        """Give an entry as the last commit left it."""
        with self.lock:
            return self._before[sha256] if sha256 in self._before else self._entries.get(sha256)

    def committed_hashes(self) -> list[str]:
        """Give all hashes that the last commit knew."""
        with self.lock:
            return [h for h in self._entries if self._before.get(h, self._entries[h]) is not None]

    def journal(self) -> tuple[Commit, ...]:
        """Give all commits, oldest first, those of earlier boots included."""
        with self.lock:
            return tuple(self._journal)

    def acknowledged(self) -> Counter[str]:
        """Count how often status 1 was answered for each hash, lost imports included."""
        with self.lock:
            return self._acknowledged.copy()

    def content(self, sha256: str) -> bytes | Path | None:
        """Give the bytes of a file, or where they lie; None if there are none."""
        with self.lock:
            if sha256 in self._contents:
                return self._contents[sha256]
            path = self._content_path(sha256)
            return path if path is not None and path.exists() else None

    def digests(self, sha256: str) -> Digests:
        """Give the other hashes of a file, by name; empty for one that was never here."""
        with self.lock:
            content = self.content(sha256)
            if content is None:
                return {}
            if sha256 not in self._digests:
                self._digests[sha256] = _digests_of(content)
            return self._digests[sha256]

    @property
    def files_root(self) -> Path:
        """The folder that callers are told the files lie in."""
        folder = self._disk.contents.parent if self._disk else self.scratch()
        return folder / "client_files"

    def lay_out(self, subfolder: str, name: str, content: bytes | Path) -> Path:
        """Put a file where callers are told it lies; only when somebody asks."""
        path = self.files_root / subfolder / name
        with self.lock:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                half = path.with_suffix(".half")
                if isinstance(content, Path):
                    shutil.copyfile(content, half)
                else:
                    half.write_bytes(content)
                half.replace(path)
        return path

    # Changing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock for a change; what changed waits for its commit afterwards."""
        with self.lock:
            try:
                yield
            finally:
                if self._before or self._documents_before:
                    self._plan_commit()

    def touch(self, sha256: str) -> Entry:
        """Give the entry of a hash for changing, new if need be. Only inside ``writing``."""
        entry = self._entries.get(sha256)
        if sha256 not in self._before:
            self._before[sha256] = entry.copy() if entry else None
        if entry is None:
            entry = self._entries[sha256] = Entry(self._next_id)
            self._hashes[self._next_id] = sha256
            self._next_id += 1
        return entry

    def set_urls(self, sha256: str, urls: Iterable[str]) -> None:
        """Say under which URLs a hash is known, each once. Only inside ``writing``."""
        entry = self.touch(sha256)
        for url in entry.known_urls:
            self._by_url[url].pop(sha256)
        entry.known_urls = tuple(dict.fromkeys(urls))
        for url in entry.known_urls:
            self._by_url.setdefault(url, {})[sha256] = None

    def put_document(self, name: str, document: Any) -> None:
        """Keep something that JSON can hold and that is about no file; it waits for its commit."""
        with self.writing():
            self._documents_before.setdefault(name, self._documents.get(name))
            self._documents[name] = document

    def add_file(self, upload: Upload, picture: Picture, domains: list[str]) -> None:
        """Import a file that is new here."""
        with self.writing():
            now = time.time()
            self._keep(upload)
            self.touch(upload.sha256).file = StoredFile(
                size=upload.size,
                mime=picture.kind.mime,
                filetype_enum=picture.kind.enum,
                filetype_human=picture.kind.human,
                ext=picture.kind.ext,
                width=picture.width,
                height=picture.height,
                duration_ms=picture.duration_ms,
                num_frames=picture.num_frames,
                has_transparency=picture.has_transparency,
                has_exif=picture.has_exif,
                has_icc_profile=picture.has_icc_profile,
                imported_at=now,
                stored_at=now,
                modified_at=now,
                domains=dict.fromkeys(domains, now),
            )
            self._imported.append(upload.sha256)
            self._acknowledged[upload.sha256] += 1
            if self._disk:
                self._disk.acknowledge(upload.sha256)

    def remove_file(self, sha256: str, domains: set[str], reason: str) -> None:
        """Take a file out of local file domains; out of the last one it goes to the trash."""
        file = self._file(sha256)
        if file is None or not (gone := domains & file.domains.keys()):
            return
        with self.writing():
            now = time.time()
            left = {key: when for key, when in file.domains.items() if key not in gone}
            removals = {**file.removals, **{k: Removal(now, file.domains[k]) for k in gone}}
            if not left:
                removals[ALL_LOCAL_MEDIA_KEY] = Removal(now, file.imported_at)
                file = replace(file, deleted_at=now, delete_reason=reason)
            self.touch(sha256).file = replace(file, domains=left, removals=removals)

    def destroy_file(self, sha256: str, reason: str) -> None:
        """Delete a file physically."""
        self.remove_file(
            sha256, set(file.domains) if (file := self._file(sha256)) else set(), reason
        )
        file = self._file(sha256)
        if file is None or not file.on_disk:
            return
        with self.writing():
            now = time.time()
            removals = {**file.removals, FILE_STORAGE_KEY: Removal(now, file.imported_at)}
            (self.files_root / f"f{sha256[:2]}" / (sha256 + file.ext)).unlink(missing_ok=True)
            self.touch(sha256).file = replace(
                file, on_disk=False, removals=removals, deleted_at=now, delete_reason=reason
            )

    def restore_file(self, sha256: str, domains: set[str] | None) -> None:
        """Take a file out of the trash, back into ``domains`` or into all it was deleted from."""
        file = self._file(sha256)
        if file is None or not file.is_trashed:
            return
        back = {k for k in file.removals if k != ALL_LOCAL_MEDIA_KEY and k in (domains or {k})}
        if not back:
            return
        with self.writing():
            self.touch(sha256).file = replace(
                file,
                domains={key: file.removals[key].time_imported for key in back},
                removals={
                    key: removal
                    for key, removal in file.removals.items()
                    if key not in back | {ALL_LOCAL_MEDIA_KEY}
                },
                deleted_at=None,
                delete_reason="",
            )

    def put_into(self, hashes: Iterable[str], domains: set[str]) -> None:
        """Copy files that are in some local file domain into others too."""
        with self.writing():
            now = time.time()
            for sha256 in hashes:
                file = self._file(sha256)
                if file is None or not file.domains or not (new := domains - file.domains.keys()):
                    continue
                removals = {key: gone for key, gone in file.removals.items() if key not in new}
                self.touch(sha256).file = replace(
                    file, domains={**file.domains, **dict.fromkeys(new, now)}, removals=removals
                )

    def archive(self, hashes: Iterable[str], *, archived: bool) -> None:
        """Archive files, or put them back into the inbox. Passes over those not on disk."""
        with self.writing():
            now = time.time()
            for sha256 in hashes:
                file = self._file(sha256)
                if file is not None and file.on_disk and file.inbox == archived:
                    self.touch(sha256).file = replace(
                        file, inbox=not archived, archived_at=now if archived else None
                    )

    def forget_removals(self, hashes: Iterable[str]) -> None:
        """Forget that files were physically deleted, so that they can be imported again.

        That they left all local domains together stays on record (v682).
        """
        with self.writing():
            for sha256 in hashes:
                file = self._file(sha256)
                if file is not None and FILE_STORAGE_KEY in file.removals:
                    kept = {k: r for k, r in file.removals.items() if k == ALL_LOCAL_MEDIA_KEY}
                    self.touch(sha256).file = replace(file, removals=kept)

    def do_later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do some work in a moment, unless the client crashes before."""
        boot_id = self.boot_id

        def run() -> None:
            with self.lock:
                if timer in self._background and self.boot_id == boot_id:
                    work()
                self._background.discard(timer)

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        with self.lock:
            self._background.add(timer)
        timer.start()

    # Committing

    def commit(self) -> None:
        """Make all that was done so far permanent."""
        with self.lock:
            self._cancel_timer()
            self._promised = False
            if not self._before and not self._documents_before:
                return
            commit = Commit(
                number=self._journal[-1].number + 1 if self._journal else 1,
                time=time.time(),
                boot_id=self.boot_id,
                imported=tuple(self._imported),
                changed=tuple(self._before),
            )
            if self._disk:
                self._disk.write(
                    commit,
                    {h: self._entries[h] for h in self._before},
                    {name: self._documents[name] for name in self._documents_before},
                )
            self._journal.append(commit)
            self._before.clear()
            self._documents_before.clear()
            self._imported.clear()
            self._committed.notify_all()

    def crash(self) -> None:
        """Forget what was not committed, as a killed client does."""
        with self.lock:
            self._drop_background()
            self._cancel_timer()
            self._promised = False
            for sha256, entry in self._before.items():
                self._hashes.pop(self._entries[sha256].file_id)
                if entry is None:
                    del self._entries[sha256]
                else:
                    self._entries[sha256] = entry
                    self._hashes[entry.file_id] = sha256
                if entry is None or entry.file is None:
                    self._contents.pop(sha256, None)
            self._documents.update(self._documents_before)
            self._before.clear()
            self._documents_before.clear()
            self._imported.clear()
            self._next_id = max(self._hashes, default=0) + 1
            self._by_url = self._index_of_urls()

    @property
    def commits_each_write(self) -> bool:
        """Whether nothing is ever held back."""
        return not self._lose_uncommitted

    def wait_for_commit(self, number: int, timeout_seconds: float) -> bool:
        """Wait until commit ``number`` is done; False if it was not within the time."""
        with self._committed:
            return self._committed.wait_for(
                lambda: bool(self._journal) and self._journal[-1].number >= number,
                timeout_seconds,
            )

    def close(self) -> None:
        """Commit, and let go of files and threads."""
        with self.lock:
            self._drop_background()
            self.commit()
            if self._disk:
                self._disk.close()
            if self._scratch:
                shutil.rmtree(self._scratch, ignore_errors=True)

    def scratch(self) -> Path:
        """Give the folder where large uploads may be spooled, beside where they will stay."""
        if self._disk:
            return self._disk.contents
        with self.lock:
            if self._scratch is None:
                self._scratch = Path(tempfile.mkdtemp(prefix="hydrusd-simulator-"))
            return self._scratch

    def _index_of_urls(self) -> dict[str, dict[str, None]]:
        index: dict[str, dict[str, None]] = {}
        for sha256, entry in self._entries.items():
            for url in entry.known_urls:
                index.setdefault(url, {})[sha256] = None
        return index

    def _file(self, sha256: str) -> StoredFile | None:
        entry = self._entries.get(sha256)
        return entry.file if entry else None

    def _content_path(self, sha256: str) -> Path | None:
        folder = self._disk.contents if self._disk else self._scratch
        return folder / sha256 if folder else None

    def _keep(self, upload: Upload) -> None:
        if isinstance(upload.content, Path):
            upload.content.replace(self.scratch() / upload.sha256)
        elif self._disk:
            half = self._disk.contents / (upload.sha256 + ".half")
            half.write_bytes(upload.content)
            half.replace(self._disk.contents / upload.sha256)
        else:
            self._contents[upload.sha256] = upload.content

    def promise_commit(self) -> None:
        """Commit a moment after the answer, as ``force_commit`` of a real client does.

        Measured (v682): the answer comes 1 to 4 ms before the commit, and a client killed in
        between keeps nothing. Its next database job, if there is one, finds the commit done.
        """
        with self.lock:
            if not self._lose_uncommitted:
                self.commit()
            elif not self._promised:
                self._promised = True
                timer = threading.Timer(_PROMISE_SECONDS, self.keep_promise)
                timer.daemon = True
                timer.start()

    def keep_promise(self) -> None:
        """Commit now if that was promised."""
        with self.lock:
            if self._promised:
                self.commit()

    def _plan_commit(self) -> None:
        if not self._lose_uncommitted:
            self.commit()
        elif self._timer is None and math.isfinite(self._commit_seconds):
            timer = threading.Timer(self._commit_seconds, self._commit_of)
            timer.args = (timer,)
            timer.daemon = True
            timer.start()
            self._timer = timer

    def _commit_of(self, timer: threading.Timer) -> None:
        with self.lock:
            # A commit in the meantime has planned the next one anew.
            if self._timer is timer:
                self.commit()

    def _drop_background(self) -> None:
        for timer in self._background:
            timer.cancel()
        self._background.clear()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _digests_of(content: bytes | Path) -> Digests:
    # Names for files, as the real client makes them; nothing is kept secret by them.
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in _DIGESTS}
    if isinstance(content, bytes):
        for digest in digests.values():
            digest.update(content)
    else:
        with content.open("rb") as stream:
            while piece := stream.read(CHUNK_BYTES):
                for digest in digests.values():
                    digest.update(piece)
    return {name: digest.hexdigest() for name, digest in digests.items()}
