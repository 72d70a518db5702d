"""Real dead letters of many kinds: each tells what is wrong, with what, and what to do next."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from invoking import invoke

from hydrusd.testing import Project

RULES = """
client: {{url: "{{url}}", access_key: "{{access_key}}"}}
allow: [run_command]
rules:
  - name: refused
    on: {{watch_folder: {{path: inbox, include: ["*.bad.png"], settle: 100ms}}}}
    do: [add_file]
  - name: service
    on: {{watch_folder: {{path: inbox, include: ["s*.png"], settle: 100ms}}}}
    do: [add_file, add_tags: {{"{{{{ file.stem }}}} tags": [x]}}]
  - name: template
    on: {{watch_folder: {{path: inbox, include: ["t*.png"], settle: 100ms}}}}
    do: [add_file, add_tags: {{my tags: ["{{{{ file.sise }}}}"]}}]
  - name: judged
    on: {{watch_folder: {{path: inbox, include: ["j*.png"], settle: 100ms}}}}
    if: file.stem > 3
    do: [add_file]
  - name: command
    on: {{watch_folder: {{path: inbox, include: ["c*.png"], settle: 100ms}}}}
    do:
      - run_command:
          command: ["{python}", -c, "raise SystemExit('cannot convert')", "{{{{ file.path }}}}"]
          env: {{TOKEN: {{secret: "${{file:token.txt}}"}}}}
  - name: web
    on: {{watch_folder: {{path: inbox, include: ["w*.png"], settle: 100ms}}}}
    do:
      - http_request:
          url: "{{url}}/nothing?page=2&token=hunter2"
          method: POST
          json: {{n: 1}}
  - name: many
    on: {{watch_folder: {{path: inbox, include: ["m*.png"], settle: 100ms}}}}
    limits: {{per_run: 1}}
    do: [add_file]
"""
SECRET = "the secret in the file"
TOLD = {
    "refused": ("Hydrus cannot import it", "look at the file in another program"),
    "service": ("no tag service is called 's tags'", "make that service in Hydrus"),
    "template": ("there is no 'sise'; did you mean 'size'?", "mend the template"),
    "judged": ("`if` cannot be judged", "mend the rule's `if`"),
    "command": ("exit code 1: cannot convert", "run the command by hand"),
    "web": ("404", "see what the server says"),
    "many": ("beyond them", "look whether the rule means so many"),
}
SHOWN = {
    "service": "add_tags.s tags: x",
    "template": "add_tags.my tags: {{ file.sise }}",
    "judged": "if: file.stem > 3",
    "command": "run_command.env.TOKEN: [hidden]",
    "web": "page=2&token=[hidden]",
}


@pytest.fixture(scope="module")
def dead(tmp_path_factory):
    """All of them, made by one run; each as ``hydrusd dead show`` tells it, by its rule."""
    rules = RULES.format(python=sys.executable.replace("\\", "\\\\"))
    made = Project(
        tmp_path_factory.mktemp("dead"),
        {"rules.yaml": rules, "token.txt": SECRET},
    )
    try:
        made.drop("inbox/a.bad.png", b"no picture")
        for name in ("s", "t", "j", "c", "w", "m1", "m2"):
            made.drop(f"inbox/{name}.png")
        made.run(until=lambda p: len(p.dead_letters) == len(TOLD))
        told = {}
        for letter in made.dead_letters:
            ended = invoke(
                *("dead", "show", letter.job_id, "--state-dir", made.state_dir),
                *("--rules-file", made.folder / "rules.yaml"),
            )
            assert ended.exit_code == 0, ended.output
            told[letter.rule] = ended.output
        listed = invoke("dead", "--state-dir", made.state_dir, "--json")
        return told, json.loads(listed.output)
    finally:
        made.close()


@pytest.mark.parametrize("rule", TOLD)
def test_a_dead_letter_tells_what_is_wrong_and_what_to_do_next(dead, rule):
    told = " ".join(dead[0][rule].split())
    for words in TOLD[rule]:
        assert words in told
    assert SHOWN.get(rule, "") in told
    assert "hydrusd dead retry" in told


def test_nothing_secret_is_told(dead):
    told, listed = dead
    for text in (*told.values(), json.dumps(listed)):
        assert SECRET not in text
        assert "hunter2" not in text


def test_a_letter_that_came_to_no_step_names_none(dead):
    actions = {letter["rule"]: letter["action"] for letter in dead[1]}
    assert (actions["judged"], actions["many"]) == ("", "")
    assert actions["command"] == "run_command"


def test_folders_start_at_the_rules_file_also_where_that_is_named_from_where_one_is(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = f"{{command: [{json.dumps(sys.executable)}, -c, '', '{{{{ file.name }}}}']}}"
    rules = (
        "allow: [run_command]\nrules:\n"
        "  - name: r\n    on: {watch_folder: {path: inbox, settle: 100ms}}\n"
        f"    do: [run_command: {command}]\n"
    )
    made = Project(Path("here"), {"rules.yaml": rules})
    try:
        made.drop("inbox/a.txt", b"x", noticed=False)
        made.run(until=lambda p: any(job.state in {"done", "dead"} for job in p.jobs))
        made.assert_success()
    finally:
        made.close()
