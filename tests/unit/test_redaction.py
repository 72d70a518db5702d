from __future__ import annotations

import json

import pytest
from hypothesis import assume, given, strategies as st

from hydrusd import redaction
from hydrusd.redaction import HIDDEN, redact, redact_tree, register

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _own_secrets():
    """Registered secrets are hidden for good: those of a test end with it."""
    before, passing = redaction._registered, redaction._passing
    redaction._registered = frozenset()
    redaction._passing = redaction._Passing()
    yield
    redaction._registered = before
    redaction._passing = passing


# Without the brackets of the mark itself, which stand in every redacted text.
SECRETS = st.text(st.characters(exclude_characters="[]"), min_size=6, max_size=40).filter(
    lambda secret: secret not in HIDDEN
)
WORDS = st.text(max_size=20)


@st.composite
def trees(draw, secret):
    """Plain data with the secret somewhere in it."""
    text = draw(WORDS) + secret + draw(WORDS)
    tree = draw(st.sampled_from([text, {text: 1}, {"a": text}, [text], (1, text), {1: text}]))
    for _ in range(draw(st.integers(0, 3))):
        tree = draw(st.sampled_from([{"x": tree}, [None, tree], (tree,), {"y": [tree], "z": 0}]))
    return tree


def everything(tree) -> str:
    """All the text of a tree, keys and all."""
    if isinstance(tree, dict):
        return "\n".join(f"{everything(k)}\n{everything(v)}" for k, v in tree.items())
    if isinstance(tree, list | tuple):
        return "\n".join(map(everything, tree))
    return str(tree)


@given(secret=SECRETS, parts=st.lists(WORDS, min_size=2, max_size=5), lasting=st.booleans())
def test_a_registered_secret_never_survives_in_text(secret, parts, lasting):
    assume(lasting or not redaction._WORD.fullmatch(secret))
    register(secret, lasting=lasting)
    assert secret not in redact(secret.join(parts))


@given(data=st.data(), secret=SECRETS)
def test_a_registered_secret_never_survives_in_a_tree(data, secret):
    assume("\n" not in secret)
    register(secret)
    tree = data.draw(trees(secret))
    assert secret in everything(tree)
    assert secret not in everything(redact_tree(tree))


@given(secrets=st.lists(SECRETS, min_size=2, max_size=4), data=st.data())
def test_none_of_several_overlapping_secrets_survives(secrets, data):
    secrets.append(secrets[0] + secrets[1])
    secrets.append(secrets[0][:3] + secrets[1])
    secrets = [secret for secret in secrets if not redaction._WORD.fullmatch(secret)]
    for secret in secrets:
        register(secret, lasting=data.draw(st.booleans()))
    hidden = redact("".join(data.draw(st.permutations(secrets))))
    assert [secret for secret in secrets if secret in hidden] == []


def test_the_longest_secret_is_hidden_as_a_whole():
    register(KEY[:32])
    register(KEY)
    assert redact(f"key {KEY}.") == f"key {HIDDEN}."


def test_of_passing_secrets_the_latest_are_kept_and_the_lasting_ones_always(monkeypatch):
    monkeypatch.setattr(redaction, "MOST_PASSING", 3)
    register("lasting-0")
    secrets = [f"cookie-{number}" for number in range(5)]
    for secret in secrets[:3]:
        register(secret, lasting=False)
    register(secrets[0], lasting=False)  # seen again
    register(secrets[3], lasting=False)
    register(secrets[3], lasting=False)
    text = " ".join([*secrets, "lasting-0"])
    assert redact(text) == f"{HIDDEN} cookie-1 {HIDDEN} {HIDDEN} cookie-4 {HIDDEN}"


