"""Asks the clients where they keep their files, so that no rule takes one of them.

Most people's stores are recognised by their looks. One that is spread over disks, or mounted from
another machine, may not be; a client whose key may "see local file paths" tells. What it told last
is in the ledger, because triggers notice files while the client is away, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from anyio import to_thread

from hydrusd.engine.off_limits import OffLimits
from hydrusd.errors import HydrusError
from hydrusd.hydrus import HydrusClient, PathMap
from hydrusd.ledger import Ledger, LedgerWriter, Memory

OFF_LIMITS = "off limits"
"""The name under which the ledger remembers what a client said of its store."""

log = structlog.get_logger("hydrusd.stores")


class Stores:
    """What the clients say of their stores."""

    def __init__(self, off_limits: OffLimits, ledger: LedgerWriter) -> None:
        self.off_limits = off_limits
        self._ledger = ledger
        self._known: dict[str, object] = {}

    async def recall(self, name: str) -> None:
        """Take up what a client said the last time."""
        kept = (await self._ledger(Ledger.recall, OFF_LIMITS, name)).get("folders")
        if isinstance(kept, Mapping):
            self._known[name] = dict(kept)
            await to_thread.run_sync(self.off_limits.claim, name, kept)

    async def look(
        self, name: str, client: HydrusClient, path_map: Sequence[tuple[str, str]]
    ) -> None:
        """Ask a client, where it can be asked. ``path_map`` has folders as here and as there."""
        folders = await self.asked(name, client, path_map)
        if folders is None or folders == self._known.get(name):
            return
        self._known[name] = folders
        await self._ledger(Ledger.remember, OFF_LIMITS, Memory(name, {"folders": folders}))
        await to_thread.run_sync(self.off_limits.claim, name, folders)

    async def look_only(
        self, name: str, client: HydrusClient, path_map: Sequence[tuple[str, str]]
    ) -> None:
        """Do the same, and remember nothing."""
        folders = await self.asked(name, client, path_map)
        if folders is not None:
            await to_thread.run_sync(self.off_limits.claim, name, folders)

    async def asked(
        self, name: str, client: HydrusClient, path_map: Sequence[tuple[str, str]]
    ) -> dict[str, list[str]] | None:
        """Give the folders and what is in them; None where the client does not say."""
        try:
            locations = await client.local_file_storage_locations()
        except HydrusError as error:
            log.debug("where the client keeps its files is not known", lane=name, error=str(error))
            return None
        to_here = PathMap([(there, here) for here, there in path_map])
        folders: dict[str, list[str]] = {}
        for each in locations:
            for path in (each.path, to_here.translated(each.path)):
                if path is not None:
                    folders[path] = sorted(each.prefixes)
        return folders
