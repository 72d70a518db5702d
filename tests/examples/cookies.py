"""The examples of docs/cookies.md."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

from exampling import Example
from library import ask

from hydrusd.testing import Project

DAY = 86_400
SECRET = "v4lue-nobody-may-see"
NOW = int(time.time())
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


def kept_to_itself(project: Project) -> None:
    """Fail where the value stands in what is kept or told."""
    files = [path for path in project.state_dir.rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert SECRET not in f"{project.story()} {project.jobs!r} {project.finished!r}"


def _export(project: Project) -> None:
    rows = [
        ("#HttpOnly_.example.com", "TRUE", "/", "TRUE", NOW + 3 * DAY + 7200, "session_id", SECRET),
        ("www.example.org", "FALSE", "/", "FALSE", 0, "theme", "dark"),
        (".example.net", "TRUE", "/", "FALSE", NOW + DAY, "id", "not ours"),
    ]
    path = project.folder / "cookies" / "cookies.txt"
    path.parent.mkdir()
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    os.utime(path, (NOW - 60, NOW - 60))


def _exported(project: Project) -> None:
    held = {
        cookie.identity: (cookie.value, cookie.expires)
        for domain in ("example.com", "example.org", "example.net")
        for cookie in ask(project, lambda client, domain=domain: client.get_cookies(domain))
    }
    assert held == {
        (".example.com", "/", "session_id"): (SECRET, NOW + 3 * DAY + 7200),
        ("www.example.org", "/", "theme"): ("dark", None),
    }
    for domain in ("example.com", "example.org"):
        headers = ask(project, lambda client, domain=domain: client.get_headers(domain))
        assert headers["User-Agent"].value == AGENT
    [expiring] = project.jobs[0].steps[0].values["expiring"]
    assert (expiring["name"], expiring["days_left"]) == ("session_id", 3)
    kept_to_itself(project)


def _profile(project: Project) -> None:
    folder = project.folder / ".mozilla" / "firefox" / "abcd1234.default-release"
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "cookies.sqlite")) as database, database:
        database.execute("PRAGMA user_version = 17")
        columns = "originAttributes, name, value, host, path, expiry, isSecure, isHttpOnly"
        database.execute(f"CREATE TABLE moz_cookies ({columns})")
        for name, host in [("session_id", ".example.com"), ("id", ".example.net")]:
            row = ("", name, SECRET, host, "/", (NOW + DAY) * 1000, 1, 1)
            database.execute("INSERT INTO moz_cookies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _read_from_the_profile(project: Project) -> None:
    [cookie] = ask(project, lambda client: client.get_cookies("example.com"))
    assert (cookie.name, cookie.value, cookie.expires) == ("session_id", SECRET, NOW + DAY)
    assert ask(project, lambda client: client.get_cookies("example.net")) == []
    kept_to_itself(project)


def _old_header(project: Project) -> None:
    headers = {"X-No-Longer-Wanted": "old"}
    ask(project, lambda client: client.set_headers(headers, "archive.example.com"))


def _headers(project: Project) -> None:
    headers = ask(project, lambda client: client.get_headers("archive.example.com"))
    assert {name: header.value for name, header in headers.items()} == {
        "Authorization": f"Bearer {SECRET}",
        "Referer": "https://archive.example.com/",
    }
    assert headers["Referer"].reason == "the archive wants it"
    kept_to_itself(project)


def _dying_cookie(project: Project) -> None:
    network = project.simulator._client.network
    network.set_cookie(("session_id", SECRET, ".example.com", "/", NOW + 3 * DAY + 7200))
    network.set_cookie(("ad", SECRET, ".example.com", "/", NOW + 7200))


def _told(project: Project) -> None:
    [popup] = ask(project, lambda client: client.get_popups())
    assert popup.status_title == "Log in again"
    assert "session_id of .example.com expires in 3 days" in f"{popup}"
    kept_to_itself(project)


EXAMPLES = {
    "set_cookies": Example(page="cookies.md", prepare=_export, check=_exported),
    "set_browser_cookies": Example(
        page="cookies.md", prepare=_profile, check=_read_from_the_profile
    ),
    "set_headers": Example(
        page="cookies.md",
        prepare=_old_header,
        check=_headers,
        environ={"ARCHIVE_TOKEN": SECRET},
    ),
    "cookie_expiring": Example(page="cookies.md", prepare=_dying_cookie, check=_told),
}
