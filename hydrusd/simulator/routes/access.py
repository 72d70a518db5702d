"""Who is there, what may I do, which services are there: what a caller asks first."""

from __future__ import annotations

from hydrusd.simulator._answers import Answer
from hydrusd.simulator._config import Permissions, Service
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._routing import ANY_KEY, Call, Route
from hydrusd.simulator._services import LIKE_RATING, NUMERICAL_RATING

_SERVICE_READERS = frozenset({1, 2, 3, 4, 7, 8, 9})


async def _welcome(call: Call) -> Answer:
    page = f"<html><body><p>This is a simulated client, API {call.era.api}.</p></body></html>"
    return Answer(body=page.encode(), content_type=call.era.html_type)


async def _api_version(call: Call) -> Answer:
    body = {"version": call.era.api}
    if call.era.has("hydrus_version"):
        body["hydrus_version"] = call.era.hydrus
    return call.json(body)


async def _request_new_permissions(call: Call) -> Answer:
    arguments = call.arguments
    wanted = Permissions(
        name=arguments.text("name"),
        basic=frozenset(arguments.items("basic_permissions", [])),
        permits_everything=arguments.flag("permits_everything", default=False),
    )
    return call.json({"access_key": call.client.access.offer(wanted)})


async def _session_key(call: Call) -> Answer:
    return call.json({"session_key": call.client.access.new_session(call.access_key)})


async def _verify_access_key(call: Call) -> Answer:
    access, permissions = call.client.access, call.permissions
    body: dict[str, object] = {
        "basic_permissions": access.held(permissions),
        "human_description": access.describe(permissions),
    }
    if call.era.has("named_permissions"):
        body |= {"name": permissions.name, "permits_everything": permissions.permits_everything}
    return call.json(body)


async def _client_info(call: Call) -> Answer:
    client = call.client
    return call.json(
        {
            "boot_id": client.boot_id,
            "boot_time": client.boot_time,
            "currently_idle": client.idle,
        }
    )


async def _get_services(call: Call) -> Answer:
    services = call.client.services
    return call.json({**services.lists, **services.objects()})


async def _get_service(call: Call) -> Answer:
    key = _asked_service(call).key
    return call.json({"service": {**call.client.services.described[key], "service_key": key}})


async def _get_service_rating_svg(call: Call) -> Answer:
    by_name = "service_key" not in call.arguments
    service = _asked_service(call)
    if service.type not in {LIKE_RATING, NUMERICAL_RATING}:
        if by_name:  # names are looked up among the services that could have one
            raise Refusal(404, call.era.words["service_name_missing"].format(name=service.name))
        raise bad_request("Sorry, that service is not a like/dislike or numerical one!")
    if not service.svg:
        raise Refusal(404, f'Rating service "{service.name}" does not use a SVG icon!')
    return Answer(body=service.svg.encode(), content_type="image/svg+xml")


def _asked_service(call: Call) -> Service:
    services, arguments = call.client.services, call.arguments
    if "service_key" in arguments:
        key = arguments.text("service_key")
        if key not in services.by_key:
            raise Refusal(404, f'Sorry, did not find a service with key "{key}"!')
    elif "service_name" in arguments:
        key = call.service_key_of_name(arguments.text("service_name"))
    else:
        raise bad_request("Sorry, you need to give a service_key or service_name!")
    return services.by_key[key]


ROUTES = (
    Route(method="GET", path="/", permissions=None, handler=_welcome),
    Route(method="GET", path="/api_version", permissions=None, handler=_api_version),
    Route(
        method="GET",
        path="/request_new_permissions",
        permissions=None,
        handler=_request_new_permissions,
    ),
    Route(method="GET", path="/session_key", permissions=ANY_KEY, handler=_session_key, since=8),
    Route(method="GET", path="/verify_access_key", permissions=ANY_KEY, handler=_verify_access_key),
    Route(method="GET", path="/client_info", permissions=ANY_KEY, handler=_client_info, since=92),
    Route(
        method="GET",
        path="/get_services",
        permissions=_SERVICE_READERS,
        handler=_get_services,
        since=17,
    ),
    Route(
        method="GET",
        path="/get_service",
        permissions=_SERVICE_READERS,
        handler=_get_service,
        since=41,
    ),
    Route(
        method="GET",
        path="/get_service_rating_svg",
        permissions=_SERVICE_READERS,
        handler=_get_service_rating_svg,
        since=83,
    ),
)
