"""The client's database as a whole: making it durable, locking it, counting what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from ._calls import Calls, Route
from ._http import Request
from ._models import Moment
from ._permissions import Permission
from ._services import FILES, SEARCHED_TAGS, ServiceRoutes

FORCE_COMMIT = Route(
    "POST", "/manage_database/force_commit", Permission.MANAGE_DATABASE, since_api=76
)
LOCK_ON = Route("POST", "/manage_database/lock_on", Permission.MANAGE_DATABASE, since_api=17)
LOCK_OFF = Route("POST", "/manage_database/lock_off", Permission.MANAGE_DATABASE, since_api=17)
MR_BONES = Route("GET", "/manage_database/mr_bones", Permission.MANAGE_DATABASE, since_api=23)
GET_CLIENT_OPTIONS = Route(
    "GET", "/manage_database/get_client_options", Permission.MANAGE_DATABASE, since_api=55
)

_BONES_SEARCH_SINCE_API = 52


@dataclass(frozen=True, slots=True)
class BonedStats:
    """How much a collection holds, and how much of it waits to be looked at.

    Sizes are in bytes. ``total_viewtime`` is views and seconds in the media viewer, then
    views and seconds in the preview. None is what that version of the client does not count.
    """

    num_inbox: int = 0
    num_archive: int = 0
    num_deleted: int | None = None
    size_inbox: int = 0
    size_archive: int = 0
    size_deleted: int | None = None
    earliest_import_time: Moment = None
    total_viewtime: tuple[float, ...] = ()
    total_alternate_files: int | None = None
    total_alternate_groups: int | None = None
    total_duplicate_files: int | None = None
    total_potential_pairs: int | None = None


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The client's own settings, which change with each of its versions.

    Stands in no ``repr``: there may be a proxy with its password among them.
    """

    options: Mapping[str, object] = field(repr=False)
    old_options: Mapping[str, object] = field(repr=False)


class BonesAnswer(BaseModel):
    """GET /manage_database/mr_bones."""

    boned_stats: BonedStats


class ClientOptionsAnswer(BaseModel):
    """GET /manage_database/get_client_options; the newer ones are told since API 56."""

    options: dict[str, object] = {}
    old_options: dict[str, object] = {}


class DatabaseRoutes(ServiceRoutes, Calls):
    """Routes about the database; all need "manage database"."""

    @property
    def can_force_commit(self) -> bool:
        """Whether ``force_commit`` would be sent: API ≥ 76 and "manage database"."""
        return self._allows(FORCE_COMMIT)

    async def force_commit(self) -> None:
        """Have the client write all that it acknowledged to disk; returns when that is done.

        Needs Client API ≥ 76 and "manage database". Without it a client commits by itself
        after 30 to 46 seconds, and what it acknowledged since is lost if it dies.
        """
        self._require(FORCE_COMMIT)
        # The answer comes a few milliseconds before the commit, and a client killed in between
        # loses everything (v682: 8 of 8). Its database does one thing after the other, so what
        # is answered after that was asked after the commit: the second request is the proof.
        await self._tell(FORCE_COMMIT, {})
        await self._tell(FORCE_COMMIT, {})

    async def lock_on(self) -> None:
        """Have the client let go of its database, so that another program can copy it.

        Waits up to 5 s for that. From then on the client answers nothing but ``lock_off``:
        everything else, a second ``lock_on`` too, raises HydrusUnavailable, and its user
        can do next to nothing. So unlock in a ``finally``, and after a crash as well. Needs
        Client API ≥ 17 and "manage database".
        """
        self._require(LOCK_ON)
        await self._tell(LOCK_ON, {})

    async def lock_off(self) -> None:
        """Give the client its database back.

        Can do without ``connect``, which a locked client refuses: after a crash of ours
        somebody has to unlock it. Raises RequestRejected where it is not locked. Needs
        Client API ≥ 17 and "manage database".
        """
        if self._info is not None:
            self._require(LOCK_OFF)
        # By the access key: while it is locked the client opens no session.
        request = Request(
            LOCK_OFF.method, LOCK_OFF.path, body=b"{}", content_type="application/json"
        )
        self._succeeded(request, await self._session.send_with_access_key(request))

    async def mr_bones(
        self,
        *,
        tags: Sequence[str | Sequence[str]] = (),
        file_service: str = "",
        tag_service: str = "",
    ) -> BonedStats:
        """Count the collection, or what a search finds in it. May take minutes.

        ``tags`` as for a search, a list in the list being "any of these"; services by name
        or key. Needs Client API ≥ 23, for a part of the collection ≥ 52, and "manage
        database". Raises UnknownService or AmbiguousService before anything is sent.
        """
        self._require(MR_BONES)
        params: dict[str, object] = {}
        if tags:
            params["tags"] = list(tags)
        if tags or file_service or tag_service:
            self._require_api(_BONES_SEARCH_SINCE_API, "counting a part of the collection")
        if file_service:
            params["file_service_key"] = self._service(file_service, FILES).reference
        if tag_service:
            params["tag_service_key"] = self._service(tag_service, SEARCHED_TAGS).reference
        return (await self._ask(BonesAnswer, MR_BONES, params=params)).boned_stats

    async def get_client_options(self) -> ClientOptions:
        """Give the client's settings, under whatever names its version has for them.

        Needs Client API ≥ 55 and "manage database".
        """
        self._require(GET_CLIENT_OPTIONS)
        answer = await self._ask(ClientOptionsAnswer, GET_CLIENT_OPTIONS)
        return ClientOptions(answer.options, answer.old_options)
