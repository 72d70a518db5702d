"""Gives Hydrus the cookies of a browser on this machine, straight from its profile.

    rules:
      - name: refresh cookies
        on:
          schedule: {cron: "0 5 * * *"}
        do:
          - set_browser_cookies: {browser: firefox, domains: [example.com]}

Reading profiles is a race with the browsers' makers, which yt-dlp runs and we do not: it is
asked to do it, when it is needed and not before. What is used of it is not meant for others
and may change with any release; all of that is in ``_extract``, and a change there is said
to be one. Sending them is `hydrusd.plugin.CookieAction`'s work, as for any other source.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Cookie,
    CookieAction,
    FoundCookies,
    PermanentError,
    RequestRejected,
    TemporaryError,
    hookimpl,
)

LATEST = 253_402_300_799
"""The last second of the year 9999: what is later counts as Chromium does."""
CHROMIUM_EPOCH_SECONDS = 11_644_473_600
"""From the start of 1601, where Chromium begins to count microseconds, to that of 1970."""
MOST_FAULTS = 1000

_INSTALL = "pip install 'hydrusd[browser-cookies]'"


class SetBrowserCookies(CookieAction):
    """Give Hydrus the cookies of a browser on this machine.

    It reads what the browser has written to its profile. Firefox does so with a delay, and
    keeps cookies without expiry to itself; Chrome and Edge on Windows encrypt theirs so that
    nobody else can read them: use Firefox, or `set_cookies` with an export, there.

    Needs `pip install 'hydrusd[browser-cookies]'`.
    """

    action: ClassVar[str] = "set_browser_cookies"
    outside: ClassVar[bool] = True

    browser: Literal[
        "firefox", "chrome", "chromium", "brave", "edge", "opera", "vivaldi", "whale", "safari"
    ] = Field(description="Which browser.")
    profile: str | None = Field(
        default=None,
        description="The profile's name or folder. Without: the one that was used last.",
    )
    container: str | None = Field(
        default=None,
        description="The Firefox container, by name. Without: what is in no container.",
    )

    def read(self, call: Call[Action]) -> FoundCookies:
        """Have yt-dlp read the profile."""
        del call
        teller = _Teller()
        profile = f", profile {self.profile}" if self.profile else ""
        origin = f"{self.browser}{profile}"
        found = FoundCookies(origin, *_cookies(self._extract(teller, origin)))
        return FoundCookies(origin, found.cookies, [*found.faults, *teller.said][:MOST_FAULTS])

    def _extract(self, teller: _Teller, origin: str) -> list[Any]:
        """Do all that depends on how yt-dlp is made."""
        try:
            reader = importlib.import_module("yt_dlp.cookies")
        except ImportError:
            raise PermanentError(f"reading a browser's cookies needs yt-dlp: {_INSTALL}") from None
        container = {"container": self.container or "none"} if self.browser == "firefox" else {}
        try:
            jar = reader.extract_cookies_from_browser(
                self.browser, _expanded(self.profile), logger=teller, **container
            )
            return list(jar)
        except (FileNotFoundError, NotADirectoryError):
            raise TemporaryError(f"there are no cookies of {origin} on this machine") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TemporaryError(f"the cookies of {origin} cannot be read: {reason}") from None
        except sqlite3.Error as error:
            raise TemporaryError(f"the cookies of {origin} cannot be read: {error}") from None
        except ValueError as error:
            raise PermanentError(f"the cookies of {origin} cannot be read: {error}") from None
        except (AttributeError, KeyError, TypeError) as error:
            raise PermanentError(
                f"this yt-dlp reads cookies in another way than hydrusd knows ({error}): "
                f"try another version of it, and tell us"
            ) from None


class _Teller:
    """What yt-dlp wants to be told things through. Keeps what it could not read."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def debug(self, message: str) -> None:
        """Pass over it."""

    def info(self, message: str) -> None:
        """Pass over it, unless it owns up to having left some out."""
        if "could not be decrypted" in message:
            self.said.append(message)

    def warning(self, message: str, *, only_once: bool = False) -> None:
        """Keep it."""
        del only_once
        self.said.append(message)

    error = warning


def _expanded(profile: str | None) -> str | None:
    """Give a folder as a whole path; a profile's name stays as it is."""
    if profile is None or not any(separator in profile for separator in "/\\"):
        return profile
    return str(Path(profile).expanduser())


def _cookies(jar: list[Any]) -> tuple[list[Cookie], list[str]]:
    """Turn the rows of a jar into cookies, and say which are none."""
    cookies, faults = [], []
    for number, row in enumerate(jar, 1):
        try:
            expires = _expiry(row.expires)
            cookies.append(Cookie(row.name, row.value or "", row.domain, row.path or "/", expires))
        except RequestRejected as error:
            faults.append(f"cookie {number}: {error.message}")
        except (AttributeError, TypeError):
            raise PermanentError(
                "this yt-dlp gives cookies in another form than hydrusd knows"
            ) from None
    return cookies, faults


def _expiry(given: float | None) -> int | None:
    """Give seconds since 1970; yt-dlp passes on Chromium's own count as it is."""
    if given is None or given <= 0:
        return None
    return int(given / 1_000_000 - CHROMIUM_EPOCH_SECONDS if given > LATEST else given)


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(SetBrowserCookies)
