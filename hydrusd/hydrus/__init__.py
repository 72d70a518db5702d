"""The room that talks to Hydrus clients over their Client API."""

from __future__ import annotations

from ._client import HydrusClient
from ._files import FileChangedError
from ._models import (
    AddFileResult,
    ClientInfo,
    ImportStatus,
    Service,
    ServiceType,
    TagStatus,
)
from ._permissions import Permission
from ._services import AmbiguousService, UnknownService
from ._tags import clean_tag

__all__ = [
    "AddFileResult",
    "AmbiguousService",
    "ClientInfo",
    "FileChangedError",
    "HydrusClient",
    "ImportStatus",
    "Permission",
    "Service",
    "ServiceType",
    "TagStatus",
    "UnknownService",
    "clean_tag",
]
