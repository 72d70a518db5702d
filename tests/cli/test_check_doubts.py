"""What a rules file may say and hardly means is told with its place, and stops nothing."""

from __future__ import annotations

import json

import pytest

KEY = "0123456789abcdef" * 4
HEAD = f"client: {{url: 'http://127.0.0.1:9', access_key: {KEY}}}\nrules:\n"
WATCH = "    on: {watch_folder: {path: in}}\n"


def rule(name, *lines, on=WATCH):
    return f"  - name: {name}\n{on}" + "".join(f"    {line}\n" for line in lines)


ADD = "do: [add_file]"
AWAY = "do: [add_file, trash_source]"

# what it is about: (rules, [(line, column, message)]); the first line of a rule's own is line 5
DOUBTFUL = {
    "a name in a condition": (
        rule("r", "if: file.siz > 10", ADD),
        [(5, 14, "file.siz: watch_folder gives no 'siz'")],
    ),
    "a name below another": (
        rule("r", "if: file.size > 1 and file.parent.nam == 'x'", ADD),
        [(5, 39, "file.parent.nam: watch_folder gives no 'nam'")],
    ),
    "a name of another trigger": (
        rule("r", "if: file.size > 10", "do: [log: {message: x}]", on="    on: startup\n"),
        [(5, 9, "file: startup gives no 'file'")],
    ),
    "a name in brackets": (
        rule("r", "if: file['siz'] > 10", ADD),
        [(5, 15, "file.siz: watch_folder gives no 'siz'")],
    ),
    "a name in a template": (
        rule("r", "do:", "  - add_file:", "  - add_tags: {my tags: ['a:{{ file.nmae }}']}"),
        [(7, 41, "file.nmae: watch_folder gives no 'nmae'")],
    ),
    "a name in a block of text": (
        rule("r", "do:", "  - log:", "      message: |", "        a", "        {{ file.nmae }}"),
        [(9, 21, "file.nmae: watch_folder gives no 'nmae'")],
    ),
    "a name in a loop": (
        rule(
            "r",
            "do: [log: {message: '{% for p in [1] %}{{ p }}{{ loop.index }}{{ q }}{% endfor %}'}]",
        ),
        [(5, 70, "q: watch_folder gives no 'q'")],
    ),
    "a step that is none": (
        rule("r", "do:", "  - add_file:", "  - log: {message: '{{ steps.add_flie.hash }}'}"),
        [(7, 34, "steps.add_flie: there is no step 'add_flie' before this one")],
    ),
    "a step in a condition": (
        rule("r", "if: steps.add_file.hash", ADD),
        [
            (
                5,
                15,
                "steps.add_file: no step comes before (a condition is looked at before any step)",
            )
        ],
    ),
    "never": (
        rule("r", "if: 1 > 2", ADD),
        [(5, 9, "this is never true: the rule will never do anything")],
    ),
    "always": (
        rule("r", "if: \"'file.size > 3'\"", ADD),
        [(5, 10, "this is always true: it looks at nothing of what was noticed")],
    ),
    "a status that ends the job": (
        rule(
            "r",
            "do:",
            "  - add_file: {deleted_before: go_on}",
            "  - if: file.size > 3 and 'refused' == steps.add_file.status",
            "    do: [log: {message: x}]",
            "  - log: {message: y}",
            "    if: steps.add_file.status in ['deleted before', 'imported']",
        ),
        [
            (
                7,
                31,
                (
                    "this is never true: steps.add_file.status can only be 'already in Hydrus', "
                    "'deleted before' or 'imported' here"
                ),
            )
        ],
    ),
    "a status that does not exist": (
        rule(
            "r",
            "do:",
            "  - add_file:",
            "  - stop: x",
            "    if: steps.add_file.status == 'importd'",
            "  - add_tags: {my tags: a}",
            '    if: not steps.add_file.status in ["imported", "new"]',
        ),
        [
            (8, 38, "steps.add_file.status is never 'importd'"),
            (10, 55, "steps.add_file.status is never 'new'"),
        ],
    ),
    "an else that is not reached": (
        rule(
            "r",
            "do:",
            "  - add_file: {duplicates: keep}",
            "  - if: steps.add_file.status == 'imported'",
            "    do: [log: {message: x}]",
            "    else: [log: {message: y}]",
        ),
        [(9, 9, "this never runs: steps.add_file.status can only be 'imported' here")],
    ),
    "what was sorted out before": (
        rule(
            "r",
            "do:",
            "  - add_file: {refused: go_on}",
            "  - if: steps.add_file.status == 'refused'",
            "    do: [stop: no]",
            "  - if: steps.add_file.status == 'imported'",
            "    do:",
            "      - log: {message: x}",
            "        if: steps.add_file.status != 'imported'",
            "    else:",
            "      - if: steps.add_file.status == 'refused'",
            "        do: [log: {message: y}]",
        ),
        [
            (
                12,
                42,
                "this is never true: steps.add_file.status can only be 'imported' here",
            ),
            (
                14,
                42,
                "this is never true: steps.add_file.status can only be 'already in Hydrus' here",
            ),
        ],
    ),
    "two tags in one": (
        rule("r", "do: [add_file: , add_tags: {my tags: 'cat, dog'}]"),
        [(5, 33, "this is one tag with a comma in it: 'cat, dog'")],
    ),
    "two tags in one, deeper": (
        rule("r", "do: [add_file: , change_tags: {my tags: {add: 'cat,dog'}}]"),
        [(5, 46, "this is one tag with a comma in it: 'cat,dog'")],
    ),
    "nothing to work on": (
        rule("r", "do: [add_tags: {my tags: a}]"),
        [
            (
                5,
                10,
                (
                    "add_tags would find no file to work on: watch_folder names no file of Hydrus, "
                    "nor does a step before this one"
                ),
            )
        ],
    ),
    "steps that are not reached": (
        rule("r", "do: [archive_file: , log: {message: x}]", on="    on: startup\n"),
        [
            (
                5,
                10,
                (
                    "archive_file would find no file to work on, and the steps behind it are never "
                    "reached: startup names no file of Hydrus, nor does a step before this one"
                ),
            )
        ],
    ),
    "a pattern for unfinished files": (
        rule("r", ADD, on="    on: {watch_folder: {path: in, include: ['*.jpg', '*.part']}}\n"),
        [(4, 54, "'*.part' matches nothing: 'x.part' is a name of unfinished or passing files")],
    ),
    "a pattern for hidden files": (
        rule("r", ADD, on="    on: {watch_folder: {path: in, include: ['.cover*']}}\n"),
        [(4, 45, "'.cover*' matches nothing: '.coverx' is hidden, and `hidden` is false")],
    ),
    "a pattern for folders that are not looked into": (
        rule(
            "r", ADD, on="    on: {watch_folder: {path: in, include: [a/b], recursive: no}}\n"
        ).replace("no}", "false}"),
        [
            (
                4,
                45,
                "'a/b' matches nothing: it is in a folder below, and `recursive` is false",
            )
        ],
    ),
    "a pattern that is passed over": (
        rule(
            "r",
            ADD,
            on="    on: {watch_folder: {path: in, include: ['*.jpg'], exclude: ['*.jpg']}}\n",
        ),
        [(4, 45, "'*.jpg' matches nothing: `exclude` matches 'x.jpg'")],
    ),
    "a pattern with a home folder": (
        rule("r", ADD, on="    on: {watch_folder: {path: in, include: ['~/in/*.jpg']}}\n"),
        [(4, 45, "'~/in/*.jpg' matches nothing: patterns begin below `path`")],
    ),
    "two rules on the same files": (
        rule("a", AWAY) + rule("b", "do: [add_file: , move_source: {to: out}]"),
        [
            (
                8,
                22,
                (
                    "two rules dispose of the same files: move_source here, "
                    "and trash_source in 'a'; "
                    "whichever is first takes them away"
                ),
            )
        ],
    ),
    "a folder in the other's": (
        rule("a", AWAY) + rule("b", AWAY, on="    on: {watch_folder: {path: in/deep}}\n"),
        [
            (
                8,
                20,
                (
                    "two rules dispose of the same files: trash_source here, "
                    "and trash_source in 'a'; "
                    "whichever is first takes them away"
                ),
            )
        ],
    ),
    "a mode that passes over what is found": (
        rule("r", "mode: single", ADD),
        [
            (
                5,
                5,
                (
                    "watch_folder with `mode: single`: whatever is found while a job of the rule "
                    "is not over is passed over for good"
                ),
            )
        ],
    ),
    "a mode that does the last alone": (
        rule("r", "mode: restart", ADD),
        [
            (
                5,
                5,
                (
                    "watch_folder with `mode: restart`: of all that is found at once, "
                    "only the last is done"
                ),
            )
        ],
    ),
    "a minute's limit beyond the hour's": (
        rule("r", "limits: {per_minute: 10, per_hour: 10}", ADD),
        [(5, 14, "this has no effect: `per_hour` allows 10 in all")],
    ),
    "a priority over nobody": (
        rule("r", "priority: 3", ADD),
        [(5, 5, "this has no effect: all rules of the client have the same priority")],
    ),
    "a rule that waits for one that is put aside": (
        rule("a", ADD, "enabled: false")
        + rule("b", "do: [log: {message: x}]", on="    on: {rule_finished: {rule: a}}\n"),
        [(8, 5, "this rule never begins: it waits for 'a', which is not enabled")],
    ),
}

