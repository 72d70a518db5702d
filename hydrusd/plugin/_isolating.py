"""Actions whose work is done in a process of their own, because their plugin may take all memory.

A class that is isolated is a class like before, with the same parameters; only its ``run`` sends
what it was called with to the process of its plugin and gives what comes back. That process is
started at the first call, does one call after the other, and ends with the daemon, however that
ends. Where it dies over an item, the item has failed once and the next one gets a new process.

It is a wall against accidents, not against malice: the process runs as the same user.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import structlog

from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.model import Firing, Outcome, OutcomeKind, ParkScope
from hydrusd.plugin._action import Action, Call

START_SECONDS = 60.0
LONGEST_ANSWER = 16 * 1024**2
LENGTH_BYTES = 8

log = structlog.get_logger("hydrusd.plugins")


def isolated(action: type[Action], plugin: str, memory: int) -> type[Action]:
    """Give the action with its work done elsewhere, in at most ``memory`` bytes."""
    process = _process_of(plugin, str(Path(_file_of(action)).parent), memory)

    def run(self: Action, call: Call[Action]) -> Outcome:
        return process.run(self, call)

    about = {
        "run": run,
        "__module__": action.__module__,
        "__doc__": action.__doc__,
        "__plugin_file__": _file_of(action),
    }
    made = types.new_class(action.__name__, (action,), exec_body=lambda body: body.update(about))
    return cast("type[Action]", made)


def _file_of(action: type[Action]) -> str:
    return str(getattr(sys.modules.get(action.__module__), "__file__", "") or "")


_processes: dict[tuple[str, str, int], _Process] = {}


def _process_of(plugin: str, folder: str, memory: int) -> _Process:
    key = plugin, folder, memory
    return _processes.setdefault(key, _Process(plugin, folder, memory))


class _Process:
    """The process of one plugin. One call at a time; the others wait."""

    def __init__(self, plugin: str, folder: str, memory: int) -> None:
        self._plugin = plugin
        self._folder = folder
        self._memory = memory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, action: Action, call: Call[Action]) -> Outcome:
        """Have a call done. Raises TemporaryError where the process dies over it."""
        fields = {name: getattr(action, name) for name in type(action).model_fields}
        about = {
            "job_id": call.job_id,
            "rule": call.rule,
            "data": dict(call.data),
            "file_hashes": tuple(call.file_hashes),
            "attempt": call.attempt,
            "steps": tuple(call.steps),
            "position": call.position,
        }
        try:
            asked = pickle.dumps((action.action, fields, about))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise PermanentError(f"{action.action} cannot be isolated: {error}") from error
        with self._lock:
            return self._asked(asked, type(action).time_limit_seconds)

    def _asked(self, asked: bytes, limit_seconds: float | None) -> Outcome:
        process = self._running()
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit_seconds or threading.TIMEOUT_MAX, kill)
        timer.daemon = True
        timer.start()
        try:
            answer = _exchange(process, asked)
        finally:
            timer.cancel()
        if answer is None:
            process.kill()
            code = process.wait()
            self._process = None
            if late.is_set():
                raise TemporaryError(f"plugin {self._plugin} took longer than {limit_seconds:g} s")
            raise TemporaryError(f"the process of plugin {self._plugin} died (exit code {code})")
        if answer.get("ends"):
            process.wait()
            self._process = None
        return _outcome(answer, self._plugin)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        settings = {"plugin": self._plugin, "folder": self._folder, "memory": self._memory}
        # Without this folder on the path: a file in it could pass for a library.
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-m", "hydrusd.plugin._isolated", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        threading.Thread(
            target=self._tell, args=(self._process,), name=f"words of {self._plugin}", daemon=True
        ).start()
        return self._process

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        """Log what it prints."""
        assert process.stderr is not None
        with process.stderr as words:
            for line in words:
                if text := line.decode(errors="replace").rstrip()[:2_000]:
                    log.info(f"plugin {self._plugin} printed: {text}", plugin=self._plugin)


def _exchange(process: subprocess.Popen[bytes], asked: bytes) -> Mapping[str, Any] | None:
    """Send a call and give the answer; None where the process dies over it."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(len(asked).to_bytes(LENGTH_BYTES, "big") + asked)
        process.stdin.flush()
        head = process.stdout.read(LENGTH_BYTES)
        length = int.from_bytes(head, "big")
        if len(head) < LENGTH_BYTES or length > LONGEST_ANSWER:
            return None
        body = process.stdout.read(length)
    except OSError:
        return None
    if len(body) < length:
        return None
    answer = json.loads(body)
    return answer if isinstance(answer, Mapping) else None


def _outcome(answer: Mapping[str, Any], plugin: str) -> Outcome:
    """Give the outcome that was sent, or raise what was raised."""
    if (text := answer.get("permanent")) is not None:
        raise PermanentError(text)
    if (text := answer.get("temporary")) is not None:
        raise TemporaryError(text, delay_seconds=answer.get("delay_seconds"))
    if (text := answer.get("failed")) is not None:
        raise RuntimeError(f"plugin {plugin}: {text}")
    said = dict(answer["outcome"])
    said["kind"] = OutcomeKind(said["kind"])
    said["scope"] = ParkScope(said["scope"])
    said["fires"] = [Firing(each["rule"], each["data"]) for each in said["fires"]]
    return Outcome(**said)
