"""Who is there, and what may we do: versions, permissions, and which run of the client."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, SecretStr

from hydrusd.errors import HydrusError, HydrusFailed, RequestRejected, VersionTooOld
from hydrusd.redaction import register

from ._calls import Calls, Route
from ._http import Request, encode_query
from ._models import ApiVersionAnswer, ClientInfo, ClientInfoAnswer, VerifyAnswer
from ._permissions import Permission

OLDEST_API = 11  # hydrus v377; nothing older was ever tried

API_VERSION = Route("GET", "/api_version")
VERIFY_ACCESS_KEY = Route("GET", "/verify_access_key")
CLIENT_INFO = Route("GET", "/client_info", since_api=92)
REQUEST_NEW_PERMISSIONS = Route("GET", "/request_new_permissions")

_EVERYTHING_SINCE_API = 71
_DIALOG_CLOSED = re.compile(r"(?i)dialog is not open")

# Before API 71 the key's name stands only in this sentence.
_KEY_NAME = re.compile(r"API Permissions \((.*?)\): ", re.DOTALL)
_KNOWN_PERMISSIONS = frozenset(int(permission) for permission in Permission)


@dataclass(frozen=True, slots=True)
class ClientRun:
    """One run of the client: a name for it, when it began, and whether it is idle now."""

    boot_id: str
    boot_time: datetime | None
    currently_idle: bool


class PermissionDialogClosed(HydrusFailed):
    """The client takes no requests for permissions until its user opens the dialog for them."""


class NewKeyAnswer(BaseModel):
    """GET /request_new_permissions."""

    access_key: SecretStr


class AccessRoutes(Calls):
    """Routes about the client itself and the access key."""

    async def client_info(self) -> ClientRun:
        """Ask which run of the client this is, since when, and whether its user is away.

        Any access key will do. Needs Client API ≥ 92.
        """
        self._require(CLIENT_INFO)
        answer = await self._ask(ClientInfoAnswer, CLIENT_INFO)
        return ClientRun(answer.boot_id, answer.boot_time, answer.currently_idle)

    async def versions(self) -> tuple[int, int | None]:
        """Ask which Client API is spoken there, and by which Hydrus (told since API 17).

        Needs no access key and no ``connect``. Raises VersionTooOld below API 11.
        """
        answer = await self._read_version()
        return answer.version, answer.hydrus_version

    async def request_new_permissions(
        self,
        name: str,
        permissions: Iterable[Permission] = (),
        *,
        permits_everything: bool = False,
    ) -> SecretStr:
        """Ask the client's user for an access key, and give it; it works once they approve.

        Needs no access key and no ``connect``. Only while the user has the dialog open:
        raises PermissionDialogClosed otherwise. ``name`` is what they will know the key by.
        Each call gives another key, of which the dialog shows the last. Raises VersionTooOld
        for a permission that this client does not have, and below Client API 71 for
        ``permits_everything``.
        """
        asked = sorted(set(permissions))
        spoken = (await self._read_version()).version
        needed = {f'the permission "{one.words(spoken)}"': one.since_api for one in asked}
        if permits_everything:
            needed["permission for everything"] = _EVERYTHING_SINCE_API
        for what, since_api in needed.items():
            if spoken < since_api:
                raise VersionTooOld(
                    f"{what} needs Client API ≥ {since_api}, this client speaks {spoken}: "
                    "update Hydrus"
                )
        params: dict[str, object] = {"name": name, "basic_permissions": [int(one) for one in asked]}
        if permits_everything:
            params["permits_everything"] = True
        request = Request(
            REQUEST_NEW_PERMISSIONS.method,
            REQUEST_NEW_PERMISSIONS.path,
            query=encode_query(params),
        )
        answer = await self._wire.send(request)
        try:
            key = self._parsed(NewKeyAnswer, request, answer).access_key
        except HydrusError as error:
            # Old clients say so in the status that stands for a bad key elsewhere.
            if error.status in {403, 409} and _DIALOG_CLOSED.search(error.excerpt):
                raise PermissionDialogClosed(
                    "the client is not asking for permissions: open services > review services "
                    "> local > client api > add > from api request",
                    method=error.method,
                    path=error.path,
                    status=error.status,
                    excerpt=error.excerpt,
                ) from error
            raise
        register(key.get_secret_value())
        return key

    async def boot(self) -> str:
        """Ask the client now which of its runs this is, and give a name for that.

        The same name as before proves that the client has not restarted in between. From
        API 92 on it is the client's own boot id. Before, it is a random name that lasts as
        long as the session with the client; that dies when the client does, and also
        after a day without a request, so a new name is no proof of a restart.
        """
        if self.info.api_version < CLIENT_INFO.since_api:
            await self._ask(VerifyAnswer, VERIFY_ACCESS_KEY)  # renews a session that has died
        return await self._read_boot(self.info.api_version)

    async def _read_info(self) -> ClientInfo:
        version = await self._read_version()
        verified = await self._ask(VerifyAnswer, VERIFY_ACCESS_KEY)
        named = _KEY_NAME.match(verified.human_description)
        return ClientInfo(
            api_version=version.version,
            hydrus_version=version.hydrus_version,
            permissions=frozenset(
                Permission(number)
                for number in verified.basic_permissions
                if number in _KNOWN_PERMISSIONS
            ),
            permits_everything=verified.permits_everything,
            boot=await self._read_boot(version.version),
            key_name=verified.name or (named[1] if named else ""),
        )

    async def _read_version(self) -> ApiVersionAnswer:
        request = Request(API_VERSION.method, API_VERSION.path)
        try:
            answer = self._parsed(ApiVersionAnswer, request, await self._wire.send(request))
        except RequestRejected as error:
            # Every Hydrus client has this route. A permanent refusal would cost jobs their
            # lives because something else sits on the port for a while.
            raise HydrusFailed(
                f"what answers at {self._wire.address} is no Hydrus client",
                method=error.method,
                path=error.path,
                status=error.status,
                excerpt=error.excerpt,
            ) from error
        if answer.version < OLDEST_API:
            raise VersionTooOld(
                f"hydrusd needs Client API ≥ {OLDEST_API}, this client speaks {answer.version}: "
                "update Hydrus"
            )
        return answer

    async def _read_boot(self, api_version: int) -> str:
        if api_version >= CLIENT_INFO.since_api:
            return (await self._ask(ClientInfoAnswer, CLIENT_INFO)).boot_id
        return self._session.token  # as alive as the request before this
