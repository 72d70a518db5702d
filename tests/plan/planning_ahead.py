"""What the tests of plans share: making one, and a picture of everything that it must not touch."""

from __future__ import annotations

import importlib
import pkgutil
from concurrent.futures import ThreadPoolExecutor

import anyio

import hydrusd.hydrus
from hydrusd.daemon import make_plan, read_configuration
from hydrusd.hydrus._calls import Route


def plan_of(project, *, clock=None, **asked):
    """Make a plan for a project, as the command does."""
    configuration = read_configuration(project.folder / "rules.yaml")

    async def make():
        return await make_plan(configuration, project.state_dir, clock=clock, **asked)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, make).result()


def routes():
    """Give all routes of the Client API that hydrusd knows."""
    modules = pkgutil.iter_modules(hydrusd.hydrus.__path__)
    found = (vars(importlib.import_module(f"hydrusd.hydrus.{m.name}")).values() for m in modules)
    return {value.path: value for values in found for value in values if isinstance(value, Route)}


LOOKS_BY_POST = "/add_files/generate_hashes"
WRITES_BY_GET = "/request_new_permissions"


def writes(route):
    if route.method == "GET":
        return route.path == WRITES_BY_GET
    return route.path != LOOKS_BY_POST


def written(simulator):
    """Give how often each writing route was asked for; what is unknown counts as one."""
    known = routes()
    return {
        path: count
        for path, count in simulator.requests.items()
        if count and path != "/session_key" and (path not in known or writes(known[path]))
    }


def world(project):
    """Give all there is: every path with its bytes and times, and what the client holds."""
    state = project.simulator.state()
    disk = {
        path.relative_to(project.folder).as_posix(): (
            path.lstat().st_mtime_ns,
            path.lstat().st_size,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(project.folder.rglob("*"))
    }
    held = {name: state[name] for name in ("files", "tags", "imports", "commits")}
    return disk, held, written(project.simulator)


def difference(project, before):
    """Give what of ``world`` is not as it was, part by part."""
    return [
        {key: (old.get(key), new.get(key)) for key in {*old, *new} if old.get(key) != new.get(key)}
        for old, new in zip(before, world(project), strict=True)
    ]


NO_DIFFERENCE = [{}, {}, {}]
