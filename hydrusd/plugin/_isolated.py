"""The process of an isolated plugin: does one call after the other until its daemon is gone.

Standard output belongs to the answers, so whatever the plugin prints goes to standard error, which
the daemon logs. Requests are read by a thread: when the daemon dies, however that happens, the
pipe ends and this process with it, even in the middle of a call.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from hydrusd.clock import SystemClock
from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.hydrus import HydrusClient
from hydrusd.model import Outcome
from hydrusd.plugin._action import Action, AnyAction, Call
from hydrusd.plugin._isolating import LENGTH_BYTES, LONGEST_ANSWER
from hydrusd.plugin.host import PluginHost
from hydrusd.rules import PluginsSpec

TOO_MUCH_MEMORY = 77
"""The exit code where the memory is watched, and not limited by the system."""
LOOK_SECONDS = 0.1


class _NoClient:
    """Stands for the client, which stays with the daemon."""

    def __getattr__(self, name: str) -> Any:
        raise PermanentError(f"an isolated action has no client (it wants {name})")


def main(settings: dict[str, Any]) -> None:
    """Serve calls."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, requests), daemon=True).start()
    actions, failure = _load(settings["plugin"], Path(settings["folder"]))
    memory = int(settings["memory"])
    _limit_memory(memory)
    while True:
        answer = _answer(requests.get(), actions, failure, memory)
        body = json.dumps(answer).encode()
        if len(body) > LONGEST_ANSWER:
            body = json.dumps({"failed": "it gave far too much for an outcome"}).encode()
        answers.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        answers.flush()
        if answer.get("ends"):
            os._exit(0)


def _read(pipe: BinaryIO, requests: queue.Queue[bytes]) -> None:
    while True:
        head = pipe.read(LENGTH_BYTES)
        body = pipe.read(int.from_bytes(head, "big")) if len(head) == LENGTH_BYTES else b""
        if not body:
            os._exit(0)
        requests.put(body)


def _load(plugin: str, folder: Path) -> tuple[dict[str, type[AnyAction]], str]:
    """Load the one plugin; give its actions, or what went wrong."""
    host = PluginHost(PluginsSpec(only=frozenset({plugin})))
    host.load_folder(folder)
    if not host.plugins:
        host.load_entry_points()
    faults = [fault.message for fault in host.faults if not fault.deliberate]
    return dict(host.actions), "; ".join(faults)


def _answer(
    asked: bytes, actions: dict[str, type[AnyAction]], failure: str, memory: int
) -> dict[str, Any]:
    try:
        name, fields, about = pickle.loads(asked)  # noqa: S301 - from the daemon that started this
        kind = actions.get(name)
        if kind is None:
            return {"failed": f"it did not load in its own process: {failure or 'it is not there'}"}
        action = cast("Action", kind.model_construct(**fields))
        call: Call[Action] = Call(
            action, client=cast("HydrusClient", _NoClient()), clock=SystemClock(), **about
        )
        outcome = cast("Any", action).run(call)
        if not isinstance(outcome, Outcome):
            return {"failed": f"it gave {type(outcome).__name__} for an outcome"}
        said = dataclasses.asdict(outcome)
        json.dumps(said)
    except PermanentError as error:
        return {"permanent": str(error)}
    except TemporaryError as error:
        return {"temporary": str(error), "delay_seconds": error.delay_seconds}
    except MemoryError:
        # What could not be had may be held by others, and broken: a new process is safer.
        wanted = f"it wants more than {memory // 1024**2} MB of memory"
        return {"failed": wanted, "ends": True}
    except BaseException as error:  # noqa: BLE001 - the plugin boundary
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"outcome": said}


def _limit_memory(memory: int) -> None:
    """Allow so many bytes beyond what it takes to be there."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limit = pages * resource.getpagesize() + memory
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    else:
        # No such limit there: somebody has to look.
        most = _memory_taken() + memory
        threading.Thread(target=_watch_memory, args=(most,), daemon=True).start()


def _watch_memory(most: int) -> None:
    while True:
        if _memory_taken() > most:
            os._exit(TOO_MUCH_MEMORY)
        time.sleep(LOOK_SECONDS)


def _memory_taken() -> int:
    """Give the most memory that this process has taken so far, in bytes."""
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        class Counters(ctypes.Structure):
            _fields_ = (
                ("cb", wintypes.DWORD),
                ("PageFaultCount", wintypes.DWORD),
                *((f"size{n}", ctypes.c_size_t) for n in range(8)),
            )

        counters = Counters(cb=ctypes.sizeof(Counters))
        process = wintypes.HANDLE(ctypes.windll.kernel32.GetCurrentProcess())
        ctypes.windll.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
        return int(counters.size7)  # PeakPagefileUsage
    import resource

    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return taken if sys.platform == "darwin" else taken * 1024


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
