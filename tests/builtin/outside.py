"""What the tests of the actions share that work in the world outside."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import anyio

from hydrusd.clock import ManualClock
from hydrusd.model import JobId, OutcomeKind, StepRecord
from hydrusd.plugin import Call, HydrusClient


def rules(*steps, allow="run_command", name="outside"):
    """Give a rules file whose one rule does these steps with each file in ``inbox``."""
    do = "\n".join(f"      - {json.dumps(step)}" for step in steps)
    return f"""
allow: [{allow}]
rules:
  - name: {name}
    on: {{watch_folder: {{path: inbox, settle: 50ms}}}}
    do:
{do}
"""


def call_of(action, *, job_id=7, attempt=1, step=None, data=None, clock=None, hashes=()):
    """Make a call of an action; ``step`` is what an earlier one left: (outcome, values)."""
    steps = ()
    if step is not None:
        kind, values = step
        steps = (StepRecord(0, type(action).action, kind, "as before", values, None),)
    return Call(
        action=action,
        job_id=JobId(job_id),
        rule="a rule",
        data=data or {"file": {"name": "a.jpg"}},
        client=cast("HydrusClient", None),
        clock=clock or ManualClock(),
        file_hashes=hashes,
        attempt=attempt,
        steps=steps,
    )


async def to_the_end(action, **given):
    """Call an action as a lane does, again and again until it is over; give its outcome."""
    step = None
    for _ in range(2000):
        call = call_of(action, step=step, **given)
        await type(action).run_set([call])
        if call.outcome.kind is not OutcomeKind.LATER:
            return call.outcome
        step = (OutcomeKind.LATER, call.outcome.values)
        await anyio.sleep(0.01)  # a real program, or a real server, needs real time
    raise AssertionError("it is never over")


class Hook:
    """A server that keeps what it was sent, and answers as it is told, at last with 200."""

    def __init__(self):
        self.requests = []
        self.answers = []
        self.held = threading.Event()
        self.held.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook.requests.append((self.command, self.path, headers, body))
                hook.held.wait(10)
                status, headers, answer = hook.answers.pop(0) if hook.answers else (200, {}, b"")
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"Content-Length": len(answer), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            def log_message(self, *_):
                pass

        for method in ("GET", "HEAD", "POST", "PUT"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, status, body=b"", **headers):
        """Queue an answer. ``None`` for a status hangs up instead."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, names, body))

    @property
    def bodies(self):
        return [json.loads(body) for _, _, _, body in self.requests]

    def close(self):
        self.held.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
