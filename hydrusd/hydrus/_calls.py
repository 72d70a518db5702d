"""What every route shares: gates before sending, the error table after, models between.

A call that cannot work is not sent: the client's API version and the permissions of the
access key were read on connecting, so the user hears what to update or to tick before
anything has happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hydrusd.errors import HydrusUnavailable, PermissionMissing, RequestRejected, VersionTooOld

from ._failures import WHERE_TO_LOOK, failure, nonsense
from ._http import Answer, Body, Request, Wire, encode_query, to_json
from ._models import ClientInfo, Service
from ._permissions import Permission
from ._session import Session

# As many files as Hydrus itself puts into one request.
FILES_PER_REQUEST = 256

_DIGITS = 64
_HASH = re.compile(r"[0-9a-f]{64}")
_ALL_HEXADECIMAL = re.compile(r"[0-9a-f]*").fullmatch
_LARGEST_ID = 2**63 - 1
_IDS_SINCE_API = 29  # file ids in place of hashes, on the routes that had only these

AnswerModel = TypeVar("AnswerModel", bound=BaseModel)
Item = TypeVar("Item")

# A file by its SHA-256 in hexadecimal, or by the number which one client gave it.
FileReference = str | int


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the API: what it needs, to be checked before anything is sent."""

    method: str
    path: str
    permission: Permission | None = None
    since_api: int = 0


class Calls:
    """The part of a client that its areas build on."""

    _wire: Wire
    _session: Session
    _info: ClientInfo | None = None
    _services: tuple[Service, ...] = ()

    @property
    def info(self) -> ClientInfo:
        """What the client said when ``connect`` last asked.

        Raises HydrusUnavailable before that: whoever shares this client has yet to connect it.
        """
        if self._info is None:
            raise HydrusUnavailable("Hydrus has not been reached yet")
        return self._info

    def _allows(self, route: Route) -> bool:
        info = self.info
        return info.api_version >= route.since_api and (
            route.permission is None
            or info.permits_everything
            or route.permission in info.permissions
        )

    def _require(self, route: Route) -> None:
        info = self.info
        self._require_api(route.since_api, f"{route.method} {route.path}")
        if not self._allows(route):
            assert route.permission is not None
            words = route.permission.words(info.api_version)
            raise PermissionMissing(
                f'the access key may not "{words}": tick it {WHERE_TO_LOOK}',
                permission=words,
                method=route.method,
                path=route.path,
            )

    def _require_api(self, since_api: int, what: str) -> None:
        spoken = self.info.api_version
        if spoken < since_api:
            raise VersionTooOld(
                f"{what} needs Client API ≥ {since_api}, this client speaks {spoken}: update Hydrus"
            )

    async def _ask(
        self,
        model: type[AnswerModel],
        route: Route,
        *,
        params: Mapping[str, object] | None = None,
        body: Body | bytes = b"",
        content_type: str = "",
        extra_seconds: float = 0.0,
    ) -> AnswerModel:
        """Send a request and give its answer as a model. The caller has checked the gates."""
        request = Request(
            route.method,
            route.path,
            query=encode_query(params) if params else "",
            body=body,
            content_type=content_type,
            extra_seconds=extra_seconds,
        )
        return self._parsed(model, request, await self._session.send(request))

    async def _ask_by_post(
        self, model: type[AnswerModel], route: Route, content: Mapping[str, object]
    ) -> AnswerModel:
        """Post JSON and give the answer as a model. The caller has checked the gates."""
        return await self._ask(model, route, body=to_json(content), content_type="application/json")

    async def _tell(self, route: Route, content: Mapping[str, object]) -> Answer:
        """Post JSON to a route that answers with nothing, or with what nobody needs."""
        request = Request(
            route.method, route.path, body=to_json(content), content_type="application/json"
        )
        answer = await self._session.send(request)
        self._succeeded(request, answer)
        if answer.body and not answer.content_type.startswith("application/json"):
            raise nonsense(request, answer, "nothing or JSON is due")
        return answer

    async def _tell_of(
        self, route: Route, files: Sequence[FileReference], content: Mapping[str, object]
    ) -> None:
        """Post the same JSON for many files, 256 at a time in their order."""
        for some in self._requests_for(files, f"{route.method} {route.path}"):
            await self._tell(route, {**some, **content})

    def _requests_for(
        self, files: Sequence[FileReference], what: str
    ) -> list[dict[str, list[FileReference]]]:
        """Give the parameters that name the files, for as many requests as they need.

        All are checked before the first is given. Hashes and ids do not go into one request:
        a client puts those in an order of its own.
        """
        requests = []
        for kind, run in groupby(checked_files(files), key=type):
            if kind is int:
                self._require_api(_IDS_SINCE_API, f"{what} by file id")
            name = "file_ids" if kind is int else "hashes"
            requests += [{name: list(some)} for some in in_requests(list(run))]
        return requests

    def _parsed(self, model: type[AnswerModel], request: Request, answer: Answer) -> AnswerModel:
        self._succeeded(request, answer)
        try:
            return model.model_validate_json(answer.body)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole"
            why = f"{place}: {first['msg']}"
        # Outside, to be chained to nothing: pydantic shows what nobody should see.
        raise nonsense(request, answer, why)

    def _succeeded(self, request: Request, answer: Answer) -> None:
        if answer.status != 200:
            version = self._info.api_version if self._info else 0
            raise failure(request, answer, version)


def checked_hashes(hashes: Iterable[str]) -> list[str]:
    """Give the hashes in lower case, each once. Raises RequestRejected for what is none."""
    distinct = list(dict.fromkeys(map(str.lower, hashes)))
    if set(map(len, distinct)) - {_DIGITS} or not _ALL_HEXADECIMAL("".join(distinct)):
        one = next(one for one in distinct if not _HASH.fullmatch(one))
        raise RequestRejected(f"not a SHA-256 hash in hexadecimal: {one[:80]!r}")
    return distinct


def checked_files(files: Iterable[FileReference]) -> list[FileReference]:
    """Give the files in their order, each once, hashes in lower case.

    Raises RequestRejected for what is neither a hash nor the number of a file.
    """
    if isinstance(files, str):
        raise RequestRejected("one file was given where a list of files is due")
    distinct = list(dict.fromkeys(one.lower() if isinstance(one, str) else one for one in files))
    for one in distinct:
        if isinstance(one, str):
            checked_hashes([one])
        elif isinstance(one, bool) or not isinstance(one, int) or not 0 < one <= _LARGEST_ID:
            raise RequestRejected(f"not the id of a file: {one!r}")
    return distinct


def in_requests(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Split hashes, or whatever else, into as many as go into one request."""
    for start in range(0, len(items), FILES_PER_REQUEST):
        yield items[start : start + FILES_PER_REQUEST]
