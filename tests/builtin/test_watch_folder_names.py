from __future__ import annotations

import fnmatch
import os
import unicodedata

import pytest
from hypothesis import example, given, strategies as st

from hydrusd.builtin.triggers._globs import TEMPORARY, Globs, Selection, problem_of
from hydrusd.builtin.triggers.watch_folder import WatchFolder

names = st.text(alphabet="ab.-é", min_size=1, max_size=6).filter(lambda n: n not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
name_patterns = st.text(alphabet="ab.*?-é", min_size=1, max_size=6).filter(
    lambda p: p not in {".", ".."}
)
path_patterns = st.lists(st.one_of(name_patterns, st.just("**")), min_size=2, max_size=4)


def matches_parts(pattern, parts):
    """Say what a pattern means, in the plainest way."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(parts)
        return any(matches_parts(pattern[1:], parts[n:]) for n in range(len(parts) + 1))
    if not parts:
        return False
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and matches_parts(pattern[1:], parts[1:])


@given(name_patterns, paths)
def test_pattern_without_slash_is_matched_with_the_name(pattern, path):
    assert Globs([pattern]).match(path) == fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)


@given(path_patterns, paths)
def test_pattern_with_slash_is_matched_with_the_whole_path(pattern, path):
    assert Globs(["/".join(pattern)]).match(path) == matches_parts(pattern, path.split("/"))


@given(paths)
def test_case_and_normal_form_do_not_count(path):
    other = unicodedata.normalize("NFD", path.upper())
    assert Globs([path]).match(other)
    assert Globs([other]).match(path)


@given(st.lists(st.one_of(name_patterns, path_patterns.map("/".join))), paths)
def test_list_matches_where_one_of_it_does(patterns, path):
    assert Globs(patterns).match(path) == any(Globs([p]).match(path) for p in patterns)


@example("[?--]", "a")
@given(st.text(alphabet="ab*?[]!-^\\/.", min_size=1, max_size=10), paths)
def test_no_pattern_is_both_accepted_and_broken(pattern, path):
    if problem_of(pattern) is None:
        Globs([pattern]).match(path)


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        ("*", ["a", "a/b", "a\nb"], []),
        ("*.jpg", ["a.jpg", "x/A.JPG", ".jpg"], ["a.jpg.part", "a.jpg/b"]),
        ("/a.jpg", ["a.jpg"], ["x/a.jpg"]),
        ("./x/*", ["x/a"], ["x/y/a", "z/x/a"]),
        ("x/", ["x/a", "x/y/a"], ["x", "y/x/a"]),
        ("**/x/*.png", ["x/a.png", "b/c/x/a.png"], ["x/y/a.png"]),
        ("x/**", ["x/a", "x/y/a"], ["x"]),
        ("[+--]", ["+", ",", "-"], [".", "a"]),
        ("[--9]", ["-", "5"], ["+", "a"]),
        ("[!--9]", ["+", "a"], ["-", "5"]),
        ("[---]", ["-"], ["+", "."]),
        ("img[0-9].*", ["img7.png"], ["img.png", "imgx.png"]),
        ("[!ab]*", ["c"], ["a", "bc"]),
        ("[]x]", ["]", "x"], ["[]x]"]),
        ("a[", ["a["], ["a"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("a+(b)|c", ["a+(b)|c"], ["aab", "c"]),
        ("**.jpg", ["x/a.jpg"], ["a.png"]),
        ("caf\udce9*", ["caf\udce9.jpg"], ["café.jpg"]),
    ],
)
def test_what_patterns_mean(pattern, matched, not_matched):
    assert problem_of(pattern) is None
    globs = Globs([pattern])
    assert [p for p in matched if not globs.match(p)] == []
    assert [p for p in not_matched if globs.match(p)] == []


@given(names, st.sampled_from(TEMPORARY))
def test_temporary_names_are_passed_over_whatever_is_included(name, pattern):
    temporary = pattern.replace("[opx]", "p").replace("*", name)
    selection = Selection(["*", temporary], [], hidden=True)
    assert not selection.takes(temporary)
    assert not selection.enters("a/" + temporary)


def test_hidden_means_the_name_not_the_path():
    selection = Selection(["*"], [], hidden=False)
    assert selection.takes(".in/here.jpg")
    assert not selection.takes("in/.here.jpg")
    assert Selection(["*"], [], hidden=True).takes("in/.here.jpg")


def test_excluded_folders_are_not_entered():
    selection = Selection(["*.jpg"], ["@eaDir", "done/**", "x/y"], hidden=False)
    assert not selection.enters("a/@EADIR")
    assert not selection.enters("done/old")
    assert not selection.enters("x/y")
    assert selection.enters("z/x/y")
    assert selection.enters("folders need no jpg")


def test_patterns_are_checked_without_a_look_at_the_disk(tmp_path, monkeypatch):
    """The disk may be a server that does not answer: hydrusd starts all the same."""
    trigger = WatchFolder(path=tmp_path, include=["*.jpg", "below/*.png"], exclude=["below"])

    def look(*_, **__):
        raise AssertionError

    with monkeypatch.context() as blind:
        for name in ("stat", "lstat", "scandir", "open", "access", "listdir"):
            blind.setattr(os, name, look)
        faults, samples = list(trigger.check({})), list(trigger.samples())
    assert [fault.path for fault in faults] == [("include", 1)]
    assert [path.suffix for path in samples] == [".jpg"]
