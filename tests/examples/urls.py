"""The examples of docs/urls.md that hand URLs to Hydrus or note them on files."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from exampling import Example

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from url_site import HastyClock, Site

_SITES = []


def _a_list_with_one_url(project):
    site = Site()
    _SITES.append(site)
    project.write({"urls.txt": f"# mine\n{site.picture('a.png')}\n"})


def _downloaded_and_tagged(project):
    site = _SITES.pop()
    site.close()
    sha256 = hashlib.sha256(site.pages["/a.png"]).hexdigest()
    # What the client has lost with a crash is downloaded once more; what it has kept is not.
    assert site.asked == {"/a.png": project.simulator.imports()[sha256]}
    assert project.simulator.committed_imports()[sha256] == 1
    assert project.simulator.files[sha256].status == "current"
    assert project.simulator.tags(sha256) == {0: {"source:my list", "came by:imported"}}
    names = {page.name for page in project.simulator._client.pages.media_pages()}
    assert names == {"files", "from my list"}


def _a_file(project):
    project.drop("Pictures/inbox/a.jpg")


def _known_by_its_url(project):
    sha256 = project.sha256("Pictures/inbox/a.jpg")
    entry = project.simulator._client.store.entries[sha256]
    assert list(entry.known_urls) == ["https://example.com/art/a"]


EXAMPLES = {
    "add_url": Example(
        page="urls.md",
        prepare=_a_list_with_one_url,
        check=_downloaded_and_tagged,
        clock=HastyClock,
    ),
    "associate_url": Example(page="urls.md", prepare=_a_file, check=_known_by_its_url),
}
