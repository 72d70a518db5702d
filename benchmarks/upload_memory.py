"""Memory of a large upload: what our process takes more than idle while it sends a file.

The file is sparse, so that it costs no disk here; the simulator, in a process of its own,
does write it to its temporary folder: have as much room there. Whether the client can make
something of a file full of zeroes does not matter: it is sent whole before it looks.

    python benchmarks/upload_memory.py [GIGABYTES]
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import anyio
from _measuring import KEY, folder, make_pictures, simulator

from hydrusd.hydrus import HydrusClient

MOST_MEGABYTES = 64
MEGABYTE = 1024 * 1024
LOOK_EVERY_SECONDS = 0.005


def _from_proc() -> float:
    fields = Path("/proc/self/status").read_text(encoding="ascii").split("VmRSS:")[1]
    return int(fields.split()[0]) / 1024


def _from_windows() -> float:
    import ctypes

    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", ctypes.c_ulong),
            ("faults", ctypes.c_ulong),
            *((f"size_{number}", ctypes.c_size_t) for number in range(8)),
        )

    counters = Counters(cb=ctypes.sizeof(Counters))
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
    return float(counters.size_1) / MEGABYTE  # WorkingSetSize


def _from_peak() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEGABYTE if sys.platform == "darwin" else peak / 1024


def resident() -> Callable[[], float]:
    """Give what tells the resident memory of this process in MB (on macOS, its peak so far)."""
    if sys.platform == "win32":
        return _from_windows
    return _from_proc if Path("/proc/self/status").exists() else _from_peak


class Watch:
    """Looks at our memory from a thread for as long as the block lasts."""

    def __init__(self) -> None:
        self._look = resident()
        self.peak = self._look()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_SECONDS):
            self.peak = max(self.peak, self._look())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


async def upload(url: str, where: Path, size: int) -> None:
    """Send a small file, to have loaded all that is needed, and then the large one."""
    large = where / "large.bin"
    with large.open("wb") as file:
        file.truncate(size)
    async with HydrusClient(url, KEY, timeout_seconds=600) as client:
        await client.connect()
        await client.add_file(make_pictures(where, 1)[0])
        idle = Watch().peak
        began = time.perf_counter()
        with Watch() as watch:
            result = await client.add_file(large)
        seconds = time.perf_counter() - began
    more = watch.peak - idle
    print(
        f"upload of {size / MEGABYTE:,.0f} MB in {seconds:.1f} s (status {result.status.name}): "
        f"{more:.1f} MB above the {idle:.1f} MB of idle (to stay below: {MOST_MEGABYTES})"
    )
    print(
        json.dumps({"name": "upload memory", "megabytes": round(more, 1), "below": MOST_MEGABYTES})
    )


def main() -> None:
    """Measure."""
    size = round(float(sys.argv[1]) * 1024 if len(sys.argv) > 1 else 2048) * MEGABYTE
    with folder() as where, simulator(import_seconds=0, known_seconds=0) as url:
        anyio.run(upload, url, where, size)


if __name__ == "__main__":
    main()
