"""Files coming in, going to the trash, and coming back."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from hydrusd.simulator import Permissions, Service

RAW = {"Content-Type": "application/octet-stream"}
STORAGE = "616c6c206c6f63616c2066696c6573"


@pytest.mark.parametrize(
    ("fmt", "mime"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
    ],
)
def test_pictures_are_recognised(started, picture, fmt, mime):
    simulator, http = started()
    added = http.add(picture(1, fmt))
    assert added["status"] == 1
    assert simulator.files[added["hash"]].mime == mime


@pytest.mark.parametrize(
    ("content", "mime"),
    [
        (b"\x1a\x45\xdf\xa3\x01\x00\x42\x82\x84webm rest", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x01\x00\x42\x82\x88matroska", "video/x-matroska"),
        (b"\x00\x00\x00\x20ftypisom rest", "video/mp4"),
    ],
)
def test_videos_are_told_by_their_first_bytes(started, content, mime):
    simulator, http = started()
    sha256 = http.add(content)["hash"]
    assert simulator.files[sha256].mime == mime


def test_a_moving_picture_has_frames(started, picture):
    _, http = started()
    frames = [Image.open(io.BytesIO(picture(n))) for n in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=50)
    sha256 = http.add(buffer.getvalue())["hash"]
    answer = http.get("/get_files/file_metadata", params={"hash": sha256}).json()
    row = answer["metadata"][0]
    assert (row["num_frames"], row["duration"], row["filetype_enum"]) == (3, 150, 3)


@pytest.mark.parametrize(("api_version", "status"), [(95, 1), (32, 4), (11, 4)])
def test_a_truncated_picture_is_taken_by_the_newest_client_only(
    started, picture, api_version, status
):
    _, http = started(api_version=api_version)
    assert http.add(picture()[:2000])["status"] == status


def test_a_large_file_goes_through_a_temporary_file(started, picture, tmp_path):
    simulator, http = started(state_dir=tmp_path)
    content = picture(5, "PNG", (800, 800)) + b"\0" * (1024 * 1024)
    sha256 = hashlib.sha256(content).hexdigest()
    assert http.add(content)["hash"] == sha256
    assert http.add(content)["status"] == 2
    assert simulator.files[sha256].size == len(content)
    assert [path.name for path in (tmp_path / "contents").iterdir()] == [sha256]
    fetched = http.get("/get_files/file", params={"hash": sha256})
    assert fetched.content == content


def test_a_path_is_read_and_removed_on_request(started, picture, tmp_path):
    _, http = started()
    source = tmp_path / "x.png"
    source.write_bytes(picture())
    body = {"path": str(source)}
    assert http.post("/add_files/add_file", json=body).json()["status"] == 1
    assert source.exists()
    body["delete_after_successful_import"] = True
    assert http.post("/add_files/add_file", json=body).json()["status"] == 2
    assert not source.exists()
    assert http.post("/add_files/add_file", json={"path": str(tmp_path)}).status_code == 400


def test_vetoes(started, picture):
    simulator, http = started(
        veto_over_bytes=20_000, veto=lambda _hash, _size, mime: "no gifs" if "gif" in mime else None
    )
    assert http.add(picture())["status"] == 1
    assert http.add(picture(1, "PNG", (200, 200)))["status"] == 7
    refused = http.add(picture(1, "GIF"))
    assert (refused["status"], refused["note"]) == (7, "no gifs")
    assert len(simulator.files) == 1


def test_the_trash(started, picture):
    simulator, http = started()
    sha256 = http.add(picture())["hash"]
    hashes = {"hashes": [sha256]}
    http.post("/add_files/delete_files", json={**hashes, "reason": "why not"})
    assert simulator.files[sha256].status == "trashed"
    assert simulator.committed_files() == set()
    again = http.add(picture())
    assert again["status"] == 3
    assert "why not" in again["note"]
    row = http.get("/get_files/file_metadata", params={"hash": sha256}).json()["metadata"][0]
    assert (row["is_local"], row["is_trashed"], row["is_deleted"]) == (True, True, True)
    assert set(row["file_services"]["deleted"]) == {
        "6c6f63616c2066696c6573",
        "616c6c206c6f63616c206d65646961",
    }
    http.post("/add_files/undelete_files", json=hashes)
    assert simulator.files[sha256].status == "current"
    assert http.add(picture())["status"] == 2


def test_a_physical_delete_is_final(started, picture):
    simulator, http = started()
    sha256 = http.add(picture())["hash"]
    body = {"hashes": [sha256], "file_service_key": STORAGE}
    http.post("/add_files/delete_files", json=body)
    http.post("/add_files/undelete_files", json=body)
    assert simulator.files[sha256].status == "deleted"
    assert http.get("/get_files/file", params={"hash": sha256}).status_code == 404
    assert http.add(picture())["status"] == 3


def test_files_can_go_to_other_domains(started, picture, tmp_path):
    simulator, http = started(extra_services=(Service("other", 2, "0f" * 32),))
    (tmp_path / "x.png").write_bytes(picture())
    body = {"path": str(tmp_path / "x.png"), "file_service_keys": ["0f" * 32]}
    sha256 = http.post("/add_files/add_file", json=body).json()["hash"]
    found = http.get(
        "/get_files/search_files",
        params={"tags": '["system:everything"]', "file_service_key": "0f" * 32},
    ).json()
    assert len(found["file_ids"]) == 1
    http.post(
        "/add_files/delete_files",
        json={"hash": sha256, "file_service_key": "6c6f63616c2066696c6573"},
    )
    assert simulator.files[sha256].status == "current"
    http.post("/add_files/delete_files", json={"hash": sha256, "file_service_key": "0f" * 32})
    assert simulator.files[sha256].status == "trashed"


def test_database_jobs_stand_in_one_line(started, picture):
    _, http = started(import_seconds=0.05)
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(http.add, [picture(n) for n in range(4)]))
    # Not how fast it was (a machine may be slow) but that they did not run side by side.
    assert time.monotonic() - begun >= 4 * 0.05
    assert [answer["status"] for answer in answers] == [1] * 4


def test_the_same_new_file_twice_at_once_is_imported_once(started, picture):
    simulator, http = started(import_seconds=0.02)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(http.add, [picture()] * 4))
    assert sorted(answer["status"] for answer in answers) == [1, 2, 2, 2]
    assert set(simulator.imports().values()) == {1}


def test_parts_of_a_file(started, picture):
    _, http = started()
    content = picture()
    ask = {"hash": http.add(content)["hash"]}
    for asked, part in (("0-9", content[:10]), ("100-", content[100:]), ("-5", content[-5:])):
        answer = http.get("/get_files/file", params=ask, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, part)
    for asked in ("0-1,3-4", f"{len(content)}-", "-"):
        answer = http.get("/get_files/file", params=ask, headers={"Range": f"bytes={asked}"})
        assert answer.status_code == 416
    assert http.head("/get_files/file", params=ask).headers["content-length"] == str(len(content))


def test_nothing_is_left_of_an_upload_that_was_refused(started, tmp_path):
    _, http = started(state_dir=tmp_path)
    assert http.add(b"no picture" * 200_000)["status"] == 4
    answer = http.post("/nope", content=b"x" * 2_000_000, headers=RAW)
    assert answer.status_code == 404
    assert list((tmp_path / "contents").iterdir()) == []


def row_of(http, sha256):
    answer = http.get("/get_files/file_metadata", params={"hash": sha256}).json()
    return answer["metadata"][0]


def test_archiving(started, picture):
    _, http = started()
    sha256 = http.add(picture())["hash"]
    for _ in range(2):
        assert http.post("/add_files/archive_files", json={"hash": sha256}).content == b""
    row = row_of(http, sha256)
    assert not row["is_inbox"]
    assert row["time_archived"] >= row["file_services"]["current"][STORAGE]["time_imported"]
    http.post("/add_files/unarchive_files", json={"hashes": [sha256, "ab" * 32]})
    assert row_of(http, sha256)["is_inbox"]
    assert "time_archived" not in row_of(http, sha256)


def test_archived_files_may_be_delete_locked(started, picture):
    simulator, http = started(archived_files_delete_locked=True)
    locked, free = (http.add(picture(n))["hash"] for n in range(2))
    http.post("/add_files/archive_files", json={"hash": locked})
    body = {"hashes": [locked, free], "file_service_key": STORAGE}
    answer = http.post("/add_files/delete_files", json=body)
    assert answer.status_code == 409
    assert locked in answer.json()["error"]
    assert free not in answer.json()["error"]
    assert {record.status for record in simulator.files.values()} == {"current"}
    http.post("/add_files/delete_files", json={"hashes": [locked]})
    assert simulator.files[locked].status == "trashed", "the trash takes locked files"


def test_a_cleared_deletion_record_lets_a_file_in_again(started, picture):
    simulator, http = started()
    sha256 = http.add(picture())["hash"]
    body = {"hash": sha256, "file_service_key": STORAGE}
    http.post("/add_files/clear_file_deletion_record", json={"hash": sha256})
    assert simulator.files[sha256].status == "current"
    http.post("/add_files/delete_files", json=body)
    assert http.add(picture())["status"] == 3
    assert row_of(http, sha256)["file_services"]["current"].keys() == {
        "616c6c2064656c657465642066696c6573"
    }
    http.post("/add_files/clear_file_deletion_record", json={"hash": sha256})
    assert set(row_of(http, sha256)["file_services"]["deleted"]) == {
        "616c6c206c6f63616c206d65646961"
    }
    assert http.add(picture())["status"] == 1
    assert simulator.files[sha256].status == "current"


def domains(http, sha256):
    return set(row_of(http, sha256)["file_services"]["current"])


def test_a_migration_is_done_after_its_answer(started, picture):
    _, http = started(migrate_seconds=0.05, extra_services=(Service("other", 2, "0f" * 32),))
    sha256 = http.add(picture())["hash"]
    body = {"hash": sha256, "file_service_key": "0f" * 32}
    assert http.post("/add_files/migrate_files", json=body).content == b""
    before = domains(http, sha256)
    deadline = time.monotonic() + 20
    while "0f" * 32 not in domains(http, sha256) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert domains(http, sha256) == before | {"0f" * 32}
    for wrong in ({"file_service_key": "7472617368"}, {}, {"hash": "ab" * 32}):
        refused = {"hash": sha256, "file_service_key": "0f" * 32} | wrong
        if not wrong:
            del refused["file_service_key"]
        assert http.post("/add_files/migrate_files", json=refused).status_code == 400


def test_a_crash_ends_a_migration(started, picture):
    simulator, http = started(
        migrate_seconds=0.05, extra_services=(Service("other", 2, "0f" * 32),)
    )
    sha256 = http.add(picture())["hash"]
    http.commit()
    body = {"hash": sha256, "file_service_key": "0f" * 32}
    http.post("/add_files/migrate_files", json=body)
    simulator.crash()
    simulator._store.do_later(0.1, (after := threading.Event()).set)
    assert after.wait(20)
    assert "0f" * 32 not in domains(http, sha256)


def test_hashes_are_generated_without_an_import(started, picture, tmp_path):
    simulator, http = started()
    (tmp_path / "x.gif").write_bytes(content := picture(1, "GIF"))
    answers = [
        http.post("/add_files/generate_hashes", json={"path": str(tmp_path / "x.gif")}).json(),
        http.post("/add_files/generate_hashes", content=content, headers=RAW).json(),
    ]
    assert answers[0] == answers[1]
    assert answers[0]["hash"] == hashlib.sha256(content).hexdigest()
    assert len(answers[0]["pixel_hash"]) == 64
    assert [len(text) for text in answers[0]["perceptual_hashes"]] == [16]
    plain = http.post("/add_files/generate_hashes", content=b"hello", headers=RAW).json()
    assert set(plain) == {"hash", "version", "hydrus_version"}
    empty = http.post("/add_files/generate_hashes", content=b"", headers=RAW)
    assert (empty.status_code, empty.json()["exception_type"]) == (500, "ZeroSizeFileException")
    assert not simulator.files


def test_hashes_of_known_files(started, picture, tmp_path):
    _, http = started(state_dir=tmp_path)
    content = picture()
    sha256 = http.add(content)["hash"]
    md5, sha1 = (hashlib.new(name, content).hexdigest() for name in ("md5", "sha1"))
    http.post("/add_files/delete_files", json={"hash": sha256, "file_service_key": STORAGE})
    for given, kinds, found in [
        (sha256, {"desired_hash_type": "sha1"}, {sha256: sha1}),
        (md5, {"source_hash_type": "md5", "desired_hash_type": "sha256"}, {md5: sha256}),
        ("ab" * 32, {"desired_hash_type": "md5"}, {}),
    ]:
        answer = http.get("/get_files/file_hashes", params={"hash": given, **kinds})
        assert answer.json()["hashes"] == found
    for wrong in (
        {"hash": sha256},
        {"desired_hash_type": "md5"},
        {"hash": md5, "desired_hash_type": "sha1"},
        {"hash": sha256, "desired_hash_type": "crc"},
    ):
        assert http.get("/get_files/file_hashes", params=wrong).status_code == 400


@pytest.mark.parametrize("on_disk", [True, False])
def test_paths_lead_to_the_files(started, picture, tmp_path, on_disk):
    _, http = started(state_dir=tmp_path if on_disk else None)
    content = picture(1, "JPEG")
    sha256 = http.add(content)["hash"]
    told = http.get("/get_files/file_path", params={"hash": sha256}).json()
    assert Path(told["path"]).read_bytes() == content
    assert (told["filetype"], told["size"]) == ("image/jpeg", len(content))
    asked = {"hash": sha256, "include_thumbnail_filetype": "true"}
    small = http.get("/get_files/thumbnail_path", params=asked).json()
    shown = http.get("/get_files/thumbnail", params={"hash": sha256})
    assert (Path(small["path"]).read_bytes(), small["filetype"]) == (shown.content, "image/jpeg")
    (location,) = http.get("/get_files/local_file_storage_locations").json()["locations"]
    prefix = Path(told["path"]).parent.name
    assert Path(told["path"]) == Path(location["path"]) / prefix / f"{sha256}.jpg"
    assert prefix in location["prefixes"]
    http.post("/add_files/delete_files", json={"hash": sha256, "file_service_key": STORAGE})
    assert not Path(told["path"]).exists()
    assert http.get("/get_files/file_path", params={"hash": sha256}).status_code == 404


@pytest.mark.parametrize("held", [{3}, {13}])
def test_paths_need_two_permissions(started, held):
    keys = {"ab" * 32: Permissions(basic=frozenset(held))}
    _, http = started(access_keys=keys)
    http.headers["Hydrus-Client-API-Access-Key"] = "ab" * 32
    for path in ("file_path", "thumbnail_path", "local_file_storage_locations"):
        answer = http.get(f"/get_files/{path}", params={"hash": "ab" * 32})
        assert answer.status_code == 403


def test_thumbnails_and_renders(started, picture):
    _, http = started()
    ask = {"hash": http.add(picture(1, "PNG", (400, 100)))["hash"]}
    small = Image.open(io.BytesIO(http.get("/get_files/thumbnail", params=ask).content))
    assert (small.format, small.size) == ("JPEG", (200, 50))
    for enum, name in ((1, "JPEG"), (2, "PNG"), (33, "WEBP")):
        more = {"render_format": enum, "width": 30, "height": 20, "render_quality": 50}
        answer = http.get("/get_files/render", params={**ask, **more})
        shown = Image.open(io.BytesIO(answer.content))
        assert (shown.format, shown.size) == (name, (30, 20))
        assert answer.headers["content-type"] == f"image/{name.lower()}"
    whole = http.get("/get_files/render", params={**ask, "width": 30})
    assert Image.open(io.BytesIO(whole.content)).size == (400, 100)
    for wrong in ({"render_format": 9}, {"width": 0, "height": 9}):
        assert http.get("/get_files/render", params={**ask, **wrong}).status_code == 400
    video = {"hash": http.add(b"\x1a\x45\xdf\xa3\x01\x00\x42\x82\x84webm rest")["hash"]}
    assert http.get("/get_files/thumbnail", params=video).status_code == 200
    for path in ("render", "thumbnail_path"):
        assert http.get(f"/get_files/{path}", params=video).status_code == 400
    unknown = {"hash": "ab" * 32}
    statuses = {"file": 404, "thumbnail": 200, "render": 400, "file_path": 404}
    for path, status in statuses.items():
        assert http.get(f"/get_files/{path}", params=unknown).status_code == status
        assert http.get(f"/get_files/{path}").status_code == 400


def test_seen_by_the_oldest_client_a_thumbnail_has_no_type(started, picture):
    _, http = started(api_version=11)
    ask = {"hash": http.add(picture())["hash"]}
    answer = http.get("/get_files/thumbnail", params=ask)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert http.get("/get_files/thumbnail", params={"hash": "ab" * 32}).status_code == 404


def test_an_old_client_knows_neither_domains_nor_the_removal_of_sources(started, picture, tmp_path):
    other = Service("other", 2, "0f" * 32)
    _, http = started(api_version=32, extra_services=(other,))
    source = tmp_path / "x.png"
    source.write_bytes(picture())
    body = {"path": str(source), "file_service_key": other.key}
    body["delete_after_successful_import"] = True
    sha256 = http.post("/add_files/add_file", json=body).json()["hash"]
    assert source.exists()
    assert other.key not in domains(http, sha256)
    for path in ("migrate_files", "clear_file_deletion_record", "generate_hashes"):
        assert http.post(f"/add_files/{path}", json={}).status_code == 404
