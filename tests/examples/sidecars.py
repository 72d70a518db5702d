"""The examples of docs/sidecars.md: that of ``apply_sidecar``, and those of parameters."""

from __future__ import annotations

import json

from exampling import Example

CURRENT = 0
PAGE = "sidecars.md"
INBOX = "Pictures/inbox"
DOWNLOADS = "Downloads/gallery-dl"
POST = "https://booru.example/posts/1"


def lying(project, folder):
    return {p.relative_to(project.folder / folder).as_posix() for p in _files(project, folder)}


def _files(project, folder):
    return [p for p in (project.folder / folder).rglob("*") if p.is_file()]


def tags(project, name, service="my tags"):
    return project.simulator.tags(project.sha256(name), service).get(CURRENT, set())


def downloaded(project):
    told = {"post_url": POST, "tag_string_artist": "somebody", "tag_string_general": "sky"}
    project.drop(f"{DOWNLOADS}/a.png.json", json.dumps(told).encode(), noticed=False)
    project.drop(f"{DOWNLOADS}/a.png")


def it_was_applied(project):
    name = f"{DOWNLOADS}/a.png"
    assert tags(project, name, "downloader tags") == {"creator:somebody", "sky"}
    [row] = project.ask("/get_files/file_metadata", hashes=json.dumps([project.sha256(name)]))[
        "metadata"
    ]
    assert row["known_urls"] == [POST]
    assert lying(project, DOWNLOADS) == set()
    assert lying(project, "Downloads/trash") == {"a.png", "a.png.json"}


def with_captions(project):
    for name, caption in (("a", b"1girl, blue sky"), ("b", b"draft, sky")):
        project.drop(f"{INBOX}/{name}.txt", caption, noticed=False)
        project.drop(f"{INBOX}/{name}.png")


def captions_were_taken(project):
    assert tags(project, f"{INBOX}/a.png") == {"1girl", "blue sky", "from:captions"}
    assert lying(project, INBOX) == {"b.png", "b.txt"}
    assert lying(project, "Pictures/done") == {"a.png", "a.txt"}


def album(project):
    project.drop("Pictures/albums/iceland/tags.txt", b"place:iceland\n", noticed=False)
    project.drop("Pictures/albums/iceland/a.png")
    project.drop("Pictures/albums/b.png")


def album_was_tagged(project):
    assert tags(project, "Pictures/albums/iceland/a.png") == {"place:iceland"}
    assert tags(project, "Pictures/albums/b.png") == set()


def known_gone_and_new(project):
    project.seed(f"{INBOX}/known.png")
    project.simulator._client.store.destroy_file(project.seed(f"{INBOX}/gone.png"), "no")
    for name in ("known", "gone", "new"):
        project.drop(f"{INBOX}/{name}.png")


def duplicates_were_told_apart(project):
    assert lying(project, INBOX) == {"known.png"}
    assert lying(project, "Pictures/trash") == {"gone.png", "new.png"}
    assert tags(project, f"{INBOX}/new.png") == {"new"}
    assert tags(project, f"{INBOX}/known.png") == set()


def deep(project):
    project.drop(f"{INBOX}/2026/trip/a.png")
    project.drop(f"{INBOX}/2026/trip/Thumbs.db", b"junk", noticed=False)


def inbox_is_empty(project):
    assert list((project.folder / INBOX).iterdir()) == []
    assert lying(project, "Pictures/done") == {"a.png"}


EXAMPLES = {"apply_sidecar": Example(PAGE, it_was_applied, downloaded)}
OF_PARAMETERS = {
    "sidecars": Example(PAGE, captions_were_taken, with_captions),
    "folder_sidecars": Example(PAGE, album_was_tagged, album, run={"jobs": 2}),
    "duplicates": Example(
        PAGE,
        duplicates_were_told_apart,
        known_gone_and_new,
        run={"jobs": 3},
        states=frozenset({"done", "skipped"}),
    ),
    "remove_emptied_folders": Example(PAGE, inbox_is_empty, deep),
}