FINE = {
    "a mode of what comes one by one": rule(
        "r", "mode: single", "do: [log: {message: x}]", on="    on: manual\n"
    ),
    "a queue of files, at night": rule(
        "r", "mode: queued", "allowed: {hours: '22:00-06:00'}", "limits: {per_minute: 5}", ADD
    ),
    "a priority over another": rule("r", "priority: 3", ADD) + rule("s", ADD),
    "what may be missing": rule("r", "if: file.other is defined and file.other", ADD),
    "with a default": rule("r", "do: [log: {message: \"{{ file.x | default('') }}\"}]"),
    "a condition that asks": rule("r", "if: file is defined", ADD),
    "methods and filters": rule("r", "if: file.name.lower()[:3] | length > KB", ADD),
    "what a step gives": rule("r", "do: [add_file: , log: {message: '{{ steps.add_file.any }}'}]"),
    "names that are given freely": rule(
        "r", "do: [log: {message: '{{ anything }}'}]", on="    on: manual\n"
    ),
    "inside what only the event knows": rule(
        "r",
        "do: [log: {message: '{{ webhook.json.a.b[0].c }}'}]",
        on="    on: {webhook: {path: /a, secret: '${env:A_SECRET}'}}\n",
    ),
    "a tag with a comma in a list": rule("r", "do: [add_file: , add_tags: {my tags: ['a, b']}]"),
    "a rendered tag": rule("r", "do: [add_file: , add_tags: {my tags: '{{ [1, 2] | join }}'}]"),
    "a reason with a comma": rule(
        "r", "do: [add_file: , change_tags: {reason: 'a, b', my tags: {add: c}}]"
    ),
    "files that a search names": rule(
        "r", "do: [add_tags: {my tags: a}]", on="    on: {search: {tags: [x]}}\n"
    ),
    "files of different kinds": rule(
        "a", AWAY, on="    on: {watch_folder: {path: in, include: ['*.jpg']}}\n"
    )
    + rule("b", AWAY, on="    on: {watch_folder: {path: in, include: ['*.png']}}\n"),
    "conditions that may divide them": rule("a", "if: file.size > 5", AWAY)
    + rule("b", "if: file.size < 6", AWAY),
    "each status for itself": rule(
        "r",
        "do:",
        "  - add_file: {deleted_before: go_on, refused: go_on}",
        "  - if: steps.add_file.status == 'refused'",
        "    do: [log: {message: x}, stop: no]",
        "  - for_each: [1, 2]",
        "    do:",
        "      - if: steps.add_file.status == 'deleted before' and item == 1",
        "        do: [log: {message: x}]",
        "        else: [log: {message: y}]",
        "  - if: steps.add_file.status in ['deleted before', 'already in Hydrus']",
        "    do: [log: {message: x}]",
        "    else: [log: {message: y}]",
        "  - stop: yes",
        "    if: steps.add_file.status != 'imported'",
    ),
    "a late sidecar goes on": rule(
        "r",
        "do:",
        "  - add_file: {duplicates: keep}",
        "  - stop: there",
        "    if: steps.add_file.status == 'already in Hydrus'",
        on="    on: {watch_folder: {path: in, sidecars: [txt]}}\n",
    ),
    "statuses of a URL": rule(
        "r",
        "do:",
        "  - add_url:",
        "  - if: steps.add_url.status == 'handed over'",
        "    do: [log: {message: x}]",
        '    else: [log: {message: "{{ steps.add_url.hash }}"}]',
        on="    on: {url_list: {path: in.txt}}\n",
    ),
    "only one disposes": rule("a", AWAY) + rule("b", ADD),
    "one is put aside": rule("a", AWAY) + rule("b", AWAY, "enabled: false"),
    "a folder that is not looked into": rule(
        "a", AWAY, on="    on: {watch_folder: {path: in, recursive: false}}\n"
    )
    + rule("b", AWAY, on="    on: {watch_folder: {path: in/deep}}\n"),
}


