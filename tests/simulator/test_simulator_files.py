"""Files coming in, going to the trash, and coming back."""

from __future__ import annotations

import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hydrusd.simulator import Service

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
    from PIL import Image

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
