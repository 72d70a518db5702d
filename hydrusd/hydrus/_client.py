"""The client as the rest of hydrusd sees it: all areas of the API in one object."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from hydrusd.clock import Clock, SystemClock

from ._access import AccessRoutes
from ._database import DatabaseRoutes
from ._files import FileRoutes
from ._http import Transport, Wire
from ._models import ClientInfo
from ._search import SearchRoutes
from ._services import ServiceRoutes
from ._session import Session
from ._tags import TagRoutes


class HydrusClient(
    AccessRoutes, FileRoutes, TagRoutes, SearchRoutes, DatabaseRoutes, ServiceRoutes
):
    """One Hydrus client, reached over its Client API (version 11 and later).

    Call ``connect`` before anything else, and again whenever the client was away or its
    user has changed something: versions, permissions and services are read only there.

    ``url`` is where the API listens, as ``http://127.0.0.1:45869``. ``access_key`` is 64
    hexadecimal digits; it is sent only to open a session and appears in no text.
    ``timeout_seconds`` is the longest silence while waiting for an answer: a client busy
    with its database blocks for minutes. Raises ValueError for what is no address.

    Every call raises a HydrusError where it did not end well: HydrusUnavailable (away,
    busy, cut off), AccessDenied (the key), PermissionMissing, VersionTooOld (both before
    sending, as far as is known), RequestRejected (for good) and HydrusFailed (for now).
    """

    def __init__(
        self,
        url: str,
        access_key: str,
        *,
        clock: Clock | None = None,
        timeout_seconds: float = 120,
        transport: Transport | None = None,
    ) -> None:
        self._wire = Wire(url, timeout_seconds=timeout_seconds, transport=transport)
        self._session = Session(self._wire, access_key, clock or SystemClock())

    def __repr__(self) -> str:
        speaks = f" speaking API {self._info.api_version}" if self._info else ""
        return f"<HydrusClient at {self._wire.address}{speaks}>"

    async def __aenter__(self) -> Self:
        """Give the client itself. Does not connect: the other side may be away for days."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close all connections. The object cannot be used afterwards."""
        await self._wire.close()

    async def connect(self) -> ClientInfo:
        """Read versions, permissions and services, on a session that is known to live.

        Any access key will do. Raises VersionTooOld below API 11; where it fails, what was
        known before stays.
        """
        before = self._info
        self._info = await self._read_info()
        try:
            self._services = await self._read_services()
        except BaseException:
            self._info = before
            raise
        return self._info
