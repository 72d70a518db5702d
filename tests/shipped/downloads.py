"""What the tests of the plugins that download share: a site, and a rule's step that is called."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.model import JobId, OutcomeKind, StepRecord
from hydrusd.plugin import Call, _downloading


class Site:
    """Files by their paths; ``asked`` counts, ``held`` are paths that answer by half only."""

    def __init__(self, files):
        self.files, self.asked, self.held = dict(files), Counter(), set()
        self._closing = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(with_body=False)

            def do_GET(self):
                site.asked[self.path] += 1
                self.answer(with_body=True)

            def answer(self, *, with_body):
                kind, content = site.files.get(self.path, (None, b"gone"))
                self.send_response(404 if kind is None else 200)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if not with_body:
                    return
                if self.path in site.held:
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    site._closing.wait(30)
                    content = content[len(content) // 2 :]
                with contextlib.suppress(OSError):  # whoever asked may be gone
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def release(self):
        """Send the other half of what is held."""
        self._closing.set()

    def close(self):
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@cache
def actions():
    """Give all actions, loaded once."""
    return load_plugins([]).actions


class Step:
    """A step that downloads, called as a lane does until it is over or failed once."""

    def __init__(self, name, folder, **parameters):
        self.kind = actions()[name]
        self.to = folder / "to"
        self.parameters = {"to": str(self.to), **parameters}

    def call(self, *, job_id=7, step=None, data=None, **parameters):
        action = self.kind.model_validate({**self.parameters, **parameters})
        steps = ()
        if step is not None:
            steps = (StepRecord(0, self.kind.action, OutcomeKind.LATER, "as before", step, None),)
        return Call(action, JobId(job_id), "a rule", data or {}, None, SystemClock(), steps=steps)

    async def run(self, **given):
        step = None
        while True:
            call = self.call(step=step, **given)
            await self.kind.run_set([call])
            if call.outcome.kind is not OutcomeKind.LATER:
                return call.outcome
            step = call.outcome.values
            await anyio.sleep(0.02)  # a real program needs real time

    async def stopped(self, site, half, **given):
        """Run it until there is the half of a file of that name, and stop it as hydrusd does."""
        call = self.call(**given)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.kind.perform, [call])
                while not any(self.to.rglob(half)):  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(0.02)
                tasks.cancel_scope.cancel()
        site.held.clear()

    def there(self):
        """Give what a watching rule could see, by its path in the folder of its run."""
        found = [
            path.relative_to(self.to)
            for path in self.to.rglob("*")
            if path.is_file()
            and not any(part[0] == "." for part in path.relative_to(self.to).parts)
        ]
        return sorted("/".join(path.parts[1:]) for path in found)

    def rooms(self):
        return [path for path in self.to.glob(".hydrusd-*") if path.is_dir()]


def not_installed(monkeypatch, tmp_path):
    """Let no program be found, neither by PATH nor beside hydrusd, nor as a package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(_downloading, "_is_installed", lambda _: False)
