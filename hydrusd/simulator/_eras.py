"""What tells the clients of different years apart, as data.

Everything that was recorded to differ between API 11, 32 and 95 and that can be
said in a table is said here; routes ask ``era.has("…")`` or ``era.words["…"]``
and stay free of version numbers. When a route itself came or went stands with
the route (``Route.since``, ``Route.until``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FOR_EVER = 1_000_000

_FEATURES: Mapping[str, tuple[int, int]] = {
    # name: (first API version that has it, first one that does not)
    "add_file_deletes_source": (70, FOR_EVER),
    "add_file_domains": (68, FOR_EVER),
    "add_file_traceback": (45, FOR_EVER),
    "add_url_domains": (68, FOR_EVER),
    "additional_tags": (14, FOR_EVER),
    "associate_without_normalising": (64, FOR_EVER),
    "autocomplete_text": (51, FOR_EVER),
    "basic_information": (24, FOR_EVER),
    "blurhash": (53, FOR_EVER),
    "content_type_suffix": (18, FOR_EVER),
    "create_new_file_ids": (31, FOR_EVER),
    "default_thumbnails": (52, FOR_EVER),
    "delete_lock": (49, FOR_EVER),
    "detailed_urls": (13, FOR_EVER),
    "disallowed_actions_rejected": (41, FOR_EVER),
    "empty_search_finds_nothing": (33, FOR_EVER),
    "empty_tag_lists": (14, FOR_EVER),
    "file_services": (24, FOR_EVER),
    "file_status_flags": (12, FOR_EVER),
    "files_by_id": (29, FOR_EVER),
    "filetype_names": (52, FOR_EVER),
    "hashes_of_page_items": (61, FOR_EVER),
    "hydrus_server_header": (32, FOR_EVER),
    "hydrus_version": (17, FOR_EVER),
    "is_media_page": (66, FOR_EVER),
    "json_errors": (52, FOR_EVER),
    "mapping_flags": (65, FOR_EVER),
    "mr_bones_search": (52, FOR_EVER),
    "named_permissions": (71, FOR_EVER),
    "note_merge": (38, FOR_EVER),
    "notes": (27, FOR_EVER),
    "notes_answered": (38, FOR_EVER),
    "null_is_absent": (21, FOR_EVER),
    "odd_urls_tolerated": (63, FOR_EVER),
    "oldest_first": (93, FOR_EVER),
    "one_focused_page": (20, FOR_EVER),
    "or_search": (20, FOR_EVER),
    "page_states": (41, FOR_EVER),
    "range": (12, FOR_EVER),
    "return_hashes": (25, FOR_EVER),
    "rows_in_request_order": (44, FOR_EVER),
    "search_domains": (19, FOR_EVER),
    "search_flags": (1, 41),
    "search_wildcards": (16, FOR_EVER),
    "selected_everywhere": (40, FOR_EVER),
    "selected_files": (82, FOR_EVER),
    "service_keys": (21, FOR_EVER),
    "service_types": (46, FOR_EVER),
    "services_object": (46, FOR_EVER),
    "services_v2": (90, FOR_EVER),
    "shared_suffixes": (90, FOR_EVER),
    "system_predicates": (18, FOR_EVER),
    "thumbnail_types": (12, FOR_EVER),
    "time_archived": (89, FOR_EVER),
    "tags_object": (35, FOR_EVER),
    "truncated_pictures": (33, FOR_EVER),
    "url_requests": (63, FOR_EVER),
    "version_in_bodies": (54, FOR_EVER),
}

_PERMISSION_NAMES = {
    0: "import and edit urls",
    1: "import and delete files",
    2: "edit file tags",
    3: "search for and fetch files",
    4: "manage pages",
    5: "manage cookies and headers",
    6: "manage database",
    7: "edit file notes",
    8: "edit file relationships",
    9: "edit file ratings",
    10: "manage popups",
    11: "edit file times",
    12: "commit pending",
    13: "see local paths",
}
_OLD_PERMISSION_NAMES = {
    0: "add urls for processing",
    1: "import files",
    2: "add tags to files",
    3: "search for files",
    4: "manage pages",
    5: "manage cookies",
}

_WORDS = {
    "delete_reason": "Deleted via Client API.",
    "dialog_closed": (
        "The permission registration dialog is not open. "
        'Please open it under "review services" in the hydrus client.'
    ),
    "file_missing": "Could not find that file!",
    "no_files": "Please include some files in your request--file_id or hash based!",
    "service_key_missing": 'Could not find the tag service "{key}"!',
    "service_name_missing": 'Could not find the service "{name}"!',
    "searchable": "Can search: all tags",
    "thing_no_type": "unknown filetype",
    "unforeseen": (
        "The repository encountered an error it could not handle! Here is a dump of what happened, "
        "which will also be written to your client.log file. If it persists, please forward it "
        "to the developer:\n\n"
    ),
}

_PAGE = (
    "\n<html>\n  <head><title>404 - No Such Resource</title></head>\n  <body>\n"
    "    <h1>No Such Resource</h1>\n    <p>{words}</p>\n  </body>\n</html>\n"
)
_NO_LUCK = "Sorry. No luck finding that resource."


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """One recorded client, as far as it differs from the others.

    ``missing_page`` answers a path under no known folder, ``missing_in_folder`` one
    beside routes that exist. ``import_errors`` maps what is wrong with a file to the
    exception that the client names in its note.
    """

    api: int
    hydrus: int
    network_version: int
    server: str
    missing_server: str
    html_type: str
    missing_page: str
    missing_in_folder: str
    request_line_bytes: int
    malformed_key_status: int
    dialog_closed_status: int
    expired_session_status: int
    time_format: str
    permission_names: Mapping[int, str]
    import_errors: Mapping[str, str]
    words: Mapping[str, str]

    def has(self, feature: str) -> bool:
        """Say whether this client's API version has a feature of the table above."""
        since, until = _FEATURES[feature]
        return since <= self.api < until