def test_memory_is_bounded_over_years_of_changing_cookies():
    for number in range(3 * redaction.MOST_PASSING):
        register(f"{number:06}-of-the-day", lasting=False)
    kept = redaction._passing
    assert len(kept._latest) == redaction.MOST_PASSING
    assert sum(map(len, kept._by_start.values())) == redaction.MOST_PASSING
    assert redact(f"{number:06}-of-the-day 000000-of-the-day") == f"{HIDDEN} 000000-of-the-day"


@pytest.mark.parametrize("word", ["default", "accepted", "German"])
def test_a_short_word_in_a_cookie_spoils_no_text(word):
    register(word, lasting=False)
    assert redact(f"/pictures/{word}/a.jpg") == f"/pictures/{word}/a.jpg"
    register(word)
    assert redact(f"/pictures/{word}/a.jpg") == f"/pictures/{HIDDEN}/a.jpg"


def test_what_is_too_short_to_be_a_secret_is_no_secret():
    register("b", lasting=False)
    register("12345", lasting=False)
    register("a")
    register("")
    register("12345")
    assert redact("a banana, 12345 times") == "a banana, 12345 times"


@given(text=st.text(), secret=SECRETS)
def test_text_without_secrets_stays_as_it_is(text, secret):
    assume(secret not in text)
    assume(not any(word in text.lower() for word in ("access", "session")))
    register(secret)
    assert redact(text) == text


KEYED = [
    "Hydrus-Client-API-Access-Key: {}",
    "Hydrus-Client-API-Session-Key: {}",
    "http://localhost:45869/x?access_key={}&a=1",
    '{{"session_key": "{}"}}',
    "{{'access key' : '{}'}}",
    "ACCESSKEY={}",
    "access-key='{}'",
]


@pytest.mark.parametrize("form", KEYED)
@pytest.mark.parametrize("key", [KEY, KEY.upper(), "abcdef12"])
def test_what_stands_where_a_key_would_stand_is_hidden_unregistered(form, key):
    redacted = redact(form.format(key))
    assert key not in redacted
    assert redacted == form.format(HIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        "the access key is missing",
        "session key: none",
        "hash 0123456789abcdef0123456789abcdef",
        "Access-Key:",
    ],
)
def test_other_text_is_left_alone(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "access_key",
        "Hydrus-Client-API-Access-Key",
        "session_key",
        "access key",
        "Cookie",
        "cookies",
        "PASSWORD",
        "client_secret",
        "api_token",
    ],
)
@pytest.mark.parametrize("value", ["abc", 1234, ["a", "b"], {"PHPSESSID": "abc"}, [{"v": "abc"}]])
def test_whatever_has_the_name_of_a_secret_is_hidden_whole(name, value):
    assert redact_tree({"request": {name: value}}) == {"request": {name: HIDDEN}}


@pytest.mark.parametrize("value", [None, "", False, True])
def test_that_there_is_a_secret_or_none_may_be_said(value):
    assert redact_tree({"access_key": value, "n": [1, 2.5, None]}) == {
        "access_key": value,
        "n": [1, 2.5, None],
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(categories=["Lu", "Zs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    )
)
def test_plain_data_without_secrets_stays_as_it_is(tree):
    assert redact_tree(tree) == tree
    assert json.loads(json.dumps(redact_tree(tree))) == tree


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://a.b/c?token=hunter2", "https://a.b/c?token=[hidden]"),
        ("see https://a.b/c?x=1&apiKey=k#top.", "see https://a.b/c?x=1&apiKey=[hidden]#top."),
        ("https://a.b/?user_password=p&y=2", "https://a.b/?user_password=[hidden]&y=2"),
        ("https://a.b/?tags=token+blue&page=2", "https://a.b/?tags=token+blue&page=2"),
    ],
)
def test_what_an_address_says_in_secret_is_hidden(address, shown):
    assert redact(address) == shown


def test_a_secret_is_found_in_json_too():
    secret = 'quo"ted back\\slash'
    register(secret)
    assert redact(json.dumps({"x": secret})) == json.dumps({"x": HIDDEN})
