"""Who may ask: access keys, the sessions made from them, and the dialog that makes new keys."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hydrusd.simulator._arguments import ACCESS_KEY, SESSION_KEY, is_hex
from hydrusd.simulator._config import Permissions
from hydrusd.simulator._eras import Era
from hydrusd.simulator._errors import Refusal, Unforeseen, bad_request

SESSION_SECONDS = 24 * 60 * 60


@dataclass(slots=True)
class _Session:
    access_key: str
    expires: float


class Access:
    """The client's list of keys. Thread-safe."""

    def __init__(self, era: Era, access_keys: Mapping[str, Permissions]) -> None:
        self._era = era
        self._lock = threading.Lock()
        self._keys = {key.lower(): permissions for key, permissions in access_keys.items()}
        self._sessions: dict[str, _Session] = {}
        self._offered: dict[str, Permissions] = {}
        self.dialog_open = False

    def check_header(self, name: str, value: str) -> str:
        """Give a key from a header in its normal form, or refuse one that is no hex."""
        if is_hex(value):
            return value.lower()
        if self._era.malformed_key_status == 400:
            raise bad_request(f"Problem parsing {name}!")
        raise Unforeseen(
            "Error", "binascii.Error: non-hexadecimal number found in fromhex() arg"
        )  # fmt: skip

    def identify(self, keys: Mapping[str, str]) -> tuple[str, Permissions] | None:
        """Give the access key behind what was presented, or None if nothing was."""
        with self._lock:
            if (access_key := keys.get(ACCESS_KEY)) is None:
                if (session_key := keys.get(SESSION_KEY)) is None:
                    return None
                access_key = self._renew(session_key)
            permissions = self._keys.get(access_key)
            if permissions is None:
                raise Refusal(403, "Did not find an entry for that access key!")
            return access_key, permissions

    def new_session(self, access_key: str) -> str:
        """Give a fresh session key."""
        session_key = secrets.token_hex(32)
        with self._lock:
            self._sessions[session_key] = _Session(access_key, time.monotonic() + SESSION_SECONDS)
        return session_key

    def expire_sessions(self) -> None:
        """Make all sessions 24 hours old, without a restart."""
        with self._lock:
            for session in self._sessions.values():
                session.expires = 0.0

    def forget_sessions(self) -> None:
        """Lose all sessions, as a restart does."""
        with self._lock:
            self._sessions.clear()

    def revoke(self, access_key: str) -> None:
        """Delete an access key."""
        with self._lock:
            self._keys.pop(access_key, None)

    def offer(self, permissions: Permissions) -> str:
        """Give a new access key that works once the user has pressed OK."""
        if not self.dialog_open:
            raise Refusal(self._era.dialog_closed_status, self._era.words["dialog_closed"])
        access_key = secrets.token_hex(32)
        with self._lock:
            self._offered[access_key] = permissions
        return access_key

    def approve(self) -> None:
        """Press OK: what was offered works from now on, and the dialog closes."""
        with self._lock:
            self._keys |= self._offered
            self._offered.clear()
            self.dialog_open = False

    def held(self, permissions: Permissions) -> list[int]:
        """Give the numbers of the permissions that a key has in this era."""
        known = self._era.permission_names
        if permissions.permits_everything:
            return sorted(known)
        return sorted(permissions.basic & known.keys())

    def demand(self, permissions: Permissions, any_of: frozenset[int]) -> None:
        """Refuse a key that has none of the permissions. An empty set asks for nothing."""
        if any_of and not any_of & set(self.held(permissions)):
            names = self._era.permission_names
            wanted = ", ".join(names[number] for number in sorted(any_of) if number in names)
            raise Refusal(403, f"You do not have permission to: {wanted}")

    def describe(self, permissions: Permissions) -> str:
        """Give a key's permissions as the client words them."""
        opening = f"API Permissions ({permissions.name}): "
        if permissions.permits_everything and self._era.has("named_permissions"):
            return opening + "can do anything"
        held = self.held(permissions)
        described = opening + ", ".join(sorted(self._era.permission_names[n] for n in held))
        return f"{described}: {self._era.words['searchable']}" if 3 in held else described

    def _renew(self, session_key: str) -> str:
        session = self._sessions.get(session_key)
        if session is None:
            raise Refusal(419, "Did not find an entry for that session key!")
        now = time.monotonic()
        if session.expires < now:
            if self._era.expired_session_status == 500:
                # v682 means to say 419 and trips over a mistyped variable instead.
                raise Unforeseen("KeyError", f"builtins.KeyError: {session.expires}")
            del self._sessions[session_key]
            raise Refusal(419, "Session has expired!")
        session.expires = now + SESSION_SECONDS
        return session.access_key
