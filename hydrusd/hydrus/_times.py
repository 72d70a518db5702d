"""Times of files: when they were modified, imported, viewed; and how long they were viewed.

All of it is in the client's database; the files on disk keep the times they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from hydrusd.errors import RequestRejected

from ._calls import FileReference, Route
from ._permissions import Permission
from ._services import FILES, ServiceRoutes

SET_TIME = Route("POST", "/edit_times/set_time", Permission.EDIT_TIMES, since_api=59)
INCREMENT_FILE_VIEWTIME = Route(
    "POST", "/edit_times/increment_file_viewtime", Permission.EDIT_TIMES, since_api=78
)
SET_FILE_VIEWTIME = Route(
    "POST", "/edit_times/set_file_viewtime", Permission.EDIT_TIMES, since_api=78
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeKind(IntEnum):
    """The times that a client keeps of a file. The values are the protocol's."""

    MODIFIED_ON_WEB = 0
    MODIFIED_ON_DISK = 1
    IMPORTED = 3
    DELETED = 4
    ARCHIVED = 5
    LAST_VIEWED = 6
    PREVIOUSLY_IMPORTED = 7


class CanvasType(IntEnum):
    """Where a file was viewed. The values are the protocol's."""

    MEDIA_VIEWER = 0
    PREVIEW = 1
    CLIENT_API = 4


_IN_A_SERVICE = frozenset({TimeKind.IMPORTED, TimeKind.DELETED, TimeKind.PREVIOUSLY_IMPORTED})


class TimeRoutes(ServiceRoutes):
    """Routes about times; all need "edit file times".

    A time is an aware datetime, of which whole milliseconds count. ``files`` are hashes or
    ids, sent 256 a request, so a failure may leave some done.
    """

    async def set_time(
        self,
        files: Sequence[FileReference],
        kind: TimeKind,
        at: datetime | None,
        *,
        domain: str | None = None,
        file_service: str | None = None,
        canvas: CanvasType | None = None,
    ) -> None:
        """Set one time of files.

        MODIFIED_ON_WEB needs the web ``domain``, and alone can be made where there was none,
        or removed with None. IMPORTED, DELETED and PREVIOUSLY_IMPORTED need the
        ``file_service`` that they are of, by name or key; LAST_VIEWED a ``canvas``. All files of
        a request must have such a time already, or RequestRejected and none is set.

        Safe to repeat. Needs Client API ≥ 59.
        """
        self._require(SET_TIME)
        content: dict[str, object] = {"timestamp_type": kind.value}
        for given, wanted, name in (
            (domain, kind is TimeKind.MODIFIED_ON_WEB, "domain"),
            (file_service, kind in _IN_A_SERVICE, "file_service"),
            (canvas, kind is TimeKind.LAST_VIEWED, "canvas"),
        ):
            if (given is not None) != wanted:
                verb = "needs" if wanted else "has no"
                raise RequestRejected(f"the time {kind.name} {verb} {name}")
        if at is None and kind is not TimeKind.MODIFIED_ON_WEB:
            raise RequestRejected(f"the time {kind.name} cannot be removed")
        if domain is not None:
            if not domain or domain == "local":
                raise RequestRejected(f"no web domain: {domain!r} (the disk is MODIFIED_ON_DISK)")
            content["domain"] = domain
        if file_service is not None:
            content["file_service_key"] = self._service(file_service, FILES).reference
        if canvas is not None:
            content["canvas_type"] = canvas.value
        content["timestamp_ms"] = None if at is None else _milliseconds(at)
        await self._tell_of(SET_TIME, files, content)

    async def increment_file_viewtime(
        self,
        files: Sequence[FileReference],
        canvas: CanvasType,
        *,
        seconds: float,
        views: int = 1,
        at: datetime | None = None,
    ) -> None:
        """Add to how often and how long files were viewed, the last time ``at`` or now.

        Not safe to repeat: what is unknown after a failure would count twice. Raises
        RequestRejected where the user has turned these statistics off. Needs Client API ≥ 78.
        """
        self._require(INCREMENT_FILE_VIEWTIME)
        await self._tell_of(INCREMENT_FILE_VIEWTIME, files, _viewed(canvas, seconds, views, at))

    async def set_file_viewtime(
        self,
        files: Sequence[FileReference],
        canvas: CanvasType,
        *,
        seconds: float,
        views: int,
        at: datetime | None = None,
    ) -> None:
        """Set how often and how long files were viewed, and the last time if ``at`` is given.

        Safe to repeat. Raises RequestRejected where the user has turned these statistics off.
        Needs Client API ≥ 78.
        """
        self._require(SET_FILE_VIEWTIME)
        await self._tell_of(SET_FILE_VIEWTIME, files, _viewed(canvas, seconds, views, at))


def _viewed(
    canvas: CanvasType, seconds: float, views: int, at: datetime | None
) -> dict[str, object]:
    if not 0 <= seconds < float("inf") or views < 0:
        raise RequestRejected(f"a file cannot be viewed {views} times for {seconds} seconds")
    content: dict[str, object] = {
        "canvas_type": canvas.value,
        "viewtime": float(seconds),
        "views": views,
    }
    if at is not None:
        content["timestamp_ms"] = _milliseconds(at)
    return content


def _milliseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise RequestRejected(f"a time without a time zone could be any: {at.isoformat()}")
    return (at - _EPOCH) // timedelta(milliseconds=1)
