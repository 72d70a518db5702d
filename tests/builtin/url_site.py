"""What the tests of URLs share: a website on this machine, a trigger, and a hasty clock."""

from __future__ import annotations

import http.server
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import anyio

from hydrusd.testing import paint

TRIGGER = '''
from collections.abc import Callable
from typing import ClassVar

from hydrusd.plugin import Event, Trigger, TriggerContext, hookimpl


class Links(Trigger):
    """Notice each of these URLs, once."""

    trigger: ClassVar[str] = "links"
    urls: tuple[str, ...]

    async def run(self, context: TriggerContext) -> None:
        await context.emit([Event(f"links {url}", {"url": url}) for url in self.urls])
        await context.clock.sleep(1e9)


@hookimpl
def hydrusd_register_triggers(register: Callable) -> None:
    register(Links)
'''


class Site:
    """A web server. ``pages``: path to body, or to a whole answer (status, headers, body).

    Other paths are 404. ``held``: paths that answer only once ``let_go`` was called.
    ``slow``: path to seconds. ``asked`` counts the requests by path.
    """

    def __init__(self):
        self.pages = {}
        self.asked = Counter()
        self.held = set()
        self.slow = {}
        self._gate = threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked[self.path] += 1
                if self.path in site.held:
                    site._gate.wait(20)
                time.sleep(site.slow.get(self.path, 0))
                page = site.pages.get(self.path, (404, {}, b"not here"))
                status, headers, body = (200, {}, page) if isinstance(page, bytes) else page
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def picture(self, name):
        """Serve a picture of its own under a name; give its URL."""
        self.pages[f"/{name}"] = paint(name)
        return f"{self.url}/{name}"

    def let_go(self):
        """Let those that are held answer, and all others from now on."""
        self._gate.set()

    def close(self):
        """Stop serving."""
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class HastyClock:
    """The machine's clock, so many times faster: a minute of waiting is a second."""

    def __init__(self, times=20):
        self._times = times
        self._began = time.monotonic()
        self._date = datetime.now(UTC)

    def now(self):
        """Give the time of day."""
        return self._date + timedelta(seconds=self.monotonic())

    def monotonic(self):
        """Give the seconds since it was made."""
        return (time.monotonic() - self._began) * self._times

    async def sleep(self, seconds):
        """Wait."""
        await anyio.sleep(seconds / self._times)
