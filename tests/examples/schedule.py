"""The examples of docs/triggers.md on schedules and webhooks."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from threading import Thread
from zoneinfo import ZoneInfo

from exampling import Example

from hydrusd.clock import SystemClock
from hydrusd.testing import Project

# Of this run alone: whoever else runs this example on this machine must not take its message.
SECRET = secrets.token_hex(16)


class AlmostNine(SystemClock):
    """The system's clock, so far ahead that it is almost nine on a Monday in Berlin."""

    def __init__(self) -> None:
        monday = datetime(2040, 1, 2, 8, 59, 58, tzinfo=ZoneInfo("Europe/Berlin"))
        self._ahead = monday - datetime.now(UTC)

    def now(self) -> datetime:
        return super().now() + self._ahead


def _reminded(project: Project) -> None:
    [popup] = project.ask("/manage_popups/get_popups")["job_statuses"]
    assert "the week from 2040-01-02" in str(popup)


def _message(project: Project) -> None:
    Thread(target=_send, args=[project.seed("there.png")], daemon=True).start()


def _send(file_hash: str) -> None:
    request = urllib.request.Request(
        "http://127.0.0.1:45870/label",
        json.dumps({"hash": file_hash, "label": "cat"}).encode(),
        {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"},
    )
    for _ in range(600):
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)  # it does not listen yet


def _labelled(project: Project) -> None:
    [file_hash] = project.simulator.files
    assert {"cat"} in project.simulator.tags(file_hash).values()


EXAMPLES = {
    "schedule": Example(page="triggers.md", check=_reminded, clock=AlmostNine),
    "webhook": Example(
        page="triggers.md",
        prepare=_message,
        check=_labelled,
        run={"jobs": 1, "timeout_seconds": 60.0},
        environ={"HYDRUSD_WEBHOOK": SECRET},
    ),
}
