"""The reference is what the code says, and what it says is true."""

from __future__ import annotations

import importlib
import inspect
import re
import typing

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


AUTHORS = {"author-api.md": "hydrusd.plugin", "testing-api.md": "hydrusd.testing"}


def section_of(page, name):
    _, heading, rest = page.partition(f"\n## {name}\n")
    assert heading, name
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize(("page", "room"), AUTHORS.items())
def test_every_name_for_authors_is_told_with_its_signature(pages, page, room):
    module = importlib.import_module(room)
    for name in module.__all__:
        value, section = getattr(module, name), section_of(pages[page], name)
        code, _, words = section.removeprefix("\n```py\n").partition("\n```\n")
        words, since, _ = words.rpartition("\nSince ")
        assert since, name
        assert re.search(r"^[\w…]", words, re.MULTILINE), f"{name} is told in no words"
        if inspect.isfunction(value):
            for shape in typing.get_overloads(value) or [value]:
                for parameter in inspect.signature(shape).parameters:
                    assert parameter in code, f"{name}: {parameter}"
        elif inspect.isclass(value):
            fields = getattr(value, "__dataclass_fields__", {}).keys()
            functions = {each for each, what in vars(value).items() if inspect.isfunction(what)}
            wanted = {each for each in fields | functions if not each.startswith(("_", "model_"))}
            missing = [each for each in wanted if not re.search(rf"\b{each}\b", section)]
            assert not missing, f"{name}: {missing}"


def test_members_of_private_bases_are_told_and_anchors_are_those_of_the_headings(pages):
    page = pages["author-api.md"]
    client = section_of(page, "HydrusClient")
    assert "async def set_notes(" in client
    assert "def connect(" in client
    assert "(#action), [`action`](#action-1)" in page
    assert "@pytest.fixture\ndef project(" in pages["testing-api.md"]


def test_what_is_newer_than_the_first_version_says_so(pages, monkeypatch):
    names = {name for room in AUTHORS.values() for name in importlib.import_module(room).__all__}
    assert names >= hookspecs.SINCE.keys()
    assert all((1, 0) < since <= hookspecs.API_VERSION for since in hookspecs.SINCE.values())
    monkeypatch.setitem(hookspecs.SINCE, "Outcome", (1, 7))
    newer = reference.pages()["author-api.md"]
    assert section_of(newer, "Outcome").rstrip().endswith("Since 1.7.")


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
