"""The services of the client: names for people, keys for the API.

Names are what users write, and users may rename services and give two the same name. A
name that fits none or several is refused with what there is, never guessed at: tags in
the wrong service are hard to find and to remove.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from hydrusd.errors import PermissionMissing, RequestRejected

from ._calls import Calls, Route
from ._models import Service, ServiceEntry, ServicesAnswer, ServiceType, TagServicesAnswer

GET_SERVICES = Route("GET", "/get_services", since_api=17)
GET_TAG_SERVICES = Route("GET", "/add_tags/get_tag_services")

KEYS_SINCE_API = 21  # from here on the other routes take and give keys

# Which kind of service stands in which list, for clients that do not say (before API 46).
_LISTS = {
    "local_tags": ServiceType.LOCAL_TAG_DOMAIN,
    "tag_repositories": ServiceType.TAG_REPOSITORY,
    "local_files": ServiceType.LOCAL_FILE_DOMAIN,
    "local_updates": ServiceType.REPOSITORY_UPDATES,
    "file_repositories": ServiceType.FILE_REPOSITORY,
    "all_local_files": ServiceType.LOCAL_FILE_STORAGE,
    "all_local_media": ServiceType.COMBINED_LOCAL_FILE_DOMAINS,
    "all_known_files": ServiceType.ALL_KNOWN_FILES,
    "all_known_tags": ServiceType.ALL_KNOWN_TAGS,
    "trash": ServiceType.TRASH,
}


class UnknownService(RequestRejected):
    """No tag service has that name or key. The text lists those which there are."""


class AmbiguousService(RequestRejected):
    """Several tag services have that name. The text lists their keys."""


class ServiceRoutes(Calls):
    """Routes about services."""

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, as read by the last ``connect``; only tag services before API 17.

        Empty where the access key has no permission that goes with a service.
        """
        return self._services

    def tag_service(self, name_or_key: str) -> Service:
        """Give the tag service with that key, or else with exactly that name. Sends nothing.

        Raises UnknownService where there is none, AmbiguousService where several have the name.
        """
        tag_services = [service for service in self._services if service.takes_tags]
        for service in tag_services:
            if service.key is not None and service.key == name_or_key.lower():
                return service
        found = [service for service in tag_services if service.name == name_or_key]
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(service.reference for service in found)
            raise AmbiguousService(
                f"{len(found)} tag services are called {name_or_key!r}: "
                f"rename one in the client, or use the key: {keys}"
            )
        raise UnknownService(self._unknown(name_or_key, tag_services))

    def _unknown(self, asked: str, tag_services: Iterable[Service]) -> str:
        names = sorted({service.name for service in tag_services})
        if not names:
            return f"there is no tag service {asked!r}: the client shows this access key none"
        others = [service for service in self._services if asked in {service.name, service.key}]
        why = f"no tag service is called {asked!r}"
        if others:
            why = f"{asked!r} is a service of the client, but tags cannot be written to it"
        near = {name.casefold(): name for name in names}
        meant = difflib.get_close_matches(asked.casefold(), near, n=1)
        hint = f"; did you mean {near[meant[0]]!r}?" if meant else ""
        return f"{why}; there is: {', '.join(map(repr, names))}{hint}"

    async def _read_services(self) -> tuple[Service, ...]:
        api_version = self.info.api_version
        try:
            if api_version < GET_SERVICES.since_api:
                old = await self._ask(TagServicesAnswer, GET_TAG_SERVICES)
                return (
                    *(Service(name, None, ServiceType.LOCAL_TAG_DOMAIN) for name in old.local_tags),
                    *(
                        Service(name, None, ServiceType.TAG_REPOSITORY)
                        for name in old.tag_repositories
                    ),
                )
            answer = await self._ask(ServicesAnswer, GET_SERVICES)
        except PermissionMissing:
            # A key for importing URLs alone, say. What needs a service will say so.
            return ()
        keyed = api_version >= KEYS_SINCE_API
        return tuple(
            Service(entry.name, key.lower() if keyed else None, type_)
            for entry, key, type_ in _entries(answer)
        )


def _entries(answer: ServicesAnswer) -> Iterable[tuple[ServiceEntry, str, int]]:
    if answer.services_v2 is not None:
        found = [(entry, entry.service_key, entry.type) for entry in answer.services_v2]
    elif answer.services is not None:
        found = [(entry, key, entry.type) for key, entry in answer.services.items()]
    else:
        found = [
            (entry, entry.service_key, type_)
            for name, type_ in _LISTS.items()
            for entry in getattr(answer, name)
        ]
    return [
        (entry, key, type_) for entry, key, type_ in found if key is not None and type_ is not None
    ]
