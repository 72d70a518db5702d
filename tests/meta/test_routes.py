"""The client and the simulator know the same routes, all of them, each by itself."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import hydrusd.hydrus
from hydrusd.hydrus._calls import Route
from hydrusd.simulator import routes as simulated

ROUTES_OF_API_95 = 76
LEGACY = {("GET", "/add_tags/get_tag_services")}  # gone since API 41
# The session speaks it, not a method of a route.
SESSION = {("GET", "/session_key")}
# What was asked of real clients to see a refusal, and the page for people.
NO_ROUTES = {("GET", "/nope"), ("POST", "/api_version"), ("GET", "/")}

RECORDINGS = sorted(Path(__file__).parents[1].glob("*/recorded/*.json"))


def client_routes():
    found = set(SESSION)
    for module in pkgutil.iter_modules(hydrusd.hydrus.__path__):
        for value in vars(importlib.import_module(f"hydrusd.hydrus.{module.name}")).values():
            if isinstance(value, Route):
                found.add((value.method, value.path))
    return found


def simulator_routes():
    return {(route.method, route.path) for route in simulated.ROUTES} - NO_ROUTES


def test_the_client_speaks_every_route():
    assert len(client_routes() - LEGACY) == ROUTES_OF_API_95


def test_the_simulator_answers_every_route():
    assert simulator_routes() == client_routes()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda p: f"{p.parts[-3]}/{p.name}")
def test_every_recorded_request_is_a_route(recording):
    asked = {
        (entry["method"], entry["path"])
        for entry in json.loads(recording.read_text(encoding="utf-8"))
    }
    assert asked
    assert asked - NO_ROUTES <= client_routes()
