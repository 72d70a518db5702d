"""The models against what real clients of three eras answered."""

from __future__ import annotations

import pytest

from hydrusd.errors import (
    AccessDenied,
    HydrusUnavailable,
    PermissionMissing,
    RequestRejected,
    VersionTooOld,
)
from hydrusd.hydrus import (
    AddFileResult,
    ClientInfo,
    ImportStatus,
    Permission,
    Service,
    ServiceType,
    TagStatus,
)

pytestmark = pytest.mark.anyio

KNOWN = "ce60b7fa29d98fc77d3a0a7ca3861febfce8c87e146a9548df90672f0a1ec197"
TAGGED_ONLY = "ab" * 32


@pytest.fixture
async def connected(network_of, client_of, era):
    network = network_of(era)
    async with client_of(network) as client:
        await client.connect()
        network.asked.clear()
        yield client, network


async def test_connecting_reads_versions_key_and_boot(connected, era):
    client, network = connected
    expected = {
        11: (None, frozenset(Permission(n) for n in range(6)), False),
        32: (500, frozenset(Permission(n) for n in range(8)), False),
        95: (682, frozenset(Permission), True),
    }[era]
    info = client.info
    assert (info.hydrus_version, info.permissions, info.permits_everything) == expected
    assert (info.api_version, info.key_name) == (era, "full")
    if era == 95:
        assert info.boot == network.recorded["client_info"]["body"]["boot_id"]
    else:
        assert info.boot
    assert client.can_search
    assert client.can_look_up_files == (era > 11)
    assert client.can_force_commit == (era == 95)
    assert client.can_spare_deleted_tags == (era == 95)


async def test_services(connected, era):
    client, _ = connected
    my_tags = client.tag_service("my tags")
    if era == 11:
        assert client.services == (Service("my tags", None, ServiceType.LOCAL_TAG_DOMAIN),)
        assert my_tags.reference == "my tags"
        return
    assert my_tags == Service("my tags", "6c6f63616c2074616773", 5)
    assert client.tag_service("6C6F63616C2074616773") is my_tags
    kinds = {service.key: service.type for service in client.services}
    assert kinds["616c6c206c6f63616c206d65646961"] == ServiceType.COMBINED_LOCAL_FILE_DOMAINS
    assert kinds["7472617368"] == ServiceType.TRASH
    assert len(client.services) == {32: 9, 95: 10}[era]


@pytest.mark.parametrize(
    ("name", "status", "note"),
    [
        ("add_file_bytes", ImportStatus.IMPORTED, ""),
        ("add_file_again", ImportStatus.ALREADY_IN_DATABASE, "file recognised: Imported at "),
        ("add_file_garbage", ImportStatus.FAILED, "Unknown filetype!"),
        ("add_file_empty", ImportStatus.FAILED, "File is of zero length!"),
        ("add_file_truncated_png", None, None),
        ("add_deleted", None, None),
    ],
)
async def test_import_outcomes(connected, tmp_path, era, name, status, note):
    client, network = connected
    if name == "add_file_truncated_png":
        status = ImportStatus.IMPORTED if era == 95 else ImportStatus.FAILED
        note = "" if era == 95 else "image file is truncated"
    if name == "add_deleted":
        status = ImportStatus.ALREADY_IN_DATABASE if era == 11 else ImportStatus.PREVIOUSLY_DELETED
        note = "file recognised: "
    network.replays(name)
    path = tmp_path / "a.png"
    path.write_bytes(b"some bytes")
    result = await client.add_file(path)
    assert result.status is status
    assert result.hash == network.recorded[name]["body"]["hash"]
    assert result.note.startswith(note)
    assert bool(result.note) == bool(note)
    assert "Traceback" not in result.note
    (asked,) = network.asked
    assert asked.body == b"some bytes"
    assert asked.headers["content-type"] == "application/octet-stream"


async def test_no_hash_and_no_note_are_a_result_too(client_of, network, reply, tmp_path):
    network.says("/add_files/add_file", reply(body={"status": 7, "hash": None}))
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    async with client_of(network) as client:
        await client.connect()
        assert await client.add_file(path) == AddFileResult(ImportStatus.VETOED, None, "")


async def test_tags_of_a_file(connected, era):
    client, network = connected
    network.replays("file_metadata")
    found = await client.tags([KNOWN.upper()])
    assert set(found) == {KNOWN}
    where = {11: "my tags", 32: "646f776e6c6f616465722074616773"}.get(
        era, "646f776e6c6f616465722074616773"
    )
    assert found[KNOWN][where][TagStatus.CURRENT] == {"n", "blue eyes", "creator:me", "x y"}
    if era != 95:
        assert found[KNOWN][where][TagStatus.DELETED] == {"a"}
    (asked,) = network.asked
    assert ("include_services_object=false" in asked.target) == (era == 95)


