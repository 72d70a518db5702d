"""Gives the client the cookies of a file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from hydrusd.builtin.actions._cookie_files import read_cookie_file
from hydrusd.plugin import Action, Call, CookieAction, FilePath, FoundCookies


class SetCookies(CookieAction):
    """Give Hydrus the cookies of a file, so that it is logged in where your browser is.

    The file is a `cookies.txt`, or the JSON that add-ons such as Cookie-Editor export; which
    of them it is, is seen from what it holds. Only cookies that are new or changed are sent,
    and none that has expired. Lines that are no cookies are named by their number and left out.

    A file that is missing, cannot be read or is just being written is tried again. One without
    a cookie for `domains` makes a dead letter and changes nothing.

    Later steps see `steps.set_cookies.new`, `.changed` and `.removed` (counts), and
    `.expiring`, a list of `domain`, `name`, `expires` and `days_left`.
    """

    action: ClassVar[str] = "set_cookies"

    from_: FilePath = Field(alias="from", description="The file; may hold templates.")

    def read(self, call: Call[Action]) -> FoundCookies:
        """Read the file."""
        return read_cookie_file(self.from_, call.clock.now())
