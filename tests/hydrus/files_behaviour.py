"""What a client does with files, tags, ratings, times, notes, searches and relationships.

Not a test module by itself: those that import it say by the fixture ``address`` which client is
asked, a simulated one of some era or a real one. It keeps what is made here.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from datetime import UTC, datetime

import anyio
import pytest
from PIL import Image

from hydrusd.errors import RequestRejected, VersionTooOld
from hydrusd.hydrus import (
    CanvasType,
    Detail,
    FileSort,
    HashType,
    HydrusClient,
    ImportStatus,
    NoteConflict,
    NoteMerge,
    Pair,
    Relation,
    RenderFormat,
    ServiceType,
    TagAction,
    TagStatus,
    TimeKind,
    WrongFileError,
)

WHEN = datetime(2020, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC)


@pytest.fixture
async def client(address):
    async with HydrusClient(*address) as client:
        await client.connect()
        yield client


@pytest.fixture
def picture(tmp_path):
    """Make a picture that nobody has; its path and hash."""

    def make():
        image = Image.frombytes("RGB", (48, 48), secrets.token_bytes(48 * 48 * 3))
        held = io.BytesIO()
        image.save(held, "PNG")
        path = tmp_path / f"{secrets.token_hex(4)}.png"
        path.write_bytes(held.getvalue())
        return path, hashlib.sha256(held.getvalue()).hexdigest()

    return make


@pytest.fixture
async def imported(client, picture):
    path, sha256 = picture()
    assert (await client.add_file(path)).status is ImportStatus.IMPORTED
    return sha256


async def cannot(client, api_version, call):
    """See the call refused, without doing anything, where the client is too old for it."""
    if client.info.api_version >= api_version:
        call.close()
        return False
    with pytest.raises(VersionTooOld):
        await call
    return True


async def told(client, sha256, **options):
    (metadata,) = await client.file_metadata([sha256], **options)
    return metadata


async def test_inbox_and_trash(client, imported):
    if await cannot(client, 15, client.archive_files([imported])):
        return
    await client.archive_files([imported])
    assert (await told(client, imported)).is_inbox is False
    await client.unarchive_files([imported])
    assert (await told(client, imported)).is_inbox is True
    await client.delete_files([imported])
    assert (await told(client, imported)).is_trashed is True
    await client.undelete_files([imported])
    assert (await told(client, imported)).is_trashed is False


async def test_deleted_for_good_and_forgotten(client, picture):
    path, sha256 = picture()
    await client.add_file(path)
    if await cannot(client, 28, client.delete_files([sha256], permanently=True, reason="a test")):
        return
    await client.delete_files([sha256], permanently=True, reason="a test")
    assert (await told(client, sha256)).is_local is False
    assert (await client.add_file(path)).status is ImportStatus.PREVIOUSLY_DELETED
    if await cannot(client, 63, client.clear_file_deletion_record([sha256])):
        return
    await client.clear_file_deletion_record([sha256])
    for _ in range(50):
        if (await client.add_file(path)).status is ImportStatus.IMPORTED:
            return
        await anyio.sleep(0.1)
    pytest.fail("the deletion record is still there")


async def test_migrating(client, imported):
    domains = [s.name for s in client.services if s.type == ServiceType.LOCAL_FILE_DOMAIN]
    if await cannot(client, 68, client.migrate_files([imported], domains)):
        return
    await client.migrate_files([imported], domains)
    keys = {client.file_service(name).reference for name in domains}
    for _ in range(50):
        if keys <= set((await told(client, imported)).current):
            return
        await anyio.sleep(0.1)
    pytest.fail("the file is not in all domains")


async def test_paths(client, picture):
    path, sha256 = picture()
    result = await client.add_file_by_path(str(path))
    assert (result.status, result.hash) == (ImportStatus.IMPORTED, sha256)
    with pytest.raises(RequestRejected, match="does not exist"):
        await client.add_file_by_path(str(path.with_name("none.png")))
    if await cannot(client, 71, client.file_path(sha256)):
        return
    where = await client.file_path(sha256)
    assert sha256 in where.path
    assert where.size in {None, path.stat().st_size}
    thumbnail = await client.thumbnail_path(sha256, include_filetype=True)
    assert thumbnail.filetype in {"image/png", "image/jpeg"}
    if await cannot(client, 72, client.local_file_storage_locations()):
        return
    places = await client.local_file_storage_locations()
    assert any(f"f{sha256[:2]}" in place.prefixes for place in places)


async def test_domain_and_deletion_by_the_client(client, picture):
    path, sha256 = picture()
    deleting = client.add_file_by_path(str(path), delete_after_import=True)
    if await cannot(client, 70, deleting):
        return
    domain = next(s for s in client.services if s.type == ServiceType.LOCAL_FILE_DOMAIN)
    await client.add_file_by_path(str(path), domains=[domain.name], delete_after_import=True)
    assert domain.reference in (await told(client, sha256)).current
    assert not path.exists()


async def test_hashes(client, picture):
    path, sha256 = picture()
    if await cannot(client, 55, client.generate_hashes(path)):
        return
    generated = await client.generate_hashes(path)
    assert generated.hash == sha256
    assert len(generated.pixel_hash) == 64
    await client.add_file(path)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    found = await client.file_hashes([sha256, "ab" * 32], desired=HashType.MD5)
    assert found == {sha256: md5}
    back = await client.file_hashes([md5], source=HashType.MD5, desired=HashType.SHA256)
    assert back == {md5: sha256}


async def test_tags(client, imported):
    service = next(s for s in client.services if s.type == ServiceType.LOCAL_TAG_DOMAIN)
    name, other = f"made:{secrets.token_hex(6)} 100%", f"made:{secrets.token_hex(6)}"
    await client.change_tags([imported], {service.reference: {TagAction.ADD: [name, other]}})
    await client.change_tags([imported], {service.reference: {TagAction.DELETE: [other]}})
    found = (await told(client, imported)).tags[service.reference].storage
    assert found[TagStatus.CURRENT] == {name}
    assert found[TagStatus.DELETED] == {other}
    await client.change_tags([imported], {service.reference: {TagAction.ADD: [other]}})
    found = (await told(client, imported)).tags[service.reference].storage
    assert (other in found[TagStatus.CURRENT]) == (not client.can_spare_deleted_tags)
    if await cannot(client, 26, client.search_tags(name, tag_service=service.reference)):
        return
    completed = await client.search_tags(name, tag_service=service.reference)
    assert [(one.tag, one.count) for one in completed] == [(name, 1)]
    if await cannot(client, 51, client.get_siblings_and_parents([name])):
        return
    related = await client.get_siblings_and_parents([name])
    assert related[name][service.reference].ideal_tag == name


async def test_a_deletion_record_only_where_the_tag_was(client, imported):
    service = next(s for s in client.services if s.type == ServiceType.LOCAL_TAG_DOMAIN)
    change = {service.reference: {TagAction.DELETE: ["never there"]}}
    if await cannot(
        client, 65, client.change_tags([imported], change, record_absent_as_deleted=False)
    ):
        return
    await client.change_tags([imported], change, record_absent_as_deleted=False)
    assert not (await told(client, imported)).tags[service.reference].storage.get(2)
    await client.change_tags([imported], change)
    assert (await told(client, imported)).tags[service.reference].storage[2] == {"never there"}


async def test_favourite_tags(client):
    if await cannot(client, 80, client.get_favourite_tags()):
        return
    before = await client.get_favourite_tags()
    tag = f"favourite {secrets.token_hex(4)}"
    assert tag in await client.set_favourite_tags(add=[tag])
    assert await client.set_favourite_tags(remove=[tag]) == before
    assert await client.set_favourite_tags(before) == before


async def test_ratings(client, imported):
    if await cannot(client, 48, client.set_rating([imported], "favourites", rating=True)):
        return
    rated = {}
    for service in client.services:
        wanted = {
            ServiceType.LIKE_RATING: True,
            ServiceType.NUMERICAL_RATING: 2,
            ServiceType.COUNTING_RATING: 5,
        }.get(service.type)
        if wanted is not None:
            await client.set_rating([imported], service.reference, wanted)
            rated[service.reference] = wanted
    assert rated
    found = (await told(client, imported)).ratings
    assert {key: found[key] for key in rated} == rated


async def test_times(client, imported):
    if await cannot(
        client,
        59,
        client.set_time([imported], TimeKind.MODIFIED_ON_WEB, WHEN, domain="example.com"),
    ):
        return
    await client.set_time([imported], TimeKind.MODIFIED_ON_WEB, WHEN, domain="example.com")
    domain = next(s for s in client.services if s.type == ServiceType.LOCAL_FILE_DOMAIN)
    await client.set_time([imported], TimeKind.IMPORTED, WHEN, file_service=domain.name)
    await client.set_time([imported], TimeKind.MODIFIED_ON_DISK, WHEN)
    found = await told(client, imported, milliseconds=True)
    assert found.modified_times == {"example.com": WHEN, "local": WHEN}
    assert found.current[domain.reference].imported_at == WHEN
    await client.set_time([imported], TimeKind.MODIFIED_ON_WEB, None, domain="example.com")
    assert set((await told(client, imported)).modified_times) == {"local"}
    with pytest.raises(RequestRejected):
        await client.set_time([imported], TimeKind.LAST_VIEWED, WHEN, canvas=CanvasType.PREVIEW)
    await client.archive_files([imported])
    await client.set_time([imported], TimeKind.ARCHIVED, WHEN)
    assert (await told(client, imported, milliseconds=True)).archived_at == WHEN


async def test_viewing(client, imported):
    canvas = CanvasType.CLIENT_API
    if await cannot(
        client, 78, client.set_file_viewtime([imported], canvas, seconds=2.5, views=2, at=WHEN)
    ):
        return
    await client.set_file_viewtime([imported], canvas, seconds=2.5, views=2, at=WHEN)
    await client.increment_file_viewtime([imported], canvas, seconds=1, at=WHEN)
    (viewed,) = [v for v in (await told(client, imported)).views if v.canvas == canvas]
    assert (viewed.views, viewed.seconds, viewed.last_viewed_at) == (3, 3.5, WHEN)


async def test_notes(client, imported):
    text = "100%22 «é»\nline"
    if await cannot(client, 27, client.set_notes(imported, {"n": text})):
        return
    assert await client.set_notes(imported, {"n": text}) == {"n": text}
    assert (await told(client, imported, notes=True)).notes == {"n": text}
    merge = NoteMerge(extend=False, conflict=NoteConflict.RENAME)
    if await cannot(client, 38, client.set_notes(imported, {"n": "other"}, merge=merge)):
        return
    set_now = await client.set_notes(imported, {"n": "other"}, merge=merge)
    assert set_now == {"n (1)": "other"}
    await client.delete_notes(imported, ["n", "never there"])
    assert (await told(client, imported, notes=True)).notes == {"n (1)": "other"}


async def test_searching(client, picture):
    service = next(s for s in client.services if s.type == ServiceType.LOCAL_TAG_DOMAIN)
    tag = f"searched:{secrets.token_hex(6)} 100%22"
    hashes = []
    for _ in range(3):
        path, sha256 = picture()
        await client.add_file(path)
        hashes.append(sha256)
    await client.add_tags(hashes, {service.reference: [tag]})
    await client.add_tags(hashes[1:], {service.reference: [f"{tag} b"]})
    ids = [metadata.file_id for metadata in await client.file_metadata(hashes)]
    assert sorted((await client.search_files([tag])).file_ids) == sorted(ids)
    assert (await client.search_files([tag, f"-{tag} b"])).file_ids == (ids[0],)
    assert set((await client.search_files([tag, "system:inbox"])).file_ids) == set(ids)
    assert not (await client.search_files([tag, "system:archive"])).file_ids
    with pytest.raises(RequestRejected):
        await client.search_files([])
    if await cannot(
        client, 41, client.search_files([tag], domains=["my files"], deleted_from=["my files"])
    ):
        return
    await client.search_files([tag], domains=["my files"], deleted_from=["my files"])
    by_hash = [
        (await client.search_files([tag], sort=FileSort.HASH, ascending=up, hashes=True)).hashes
        for up in (True, False)
    ]
    assert by_hash[0] == by_hash[1][::-1] == tuple(sorted(hashes))
    either = await client.search_files([["no such tag", f"{tag} b"]], tag_service=service.name)
    assert set(either.file_ids) == set(ids[1:])
    one = await client.search_files([tag, "system:limit = 1"], file_ids=False, hashes=True)
    assert (len(one.hashes), one.file_ids) == (1, ())
    await client.delete_files(hashes[:1])
    trashed = await client.search_files([tag], deleted_from=["my files"], hashes=True)
    assert trashed.hashes == (hashes[0],)
    with pytest.raises(RequestRejected):
        await client.search_files(["system:nonsense blah"])


async def test_metadata_in_all_flavours(client, picture):
    hashes = []
    for _ in range(3):
        path, sha256 = picture()
        await client.add_file(path)
        hashes.append(sha256)
    asked = [hashes[2], *(secrets.token_hex(32) for _ in range(300)), hashes[0], hashes[1]]
    full = await client.file_metadata(asked, notes=client.info.api_version >= 27)
    assert [metadata.hash for metadata in full] == asked
    if client.info.api_version >= 31:
        assert [metadata.is_known for metadata in full] == [True, *[False] * 300, True, True]
    ids = [full[-1].file_id, full[0].file_id]
    again = await client.file_metadata([*ids, hashes[0]], detail=Detail.IDENTIFIERS)
    assert [metadata.hash for metadata in again] == [hashes[1], hashes[2], hashes[0]]
    assert full[0].width == 48
    with pytest.raises(RequestRejected):
        await client.file_metadata([2**40])
    if await cannot(client, 29, client.file_metadata(hashes[:1], detail=Detail.BASIC)):
        return
    (basic,) = await client.file_metadata(hashes[:1], detail=Detail.BASIC)
    assert (basic.width, basic.is_inbox) == (48, None)


async def test_fetching(client, picture, tmp_path):
    path, sha256 = picture()
    await client.add_file(path)
    content = path.read_bytes()
    fetched = await client.get_file(sha256)
    assert (fetched.content, fetched.content_type) == (content, "image/png")
    saved = await client.save_file(sha256, tmp_path / "out.png")
    assert (saved.path.read_bytes(), saved.size) == (content, len(content))
    with pytest.raises(FileExistsError):
        await client.save_file(sha256, saved.path)
    (metadata,) = await client.file_metadata([sha256])
    assert (await client.get_file(metadata.file_id)).content == content
    if await cannot(client, 16, client.get_file(sha256, start=100, length=50)):
        return
    part = await client.get_file(sha256, start=100, length=50)
    assert part.content == content[100:150]
    assert (await client.get_file(sha256, start=len(content) - 7)).content == content[-7:]
    assert (await client.get_file(sha256, start=5, length=10**6)).content == content[5:]
    image = Image.open(io.BytesIO((await client.get_thumbnail(sha256)).content))
    assert max(image.size) <= 200
    with pytest.raises(RequestRejected):
        await client.get_file("ab" * 32)
    if await cannot(
        client, 68, client.get_render(sha256, render_format=RenderFormat.WEBP, size=(20, 10))
    ):
        return
    rendered = await client.get_render(sha256, render_format=RenderFormat.WEBP, size=(20, 10))
    image = Image.open(io.BytesIO(rendered.content))
    assert (image.format, image.size) == ("WEBP", (20, 10))
    saved = await client.save_render(sha256, tmp_path / "rendered.png")
    assert Image.open(io.BytesIO(saved.path.read_bytes())).size == (48, 48)


async def test_relationships(client, picture):
    pair = []
    for _ in range(2):
        path, sha256 = picture()
        await client.add_file(path)
        pair.append(sha256)
    a, b = pair
    if await cannot(client, 40, client.get_file_relationships([b, a, "ab" * 32])):
        return
    found = await client.get_file_relationships([b, a, "ab" * 32])
    assert list(found)[:2] == [b, a]
    assert (found[a].is_king, found[a].duplicates) == (True, ())
    if await cannot(
        client, 41, client.set_file_relationships([Pair(a, b, Relation.A_IS_BETTER, merge=False)])
    ):
        return
    await client.set_file_relationships([Pair(a, b, Relation.A_IS_BETTER, merge=False)])
    found = await client.get_file_relationships(pair)
    assert (found[b].king, found[a].is_king) == (a, True)
    await client.set_kings([b])
    assert (await client.get_file_relationships([a]))[a].king == b
    assert await client.get_potentials_count() >= 0
    assert isinstance(await client.get_potential_pairs(max_pairs=3), list)
    assert isinstance(await client.get_random_potentials(), list)
    if await cannot(client, 66, client.remove_potentials(pair)):
        return
    await client.remove_potentials(pair)


async def test_transfer_by_path(address, picture, tmp_path):
    path, sha256 = picture()
    async with HydrusClient(*address, transfer="auto") as client:
        await client.connect()
        result = await client.add_file(path)
        assert (result.status, result.hash) == (ImportStatus.IMPORTED, sha256)
    # The same name means another file to the client.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / path.name).write_bytes(b"another")
    mapped = {"path_map": [(str(elsewhere), str(tmp_path))]}
    async with HydrusClient(*address, transfer="auto", **mapped) as client:
        await client.connect()
        with pytest.raises(WrongFileError, match=sha256):
            await client.add_file(elsewhere / path.name)
    nowhere = {"path_map": [(str(tmp_path), "/nowhere/at/all")]}
    path, sha256 = picture()
    async with HydrusClient(*address, transfer="auto", **nowhere) as client:
        await client.connect()
        assert (await client.add_file(path)).hash == sha256
    async with HydrusClient(*address, transfer="path", **nowhere) as client:
        await client.connect()
        with pytest.raises(RequestRejected, match="does not exist"):
            await client.add_file(path)
