"""The services of the client: names for people, keys for the API.

Names are what users write, and users may rename services and give two the same name. A
name that fits none or several is refused with what there is, never guessed at: tags in
the wrong service are hard to find and to remove.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from hydrusd.errors import PermissionMissing, RequestRejected

from ._calls import Calls, Route
from ._failures import WHERE_TO_LOOK, nonsense
from ._http import Request, encode_query
from ._models import (
    TAG_SERVICE_TYPES,
    Service,
    ServiceAnswer,
    ServiceEntry,
    ServicesAnswer,
    ServiceType,
    TagServicesAnswer,
)
from ._permissions import Permission

GET_SERVICES = Route("GET", "/get_services", since_api=17)
GET_TAG_SERVICES = Route("GET", "/add_tags/get_tag_services")
GET_SERVICE = Route("GET", "/get_service", since_api=41)
GET_SERVICE_RATING_SVG = Route("GET", "/get_service_rating_svg", since_api=83)

# Any one of these will do to see services; those for URLs, cookies, the database, popups,
# times and uploads will not.
_ANY_TO_SEE_SERVICES = (
    Permission.IMPORT_FILES,
    Permission.EDIT_TAGS,
    Permission.SEARCH_FILES,
    Permission.MANAGE_PAGES,
    Permission.EDIT_NOTES,
    Permission.EDIT_RELATIONSHIPS,
    Permission.EDIT_RATINGS,
)

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


@dataclass(frozen=True, slots=True)
class Kind:
    """What a service is wanted for: a word for it, its types, and what to say of all others."""

    name: str
    types: frozenset[ServiceType]
    but: str


TAGS = Kind("tag service", TAG_SERVICE_TYPES, "tags cannot be written to it")
SEARCHED_TAGS = Kind(
    "tag service",
    TAG_SERVICE_TYPES | {ServiceType.ALL_KNOWN_TAGS},
    "it has no tags to search by",
)
LOCAL_DOMAINS = Kind(
    "local file domain",
    frozenset({ServiceType.LOCAL_FILE_DOMAIN}),
    "no local file domain",
)
FILES = Kind(
    "file service",
    frozenset(
        {
            ServiceType.FILE_REPOSITORY,
            ServiceType.LOCAL_FILE_DOMAIN,
            ServiceType.ALL_KNOWN_FILES,
            ServiceType.IPFS,
            ServiceType.TRASH,
            ServiceType.LOCAL_FILE_STORAGE,
            ServiceType.REPOSITORY_UPDATES,
            ServiceType.COMBINED_LOCAL_FILE_DOMAINS,
        }
    ),
    "no files are in it",
)
RATINGS = Kind(
    "rating service",
    frozenset(
        {
            ServiceType.LIKE_RATING,
            ServiceType.NUMERICAL_RATING,
            ServiceType.COUNTING_RATING,
        }
    ),
    "files cannot be rated in it",
)


class UnknownService(RequestRejected):
    """No service of the wanted kind has that name or key. The text lists those which there are."""


class AmbiguousService(RequestRejected):
    """Several services of the wanted kind have that name. The text lists their keys."""


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
        return self._service(name_or_key, TAGS)

    def file_service(self, name_or_key: str) -> Service:
        """Give the service that files are in or were deleted from; as ``tag_service`` does."""
        return self._service(name_or_key, FILES)

    def rating_service(self, name_or_key: str) -> Service:
        """Give the service that files are rated in; as ``tag_service`` does."""
        return self._service(name_or_key, RATINGS)

    def _service(self, name_or_key: str, kind: Kind) -> Service:
        services = [service for service in self._services if service.type in kind.types]
        for service in services:
            if service.key is not None and service.key == name_or_key.lower():
                return service
        found = [service for service in services if service.name == name_or_key]
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(service.reference for service in found)
            raise AmbiguousService(
                f"{len(found)} {kind.name}s are called {name_or_key!r}: "
                f"rename one in the client, or use the key: {keys}"
            )
        raise UnknownService(self._unknown(name_or_key, services, kind))

    def _unknown(self, asked: str, services: Iterable[Service], kind: Kind) -> str:
        names = sorted({service.name for service in services})
        if not names:
            return f"there is no {kind.name} {asked!r}: the client shows this access key none"
        others = [service for service in self._services if asked in {service.name, service.key}]
        why = f"no {kind.name} is called {asked!r}"
        if others:
            why = f"{asked!r} is a service of the client, but {kind.but}"
        near = {name.casefold(): name for name in names}
        meant = difflib.get_close_matches(asked.casefold(), near, n=1)
        hint = f"; did you mean {near[meant[0]]!r}?" if meant else ""
        return f"{why}; there is: {', '.join(map(repr, names))}{hint}"

    async def get_service(self, *, name: str = "", key: str = "") -> Service:
        """Ask the client for one service, by its name or by its key.

        Of several with the name the client gives any: ``services`` has all of them. Raises
        RequestRejected where there is none, or where the client does not speak of such.
        Needs Client API ≥ 41 and any permission that goes with a service.
        """
        self._require_to_see(GET_SERVICE)
        answer = await self._ask(ServiceAnswer, GET_SERVICE, params=_named(name, key))
        found = answer.service
        return Service(found.name, found.service_key.lower(), found.type)

    async def get_service_rating_svg(self, *, name: str = "", key: str = "") -> bytes:
        """Give the picture with which a rating service marks files, as SVG.

        Raises RequestRejected where there is no such service, or no such picture. Needs
        Client API ≥ 83 and any permission that goes with a service.
        """
        self._require_to_see(GET_SERVICE_RATING_SVG)
        route = GET_SERVICE_RATING_SVG
        request = Request(route.method, route.path, query=encode_query(_named(name, key)))
        answer = await self._session.send(request)
        self._succeeded(request, answer)
        if not answer.content_type.startswith("image/svg"):
            raise nonsense(request, answer, "an SVG picture is due")
        return answer.body

    def _require_to_see(self, route: Route) -> None:
        self._require(route)
        info = self.info
        if not info.permits_everything and info.permissions.isdisjoint(_ANY_TO_SEE_SERVICES):
            words = Permission.SEARCH_FILES.words(info.api_version)
            raise PermissionMissing(
                f"the access key may not see the client's services: tick {words!r}, or another "
                f"permission that goes with a service, {WHERE_TO_LOOK}",
                permission=words,
                method=route.method,
                path=route.path,
            )

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
            Service(
                entry.name,
                key.lower() if keyed else None,
                type_,
                entry.min_stars,
                entry.max_stars,
            )
            for entry, key, type_ in _entries(answer)
        )


def _named(name: str, key: str) -> dict[str, object]:
    if bool(name) == bool(key):
        raise RequestRejected("a service is asked for by its name, or by its key")
    return {"service_name": name} if name else {"service_key": key}


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
