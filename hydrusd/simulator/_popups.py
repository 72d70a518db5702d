"""The messages in the corner of a client's window."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydrusd.simulator._errors import bad_request

_MOST_IN_VIEW = 10


@dataclass(slots=True, kw_only=True)
class Popup:
    """One message. ``shown`` holds what callers can set and clear, by the name they use."""

    cancellable: bool = False
    pausable: bool = False
    mergable: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    creation_time: float = field(default_factory=time.time)
    shown: dict[str, Any] = field(default_factory=dict)
    hashes: tuple[str, ...] = ()
    files_label: str = ""
    done: bool = False
    cancelled: bool = False
    dismiss_at: float | None = None

    def __post_init__(self) -> None:
        """A message that nobody can cancel or pause is done from the start."""
        self.done = not (self.cancellable or self.pausable)

    def finish(self) -> None:
        """Be done; nothing is left to cancel."""
        self.done = True
        self.cancellable = self.pausable = False

    def attach(self, hashes: Sequence[str], label: str) -> None:
        """Offer files behind a button."""
        self.hashes, self.files_label = tuple(dict.fromkeys(hashes)), label

    def to_json(self) -> dict[str, Any]:
        """Give the message as callers see it."""
        texts = (self.shown.get(f"status_{part}") for part in ("title", "text_1", "text_2"))
        body: dict[str, Any] = {
            "key": self.key,
            "creation_time": self.creation_time,
            **self.shown,
            "had_error": False,
            "is_cancellable": self.cancellable,
            "is_cancelled": self.cancelled,
            "is_done": self.done,
            "is_pausable": self.pausable,
            "is_paused": False,
            "nice_string": "\n".join(text for text in texts if text is not None),
        }
        if self.mergable:
            body["attached_files_mergable"] = True
        if self.hashes:
            body["files"] = {"hashes": list(self.hashes), "label": self.files_label}
        return body


class Popups:
    """All messages, oldest first. Hold ``lock`` while working with one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._popups: dict[str, Popup] = {}

    def add(self, popup: Popup) -> None:
        """Show a message; its files may go to one that is there under the same label."""
        with self.lock:
            for other in self._living():
                if (
                    popup.mergable
                    and other.mergable
                    and popup.hashes
                    and other.hashes
                    and popup.files_label == other.files_label
                ):
                    other.attach(other.hashes + popup.hashes, other.files_label)
                    return
            self._popups[popup.key] = popup

    def get(self, key: str) -> Popup:
        """Give a message, or refuse a key that is none."""
        with self.lock:
            for popup in self._living():
                if popup.key == key:
                    return popup
        raise bad_request("This job key doesn't exist!")

    def dismiss(self, popup: Popup, seconds: float | None = None) -> None:
        """Finish a message and take it away, now or later."""
        with self.lock:
            popup.finish()
            popup.dismiss_at = time.monotonic() + (seconds or 0.0)

    def bodies(self, *, only_in_view: bool) -> list[dict[str, Any]]:
        """Give all messages as callers see them."""
        with self.lock:
            popups = list(self._living())
            return [popup.to_json() for popup in popups[: _MOST_IN_VIEW if only_in_view else None]]

    def clear(self) -> None:
        """Forget all: the client was started anew."""
        with self.lock:
            self._popups.clear()

    def _living(self) -> Iterator[Popup]:
        now = time.monotonic()
        gone = [p.key for p in self._popups.values() if p.dismiss_at and p.dismiss_at <= now]
        for key in gone:
            del self._popups[key]
        return iter(list(self._popups.values()))
