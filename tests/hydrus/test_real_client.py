"""One suite for the simulator in all its versions, and for a real client where there is one.

What holds for both shows that the simulator is none of our wishes. For a real client set
HYDRUSD_TEST_URL and HYDRUSD_TEST_KEY (a key with every permission). It keeps the pictures,
tags and pages that this makes: never point it at a collection that matters. The database
of a real one is never locked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets

import pytest
from PIL import Image

from hydrusd.errors import HydrusFailed, HydrusUnavailable, RequestRejected, VersionTooOld
from hydrusd.hydrus import (
    Cookie,
    Header,
    HeaderApproval,
    HydrusClient,
    ImportStatus,
    PageType,
    Permission,
    PermissionDialogClosed,
    TagStatus,
    clean_tag,
)
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

URL = os.environ.get("HYDRUSD_TEST_URL", "")
KEY = os.environ.get("HYDRUSD_TEST_KEY", "")

pytestmark = pytest.mark.anyio

REAL = pytest.param(
    "real",
    marks=pytest.mark.skipif(
        not (URL and KEY), reason="needs a real client: HYDRUSD_TEST_URL and HYDRUSD_TEST_KEY"
    ),
)

TAG = " HydrusD :  a test 100%22 + é "


@pytest.fixture(scope="module", params=[11, 32, 95, REAL])
def where(request):
    """An address and an access key."""
    if request.param == "real":
        yield URL, KEY
        return
    with (
        Simulator(SimulatorConfig(api_version=request.param)) as simulator,
        simulator.serve() as url,
    ):
        yield url, DEFAULT_ACCESS_KEY


@pytest.fixture
async def client(where):
    async with HydrusClient(*where) as client:
        await client.connect()
        yield client


@pytest.fixture
def new_picture(tmp_path):
    """A picture that nobody has; its path and hash."""
    image = Image.frombytes("RGB", (32, 32), secrets.token_bytes(32 * 32 * 3))
    held = io.BytesIO()
    image.save(held, "PNG")
    path = tmp_path / "new.png"
    path.write_bytes(held.getvalue())
    return path, hashlib.sha256(held.getvalue()).hexdigest()


async def test_who_it_is(client):
    info = client.info
    assert info.api_version >= 11
    assert {Permission.IMPORT_FILES, Permission.EDIT_TAGS} <= info.permissions
    assert await client.boot() == info.boot
    assert (await client.connect()).boot == info.boot
    assert any(service.takes_tags for service in client.services)


async def test_the_main_job(client, new_picture):
    path, sha256 = new_picture
    service = next(service for service in client.services if service.takes_tags)
    result = await client.add_file(path)
    assert (result.status, result.hash) == (ImportStatus.IMPORTED, sha256)
    assert (await client.add_file(path)).status is ImportStatus.ALREADY_IN_DATABASE
    await client.add_tags([sha256], {service.reference: [TAG]})
    found = await client.tags([sha256])
    assert clean_tag(TAG) in found[sha256][service.reference][TagStatus.CURRENT]
    if client.can_force_commit:
        await client.force_commit()


async def test_what_is_known(client, new_picture):
    path, sha256 = new_picture
    nobodys = [secrets.token_hex(32) for _ in range(600)]
    if not client.can_look_up_files:
        with pytest.raises(VersionTooOld):
            await client.known_hashes([sha256])
        return
    assert await client.known_hashes([sha256, *nobodys]) == set()
    await client.add_file(path)
    service = next(service for service in client.services if service.takes_tags)
    await client.add_tags(nobodys[:1], {service.reference: [TAG]})
    assert await client.known_hashes([sha256]) == {sha256}
    assert await client.known_hashes([*nobodys, sha256]) == {sha256}


@pytest.mark.parametrize(
    "tag", [" :)", ":)", "::a", ":a:b", "- -a", "system:x", "A : B", "100%22", "a+b", "é%e9 &=;"]
)
async def test_cleaning(client, tag):
    assert await client.clean_tags([tag]) == [clean_tag(tag)]


def needs(client, since_api):
    """Whether this client can do what that version brought."""
    return client.info.api_version >= since_api


NASTY = "https://hydrusd.example/b%20c/100%25?q=x&y=1+2&z=é🎉"
NOWHERE = "http://127.0.0.1:9/hydrusd.png"


@pytest.mark.parametrize("url", [NASTY, "https://hydrusd.example/%2525?a=%26", NOWHERE])
async def test_urls_of_a_file(client, new_picture, url):
    path, sha256 = new_picture
    await client.add_file(path)
    await client.associate_url([sha256], urls_to_add=[url])
    # The client asks twice itself: what it makes of the URL, and whether it knows that.
    known = await client.get_url_files(url, doublecheck_file_system=True)
    assert sha256 in [file.hash for file in known.url_file_statuses if file.in_database]
    assert (await client.get_url_info(url)).normalised_url == known.normalised_url
    await client.associate_url([sha256], urls_to_delete=[known.normalised_url])
    known = await client.get_url_files(url)
    assert sha256 not in [file.hash for file in known.url_file_statuses]


async def test_a_url_as_it_is(client, new_picture):
    path, sha256 = new_picture
    await client.add_file(path)
    if not needs(client, 64):
        with pytest.raises(VersionTooOld):
            await client.associate_url([sha256], urls_to_add=["x y"], normalise_urls=False)
        return
    await client.associate_url([sha256], urls_to_add=["urn: x y%20"], normalise_urls=False)
    await client.associate_url([sha256], urls_to_delete=["urn: x y%20"])


async def test_queueing_a_url(client):
    service = next(service for service in client.services if service.takes_tags)
    tags = {service.reference: [TAG]} if needs(client, 14) else {}
    queued = await client.add_url(
        NOWHERE, destination_page_name="hydrusd test", additional_tags=tags
    )
    assert queued.normalised_url == NOWHERE
    pages = [page for page in (await client.get_pages()).walk() if page.name == "hydrusd test"]
    key = next(page.page_key for page in pages if page.page_type == PageType.URL_DOWNLOADER)
    await client.add_url(f"{NOWHERE}?{secrets.token_hex(4)}", destination_page_key=key)
    with pytest.raises(RequestRejected, match="better go by its name"):
        await client.add_url(NOWHERE, destination_page_key=secrets.token_hex(32))
    info = await client.get_page_info(key, simple=False)
    (importer,) = info.importers
    assert NOWHERE in [item.import_data for item in importer.imports.import_items]


async def test_cookies(client):
    value = secrets.token_hex(8)
    rows = [
        Cookie("hydrusd é;", value, ".hydrusd.com", expires=1999999999.5),
        Cookie("b", "2", "www.hydrusd.com", "/x", 0),
    ]
    await client.set_cookies(rows)
    assert [one for one in await client.get_cookies("hydrusd.com") if one in rows] == rows
    gone = [Cookie(one.name, None, one.domain, one.path) for one in rows]
    await client.set_cookies([*gone, Cookie("never there", None, "x.hydrusd.org")])
    await client.set_cookies(gone)
    held = await client.get_cookies("hydrusd.com")
    assert not {one.identity for one in held} & {one.identity for one in rows}
    assert value not in repr(rows)


async def test_headers(client):
    if not needs(client, 43):
        with pytest.raises(VersionTooOld):
            await client.get_headers()
        return
    domain = "hydrusd.example"
    await client.set_headers({"X-A": "1"}, domain)
    # The same value again, and the rest is not overlooked.
    await client.set_headers({"X-A": Header("1", HeaderApproval.DENIED, "a test")}, domain)
    found = await client.get_headers(domain)
    assert found["X-A"] == Header("1", HeaderApproval.DENIED, "a test")
    await client.set_headers({"X-A": None, "X-Never": None}, domain)
    assert await client.get_headers(domain) == {}
    before = (await client.get_headers())["User-Agent"].value
    await client.set_user_agent("hydrusd test")
    assert (await client.get_headers())["User-Agent"].value == "hydrusd test"
    await client.set_user_agent("")
    await client.set_user_agent(before)


async def test_pages(client, new_picture):
    path, sha256 = new_picture
    await client.add_file(path)
    root = await client.get_pages()
    assert (root.page_type, root.is_media_page) == (PageType.PAGE_OF_PAGES, False)
    if not needs(client, 94):
        with pytest.raises(VersionTooOld):
            await client.new_page(PageType.PAGE_OF_PAGES)
        return
    keys = {page.name: page.page_key for page in root.walk()}
    parent = keys.get("hydrusd tests")
    if parent is None:
        made = await client.new_page(PageType.PAGE_OF_PAGES, page_name="hydrusd tests")
        parent = made.page_key
    page = keys.get("hydrusd files")
    if page is None:
        made = await client.new_page(
            PageType.FILE_SEARCH,
            page_name="hydrusd files",
            page_of_pages_key=parent,
            file_sort_type=0,
            file_sort_asc=False,
        )
        page = made.page_key
        assert (made.page_name, made.page_type) == ("hydrusd files", PageType.FILE_SEARCH)
    await client.add_files_to_page(page, [sha256])
    info = await client.get_page_info(page, simple=False)
    assert sha256 in info.media.hashes
    await client.refresh_page(page)
    await client.focus_page(page)
    fronts = [one.name for one in (await client.get_pages()).walk() if one.selected]
    assert "hydrusd files" in fronts
    for method in (client.focus_page, client.refresh_page, client.get_page_info):
        with pytest.raises(RequestRejected):
            await method(secrets.token_hex(32))
    with pytest.raises(RequestRejected):
        await client.add_files_to_page(parent, [sha256])
    assert await client.get_media_viewers() is not None


async def test_popups(client, new_picture):
    if not needs(client, 57):
        with pytest.raises(VersionTooOld):
            await client.get_popups()
        return
    _, sha256 = new_picture
    popup = await client.add_popup(
        status_title="hydrusd",
        status_text_1="100% é",
        popup_gauge_1=(1, 2),
        api_data={"a": [1]},
        hashes=[sha256],
        files_label="files",
        is_cancellable=True,
    )
    try:
        assert popup in await client.get_popups()
        assert (popup.popup_gauge_1, popup.api_data) == ((1, 2), {"a": [1]})
        assert popup.files.hashes == (sha256,)
        popup = await client.update_popup(popup.key, status_text_1=None, popup_gauge_1=(2, 2))
        assert (popup.status_title, popup.status_text_1) == ("hydrusd", None)
        popup = await client.update_popup(popup.key, popup_gauge_1=None, api_data=None)
        assert (popup.popup_gauge_1, popup.api_data) == (None, None)
        await client.dismiss_popup(popup.key)  # not done yet: nothing happens
        with pytest.raises(RequestRejected, match="user callable"):
            await client.call_user_callable(popup.key)
        await client.cancel_popup(popup.key)
    finally:
        await client.finish_popup(popup.key)
    await client.finish_and_dismiss_popup(popup.key, seconds=0)
    with pytest.raises(RequestRejected, match="key doesn't exist"):
        await client.finish_popup(secrets.token_hex(32))


async def test_services_and_what_waits(client):
    service = next(service for service in client.services if service.takes_tags)
    if needs(client, 41):
        assert await client.get_service(name=service.name) == service
        assert await client.get_service(key=service.reference) == service
    if needs(client, 66):
        assert isinstance(await client.get_pending_counts(), dict)
        for method in (client.commit_pending, client.forget_pending):
            with pytest.raises(RequestRejected):
                await method(secrets.token_hex(32))
    if needs(client, 83):
        with pytest.raises(RequestRejected):
            await client.get_service_rating_svg(key=service.reference)


async def test_the_database(client):
    if not needs(client, 23):
        with pytest.raises(VersionTooOld):
            await client.mr_bones()
        return
    whole = await client.mr_bones()
    assert whole.num_inbox + whole.num_archive > 0
    if needs(client, 52):
        part = await client.mr_bones(tags=["system:inbox"], file_service="my files")
        assert (part.num_archive, part.num_inbox) == (0, whole.num_inbox)
    if needs(client, 55):
        assert (await client.get_client_options()).options
    with pytest.raises(RequestRejected, match="not busy"):
        await client.lock_off()


async def test_a_locked_client_is_unlocked_by_one_that_could_not_connect(client, where):
    if not needs(client, 17):
        with pytest.raises(VersionTooOld):
            await client.lock_on()
        return
    if where == (URL, KEY):
        return  # somebody's own client: its user would sit before a dead window
    await client.lock_on()
    try:
        async with HydrusClient(*where) as other:
            with pytest.raises(HydrusUnavailable):
                await other.connect()
            with pytest.raises(HydrusUnavailable):
                await client.lock_on()
            await other.lock_off()
    finally:
        with contextlib.suppress(RequestRejected):
            await client.lock_off()
    await client.mr_bones()


async def test_the_client_itself(client):
    if needs(client, 92):
        run = await client.client_info()
        assert run.boot_id == client.info.boot
        assert run.boot_time.year > 2000
    with pytest.raises(HydrusFailed) as caught:
        await client.request_new_permissions("hydrusd test", [Permission.EDIT_TAGS])
    assert isinstance(caught.value, PermissionDialogClosed)
