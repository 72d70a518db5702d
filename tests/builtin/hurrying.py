"""A clock for tests that have to wait for a retry, and not for real."""

from __future__ import annotations

from datetime import timedelta

import anyio

from hydrusd.clock import SystemClock


class HurryingClock(SystemClock):
    """Runs faster than others."""

    def __init__(self, speed=30):
        self._speed = speed
        self._began = super().now()
        self._began_monotonic = super().monotonic()

    def now(self):
        return self._began + timedelta(seconds=self.monotonic())

    def monotonic(self):
        return (super().monotonic() - self._began_monotonic) * self._speed

    async def sleep(self, seconds):
        await anyio.sleep(seconds / self._speed)