async def test_a_file_that_is_only_tagged_has_tags_and_is_not_known(connected, era):
    client, network = connected
    network.replays("file_metadata_unknown")
    found = await client.tags([TAGGED_ONLY])
    assert {"a"} in [statuses.get(0) for statuses in found[TAGGED_ONLY].values()]
    network.replays("search_files")
    if era == 11:
        with pytest.raises(VersionTooOld, match=r"needs Client API ≥ 12, this client speaks 11"):
            await client.known_hashes([TAGGED_ONLY])
    else:
        assert await client.known_hashes([TAGGED_ONLY, KNOWN.upper()]) == {KNOWN}


async def test_cleaning(connected, era):
    client, network = connected
    network.replays("clean_tags")
    asked = [" bikini ", "blue    eyes", " character : samus aran ", " :)", "   ", ""]
    assert await client.clean_tags(asked) == [")", "bikini", "blue eyes", "character:samus aran"]


async def test_tagging(connected, era):
    client, network = connected
    network.replays("add_tags")
    await client.add_tags([KNOWN], {"my tags": ["Blue Eyes", " ", "blue  eyes"]})
    (asked,) = network.asked
    assert asked.headers["content-type"] == "application/json"
    tags = {
        11: {"service_names_to_tags": {"my tags": ["blue eyes"]}},
    }.get(era, {"service_keys_to_tags": {"6c6f63616c2074616773": ["blue eyes"]}})
    flags = {
        11: {"add_siblings_and_parents": False},
        32: {},
        95: {"override_previously_deleted_mappings": False},
    }[era]
    assert asked.json == {"hashes": [KNOWN], **tags, **flags}


async def test_committing(connected, era):
    client, network = connected
    network.replays("force_commit")
    if era < 76:
        with pytest.raises(VersionTooOld, match="≥ 76"):
            await client.force_commit()
        assert not network.asked
    else:
        await client.force_commit()
        # The first answer comes before the commit, the second only after it.
        assert [asked.path for asked in network.asked] == ["/manage_database/force_commit"] * 2


async def test_a_key_that_may_only_search(network_of, client_of, era):
    network = network_of(era)
    network.replays("verify_limited")
    async with client_of(network) as client:
        info = await client.connect()
        assert info.permissions == {Permission.SEARCH_FILES}
        assert info.key_name == "limited"
        network.asked.clear()
        words = "edit file tags" if era == 95 else "add tags to files"
        with pytest.raises(PermissionMissing) as caught:
            await client.add_tags([KNOWN], {"my tags": ["a"]})
        assert caught.value.permission == words
        assert words in str(caught.value)
        with pytest.raises(PermissionMissing):
            await client.clean_tags(["a"])
        assert not network.asked  # nothing was sent


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("no_key", AccessDenied, "No access key or session key provided!"),
        ("bad_key_unknown", AccessDenied, "Did not find an entry for that access key!"),
        ("add_file_limited_perm", PermissionMissing, "You do not have permission to: import"),
        ("add_tags_bad_service", RequestRejected, "Could not find the "),
        ("add_tags_no_param", RequestRejected, " "),
        ("unknown_path", RequestRejected, "No Such Resource"),
    ],
)
async def test_refusals_in_the_clients_own_words(connected, name, kind, words):
    client, network = connected
    entry = network.recorded[name]
    network.replays(name, at="/add_tags/add_tags")
    with pytest.raises(kind) as caught:
        await client.add_tags([KNOWN], {"my tags": ["a"]})
    error = caught.value
    assert words in error.excerpt
    assert (error.method, error.path) == ("POST", "/add_tags/add_tags")
    assert error.status == entry["status"]
    assert "<" not in error.excerpt
    assert not error.excerpt.startswith("{")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bad_key_short", AccessDenied),
        ("while_locked_add_file", HydrusUnavailable),
        ("wrong_method", RequestRejected),
        ("user_agent_hydrus", RequestRejected),
        ("search_files_bad", RequestRejected),
        ("file_metadata_unknown_id", RequestRejected),
    ],
)
async def test_refusals_of_the_newest_era(network, client_of, name, kind):
    entry = network.recorded[name]
    network.replays(name, at="/add_tags/add_tags")
    async with client_of(network) as client:
        await client.connect()
        with pytest.raises(kind) as caught:
            await client.add_tags([KNOWN], {"my tags": ["a"]})
    assert caught.value.excerpt == entry["body"]["error"]


async def test_a_locked_client_is_unavailable_from_the_first_request(network, client_of):
    network.replays("while_locked_api_version")
    async with client_of(network) as client:
        with pytest.raises(HydrusUnavailable, match="please try again later") as caught:
            await client.connect()
    assert caught.value.outcome_unknown is False


async def test_before_connecting_the_client_is_away(network, client_of):
    async with client_of(network) as client:
        with pytest.raises(HydrusUnavailable, match="not been reached"):
            _ = client.info
    assert network.closed


def test_info_is_plain_data():
    info = ClientInfo(95, 682, frozenset(), permits_everything=True, boot="b", key_name="k")
    assert "boot='b'" in repr(info)
