"""The reference is what the code says, and what it says is true."""

from __future__ import annotations

import re

import pytest
from test_docs import ROOT

from hydrusd import reference
from hydrusd.daemon import load_plugins
from hydrusd.expressions import Expressions, filters_told
from hydrusd.plugin import hookspecs

FOLDER = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def test_the_committed_pages_are_current(pages):
    committed = {page.name: page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md")}
    stale = [name for name in pages if committed.get(name) != pages[name]]
    assert not stale, "run: python -m hydrusd.reference docs/reference"
    assert set(committed) == set(pages)


def test_the_command_writes_them(pages, tmp_path):
    reference.main(tmp_path / "new")
    written = {p.name: p.read_text(encoding="utf-8") for p in (tmp_path / "new").iterdir()}
    assert written == pages


def test_everything_has_a_heading_and_its_parameters_a_description(pages):
    host = load_plugins([])
    for page, kinds in (("triggers.md", host.triggers), ("actions.md", host.actions)):
        for name, kind in kinds.items():
            _, _, section = pages[page].partition(f"\n## {name}\n")
            assert section, name
            section = section.partition("\n## ")[0]
            for field, about in kind.model_fields.items():
                row = re.search(
                    rf"^\| `{about.alias or field}` \|.*\| (.*) \|$", section, re.MULTILINE
                )
                assert row is not None, f"{name}: {field}"
                assert row[1].endswith((".", ")")), f"{name}: {field}"
    for name in vars(hookspecs):
        if name.startswith("hydrusd_"):
            assert f"\n## {name}\n" in pages["hooks.md"]


@pytest.mark.parametrize(("name", "told"), filters_told().items(), ids=lambda each: str(each)[:20])
def test_a_filter_does_what_is_told_of_it(name, told):
    assert told.words
    assert f"| {name}" in f"{told.example} "
    rendered = Expressions().template(f"{{{{ {told.example} }}}}").render({})
    assert rendered == told.gives


def test_triggers_give_the_names_that_their_texts_speak_of():
    spoken = 0
    for name, trigger in load_plugins([]).triggers.items():
        if trigger.gives is None:
            continue
        text = " ".join((trigger.__doc__ or "").split())
        sentence = re.search(r"(?:templates|Rules) see (.*?)(?:\. |\.$|$)", text)
        given = set(reference._names(trigger.gives, ""))
        free = {root for root, inner in trigger.gives.items() if inner is None}
        for said in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", sentence[1] if sentence else ""):
            spoken += 1
            assert said in given or said.split(".")[0] in free, f"{name}: {said}"
    assert spoken >= 20
