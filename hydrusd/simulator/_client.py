"""The simulated client itself: its parts, its boots, and its one busy database."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time

from hydrusd.simulator._access import Access
from hydrusd.simulator._config import SimulatorConfig
from hydrusd.simulator._display import Display
from hydrusd.simulator._downloads import Downloads
from hydrusd.simulator._eras import ERAS
from hydrusd.simulator._errors import Refusal
from hydrusd.simulator._network import Network
from hydrusd.simulator._pages import Pages
from hydrusd.simulator._popups import Popups
from hydrusd.simulator._saving import Saving
from hydrusd.simulator._services import Services
from hydrusd.simulator._store import Store


class Client:
    """What the routes work on."""

    def __init__(self, config: SimulatorConfig) -> None:
        if config.api_version not in ERAS:
            known = ", ".join(str(api) for api in ERAS)
            raise ValueError(
                f"no client of API {config.api_version} was recorded; there are {known}"
            )
        self.config = config
        self.era = ERAS[config.api_version]
        self.services = Services(self.era, config.extra_services)
        self.display = Display(config.tag_rules)
        self.access = Access(self.era, config.access_keys)
        self.store = Store(
            state_dir=config.state_dir,
            commit_seconds=config.commit_seconds,
            lose_uncommitted=config.lose_uncommitted,
        )
        self.saving = Saving(self.store)
        self.network = Network(self.era, self.store, self.saving)
        self.pages = Pages(self.era, self.store, self.saving)
        self.popups = Popups()
        self.downloads = Downloads(
            config, self.era, self.services, self.store, self.pages, self.network
        )
        self.locked = False
        self.idle = False
        self._lock = threading.Lock()
        self._busy_until = 0.0
        self.boot()

    def boot(self) -> None:
        """Start anew: another boot id, no sessions, no database lock, pages under new keys."""
        self.boot_id = secrets.token_hex(32)
        self.boot_time = round(time.time(), 3)
        self.store.boot_id = self.boot_id
        self.access.forget_sessions()
        self.locked = False
        with self.store.lock:
            self.saving.forget()
            self.popups.clear()
            self.network.boot()
            self.pages.boot()
            self.downloads.boot()

    async def turn(self, seconds: float = 0.0) -> None:
        """Wait for this job's end in the one line in which all database jobs stand.

        A line in time, not a lock: jobs are given their end when they come, so callers of
        several event loops may share it, and a job of no cost waits only if the line is busy.
        """
        self.store.keep_promise()
        if seconds or self._busy_until > time.monotonic():
            await self.wait_for(self.stand_in_line(seconds))

    def stand_in_line(self, seconds: float) -> float:
        """Give when a job that takes so long will be done if it begins as soon as it can."""
        self.store.keep_promise()
        with self._lock:
            self._busy_until = max(self._busy_until, time.monotonic()) + seconds
            return self._busy_until

    async def wait_for(self, end: float) -> None:
        """Wait until that moment of the monotonic clock."""
        if (left := end - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def check_caller(self, user_agent: str) -> None:
        """Refuse callers that claim to be Hydrus themselves, of another network version."""
        for token in user_agent.split():
            if token.startswith("hydrus/"):
                claimed = int(token.removeprefix("hydrus/"))
                ours = self.era.network_version
                if claimed != ours:
                    outdated = "client" if claimed < ours else "server"
                    raise Refusal(
                        426,
                        f"Network version mismatch! This server's network version is {ours}, "
                        f"whereas your client's is {claimed}! Your {outdated} is out of date; "
                        "please download the latest release.",
                    )
