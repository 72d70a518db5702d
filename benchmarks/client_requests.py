"""Requests per second through hydrusd's client, against bare httpx, on the same route.

Both ask the same simulator over kept-alive connections with a session key, in turns, one
after the other and with as many at once as the client has connections.

    python benchmarks/client_requests.py [REQUESTS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable

import anyio
import httpx
from _measuring import KEY, Figure, simulator

from hydrusd.hydrus import HydrusClient

ROUNDS = 5
AT_ONCE = 8

Ask = Callable[[], Awaitable[object]]


async def measured(ask: Ask, count: int, width: int) -> float:
    """Ask so many times in all, so many at once; give seconds."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await ask()

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(width):
            tasks.start_soon(work)
    return time.perf_counter() - began


async def compare(url: str, count: int) -> None:
    """Measure both in turns, so that what else the machine does hits both."""
    async with HydrusClient(url, KEY) as client, httpx.AsyncClient(base_url=url) as bare:
        await client.connect()
        answer = await bare.get("/session_key", headers={"Hydrus-Client-API-Access-Key": KEY})
        session = {"Hydrus-Client-API-Session-Key": answer.json()["session_key"]}

        async def ask_bare() -> object:
            answer = await bare.get("/client_info", headers=session)
            answer.raise_for_status()
            return answer.json()

        for width in (1, AT_ONCE):
            ours = theirs = 0.0
            for _ in range(ROUNDS):
                theirs += await measured(ask_bare, count // ROUNDS, width)
                ours += await measured(client.client_info, count // ROUNDS, width)
            done = count // ROUNDS * ROUNDS
            name = f"requests, {width} at once"
            Figure(name, done / ours, done / theirs, "requests/s", 0.85).print()


def main() -> None:
    """Measure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with simulator(import_seconds=0, known_seconds=0) as url:
        anyio.run(compare, url, count)


if __name__ == "__main__":
    main()
