"""Pages: three shapes of answers, and pages made only of what their type takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hydrusd.errors import PermissionMissing, RequestRejected, VersionTooOld
from hydrusd.hydrus import (
    GalleryItem,
    Importer,
    ImportStatus,
    MediaViewer,
    NewPage,
    PageState,
    PageType,
    Permission,
    UnknownService,
)

pytestmark = pytest.mark.anyio

KEY = "ab" * 32
KNOWN = "ce60b7fa29d98fc77d3a0a7ca3861febfce8c87e146a9548df90672f0a1ec197"
INFO, NEW = "/manage_pages/get_page_info", "/manage_pages/new_page"

RECORDED = Path(__file__).parent / "recorded"
ENTRIES = [
    pytest.param(int(path.stem[1:3]), entry, id=f"{path.stem}-{entry['name']}")
    for path in sorted(RECORDED.glob("*.json"))
    for entry in json.loads(path.read_text("utf-8"))
    if entry["path"].startswith("/manage_pages/")
]


async def call(client, path, asked):
    key = asked.get("page_key", "")
    match path.rpartition("/")[2]:
        case "get_pages":
            return await client.get_pages()
        case "get_page_info":
            return await client.get_page_info(key, simple=asked.get("simple") != "false")
        case "get_media_viewers":
            return await client.get_media_viewers()
        case "add_files":
            return await client.add_files_to_page(key, asked["hashes"])
        case "focus_page":
            return await client.focus_page(key)
        case "refresh_page":
            return await client.refresh_page(key)
        case "new_page":
            page_type = PageType(asked["page_type"])
            return await client.new_page(
                page_type, page_name=asked["page_name"], hashes=asked["hashes"]
            )


def same(ours, theirs):
    """Whether all that the client said is in what we give."""
    if isinstance(theirs, dict):
        return all(
            same(getattr(ours, "selected" if name == "focused" else name), value)
            for name, value in theirs.items()
        )
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, datetime):
        return ours.timestamp() == theirs
    return ours == theirs


@pytest.mark.parametrize(("era", "entry"), ENTRIES)
async def test_every_recorded_answer(speaking, era, entry):
    client, network = await speaking(era)
    network.replays(entry["name"])
    asked, body = next(iter(entry["request"].values()), {}), entry["body"]
    if entry["status"] in {400, 404}:
        with pytest.raises(RequestRejected) as caught:
            await call(client, entry["path"], asked)
        assert caught.value.excerpt == (body if isinstance(body, str) else body["error"])
        return
    result = await call(client, entry["path"], asked)
    if entry["name"].startswith(("focus_page", "refresh_page", "pages_add_files")):
        assert result is None
        assert network.asked[-1].json == asked
    elif "pages" in body:
        assert same(result, body["pages"])
    elif "page_info" in body:
        info = dict(body["page_info"])
        importers = list(info.pop("management").values())
        info.pop("is_media_page", None)
        assert same(result, info)
        assert same(result.importers, importers)
    elif "media_viewers" in body:
        assert result == []
    else:
        assert entry["path"] == NEW
        assert result == NewPage(body["page_key"], body["page_type"], body["page_name"])
        assert network.asked[-1].json == asked


def test_recordings_are_found():
    assert {param.values[0] for param in ENTRIES} == {11, 32, 95}
    assert len({param.values[1]["path"] for param in ENTRIES}) == 7


@pytest.mark.parametrize(
    ("era", "front"), [(11, {"files", "hydrusd"}), (32, {"files"}), (95, {"files"})]
)
async def test_pages_of_each_era(speaking, era, front):
    client, network = await speaking(era)
    network.replays("get_pages")
    root = await client.get_pages()
    assert [page.name for page in root.walk()] == ["top page notebook", "files", "hydrusd"]
    assert {page.name for page in root.pages if page.selected} == front
    assert [page.page_type for page in root.walk()] == [
        PageType.PAGE_OF_PAGES,
        PageType.FILE_SEARCH,
        PageType.URL_DOWNLOADER,
    ]
    assert [page.is_media_page for page in root.walk()] == [False, True, True]
    assert root.page_state == (PageState.READY if era == 95 else None)


async def test_the_queue_of_a_url_page(speaking):
    client, network = await speaking(95)
    network.replays("page_info_urls_after_30s_more")
    info = await client.get_page_info(KEY, simple=False)
    assert "simple=false" in network.asked[0].target
    (importer,) = info.importers
    assert importer.imports.simple_status == "4 - 1Ign1F"
    new, known, *_ = importer.imports.import_items
    assert (new.status, known.status) == (ImportStatus.IMPORTED, ImportStatus.ALREADY_IN_DATABASE)
    assert new.hash == "888ee2293563aefed034a7cada7011e2c9800866323516fe903d75e99b983043"
    assert new.created == datetime.fromtimestamp(1795479588, UTC)
    assert len(importer.imports.import_items) == importer.imports.total_to_process == 4


def page_info(management, **more):
    page = {"name": "n", "page_key": KEY, "page_type": 1, "management": management, **more}
    return {"page_info": page}


IMPORTS = {"status": "", "simple_status": "1", "total_processed": 1, "total_to_process": 2}
LOG = {"status": "1", "total_processed": 1, "total_to_process": 1}
LOG_ITEM = {"url": "http://a", "created": 5, "modified": 0, "status": 1, "note": ""}


async def test_pages_with_many_downloaders(speaking, reply):
    client, network = await speaking(95)
    gallery = {"query_text": "q", "source": "s", "gallery_key": "cd" * 32, "gallery_paused": True}
    gallery |= {"imports": IMPORTS, "gallery_log": {**LOG, "log_items": [LOG_ITEM]}}
    management = {"gallery_imports": [gallery, gallery], "highlight": "cd" * 32}
    body = page_info({"multiple_gallery_import": management}, surprise=1)
    network.says(INFO, reply(body=body))
    info = await client.get_page_info(KEY)
    assert "simple=true" in network.asked[0].target
    assert [importer.query_text for importer in info.importers] == ["q", "q"]
    assert info.importers[0].gallery_paused
    assert info.highlight == "cd" * 32
    assert info.importers[0].gallery_log.log_items == (
        GalleryItem("http://a", 1, "", datetime.fromtimestamp(5, UTC), None),
    )
    watcher = {"url": "http://w", "watcher_key": "ef" * 32, "checking_status": 2, "subject": "x"}
    watcher |= {"created": 7, "last_check_time": 0, "next_check_time": None, "imports": IMPORTS}
    management = {"watcher_imports": [watcher], "highlight": None}
    network.says(INFO, reply(body=page_info({"multiple_watcher_import": management})))
    info = await client.get_page_info(KEY)
    (importer,) = info.importers
    assert (importer.watcher_key, importer.checking_status) == ("ef" * 32, 2)
    assert (importer.last_check_time, importer.next_check_time) == (None, None)
    assert info.highlight is None


@pytest.mark.parametrize("kind", ["hdd_import", "simple_downloader_import", "urls_import"])
async def test_pages_with_one_importer(speaking, reply, kind):
    client, network = await speaking(95)
    network.says(INFO, reply(body=page_info({kind: {"imports": IMPORTS, "files_paused": True}})))
    (importer,) = (await client.get_page_info(KEY)).importers
    assert importer == Importer(importer.imports, files_paused=True)
    assert (importer.imports.total_processed, importer.imports.total_to_process) == (1, 2)


async def test_a_page_of_pages_holds_nothing_itself(speaking, reply):
    client, network = await speaking(95)
    page = {"name": "n", "page_key": KEY, "page_state": 0, "page_type": 10}
    network.says(INFO, reply(body={"page_info": {**page, "is_media_page": False}}))
    info = await client.get_page_info(KEY)
    assert (info.importers, info.media) == ((), None)


async def test_media_viewers(speaking, reply):
    client, network = await speaking(95)
    shown = {"canvas_type": 0, "canvas_key": KEY, "current_media": {"file_id": 3, "hash": KNOWN}}
    empty = {"canvas_type": 3, "canvas_key": KEY, "current_media": None}
    network.says("/manage_pages/get_media_viewers", reply(body={"media_viewers": [shown, empty]}))
    assert await client.get_media_viewers() == [
        MediaViewer(0, KEY, KNOWN, 3),
        MediaViewer(3, KEY, None, None),
    ]


@pytest.mark.parametrize(
    ("page_type", "given", "sent"),
    [
        (
            PageType.FILE_SEARCH,
            {
                "tags": ["a", ["b", "c"]],
                "file_service": "my files",
                "tag_service": "all known tags",
                "file_sort_type": 0,
                "collect_namespaces": ["creator"],
                "hashes": [KNOWN.upper()],
                "system_hash_locked": True,
            },
            {
                "tags": ["a", ["b", "c"]],
                "file_service_key": "6c6f63616c2066696c6573",
                "tag_service_key": "616c6c206b6e6f776e2074616773",
                "file_sort_type": 0,
                "file_sort_asc": True,
                "collect_namespaces": ["creator"],
                "hashes": [KNOWN],
                "system_hash_locked": True,
            },
        ),
        (
            PageType.FILE_SEARCH,
            {"file_sort_namespaces": ["series"], "file_sort_asc": False},
            {"file_sort_namespaces": ["series"], "file_sort_asc": False},
        ),
        (PageType.URL_DOWNLOADER, {"urls": ["http://a%20"]}, {"urls": ["http://a%20"]}),
        (PageType.WATCHER, {"url": "http://a"}, {"url": "http://a"}),
        (PageType.FILE_IMPORT, {"paths": ["C:\\x"]}, {"paths": ["C:\\x"]}),
        (PageType.PAGE_OF_PAGES, {"page_of_pages_key": KEY}, {"page_of_pages_key": KEY}),
        (PageType.GALLERY_DOWNLOADER, {"page_name": "x"}, {"page_name": "x"}),
    ],
)
async def test_new_pages(speaking, page_type, given, sent):
    client, network = await speaking(95)
    network.replays("new_page_files")
    await client.new_page(page_type, **given)
    (asked,) = network.asked
    # The client's own default would take the page that its user is looking at away.
    assert asked.json == {"page_type": int(page_type), "focus_page": False, **sent}


@pytest.mark.parametrize(
    ("page_type", "given", "words"),
    [
        (PageType.URL_DOWNLOADER, {"tags": ["a"]}, "URL_DOWNLOADER takes no tags"),
        (PageType.FILE_SEARCH, {"urls": ["a"]}, "takes no urls"),
        (PageType.PAGE_OF_PAGES, {"file_sort_type": 0}, "takes no file_sort_type"),
        (PageType.FILE_SEARCH, {"file_sort_type": 0, "file_sort_namespaces": ["a"]}, "not by both"),
        (PageType.FILE_SEARCH, {"system_hash_locked": True}, "hashes that are given"),
        (PageType.FILE_IMPORT, {"delete_after_success": True}, "no paths to delete"),
        (PageType.PETITIONS, {}, "needs a service"),
        (PageType.PETITIONS, {"service": "my tags"}, "no repository|shows this access key none"),
        (PageType.FILE_SEARCH, {"hashes": ["x"]}, "not a SHA-256"),
    ],
)
async def test_contradictions_are_refused_before(speaking, page_type, given, words):
    client, network = await speaking(95)
    with pytest.raises(RequestRejected, match=words):
        await client.new_page(page_type, **given)
    assert not network.asked


async def test_unknown_services_of_a_page(speaking):
    client, network = await speaking(95)
    with pytest.raises(UnknownService, match="no file service is called 'nope'"):
        await client.new_page(PageType.FILE_SEARCH, file_service="nope")
    assert not network.asked


@pytest.mark.parametrize(
    ("since", "call"),
    [
        (18, lambda client: client.add_files_to_page(KEY, [KNOWN])),
        (29, lambda client: client.add_files_to_page(KEY, [5])),
        (39, lambda client: client.refresh_page(KEY)),
        (84, lambda client: client.get_media_viewers()),
        (93, lambda client: client.new_page(PageType.FILE_SEARCH)),
        (94, lambda client: client.new_page(PageType.PAGE_OF_PAGES)),
    ],
)
async def test_what_is_too_new_is_not_sent(speaking, reply, since, call):
    client, network = await speaking(since - 1)
    with pytest.raises(VersionTooOld, match=f"≥ {since}, this client speaks {since - 1}"):
        await call(client)
    assert not network.asked
    client, network = await speaking(since)
    for path in ("add_files", "refresh_page"):
        network.says(f"/manage_pages/{path}", reply())
    network.says("/manage_pages/get_media_viewers", reply(body={"media_viewers": []}))
    network.says(NEW, reply(body={"page_key": KEY, "page_type": 6, "page_name": "files"}))
    await call(client)
    assert len(network.asked) == 1


async def test_many_files_go_to_a_page_in_order(speaking, reply):
    client, network = await speaking(95)
    network.says("/manage_pages/add_files", reply())
    hashes = [f"{number:064x}" for number in reversed(range(300))]
    await client.add_files_to_page(KEY, hashes)
    assert [hash_ for asked in network.asked for hash_ in asked.json["hashes"]] == hashes


async def test_permission(limited):
    client, network = await limited(Permission.SEARCH_FILES)
    with pytest.raises(PermissionMissing, match="manage pages"):
        await client.get_pages()
    assert not network.asked
