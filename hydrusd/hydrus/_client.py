"""The client as the rest of hydrusd sees it: all areas of the API in one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hydrusd.clock import Clock, SystemClock

from ._access import AccessRoutes
from ._cookies import CookieRoutes
from ._database import DatabaseRoutes
from ._downloads import DownloadRoutes
from ._files import FileRoutes
from ._headers import HeaderRoutes
from ._http import Transport, Wire
from ._models import ClientInfo
from ._notes import NoteRoutes
from ._pending import PendingRoutes
from ._popups import PopupRoutes
from ._ratings import RatingRoutes
from ._relationships import RelationshipRoutes
from ._search import SearchRoutes
from ._services import ServiceRoutes
from ._session import Session
from ._tags import TagRoutes
from ._times import TimeRoutes
from ._tls import Security
from ._transfer import Transfer, TransferMode
from ._urls import UrlRoutes


class HydrusClient(
    AccessRoutes,
    FileRoutes,
    TagRoutes,
    RatingRoutes,
    TimeRoutes,
    NoteRoutes,
    RelationshipRoutes,
    DownloadRoutes,
    SearchRoutes,
    UrlRoutes,
    CookieRoutes,
    HeaderRoutes,
    PopupRoutes,
    PendingRoutes,
    DatabaseRoutes,
    ServiceRoutes,
):
    """One Hydrus client, reached over its Client API (version 11 and later).

    Call ``connect`` before anything else, and again whenever the client was away or its
    user has changed something: versions, permissions and services are read only there.

    ``url`` is where the API listens, as ``http://127.0.0.1:45869``. ``access_key`` is 64
    hexadecimal digits; it is sent only to open a session and appears in no text.
    ``timeout_seconds`` is the longest silence while waiting for an answer: a client busy
    with its database blocks for minutes. Raises ValueError for what is no address.

    Plain http to another machine is refused unless ``allow_plain_http``. For https, the
    certificate must be signed by an authority that is known, or by one in ``tls_ca_file``,
    or be the very one whose SHA-256 ``tls_fingerprint`` gives (hexadecimal, colons allowed),
    which is what the self-signed certificate of a Hydrus client needs.

    ``transfer`` says how ``add_file`` hands a file over: ``bytes`` sends it; ``path`` has the
    client open it by itself; ``auto`` tries that once after each ``connect``, where the client
    is on this machine or ``path_map`` covers the file, and sends bytes from then on if it did
    not work. ``path_map`` lists pairs of folders, as this machine and as the client calls
    them, for a client in a container or beside the same network storage; each side is
    written as its own system does. With a map, no path is told that it does not cover.

    A client that is ``read_only`` sends nothing that could change anything: such calls raise
    WriteRefused, whoever makes them.

    Raises ConfigError for settings that cannot be used.

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
        allow_plain_http: bool = False,
        tls_ca_file: Path | None = None,
        tls_fingerprint: str | None = None,
        transfer: TransferMode = "bytes",
        path_map: Sequence[tuple[str, str]] = (),
        read_only: bool = False,
    ) -> None:
        self._wire = Wire(
            url,
            timeout_seconds=timeout_seconds,
            transport=transport,
            security=Security(allow_plain_http, tls_ca_file, tls_fingerprint),
            read_only=read_only,
        )
        self._transfer = Transfer(transfer, path_map, this_machine=self._wire.is_this_machine)
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

    @property
    def requests_under_way(self) -> int:
        """How many requests wait for their answers."""
        return self._wire.under_way

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
        self._transfer.begin()
        return self._info
