"""All routes of the simulator, one module an area of the API.

To add an area: write its module with a ``ROUTES`` tuple and name it here.
"""

from __future__ import annotations

from hydrusd.simulator._routing import Route
from hydrusd.simulator.routes import (
    access,
    add_files,
    add_notes,
    add_tags,
    add_urls,
    edit_ratings,
    edit_times,
    file_contents,
    file_relationships,
    get_files,
    manage_cookies,
    manage_database,
    manage_headers,
    manage_pages,
    manage_popups,
    manage_services,
    tag_lookups,
)

ROUTES: tuple[Route, ...] = (
    *access.ROUTES,
    *add_files.ROUTES,
    *add_notes.ROUTES,
    *add_tags.ROUTES,
    *add_urls.ROUTES,
    *edit_ratings.ROUTES,
    *edit_times.ROUTES,
    *file_contents.ROUTES,
    *file_relationships.ROUTES,
    *get_files.ROUTES,
    *manage_cookies.ROUTES,
    *manage_database.ROUTES,
    *manage_headers.ROUTES,
    *manage_pages.ROUTES,
    *manage_popups.ROUTES,
    *manage_services.ROUTES,
    *tag_lookups.ROUTES,
)

__all__ = ["ROUTES"]
