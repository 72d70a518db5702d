"""What is wrong with a rules file is said with its place, and nothing is done."""

from __future__ import annotations

import json

import pytest

KEY = "0123456789abcdef" * 4
CLIENT = f"client: {{url: 'http://127.0.0.1:9', access_key: {KEY}}}\n"
RULE = "  - name: r\n    on: {watch_folder: {path: in}}\n"
START = f"{CLIENT}rules:\n{RULE}"  # five more lines of a file begin at line 5
BOMB = "".join(
    f"x-{name}: &{name} [{', '.join([f'*{before}' if before else 'lol'] * 9)}]\n"
    for before, name in zip(["", *"abcdef"], "abcdefg", strict=True)
)

MISTAKES = {
    "empty": ("", "rules.yaml: the file is empty"),
    "not YAML": ("client: [}\n", "rules.yaml:1:10: "),
    "a tab": ("client:\n\turl: x\n", "rules.yaml:2:1: a tab: YAML is indented with spaces"),
    "too large": ("#" * (1 << 20) + "\n", "rules.yaml: the file is larger than 1 MiB"),
    "an alias bomb": (BOMB, "rules.yaml:"),
    "a key twice": (
        f"{START}    do: [add_file: ]\n    do: [add_file: ]\n",
        "rules.yaml:6:5: 'do' is here twice: also in line 5, column 5",
    ),
    "an unknown key": (f"{START}    dos: [add_file: ]\n", "rules.yaml:5:5: there is no 'dos' here"),
    "a wrong type": (
        START.replace("path: in", "path: in, recursive: maybe") + "    do: [add_file: ]\n",
        "rules.yaml:4:46: 'recursive' must be true or false, not 'maybe'",
    ),
    "no unit": (
        START.replace("path: in", "path: in, settle: 2") + "    do: [add_file: ]\n",
        "rules.yaml:4:43: 'settle': 2 has no unit",
    ),
    "an unknown action": (
        f"{START}    do: [add_fil: ]\n",
        "rules.yaml:5:10: there is no action 'add_fil'",
    ),
    "an unknown trigger": (
        START.replace("watch_folder", "watch_folders") + "    do: [add_file: ]\n",
        "rules.yaml:4:10: there is no trigger 'watch_folders'",
    ),
    "two keys in a step": (
        f"{START}    do:\n      - add_file:\n        trash_source:\n",
        "rules.yaml:7:9: a step names one action, this one 2",
    ),
    "a broken template": (
        f"{START}    do:\n      - add_file:\n      - add_tags: {{my tags: ['{{{{ file.name ']}}\n",
        "rules.yaml:7:",
    ),
    "a broken condition": (f"{START}    if: file.size >\n    do: [add_file: ]\n", "rules.yaml:5:"),
    "disposing before importing": (
        f"{START}    do: [trash_source: , add_file: ]\n",
        "rules.yaml:5:10: trash_source would dispose of files that no step before it has imported",
    ),
    "no key": (
        "client: {url: 'http://127.0.0.1:9'}\nrules: []\n",
        "rules.yaml:1:",
    ),
    "a key that is none": (
        f"client: {{url: 'http://127.0.0.1:9', access_key: {KEY}g}}\nrules: []\n",
        "rules.yaml:1:49: this is not an access key: it has 65 characters",
    ),
    "two rules of one name": (
        f"{START}    do: [add_file: ]\n{RULE}    do: [add_file: ]\n",
        "rules.yaml:6:11: there is another rule called 'r'",
    ),
    "a command to the terminal": (
        f'{START}    do: ["\\e[31madd_file"]\n',
        "rules.yaml:5:10: there is no action '\ufffd[31madd_file'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(hydrusd, tmp_path, mistake):
    text, expected = MISTAKES[mistake]
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    code, printed, complaints = hydrusd("check")
    assert (code, printed) == (2, "")
    first, *others = complaints.splitlines()
    assert first.startswith(expected)
    assert others[-1].endswith(" found; nothing was done.")
    assert KEY not in complaints
    assert "Traceback" not in complaints
    assert "\x1b" not in complaints
    if ":" in expected.removeprefix("rules.yaml:").split(" ")[0]:
        assert others[1].strip() == "^"


def test_run_refuses_them_as_check_does(hydrusd, tmp_path):
    text, expected = MISTAKES["an unknown action"]
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    code, _, complaints = hydrusd("run")
    assert code == 2
    assert complaints.startswith(expected)
    assert not (tmp_path / "state").exists()


def test_a_missing_rules_file_is_told_with_every_place_searched(hydrusd, tmp_path):
    code, _, complaints = hydrusd("run")
    assert code == 2
    assert str(tmp_path / "rules.yaml") in complaints
    assert complaints.count("rules.yaml") >= 3


@pytest.mark.parametrize(
    ("path", "said"), [("gone.yaml", "there is no such file"), (".", "this is a folder")]
)
def test_what_is_no_file_is_told(hydrusd, path, said):
    code, _, complaints = hydrusd("check", path)
    assert code == 2
    assert complaints.startswith(f"{path}: {said}")


def test_a_missing_environment_variable_stops_run_and_not_check(hydrusd, tmp_path, monkeypatch):
    monkeypatch.delenv("HYDRUSD_NO_SUCH_KEY", raising=False)
    text = f"{START}    do: [add_file: ]\n".replace(KEY, "'${env:HYDRUSD_NO_SUCH_KEY}'")
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    assert hydrusd("check")[0] == 0
    code, _, complaints = hydrusd("run")
    assert code == 2
    assert "the environment variable HYDRUSD_NO_SUCH_KEY is not set" in complaints
    assert "export HYDRUSD_NO_SUCH_KEY=" in complaints


def test_good_rules_are_listed(hydrusd, tmp_path):
    text = f"{START}    do: [add_file: , trash_source: ]\n    enabled: false\n"
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    code, printed, complaints = hydrusd("check")
    assert (code, complaints) == (0, "")
    assert printed.splitlines() == [
        "rules.yaml: 1 rule, no problems",
        "  r: watch_folder → add_file → trash_source (not enabled)",
    ]
    assert json.loads(hydrusd("check", "--json")[1]) == []


def test_programs_get_the_problems_as_json(hydrusd, tmp_path):
    (tmp_path / "rules.yaml").write_text(f"{START}    do: [add_fil: ]\n", encoding="utf-8")
    code, printed, complaints = hydrusd("check", "--json")
    assert (code, complaints) == (2, "")
    assert json.loads(printed) == [
        {
            "file": "rules.yaml",
            "line": 5,
            "column": 10,
            "message": "there is no action 'add_fil'",
            "hint": "did you mean 'add_file'?",
            "excerpt": "    do: [add_fil: ]",
            "severity": "error",
        }
    ]
