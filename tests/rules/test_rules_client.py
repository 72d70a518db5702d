"""What a rules file says of the way to the client, and what is wrong with it."""

from __future__ import annotations

import pytest
from rules_vocabulary import HEAD, KEY, VOCABULARY

from hydrusd.daemon import check_client, make_client
from hydrusd.errors import ConfigError
from hydrusd.rules import Vocabulary, parse, read_clients

FINGERPRINT = ":".join(["ab"] * 32)


@pytest.fixture
def vocabulary():
    return Vocabulary(
        VOCABULARY.triggers,
        VOCABULARY.actions,
        VOCABULARY.check_condition,
        VOCABULARY.check_template,
        check_client=check_client,
    )


def client(more, url="http://127.0.0.1:45869"):
    lines = "".join(f"  {line}\n" for line in more.splitlines())
    return f"client:\n  url: {url}\n  access_key: ${{env:KEY}}\n{lines}rules: []\n"


def test_what_is_taken_for_granted(read):
    spec = read(HEAD + "rules: []\n").clients["hydrus"]
    assert (spec.transfer, spec.path_map, spec.allow_plain_http) == ("bytes", (), False)
    assert (spec.tls_ca_file, spec.tls_fingerprint) == (None, None)


def test_all_of_it(read, tmp_path):
    text = client(
        "transfer: auto\n"
        "path_map:\n"
        "  - {here: pictures, there: /data/pictures}\n"
        "  - here: /mnt/nas\n"
        "    there: '\\\\nas\\share'\n"
        "  - {here: ~/x, there: 'D:\\x'}\n"
        "allow_plain_http: true\n",
        url="http://nas:45869",
    )
    spec = read(text).clients["hydrus"]
    assert spec.transfer == "auto"
    assert spec.path_map[0] == (str(tmp_path / "pictures"), "/data/pictures")
    assert [there for _, there in spec.path_map[1:]] == ["\\\\nas\\share", "D:\\x"]
    assert "~" not in spec.path_map[2][0]
    assert spec.allow_plain_http is True
    assert repr(make_client(spec)) == "<HydrusClient at http://nas:45869>"

    spec = read(client(f"tls_fingerprint: '{FINGERPRINT}'", url="https://nas:45869")).clients[
        "hydrus"
    ]
    assert spec.tls_fingerprint == FINGERPRINT
    assert repr(make_client(spec)) == "<HydrusClient at https://nas:45869>"


@pytest.mark.parametrize("host", ["n\ufffdas", "\uff41.example"])
def test_a_host_of_no_name_is_told_at_the_url(vocabulary, host):
    text = client("", url=f"https://{host}:45869")
    with pytest.raises(ConfigError) as caught:
        parse(text, vocabulary, file="rules.yaml", environ={"KEY": KEY})
    [problem] = caught.value.problems
    assert (problem.line, problem.column) == (2, 8)
    assert problem.message.startswith("not the address of a Hydrus client: 'https://")


@pytest.mark.parametrize(
    ("more", "place", "message"),
    [
        ("transfer: byte", (4, 13), "'transfer' must be one of 'auto', 'bytes' or 'path'"),
        ("transfr: auto", (4, 3), "there is no 'transfr' here"),
        ("allow_plain_http: 'yes'", (4, 21), "'allow_plain_http' must be true or false"),
        ("path_map: {a: b}", (4, 13), "'path_map' must be a list"),
        ("path_map: [{here: /a, there: /b}]", (4, 13), "'path_map' has no effect while"),
        (
            "transfer: auto\npath_map:\n  - here: /a\n    there: b",
            (7, 14),
            "this is not an absolute folder",
        ),
        ("transfer: path\npath_map: [{here: /a/../b, there: /b}]", (5, 21), "a folder with '..'"),
        ("transfer: path\npath_map: [{here: /a, there: 'C:\\..'}]", (5, 32), "a folder with '..'"),
        ("transfer: path\npath_map: [{here: /a}]", (5, 14), "'there' is missing"),
        ("tls_ca_file: ca.pem", (4, 16), "tls_ca_file and tls_fingerprint protect nothing"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(problems, more, place, message):
    found = [p for p in problems(client(more)) if p.message.startswith(message)]
    assert [(p.line, p.column) for p in found] == [place], problems(client(more))


@pytest.mark.parametrize(
    ("url", "more", "place", "message"),
    [
        ("http://nas", "", (2, 8), "plain http to another machine (nas)"),
        ("https://nas", "tls_fingerprint: abc", (4, 20), "tls_fingerprint is no SHA-256"),
        ("https://nas", "tls_ca_file: nowhere", (4, 16), "tls_ca_file: no certificates"),
        (
            "https://nas",
            f"tls_fingerprint: '{FINGERPRINT}'\ntls_ca_file: x",
            (5, 16),
            "tls_ca_file and tls_fingerprint exclude each other",
        ),
    ],
)
def test_what_the_client_itself_refuses(problems, url, more, place, message):
    [found] = problems(client(more, url))
    assert (found.line, found.column) == place
    assert found.message.startswith(message)
    assert found.hint


def test_only_the_client_is_read_where_the_rules_are_wrong(tmp_path, vocabulary):
    path = tmp_path / "rules.yaml"
    path.write_text(HEAD + "plugins: [nowhere]\nrules:\n  - {do: [what]}\n", encoding="utf-8")
    spec = read_clients(path, vocabulary, environ={"KEY": KEY})["hydrus"]
    assert spec.access_key.get_secret_value() == KEY
    spec = read_clients(path, vocabulary, environ={}, resolve_secrets=False)["hydrus"]
    assert spec.access_key.get_secret_value() == ""
    for text in ("- a\n", "rules: []\n", "client: {url: ':'}\n", "a: [", "client: {}\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            read_clients(path, vocabulary, environ={"KEY": KEY})
        assert caught.value.problems


def test_the_whole_and_the_part_say_the_same(tmp_path, vocabulary):
    path = tmp_path / "rules.yaml"
    path.write_text(client("transfer: path\ntimeout: 5s"), encoding="utf-8")
    environ = {"KEY": KEY}
    text = path.read_text(encoding="utf-8")
    whole = parse(text, vocabulary, file=str(path), folder=tmp_path, environ=environ)
    assert read_clients(path, vocabulary, environ=environ) == whole.clients
