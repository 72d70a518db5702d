"""The simulator against what real clients answered, request by request, over real HTTP.

The recordings are stories: each request finds what the ones before it left. They
lie in ``recorded/`` beside this file (those whose routes the simulator has); where
the folder they come from is at hand (``HYDRUSD_RECORDED``, or ``shared/recorded``
beside the checkout) it is used instead, and the copy is checked against it.

Bodies are compared whole: keys, types and values. ``VOLATILE`` values are compared
by type only, and ``ON_PURPOSE`` lists what differs with its reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import httpx
import pytest

from hydrusd.simulator import Permissions, Simulator, SimulatorConfig
from hydrusd.simulator.routes import ROUTES

COPY = Path(__file__).parent / "recorded"
ORIGINALS = Path(
    os.environ.get("HYDRUSD_RECORDED", Path(__file__).parents[3] / "shared" / "recorded")
)
STORIES = {"v11": 11, "v32": 32, "v95": 95, "v95-more": 95}

FULL, LIMITED = "fa" * 32, "1a" * 32
OTHER_KEYS = {"bad_key_unknown": "ab" * 32, "bad_key_short": "abc"}
KEY_HEADER = "Hydrus-Client-API-Access-Key"
SESSION_HEADER = "Hydrus-Client-API-Session-Key"
EXTRA_HEADERS = {
    "bad_session": {SESSION_HEADER: "cd" * 32},
    "user_agent_hydrus": {"User-Agent": "hydrus/1"},
    "file_range": {"Range": "bytes=0-99"},
}

# The names by which the recordings know the files of their story.
FIRST = "ce60b7fa29d98fc77d3a0a7ca3861febfce8c87e146a9548df90672f0a1ec197"
TRUNCATED = "a201a2e0847a8f0530bebfadaf1f970a0ba65f8aa290b3ce1d4638b59bf9eddf"
GARBAGE = "4145f395715e771f3036ba131c0f07938bd3706af7c0aafeb1409653a5ceec02"
BY_PATH = "e5ba0880c3d23dcbd1ccf74b0939b53f9888472dcc54a3988fc11877d284e0f6"
BODIES = {
    "add_file_bytes": "first",
    "add_file_again": "first",
    "add_file_garbage": "garbage",
    "add_file_truncated_png": "truncated",
    "add_file_empty": "empty",
    "add_deleted": "first",
}

# Differ with the day, the machine or chance: compared by type.
VOLATILE = {
    "blurhash", "boot_id", "boot_time", "file_id", "local", "pixel_hash", "session_key",
    "time_imported", "time_modified", "traceback",
}  # fmt: skip

NO_ASSOCIATE_URL = "the story adds a URL first; /add_urls is not simulated yet"
STAND_INS = "set by routes that are not simulated yet"
ON_PURPOSE = {
    ("v11", "file_metadata"): {"metadata.0.known_urls": NO_ASSOCIATE_URL},
    ("v32", "file_metadata"): {"metadata.0.known_urls": NO_ASSOCIATE_URL},
    ("v95", "file_metadata"): {"metadata.0.known_urls": NO_ASSOCIATE_URL},
    ("v95-more", "file_metadata_everything"): {
        "metadata.0.file_viewing_statistics.2": STAND_INS,
        "metadata.0.ratings": STAND_INS,
        "metadata.0.time_modified_details.example.com": STAND_INS,
    },
}


def entries_of(folder, story):
    return json.loads((folder / f"{story}.json").read_text(encoding="utf-8"))


def replayable(story):
    """Every recorded entry whose route the simulator has, or has for good reason not."""
    have = {r.path for r in ROUTES if r.since <= STORIES[story] < r.until}
    folder = ORIGINALS if ORIGINALS.is_dir() else COPY
    return [
        entry
        for entry in entries_of(folder, story)
        if entry["path"] in have or "No Such Resource" in str(entry["body"])
    ]


@pytest.fixture
def props(picture, tmp_path):
    files = {
        "first": picture(1),
        "garbage": b"this is no picture at all",
        "truncated": picture(2)[:2000],
        "empty": b"",
        "by path": picture(3),
    }
    (tmp_path / "f3.png").write_bytes(files["by path"])
    names = {FIRST: "first", TRUNCATED: "truncated", GARBAGE: "garbage", BY_PATH: "by path"}
    replaced = {name: hashlib.sha256(files[kind]).hexdigest() for name, kind in names.items()}
    folder = json.dumps(tmp_path.as_posix())[1:-1]
    return files, {**replaced, "/pictures": folder}


@pytest.mark.parametrize("story", STORIES)
def test_answers_as_the_real_client_did(story, props):
    files, replaced = props
    access_keys = {
        FULL: Permissions(name="full", permits_everything=True),
        LIMITED: Permissions(name="limited", basic=frozenset({3})),
    }
    config = SimulatorConfig(api_version=STORIES[story], access_keys=access_keys)
    differences = []
    with (
        Simulator(config) as simulator,
        simulator.serve() as url,
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        session = ""
        if story == "v95-more":
            seed(http, files)
        for entry in replayable(story):
            recorded = mapped(entry, replaced)
            answer = send(http, recorded, files, session)
            if entry["name"] == "session_key":
                session = answer.json()["session_key"]
            differences += compare(story, recorded, answer)
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("story", STORIES)
def test_the_copy_is_whole_and_unedited(story):
    assert entries_of(COPY, story) == replayable(story)


def test_every_difference_on_purpose_is_about_a_recorded_answer():
    recorded = {(story, entry["name"]) for story in STORIES for entry in entries_of(COPY, story)}
    assert set(ON_PURPOSE) <= recorded


def seed(http, files):
    """Bring the client to where the second story of API 95 begins."""
    for kind in ("truncated", "by path"):
        headers = {KEY_HEADER: FULL, "Content-Type": "application/octet-stream"}
        http.post("/add_files/add_file", content=files[kind], headers=headers)
    sha256 = hashlib.sha256(files["truncated"]).hexdigest()
    body = {"hash": sha256, "service_names_to_tags": {"my tags": ["del:me"]}}
    http.post("/add_tags/add_tags", json=body, headers={KEY_HEADER: FULL})


def mapped(entry, replaced):
    text = json.dumps(entry)
    for recorded, ours in replaced.items():
        text = text.replace(recorded, ours)
    return json.loads(text)


def send(http, entry, files, session):
    name, request = entry["name"], entry["request"]
    headers = dict(EXTRA_HEADERS.get(name, {}))
    keys = {"full": FULL, "limited": LIMITED, "other": OTHER_KEYS.get(name)}
    if key := keys.get(entry["auth"]):
        headers[KEY_HEADER] = key
    if name == "verify_session":
        headers[SESSION_HEADER] = session
    content = None
    if name in BODIES:
        content = files[BODIES[name]]
        headers["Content-Type"] = "application/octet-stream"
    return http.request(
        entry["method"],
        entry["path"],
        params=request.get("params"),
        json=request.get("json"),
        content=content,
        headers=headers,
    )


def compare(story, entry, answer):
    got = {
        "status": answer.status_code,
        "content_type": answer.headers.get("content-type", ""),
        "server": answer.headers.get("server", ""),
        "body": body_of(entry, answer),
    }
    want = {part: entry[part] for part in got}
    for path in ON_PURPOSE.get((story, entry["name"]), {}):
        assert drop(got["body"], path) | drop(want["body"], path), f"nothing at {path}"
    return [
        f"{story} {entry['name']} {part}:\n  recorded {masked(want[part])}\n"
        f"  answered {masked(got[part])}"
        for part in got
        if masked(got[part]) != masked(want[part])
    ]


def body_of(entry, answer):
    if isinstance(entry["body"], str) and re.fullmatch(r"<\d+ bytes>", entry["body"]):
        return f"<{len(answer.content)} bytes>"
    if entry["body"] == "<html> welcome page, as text/html":
        return entry["body"] if answer.text.startswith("<html>") else answer.text
    if isinstance(entry["body"], str):
        return answer.text
    return answer.json()


def drop(body, path):
    """Take one value out; True if it was there."""
    *parents, last = path.split(".", path.count(".") if "example" not in path else 3)
    for step in parents:
        body = body[int(step)] if isinstance(body, list) else body[step]
    if isinstance(body, list):
        body[int(last)] = None
        return True
    return body.pop(last, drop) is not drop


def masked(value, key=""):
    if isinstance(value, dict):
        return {k: masked(v, k) for k, v in value.items()}
    if key == "file_ids":
        return ["number"] * len(value)
    if isinstance(value, list):
        items = [masked(item) for item in value]
        # Neither services nor tags come in an order that anything depends on; hashes do.
        return items if key == "hashes" else sorted(items, key=json.dumps)
    if key in VOLATILE and value is not None:
        return type(value).__name__
    if isinstance(value, str):
        words = value.split("Traceback (most recent call last)")[0]
        words = words + value.rsplit("\n", 1)[-1] if key == "note" and words != value else words
        words = re.sub(r"now|\d+ seconds? ago", "AGO", words)
        return re.sub(r"\d", "0", words) if key == "note" else words
    return value
