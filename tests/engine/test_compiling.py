"""Steps made ready: templates rendered for each job, and judged again."""

from __future__ import annotations

import pytest
from ruling import FILE, compiled

from hydrusd.errors import ExpressionError
from hydrusd.model import OutcomeKind, StepRecord


def action_of(rule, data=FILE, records=()):
    return rule.steps[0].action(lambda: rule.context(data, records), {})


def tags_of(rule, data=FILE, records=()):
    return action_of(rule, data, records).model_extra


def test_a_step_without_templates_makes_its_action_once(tmp_path):
    rule = compiled("      - add_tags: {my tags: [one, two]}\n", tmp_path)
    assert action_of(rule) is action_of(rule)


def test_templates_are_rendered_for_each_job_wherever_they_stand(tmp_path):
    steps = """
      - add_tags:
          "{{ file.parent.name | lower }} tags": ["name:{{ file.stem }}", plain]
          my tags: "{{ file.suffix[1:] }}"
"""
    rule = compiled(steps, tmp_path)
    assert tags_of(rule) == {"cats tags": ("name:a", "plain"), "my tags": ("jpg",)}
    other = {"file": {**FILE["file"], "stem": "b"}}
    assert tags_of(rule, other)["cats tags"] == ("name:b", "plain")


def test_a_list_in_the_place_of_a_text_stands_for_its_texts(tmp_path):
    steps = """
      - add_tags:
          my tags: ["first", "{{ tags }}"]
          other tags: "{{ tags }}"
"""
    rule = compiled(steps, tmp_path)
    made = tags_of(rule, {**FILE, "tags": ["a", "${env:HOME}"]})
    assert made["my tags"] == ("first", "a", "${env:HOME}")
    assert made["other tags"] == ("a", "${env:HOME}")
    assert tags_of(rule, {**FILE, "tags": []})["my tags"] == ("first",)


def test_a_list_cannot_be_a_key(tmp_path):
    rule = compiled('      - add_tags: {"{{ tags }}": x}\n', tmp_path)
    with pytest.raises(ExpressionError, match="a list cannot be a key"):
        action_of(rule, {**FILE, "tags": ["a"]})


def test_a_template_sees_what_earlier_steps_left(tmp_path):
    rule = compiled('      - add_tags: {my tags: "{{ steps.add_file.status }}"}\n', tmp_path)
    record = StepRecord(0, "add_file", OutcomeKind.DONE, "", {"status": "imported"}, None)
    assert tags_of(rule, records=[record]) == {"my tags": ("imported",)}


def test_what_a_file_is_called_is_never_a_template(tmp_path):
    rule = compiled('      - add_tags: {my tags: "{{ file.stem }}"}\n', tmp_path)
    hostile = {"file": {**FILE["file"], "stem": "{{ 7 * 6 }}{% for x in y %}"}}
    assert tags_of(rule, hostile) == {"my tags": ("{{ 7 * 6 }}{% for x in y %}",)}


def test_a_path_that_a_template_made_starts_where_the_rules_file_is(tmp_path):
    rule = compiled('      - move_source: {to: "sorted/{{ file.parent.name }}"}\n', tmp_path)
    assert action_of(rule).to == tmp_path / "sorted" / "Cats"


def test_what_a_template_made_is_judged_like_any_input(tmp_path):
    rule = compiled('      - move_source: {to: moved, name: "{{ file.stem }}"}\n', tmp_path)
    assert action_of(rule).name == "a"
    bad = compiled('      - move_source: {to: "{{ file.nothing_much }}"}\n', tmp_path)
    with pytest.raises(ExpressionError, match="move_source: after rendering, to is not valid"):
        action_of(bad, {"file": {**FILE["file"], "nothing_much": ""}})


def test_a_template_that_fails_names_what_is_missing(tmp_path):
    rule = compiled('      - add_tags: {my tags: "{{ file.artist }}"}\n', tmp_path)
    with pytest.raises(ExpressionError, match="artist"):
        action_of(rule)


def test_two_keys_that_become_one_are_refused_instead_of_one_being_dropped(tmp_path):
    steps = """
      - add_tags:
          "{{ file.parent.name }}": one
          "{{ file.parent.name | upper | title }}": two
"""
    with pytest.raises(ExpressionError, match="two keys 'Cats'"):
        action_of(compiled(steps, tmp_path))
