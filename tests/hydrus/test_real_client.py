"""The main job against a real Hydrus client, where somebody has one to spare.

Set HYDRUSD_TEST_URL and HYDRUSD_TEST_KEY (a key with every permission). The client keeps
the picture and the tag that this makes: never point it at a collection that matters.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets

import pytest
from PIL import Image

from hydrusd.errors import VersionTooOld
from hydrusd.hydrus import HydrusClient, ImportStatus, Permission, TagStatus, clean_tag

URL = os.environ.get("HYDRUSD_TEST_URL", "")
KEY = os.environ.get("HYDRUSD_TEST_KEY", "")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not (URL and KEY), reason="needs a real client: HYDRUSD_TEST_URL and HYDRUSD_TEST_KEY"
    ),
]

TAG = " HydrusD :  a test 100%22 + é "


@pytest.fixture
async def client():
    async with HydrusClient(URL, KEY) as client:
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
