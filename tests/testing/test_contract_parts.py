"""The contract tries all else that a plugin can bring: what is good passes, each fault is found."""

from __future__ import annotations

import json

import pytest
from test_contract_finds import RULES, broken

from hydrusd.expressions import filters_told
from hydrusd.testing import ContractBroken, Example, NotAsExpected, Promise, _parts

STARTS = RULES.replace("mine:", "log: {message: started}")


def plugin(source, **given):
    head = "import os, random, time\nfrom hydrusd.plugin import *\n\n"
    return Example(**{"rules": STARTS, "files": {"plugins/mine.py": head + source}, **given})


def filter_of(*lines, parameters="value"):
    body = "".join(f"    {line}\n" for line in lines)
    return (
        f"def mine({parameters}):\n{body}\n\n@hookimpl\n"
        "def hydrusd_register_filters(register):\n    register('mine', mine)\n"
    )


def told(contract, promise, tried):
    """Give what is told of the one promise that is broken, and of nothing else."""
    with pytest.raises(ContractBroken) as caught:
        contract(tried)
    assert {each.promise for each in caught.value.broken} == {promise}
    return str(caught.value)


# --- filters ---------------------------------------------------------------------------------

SHOUTS = filter_of(
    "if not isinstance(value, str):",
    "    raise TypeError('mine wants text')",
    "return value.upper()",
)


def test_a_good_filter_passes_and_its_example_is_run(contract):
    rules = STARTS.replace("do:", "if: ('a' | mine) == 'A'\n    do:")
    ran = []
    contract(plugin(SHOUTS, rules=rules, check=ran.append, filters={"mine": [["owl"]]}))
    assert len(ran) == 1
    with pytest.raises(NotAsExpected):
        contract(plugin(SHOUTS, rules=rules.replace("'A'", "'b'"), timeout_seconds=0.5))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["return value.upper()"], "it raises AttributeError: 'NoneType' object has no attribute"),
        (["raise ValueError"], "say what is wanted"),
        (["return random.random()"], "twice, it gives 0."),
        (["if isinstance(value, list):", "    value.append(1)", "return 1"], "became [[1]]"),
        (["os.environ['MINE'] = str(time.time())", "return 1"], "changes the environment"),
        (["return object()"], "expressions see plain data only"),
    ],
)
def test_what_a_filter_must_not_do(contract, monkeypatch, lines, words):
    monkeypatch.setenv("MINE", "")
    detail = told(contract, Promise.FILTER, plugin(filter_of(*lines)))
    assert words in detail


def test_a_filter_that_hangs(contract, monkeypatch):
    monkeypatch.setattr(_parts, "PATIENCE_SECONDS", 0.1)
    lines = ("if value == 'owl':", "    time.sleep(2)", "return 1")
    detail = told(contract, Promise.FILTER, plugin(filter_of(*lines)))
    assert "given ['owl'], it did not come back" in detail


def test_a_filter_with_arguments_wants_samples(contract):
    source = filter_of("return f'{value}{other}'", parameters="value, other")
    with pytest.raises(ValueError, match=r"needs 2 arguments.*Example\(filters="):
        contract(plugin(source))
    contract(plugin(source, filters={"mine": [["a", "b"]]}))
    refusing = filter_of("raise TypeError('never')", parameters="value, other")
    detail = told(contract, Promise.FILTER, plugin(refusing, filters={"mine": [["a", "b"]]}))
    assert "a sample of the example, it refuses: the filter 'mine' failed: TypeError" in detail


# --- sidecars --------------------------------------------------------------------------------


def reader_of(*lines):
    body = "".join(f"    {line}\n" for line in lines)
    return (
        f"import json\n\ndef read(content):\n{body}\n\n@hookimpl\n"
        "def hydrusd_register_sidecar_formats(register):\n"
        "    register(SidecarFormat('mine', ('.mine',), read))\n"
    )


LOADS = (
    "try:",
    "    whole = json.loads(content)",
    "    json.dumps(whole, allow_nan=False)",
    "except (ValueError, RecursionError):",
    "    raise MalformedSidecar('it is no JSON') from None",
    "if not isinstance(whole, dict):",
    "    raise MalformedSidecar('it is no object')",
)
SAMPLE = {"mine": [json.dumps({"one": "a", "other": "b"}).encode()]}


def test_a_good_reader_passes(contract):
    lines = ("return SidecarData(tags=[key for key in whole if key.strip()])",)
    contract(plugin(reader_of(*LOADS, *lines), sidecars=SAMPLE))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["whole = json.loads(content)", "return SidecarData()"], "it raises JSONDecodeError"),
        (["raise MalformedSidecar('')"], "does not say in a line or two what is wrong"),
        (["return None"], "it gives NoneType, no SidecarData"),
        (["return SidecarData(tags=[' '])"], "it gives a tag that is empty"),
        (["return SidecarData(urls=['nowhere'])"], "it gives a URL that is none"),
        (["return SidecarData(notes={'': 'a'})"], "a note without a name"),
        (["return SidecarData(sha256='abc')"], "the sha256 that it gives is none"),
        (["return SidecarData(raw={1, 2})"], "cannot be kept as JSON"),
        (["return SidecarData(raw=time.time())"], "it does not say the same"),
        (["raise SystemExit"], "it raises SystemExit"),
        (
            [*LOADS, "return SidecarData(notes={'first': next(iter(whole), 'a') or 'a'})"],
            "the order of the keys",
        ),
    ],
)
def test_what_a_reader_must_not_do(contract, lines, words):
    detail = told(contract, Promise.SIDECAR, plugin(reader_of(*lines), sidecars=SAMPLE))
    assert words in detail


