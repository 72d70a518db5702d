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
import itertools
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from hydrusd.simulator import Permissions, Simulator, SimulatorConfig, _store
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
NEW_BY_URL = "888ee2293563aefed034a7cada7011e2c9800866323516fe903d75e99b983043"
KNOWN_BY_URL = "3780630ae423ab02ed93aa8b8da5272377c263d266c53f2fd0eb9eda2acef503"
RECORDED_SITE = "http://127.0.0.1:8099"
TRUNCATED = "a201a2e0847a8f0530bebfadaf1f970a0ba65f8aa290b3ce1d4638b59bf9eddf"
TRUNCATED_MD5 = "e3077d8127a57c29f6246f24908a538e"
HASHED_ONLY = "c9ca9cd8f7e3b339d9dd6e0d99fae63d748c1ff105c8a80f5e57e5925cf4a2d2"
FILES_ROOT = "/home/user/hydrus-db/client_files"
GARBAGE = "4145f395715e771f3036ba131c0f07938bd3706af7c0aafeb1409653a5ceec02"
BY_PATH = "e5ba0880c3d23dcbd1ccf74b0939b53f9888472dcc54a3988fc11877d284e0f6"
BODIES = {
    "add_file_bytes": "first",
    "add_file_again": "first",
    "add_file_garbage": "garbage",
    "add_file_truncated_png": "truncated",
    "add_file_empty": "empty",
    "add_deleted": "first",
    "generate_hashes": "hashed only",
}

# Differ with the day, the machine or chance: compared by type.
VOLATILE = {
    "blurhash", "boot_id", "boot_time", "created", "creation_time", "earliest_import_time",
    "file_id", "key", "last_viewed_timestamp", "local", "modified", "page_key", "pixel_hash",
    "session_key", "source_time", "time_imported", "time_modified", "traceback",
}  # fmt: skip

OTHER_PICTURE = "of another picture, made by another encoder"
OTHER_HASH = "of another picture, computed in another way"
CUT_LIST = "the recording holds the first four"
ON_PURPOSE = {
    ("v11", "thumbnail"): {"": OTHER_PICTURE},
    ("v32", "thumbnail"): {"": OTHER_PICTURE},
    ("v95", "thumbnail"): {"": OTHER_PICTURE},
    ("v95-more", "render"): {"": OTHER_PICTURE},
    ("v95-more", "generate_hashes"): {"perceptual_hashes.0": OTHER_HASH},
    ("v95-more", "local_file_storage_locations"): {"locations.0.prefixes": CUT_LIST},
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
        "new by url": picture(4),
        "known by url": picture(5),
        "hashed only": picture(6),
    }
    (tmp_path / "f3.png").write_bytes(files["by path"])
    names = {FIRST: "first", TRUNCATED: "truncated", GARBAGE: "garbage", BY_PATH: "by path"}
    names |= {NEW_BY_URL: "new by url", KNOWN_BY_URL: "known by url"}
    replaced = {name: hashlib.sha256(files[kind]).hexdigest() for name, kind in names.items()}
    replaced[HASHED_ONLY] = hashlib.sha256(files["hashed only"]).hexdigest()
    replaced[TRUNCATED_MD5] = hashlib.md5(files["truncated"]).hexdigest()
    ours = replaced[TRUNCATED][:2]
    folder = json.dumps(tmp_path.as_posix())[1:-1]
    root = f"{folder}/state/client_files"
    replaced |= {f"{FILES_ROOT}/{kind}a2": f"{root}/{kind}{ours}" for kind in "ft"}
    return files, {**replaced, FILES_ROOT: root, "/pictures": folder}


