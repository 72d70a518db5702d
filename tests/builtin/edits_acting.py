"""Actions that edit what a simulated client knows of files, called as the engine calls them."""

from __future__ import annotations

from contextlib import asynccontextmanager

from library_acting import Acting, acting

from hydrusd.model import OutcomeKind, StepRecord
from hydrusd.simulator import Service

PUBLIC = "aa" * 32
STARS, FEW_STARS, COUNT = "0a" * 32, "0b" * 32, "0c" * 32
SERVICES = (
    Service("public", 0, PUBLIC),
    Service("stars", 6, STARS, stars=5),
    Service("one to three", 6, FEW_STARS, stars=3, allows_zero=False),
    Service("seen", 22, COUNT),
)
EDITS = (
    "/add_tags/add_tags",
    "/add_tags/set_",
    "/add_notes/",
    "/edit_",
    "/manage_services/commit_pending",
    "/manage_services/forget_pending",
)


class Editing(Acting):
    """See Acting."""

    @property
    def written(self):
        """How many writing requests the simulator got, imports aside."""
        return sum(n for path, n in self.simulator.requests.items() if path.startswith(EDITS))

    async def row(self, sha256):
        """What the client knows of a file, exactly."""
        exact = self.client.info.api_version >= 59
        (row,) = await self.client.file_metadata([sha256], notes=True, milliseconds=exact)
        return row

    def set_tags(self, sha256, statuses, service="my tags"):
        """Give a file tags as its user can: status to tags."""
        client = self.simulator._client
        with client.store.writing():
            mine = client.store.touch(sha256).statuses(client.services.named(service).key)
            mine.clear()
            mine.update({status: set(tags) for status, tags in statuses.items()})

    def after(self, call, outcome=None):
        """Give a call the record of its own outcome, or of another, as the ledger keeps it."""
        outcome = outcome or call.outcome
        (new,) = self.calls(call.action, call.file_hashes)
        new.job_id = call.job_id
        new.steps = [
            StepRecord(0, call.action.action, outcome.kind, "", outcome.values, outcome.receipt)
        ]
        return new

    async def run_and_forget(self, action, hashes):
        """Run it for one call, whose outcome is lost but for what was noted before the deed.

        Gives that outcome, and the one of the next try.
        """
        noted = {}

        async def keep(receipts):
            noted.update(receipts)

        (call,) = self.calls(action, hashes)
        call.keeper = keep
        await type(action).run_set([call])
        (again,) = self.calls(action, hashes)
        again.steps = [
            StepRecord(0, action.action, OutcomeKind.LATER, "", {}, noted.get(call.job_id))
        ]
        await type(action).run_set([again])
        return call.outcome, again.outcome


@asynccontextmanager
async def editing(stage, folder, **config):
    """Give the above."""
    async with acting(stage, folder, **{"extra_services": SERVICES, **config}) as at:
        yield Editing(at.client, at.simulator, at.folder)
