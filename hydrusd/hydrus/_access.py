"""Who is there, and what may we do: versions, permissions, and which run of the client."""

from __future__ import annotations

import re

from hydrusd.errors import HydrusFailed, RequestRejected, VersionTooOld

from ._calls import Calls, Route
from ._http import Request
from ._models import ApiVersionAnswer, ClientInfo, ClientInfoAnswer, VerifyAnswer
from ._permissions import Permission

OLDEST_API = 11  # hydrus v377; nothing older was ever tried

API_VERSION = Route("GET", "/api_version")
VERIFY_ACCESS_KEY = Route("GET", "/verify_access_key")
CLIENT_INFO = Route("GET", "/client_info", since_api=92)

# Before API 71 the key's name stands only in this sentence.
_KEY_NAME = re.compile(r"API Permissions \((.*?)\): ", re.DOTALL)
_KNOWN_PERMISSIONS = frozenset(int(permission) for permission in Permission)


class AccessRoutes(Calls):
    """Routes about the client itself and the access key."""

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
