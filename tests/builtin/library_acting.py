"""Actions on a simulated client's files, called as the engine calls them, over real HTTP."""

from __future__ import annotations

import hashlib
import io
import random
from contextlib import asynccontextmanager
from dataclasses import replace

from PIL import Image

from hydrusd.clock import ManualClock
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobId, OutcomeKind, StepRecord
from hydrusd.plugin import Call
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Service, Simulator, SimulatorConfig

COMICS = "cc" * 32
DOMAINS = (Service("comics", 2, COMICS), Service("scans", 2, "dd" * 32))
CHANGES = ("/add_files/", "/manage_file_relationships/set", "/manage_file_relationships/remove")


class Acting:
    """A client with a simulator behind it, and what tests do with both."""

    def __init__(self, client, simulator, folder):
        self.client = client
        self.simulator = simulator
        self.folder = folder
        self._pictures = random.Random(7)

    def picture(self):
        """Make a picture on the disk; its path and hash."""
        image = Image.frombytes("RGB", (16, 12), self._pictures.randbytes(16 * 12 * 3))
        held = io.BytesIO()
        image.save(held, "PNG")
        sha256 = hashlib.sha256(held.getvalue()).hexdigest()
        path = self.folder / f"{sha256[:8]}.png"
        path.write_bytes(held.getvalue())
        return path, sha256

    async def add(self, count=1):
        """Import that many pictures; their hashes."""
        hashes = []
        for _ in range(count):
            path, sha256 = self.picture()
            await self.client.add_file(path)
            hashes.append(sha256)
        return hashes

    def calls(self, action, *files, data=None, steps=()):
        """Make a call for each list of hashes."""
        return [
            Call(
                action=action,
                job_id=JobId(number),
                rule="a rule",
                data=data or {},
                client=self.client,
                clock=ManualClock(),
                file_hashes=tuple(hashes),
                steps=steps,
                position=len(steps),
            )
            for number, hashes in enumerate(files, 1)
        ]

    async def run(self, action, *files, **more):
        """Run the action for each list of hashes as one set; the outcomes."""
        calls = self.calls(action, *files, **more)
        await type(action).run_set(calls)
        return [call.outcome for call in calls]

    async def again(self, action, outcome, hashes):
        """Run it for one call as the engine does that keeps what the last outcome said."""
        (call,) = self.calls(action, hashes)
        call.steps = [
            StepRecord(0, action.action, outcome.kind, "", outcome.values, outcome.receipt)
        ]
        await type(action).run_set([call])
        return call.outcome

    async def plan(self, action, *files, **more):
        """Foresee it for each list of hashes, and fail if that wrote anything."""
        before = self.written
        foreseen = await type(action).plan(self.calls(action, *files, **more))
        assert self.written == before
        return foreseen

    async def lost(self, action, *files):
        """Give the positions of the calls that are lost."""
        lost = await type(action).lost(self.calls(action, *files))
        return [call.job_id - 1 for call in lost]

    @property
    def written(self):
        """How many writing requests of this family the simulator got."""
        requests = self.simulator.requests
        return sum(count for path, count in requests.items() if path.startswith(CHANGES))

    async def row(self, sha256):
        """What the client knows of a file."""
        (row,) = await self.client.file_metadata([sha256])
        return row

    async def related(self, sha256):
        """What a file is to others."""
        return (await self.client.get_file_relationships([sha256]))[sha256]


@asynccontextmanager
async def acting(stage, folder, **config):
    """Give the above; ``basic`` are the permissions, all without."""
    server, url = stage
    basic = config.pop("basic", None)
    if basic is not None:
        few = Permissions(name="few", basic=frozenset(basic))
        config["access_keys"] = {DEFAULT_ACCESS_KEY: few}
    settings = replace(SimulatorConfig(extra_services=DOMAINS), **config)
    with Simulator(settings) as simulator:
        server.simulator = simulator
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            yield Acting(client, simulator, folder)


DONE, DEAD, LATER, SKIPPED = (
    OutcomeKind.DONE,
    OutcomeKind.DEAD,
    OutcomeKind.LATER,
    OutcomeKind.SKIPPED,
)