def checked(hydrusd, tmp_path, rules, *options):
    (tmp_path / "rules.yaml").write_text(HEAD + rules, encoding="utf-8")
    code, printed, complaints = hydrusd("check", "--json", *options)
    assert complaints == ""
    return code, json.loads(printed)


@pytest.mark.parametrize("about", DOUBTFUL)
def test_what_is_doubtful_is_told_with_its_place(hydrusd, tmp_path, about):
    rules, expected = DOUBTFUL[about]
    code, found = checked(hydrusd, tmp_path, rules)
    assert [(each["line"], each["column"], each["message"]) for each in found] == expected
    assert {each["severity"] for each in found} == {"warning"}
    assert code == 0
    assert checked(hydrusd, tmp_path, rules, "--strict")[0] == 2


@pytest.mark.parametrize("about", FINE)
def test_what_may_well_be_meant_is_not_doubted(hydrusd, tmp_path, about):
    assert checked(hydrusd, tmp_path, FINE[about], "--strict") == (0, [])


def test_a_warning_is_shown_as_one(hydrusd, tmp_path):
    (tmp_path / "rules.yaml").write_text(HEAD + DOUBTFUL["never"][0], encoding="utf-8")
    code, printed, complaints = hydrusd("check")
    assert code == 0
    assert complaints.splitlines() == [
        "rules.yaml:5:9: warning: this is never true: the rule will never do anything",
        "        if: 1 > 2",
        "            ^",
        "    hint: write `enabled: false` to put a rule aside",
    ]
    assert printed.splitlines() == ["rules.yaml: 1 rule, 1 warning", "  r: watch_folder → add_file"]


