"""A simulator that has a process to itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from hydrusd.simulator._config import SimulatorConfig
from hydrusd.simulator._serving import STARTUP_SECONDS, Server, bind
from hydrusd.simulator._simulator import Simulator


def run(
    config: SimulatorConfig,
    host: str = "127.0.0.1",
    port: int = 45869,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Run a simulator until SIGTERM or Ctrl-C (SIGBREAK on Windows), then commit and return.

    ``on_ready`` is called with the URL once it listens. Call this in the main thread.
    """
    simulator = Simulator(config)
    listener, url = bind(host, port)
    server = Server(simulator.app, simulator.request_line_bytes)

    def stop(*_: object) -> None:
        server.stop()

    async def serve() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="hydrus simulator")
        await asyncio.to_thread(server.listening.wait, STARTUP_SECONDS)
        if on_ready:
            on_ready(url)
        await serving

    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        asyncio.run(serve())
    finally:
        simulator.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
