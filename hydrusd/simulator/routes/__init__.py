"""All routes of the simulator, one module an area of the API.

To add an area: write its module with a ``ROUTES`` tuple and name it here.
"""

from __future__ import annotations

from hydrusd.simulator._routing import Route
from hydrusd.simulator.routes import (
    access,
    add_files,
    add_tags,
    get_files,
    manage_database,
)

ROUTES: tuple[Route, ...] = (
    *access.ROUTES,
    *add_files.ROUTES,
    *add_tags.ROUTES,
    *get_files.ROUTES,
    *manage_database.ROUTES,
)

__all__ = ["ROUTES"]