# --- commands, observers, functions ----------------------------------------------------------

COMMAND = """
import click

@click.command("mine")
def mine():
    "{says}"
    {does}

@hookimpl
def hydrusd_register_commands(register):
    register(mine)
"""


def test_a_good_command_passes_and_one_that_tells_nothing_does_not(contract):
    contract(plugin(COMMAND.format(says="Greet.", does="click.echo('hello')")))
    detail = told(contract, Promise.COMMAND, plugin(COMMAND.format(says="", does="pass")))
    assert "does not say what it does" in detail
    lax = COMMAND.replace('"mine")', '"mine", context_settings={{"ignore_unknown_options": True}})')
    lax = lax.replace("def mine():", "def mine(rest):").replace(
        "\ndef mine", '\n@click.argument("rest", nargs=-1)\ndef mine'
    )
    detail = told(contract, Promise.COMMAND, plugin(lax.format(says="Greet.", does="pass")))
    assert "--no-such-option` is not refused" in detail


OBSERVER = """
@hookimpl
def hydrusd_job_finished(entry):
    {does}
"""


def test_an_observer_is_told_of_all_that_can_happen(contract):
    contract(plugin(OBSERVER.format(does="entry.data.get('file')")))
    detail = told(contract, Promise.NOTICE, plugin(OBSERVER.format(does="entry.data['file']")))
    assert "hydrusd_job_finished: told of" in detail
    assert "KeyError: 'file' (mine.py, line 7)" in detail


FUNCTION = """
@action
async def mine(call, tags: list[str] = ["mine"]):
    "Set favourites."
    await call.client.set_favourite_tags({given})
    return "set"
"""


def test_an_action_made_of_a_function_is_tried_like_any(contract):
    contract(plugin(FUNCTION.format(given="tags"), rules=RULES))
    counting = FUNCTION.format(given="[*await call.client.get_favourite_tags(), str(time.time())]")
    assert Promise.AGAIN in broken(contract, plugin(counting, rules=RULES))


def test_a_function_that_blocks_is_tried_like_any(contract):
    source = (
        "@action(changes_client=False)\ndef mine(call):\n    'Note.'\n"
        "    (Path.home() / 'noted').write_text('once')\n"
    )
    contract(plugin("from pathlib import Path\n" + source, rules=RULES))


COOKIES = """
class Mine(CookieAction):
    "Cookies."
    action = "mine"

    def read(self, call):
        cookies = [Cookie("name", "sesame-4004", "a.example", "/", None)]
        return FoundCookies("here", cookies, {faults})

@hookimpl
def hydrusd_register_actions(register):
    register(Mine)
"""


def test_what_a_source_of_cookies_gives_is_a_secret(contract):
    contract(plugin(COOKIES.format(faults=[]), rules=RULES))
    detail = told(
        contract, Promise.SECRETS, plugin(COOKIES.format(faults=["4: sesame-4004"]), rules=RULES)
    )
    assert "the cookie name of a.example" in detail
    assert "sesame" not in detail


# --- hydrusd's own ---------------------------------------------------------------------------

OURS = Example(
    rules=STARTS,
    filters={
        name: [sample]
        for name, sample in {
            "date": [0, "%Y", "UTC"],
            "parse_date": ["2026", "%Y", "UTC"],
            "matches": ["owl", "o"],
            "regex": ["owl", "o"],
            "regex_all": ["owl", "o"],
            "regex_replace": ["owl", "o", "a"],
            "replace": ["owl", "o", "a"],
            "default": [None, "x"],
            "join": [["a"], ","],
            "round": [1.25, 1],
        }.items()
    },
    sidecars={
        "txt": [b"owl\nbird:barn owl\n"],
        "txt_commas": [b"owl, bird\nnight"],
        "urls": [b"https://example.com/1\n"],
        "notes": [b"about: an owl\n"],
        "json": [
            json.dumps(
                {
                    "hash": "ab" * 32,
                    "tags": {"my tags": ["owl"]},
                    "urls": ["https://example.com/1"],
                    "notes": {"about": "an owl"},
                    "ratings": {"likes": True},
                    "times": {"modified": {"local": "2026-01-02T03:04:05+00:00"}},
                }
            ).encode(),
            json.dumps(
                {
                    "category": "gallery",
                    "tags_artist": "owl",
                    "source": "https://example.com/2",
                    "description": "an owl",
                }
            ).encode(),
        ],
        "yt_dlp": [
            json.dumps(
                {
                    "title": "Owls",
                    "uploader": "an owl",
                    "tags": ["night"],
                    "webpage_url": "https://example.com/3",
                    "timestamp": 1,
                }
            ).encode()
        ],
    },
)


def test_every_filter_and_every_format_of_ours_keeps_the_contract(contract, tmp_path):
    with OURS.project(tmp_path) as made:
        host = made.configuration().host
    assert OURS.sidecars.keys() == host.sidecar_formats.keys()
    assert not host.commands
    assert not host.observers
    contract(OURS, *filters_told(), *host.filters, *host.sidecar_formats)
