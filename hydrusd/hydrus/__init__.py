"""The room that talks to Hydrus clients over their Client API."""

from __future__ import annotations

from ._access import ClientRun, PermissionDialogClosed
from ._client import HydrusClient
from ._cookies import Cookie
from ._database import BonedStats, ClientOptions
from ._downloads import (
    Fetched,
    RenderFormat,
    Saved,
)
from ._files import FileChangedError
from ._headers import Header, HeaderApproval
from ._metadata import (
    FileMetadata,
    FilePlace,
    FileTags,
    FileUrl,
    FileViews,
)
from ._models import (
    AddFileResult,
    ClientInfo,
    FilePath,
    GeneratedHashes,
    ImportStatus,
    Service,
    ServiceType,
    StorageLocation,
    TagCount,
    TagRelations,
    TagStatus,
    ThumbnailPath,
)
from ._notes import (
    NoteConflict,
    NoteMerge,
)
from ._pages import (
    GalleryItem,
    GalleryLog,
    Importer,
    ImportItem,
    ImportQueue,
    MediaViewer,
    NewPage,
    Page,
    PageInfo,
    PageMedia,
    PageState,
    PageType,
)
from ._permissions import Permission
from ._popups import UNCHANGED, Popup, PopupFiles
from ._relationships import (
    FileRelationships,
    Pair,
    PairSort,
    PixelDuplicates,
    Potentials,
    PotentialsSearch,
    Relation,
)
from ._search import (
    Detail,
    FileSort,
    FoundFiles,
    HashType,
)
from ._services import AmbiguousService, UnknownService
from ._tags import TagAction, clean_tag
from ._times import (
    CanvasType,
    TimeKind,
)
from ._transfer import (
    PathMap,
    TransferMode,
    WrongFileError,
)
from ._urls import AddUrlResult, UrlFile, UrlFiles, UrlInfo, UrlType

__all__ = [
    "UNCHANGED",
    "AddFileResult",
    "AddUrlResult",
    "AmbiguousService",
    "BonedStats",
    "CanvasType",
    "ClientInfo",
    "ClientOptions",
    "ClientRun",
    "Cookie",
    "Detail",
    "Fetched",
    "FileChangedError",
    "FileMetadata",
    "FilePath",
    "FilePlace",
    "FileRelationships",
    "FileSort",
    "FileTags",
    "FileUrl",
    "FileViews",
    "FoundFiles",
    "GalleryItem",
    "GalleryLog",
    "GeneratedHashes",
    "HashType",
    "Header",
    "HeaderApproval",
    "HydrusClient",
    "ImportItem",
    "ImportQueue",
    "ImportStatus",
    "Importer",
    "MediaViewer",
    "NewPage",
    "NoteConflict",
    "NoteMerge",
    "Page",
    "PageInfo",
    "PageMedia",
    "PageState",
    "PageType",
    "Pair",
    "PairSort",
    "PathMap",
    "Permission",
    "PermissionDialogClosed",
    "PixelDuplicates",
    "Popup",
    "PopupFiles",
    "Potentials",
    "PotentialsSearch",
    "Relation",
    "RenderFormat",
    "Saved",
    "Service",
    "ServiceType",
    "StorageLocation",
    "TagAction",
    "TagCount",
    "TagRelations",
    "TagStatus",
    "ThumbnailPath",
    "TimeKind",
    "TransferMode",
    "UnknownService",
    "UrlFile",
    "UrlFiles",
    "UrlInfo",
    "UrlType",
    "WrongFileError",
    "clean_tag",
]