@pytest.fixture
def one_second(monkeypatch):
    """Have files imported one after the other, in one second, as when it was recorded: an older
    client sorts by whole seconds.
    """
    began, turns = int(time.time()), itertools.count(1)
    monkeypatch.setattr(
        _store, "time", SimpleNamespace(time=lambda: began + next(turns) / 1_000_000)
    )


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.usefixtures("one_second")
def test_answers_as_the_real_client_did(story, props, site, tmp_path):
    files, replaced = props
    site.pages |= {
        "/new.jpg": files["new by url"],
        "/known.jpg": files["known by url"],
        "/text.bin": files["garbage"],
    }
    replaced[RECORDED_SITE] = site.url
    known_as = names_of_keys(story)
    access_keys = {
        FULL: Permissions(name="full", permits_everything=True),
        LIMITED: Permissions(name="limited", basic=frozenset({3})),
    }
    config = SimulatorConfig(
        api_version=STORIES[story], access_keys=access_keys, state_dir=tmp_path / "state"
    )
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
            downloads_to_here(entry["name"], site, http)
            recorded["request"] = with_our_keys(http, recorded["request"], known_as)
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
    for kind in ("truncated", "by path", "known by url"):
        headers = {KEY_HEADER: FULL, "Content-Type": "application/octet-stream"}
        http.post("/add_files/add_file", content=files[kind], headers=headers)
    sha256 = hashlib.sha256(files["truncated"]).hexdigest()
    body = {"hash": sha256, "service_names_to_tags": {"my tags": ["del:me"]}}
    http.post("/add_tags/add_tags", json=body, headers={KEY_HEADER: FULL})


def names_of_keys(story):
    """What the keys in a story stand for: recorded key to the name of a page or a popup."""
    folder = ORIGINALS if ORIGINALS.is_dir() else COPY
    things = [t for entry in entries_of(folder, story) for t in dicts_in(entry["body"])]
    pages = {t["page_key"]: t.get("name") or t["page_name"] for t in things if "page_key" in t}
    popups = {t["key"]: t["status_title"] for t in things if "creation_time" in t}
    return pages, popups


def with_our_keys(http, request, known_as):
    """Give a request with the keys that the simulator has given to the same things."""
    text = json.dumps(request)
    for names, key_of in zip(known_as, (our_page, our_popup), strict=True):
        for recorded, name in names.items():
            if recorded in text:
                text = text.replace(recorded, key_of(http, name))
    return json.loads(text)


def our_page(http, name):
    tree = http.get("/manage_pages/get_pages", headers={KEY_HEADER: FULL}).json()
    return next(page["page_key"] for page in dicts_in(tree) if page.get("name") == name)


def our_popup(http, title):
    answer = http.get("/manage_popups/get_popups", headers={KEY_HEADER: FULL}).json()
    return next(p["key"] for p in answer["job_statuses"] if p.get("status_title") == title)


def dicts_in(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from dicts_in(inner)


def downloads_to_here(name, site, http):
    """Let the downloader come as far as it was when the real one was asked."""
    held, opened, processed = {
        "add_url_new_file": ({"/new.jpg", "/missing.jpg"}, set(), 0),
        "page_info_urls_after_1s_more": (set(), {"/new.jpg"}, 2),
        "page_info_urls_after_10s_more": (set(), {"/missing.jpg"}, 4),
    }.get(name, (set(), set(), 0))
    site.hold(held)
    site.let_go(opened)
    deadline = time.monotonic() + 20
    while processed and time.monotonic() < deadline:
        key = our_page(http, "hydrusd")
        answer = http.get(
            "/manage_pages/get_page_info", params={"page_key": key}, headers={KEY_HEADER: FULL}
        )
        imports = answer.json()["page_info"]["management"]["urls_import"]["imports"]
        if imports["total_processed"] == processed:
            return
        time.sleep(0.01)
    assert not processed, f"{name}: never came to {processed} processed items"


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
        if not path:
            assert got["body"] != "<0 bytes>"
            got["body"] = want["body"]
            continue
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
    body = answer.json()
    # Of long answers, the recording kept the types alone.
    told = [key for key in body if re.fullmatch(r"<\w+>", str(entry["body"].get(key)))]
    return body | {key: f"<{type(body[key]).__name__}>" for key in told}


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
    if key in {"file_ids", "hash_ids"}:
        return ["number"] * len(value)
    if isinstance(value, list):
        items = [masked(item) for item in value]
        # Neither services nor tags come in an order that anything depends on; hashes do.
        return items if key == "hashes" else sorted(items, key=json.dumps)
    if key in VOLATILE and value is not None:
        return type(value).__name__
    if key == "path":
        return value.replace("\\", "/")
    if isinstance(value, str):
        words = value.split("Traceback (most recent call last)")[0]
        words = words + value.rsplit("\n", 1)[-1] if key == "note" and words != value else words
        words = re.sub(r"now|(?:\d+ \w+ )+ago", "AGO", words)
        return re.sub(r"\d", "0", words) if key == "note" else words
    return value
