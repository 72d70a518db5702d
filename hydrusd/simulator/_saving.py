"""What a client keeps in memory and writes to its database only now and then.

Cookies, headers and the open pages are no database rows while the client runs: it
saves them every so often and when it is closed. Until then no commit, forced or
not, makes them durable; a killed client comes back with what it saved last.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hydrusd.simulator._store import Store


@dataclass(slots=True)
class _Kept:
    seconds: float
    dump: Callable[[], Any]
    timer: threading.Timer | None = None


class Saving:
    """Writes things into the store some time after they changed. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, _Kept] = {}

    def keep(self, name: str, seconds: float, dump: Callable[[], Any]) -> None:
        """Say what ``dump`` gives (JSON) is to be saved within ``seconds`` of a change."""
        self._kept[name] = _Kept(seconds, dump)

    def changed(self, name: str) -> None:
        """Save that soon."""
        with self._store.lock:
            kept = self._kept[name]
            if self._store.commits_each_write:
                self._save(name)
            elif kept.timer is None:
                kept.timer = threading.Timer(kept.seconds, self._save, [name])
                kept.timer.daemon = True
                kept.timer.start()

    def live(self) -> dict[str, Any]:
        """Give what is kept in memory as it is now, saved or not, by name."""
        with self._store.lock:
            return {n: json.loads(json.dumps(k.dump())) for n, k in self._kept.items()}

    def save_all(self) -> None:
        """Save all that changed, as a client does that is being closed."""
        with self._store.lock:
            for name, kept in self._kept.items():
                if kept.timer is not None:
                    self._save(name)

    def forget(self) -> None:
        """Save nothing of what changed: the client was killed."""
        with self._store.lock:
            for kept in self._kept.values():
                if kept.timer is not None:
                    kept.timer.cancel()
                    kept.timer = None

    def _save(self, name: str) -> None:
        with self._store.lock:
            kept = self._kept[name]
            if kept.timer is not None:
                kept.timer.cancel()
                kept.timer = None
            elif not self._store.commits_each_write:
                return  # forgotten while this waited for the lock
            # Through JSON: what is saved must not change along with what goes on living.
            self._store.put_document(name, json.loads(json.dumps(kept.dump())))
