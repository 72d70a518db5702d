"""What an access key may do, in numbers for the protocol and in words for people.

The words matter: a message that names a box which the user's client does not show sends
them searching. Hydrus has renamed boxes, so the words depend on the API version.
"""

from __future__ import annotations

from enum import IntEnum


class Permission(IntEnum):
    """One box that a user ticks for an access key. The values are the protocol's."""

    IMPORT_URLS = 0
    IMPORT_FILES = 1
    EDIT_TAGS = 2
    SEARCH_FILES = 3
    MANAGE_PAGES = 4
    MANAGE_HEADERS = 5
    MANAGE_DATABASE = 6
    EDIT_NOTES = 7
    EDIT_RELATIONSHIPS = 8
    EDIT_RATINGS = 9
    MANAGE_POPUPS = 10
    EDIT_TIMES = 11
    COMMIT_PENDING = 12
    SEE_LOCAL_PATHS = 13

    def words(self, api_version: int) -> str:
        """Give the text beside the box in a client of that API version."""
        for before, renamed in _FORMER_WORDS:
            if api_version < before and self in renamed:
                return renamed[self]
        return _WORDS[self]

    @property
    def since_api(self) -> int:
        """Which API version brought the box."""
        return _SINCE_API.get(self, 0)


_SINCE_API = {
    Permission.MANAGE_DATABASE: 17,
    Permission.EDIT_NOTES: 27,
    Permission.EDIT_RELATIONSHIPS: 40,
    Permission.EDIT_RATINGS: 48,
    Permission.MANAGE_POPUPS: 57,
    Permission.EDIT_TIMES: 59,
    Permission.COMMIT_PENDING: 66,
    Permission.SEE_LOCAL_PATHS: 71,
}

_WORDS = {
    Permission.IMPORT_URLS: "import and edit urls",
    Permission.IMPORT_FILES: "import and delete files",
    Permission.EDIT_TAGS: "edit file tags",
    Permission.SEARCH_FILES: "search for and fetch files",
    Permission.MANAGE_PAGES: "manage pages",
    Permission.MANAGE_HEADERS: "manage cookies and headers",
    Permission.MANAGE_DATABASE: "manage database",
    Permission.EDIT_NOTES: "edit file notes",
    Permission.EDIT_RELATIONSHIPS: "edit file relationships",
    Permission.EDIT_RATINGS: "edit file ratings",
    Permission.MANAGE_POPUPS: "manage popups",
    Permission.EDIT_TIMES: "edit file times",
    Permission.COMMIT_PENDING: "commit pending",
    Permission.SEE_LOCAL_PATHS: "see local file paths",
}

# Oldest first: the first table that the version is below, and that has the box, is right.
_FORMER_WORDS: tuple[tuple[int, dict[Permission, str]], ...] = (
    (
        40,
        {
            Permission.IMPORT_URLS: "add urls for processing",
            Permission.IMPORT_FILES: "import files",
            Permission.EDIT_TAGS: "add tags to files",
            Permission.SEARCH_FILES: "search for files",
            Permission.EDIT_NOTES: "add notes to files",
        },
    ),
    (43, {Permission.MANAGE_HEADERS: "manage cookies"}),
    (
        59,
        {
            Permission.SEARCH_FILES: "search and fetch files",
            Permission.EDIT_RELATIONSHIPS: "manage file relationships",
        },
    ),
)