_NEW_IMPORT_ERRORS = {
    "unknown": "hydrus.core.HydrusExceptions.UnsupportedFileException: Unknown filetype!",
    "empty": "hydrus.core.HydrusExceptions.ZeroSizeFileException: File is of zero length!",
    "damaged": ("hydrus.core.HydrusExceptions.UnsupportedFileException: image file is truncated"),
    "bomb": (
        "hydrus.core.HydrusExceptions.DecompressionBombException: "
        "Image seems to be a Decompression Bomb!"
    ),
}

ERAS: Mapping[int, Era] = MappingProxyType(
    {
        95: Era(
            api=95,
            hydrus=682,
            network_version=20,
            server="client api/95 (682)",
            missing_server="client api/95 (682)",
            html_type="text/html; charset=UTF-8",
            missing_page=_PAGE.format(words=_NO_LUCK),
            missing_in_folder=(
                "<!DOCTYPE html>\n<html><head><title>404 - No Such Resource</title></head>"
                f"<body><h1>No Such Resource</h1><p>{_NO_LUCK}</p></body></html>"
            ),
            request_line_bytes=2 * 1024 * 1024,
            malformed_key_status=400,
            dialog_closed_status=409,
            expired_session_status=500,
            time_format="%Y-%m-%d %H:%M:%S",
            permission_names=_PERMISSION_NAMES,
            import_errors=_NEW_IMPORT_ERRORS,
            words={
                **_WORDS,
                "file_missing": "The client does not have this file!",
                "service_name_missing": 'Sorry, did not find a service with name "{name}"!',
                "searchable": "Can search: allowing all tags",
                "unforeseen": (
                    'The "client api" encountered an error it could not handle!\n\nHere is a full '
                    "traceback of what happened. If you are using the hydrus client, it will be "
                    "saved to your log. Please forward it to the developer:\n\n"
                ),
            },
        ),
        32: Era(
            api=32,
            hydrus=500,
            network_version=20,
            server="client api/32 (500)",
            missing_server="client api/32 (500)",
            html_type="text/html; charset=UTF-8",
            missing_page=_PAGE.format(words=_NO_LUCK),
            missing_in_folder=_PAGE.format(words=_NO_LUCK),
            request_line_bytes=2 * 1024 * 1024,
            malformed_key_status=500,
            dialog_closed_status=409,
            expired_session_status=419,
            time_format="%Y-%m-%d %H:%M:%S",
            permission_names={
                **_OLD_PERMISSION_NAMES,
                6: "manage database",
                7: "add notes to files",
            },
            import_errors=_NEW_IMPORT_ERRORS,
            words={
                **_WORDS,
                "no_files": "Sorry, I was expecting at least 1 sha256 hash, but none were given!",
                "service_key_missing": (
                    "Could not find the service with key {key}! Maybe it was recently deleted?"
                ),
            },
        ),
        11: Era(
            api=11,
            hydrus=377,
            network_version=18,
            server="client api/18",
            missing_server="TwistedWeb/21.7.0",
            html_type="text/html",
            missing_page=_PAGE.format(words="No such child resource."),
            missing_in_folder=_PAGE.format(words=_NO_LUCK),
            request_line_bytes=1024 * 1024,
            malformed_key_status=500,
            dialog_closed_status=403,
            expired_session_status=419,
            time_format="%Y/%m/%d %H:%M:%S",
            permission_names=_OLD_PERMISSION_NAMES,
            import_errors={
                "unknown": "include.HydrusExceptions.MimeException: Unknown filetype!",
                "empty": "include.HydrusExceptions.SizeException: File is of zero length!",
                "damaged": "OSError: image file is truncated",
                "bomb": (
                    "include.HydrusExceptions.DecompressionBombException: "
                    "Image seems to be a Decompression Bomb!"
                ),
            },
            words={
                **_WORDS,
                "no_files": "There were no hashes given!",
                "thing_no_type": "unknown mime",
            },
        ),
    }
)