def test_errors_and_warnings_are_told_together(hydrusd, tmp_path):
    text = HEAD + DOUBTFUL["never"][0] + rule("b", "do: [add_fil]")
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    code, _, complaints = hydrusd("check")
    assert code == 2
    assert "rules.yaml:5:9: warning: " in complaints
    assert "rules.yaml:9:10: there is no action 'add_fil'" in complaints
    found = "1 problem and 1 warning found; `hydrusd run` leaves invalid rules out."
    assert complaints.endswith(f"\n{found}\n")


def test_sarif_names_file_line_and_column(hydrusd, tmp_path):
    text = HEAD + DOUBTFUL["never"][0] + rule("b", "do: [add_fil]")
    (tmp_path / "my rules.yaml").write_text(text, encoding="utf-8")
    code, printed, complaints = hydrusd("check", "my rules.yaml", "--format", "sarif")
    assert (code, complaints) == (2, "")
    log = json.loads(printed)
    assert log["version"] == "2.1.0"
    [run] = log["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    known = {each["id"] for each in run["tool"]["driver"]["rules"]}
    doubt, problem = run["results"]
    assert {doubt["ruleId"], problem["ruleId"]} <= known
    assert (doubt["level"], problem["level"]) == ("warning", "error")
    assert problem["message"]["text"].startswith("there is no action 'add_fil'\ndid you mean")
    place = problem["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20rules.yaml"
    assert (place["region"]["startLine"], place["region"]["startColumn"]) == (9, 10)
    assert place["region"]["snippet"]["text"] == "    do: [add_fil]"


def test_what_looks_like_a_secret_is_covered_in_the_line(hydrusd, tmp_path):
    headers = "headers: {Authorization: Bearer verysecret, Cookie: 'id=verysecret', X: 1}"
    text = rule("r", f"do: [http_request: {{url: 'http://a/{{{{ fiel }}}}', {headers}}}]")
    (tmp_path / "rules.yaml").write_text(HEAD + text, encoding="utf-8")
    _, _, complaints = hydrusd("check")
    assert "rules.yaml:5:43: warning: fiel: watch_folder gives no 'fiel'" in complaints
    assert "verysecret" not in complaints
    assert "X: 1" in complaints
