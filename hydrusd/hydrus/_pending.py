"""What waits to be uploaded to repositories and IPFS: counting, uploading, throwing away."""

from __future__ import annotations

import re

from pydantic import BaseModel

from ._calls import Calls, Route
from ._models import ServiceType
from ._permissions import Permission
from ._services import Kind, ServiceRoutes, UnknownService

GET_PENDING_COUNTS = Route(
    "GET", "/manage_services/get_pending_counts", Permission.COMMIT_PENDING, since_api=66
)
COMMIT_PENDING = Route(
    "POST", "/manage_services/commit_pending", Permission.COMMIT_PENDING, since_api=66
)
FORGET_PENDING = Route(
    "POST", "/manage_services/forget_pending", Permission.COMMIT_PENDING, since_api=66
)

UPLOADS = Kind(
    "repository or IPFS service",
    frozenset({ServiceType.TAG_REPOSITORY, ServiceType.FILE_REPOSITORY, ServiceType.IPFS}),
    "nothing is uploaded to it",
)
_KEY = re.compile(r"[0-9a-fA-F]{64}")


class PendingCountsAnswer(BaseModel):
    """GET /manage_services/get_pending_counts."""

    pending_counts: dict[str, dict[str, int]]


class PendingRoutes(ServiceRoutes, Calls):
    """Routes about pending content; all need Client API ≥ 66 and "commit pending"."""

    async def get_pending_counts(self) -> dict[str, dict[str, int]]:
        """Give how much waits to be uploaded: service key → kind of content → number.

        Kinds are ``pending_tag_mappings``, ``pending_tag_siblings``, ``pending_tag_parents``,
        ``pending_files``, and the same with ``petitioned_``. Needs Client API ≥ 66 and
        "commit pending".
        """
        self._require(GET_PENDING_COUNTS)
        return (await self._ask(PendingCountsAnswer, GET_PENDING_COUNTS)).pending_counts

    async def commit_pending(self, service: str) -> None:
        """Start to upload what waits for a repository or IPFS service, by name or key.

        Returns before the upload has ended. Raises HydrusFailed while an upload to it runs,
        or where none can start before the client's user has had a look; UnknownService or
        AmbiguousService before anything is sent. Needs Client API ≥ 66 and "commit pending".
        """
        self._require(COMMIT_PENDING)
        await self._tell(COMMIT_PENDING, {"service_key": self.upload_service(service)})

    async def forget_pending(self, service: str) -> None:
        """Throw away all that waits for a repository or IPFS service, by name or key, for good.

        Raises UnknownService or AmbiguousService before anything is sent. Needs Client
        API ≥ 66 and "commit pending".
        """
        self._require(FORGET_PENDING)
        await self._tell(FORGET_PENDING, {"service_key": self.upload_service(service)})

    def upload_service(self, service: str) -> str:
        """Give the key of a repository or IPFS service, by its name or key. Sends nothing.

        Raises UnknownService where there is none, AmbiguousService where several have the name.
        """
        try:
            return self._service(service, UPLOADS).reference
        except UnknownService:
            # IPFS services stand in no list, nor does any service for some access keys.
            if _KEY.fullmatch(service) and all(
                known.key != service.lower() for known in self.services
            ):
                return service.lower()
            raise
