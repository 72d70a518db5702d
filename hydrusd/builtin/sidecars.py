"""The formats of sidecars that come with hydrusd, registered like anyone's.

Two programs write most of them. Hydrus writes and reads texts with one thing a line, in files
such as ``a.jpg.txt`` and ``a.jpg.urls.txt``; gallery-dl writes such texts of tags too, and all
that it knows as JSON. What ``write_sidecar`` writes is read back as it was.

What is not understood is not guessed at: a text that is not UTF-8, a URL that is none, a time
that could be any of 24 moments. In JSON, keys that are not known are left alone, and are there
for templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import urlsplit

from hydrusd.plugin import MalformedSidecar, SidecarData, SidecarFormat, hookimpl

PAGE_KEYS = ("url", "page_url", "post_url", "permalink", "webpage_url")
"""Where JSON names the page that a file is from."""
URL_KEYS = (*PAGE_KEYS, "file_url", "source_url", "source", "sources", "known_urls")
"""Where JSON names URLs, among other things perhaps: what is no URL there is passed over."""
NOTE_KEYS = ("description", "caption", "content")
"""Where JSON has texts that make a note of that name."""
NAMESPACES: Mapping[str, str] = {
    "artist": "creator",
    "copyright": "series",
    "general": "",
    "metadata": "meta",
}
"""What Hydrus calls the kinds of tags that boorus tell apart; others keep their names."""
LONGEST_EXCERPT = 60

_KIND = re.compile(r"(?:tags|tag_string)_([a-z]+)")
_HASH = re.compile(r"[0-9a-f]{64}")
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


# --- texts -----------------------------------------------------------------------------------


def read_tags(content: bytes) -> SidecarData:
    """Read tags, one a line."""
    text = _decoded(content)
    return SidecarData(tags=_once(line for _, line in _lines(text)), raw=text)


def read_tags_with_commas(content: bytes) -> SidecarData:
    """Read tags with commas or line ends between them."""
    text = _decoded(content)
    tags = (tag.strip() for _, line in _lines(text) for tag in line.split(","))
    return SidecarData(tags=_once(tag for tag in tags if tag), raw=text)


def read_urls(content: bytes) -> SidecarData:
    """Read URLs, one a line."""
    text = _decoded(content)
    for number, line in _lines(text):
        if not is_url(line):
            raise MalformedSidecar(f"line {number}: {_excerpt(line)} is no URL")
    return SidecarData(urls=_once(line for _, line in _lines(text)), raw=text)


def read_notes(content: bytes) -> SidecarData:
    """Read notes, one a line, as Hydrus writes them: the name, a colon, the text."""
    text = _decoded(content)
    notes: dict[str, str] = {}
    for number, line in _lines(text):
        name, note = _note(line, f"line {number}")
        if notes.setdefault(name, note) != note:
            raise MalformedSidecar(f"line {number}: there are two notes {_excerpt(name)}")
    return SidecarData(notes=notes, raw=text)


def _decoded(content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MalformedSidecar(f"line {line}: it is not UTF-8; save it as UTF-8") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not splitlines(): some of what that takes for the end of a line may stand in a tag.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if stripped := line.strip():
            yield number, stripped


def _note(text: str, where: str) -> tuple[str, str]:
    name, colon, note = text.partition(":")
    if not colon or not name.strip() or not note.strip():
        raise MalformedSidecar(f"{where}: {_excerpt(text)} is no note: write `name: text`")
    return name.strip(), note.strip()


# --- JSON ------------------------------------------------------------------------------------


def read_json(content: bytes) -> SidecarData:
    """Read what write_sidecar, gallery-dl or Hydrus have written as JSON."""
    whole = _object(_decoded(content))
    inner = whole.get("metadata")
    # Hydrus lets people choose where it writes; this is the place that its own examples have.
    body = {**inner, **whole} if isinstance(inner, Mapping) else whole
    sha256 = next((h for h in (body.get("hash"), body.get("sha256")) if _is_hash(h)), None)
    tags = body.get("tags")
    ours = isinstance(tags, Mapping) and _is_hash(body.get("hash"))
    urls = _urls(body)
    return SidecarData(
        tags=() if ours else _tags(body),
        services=_services(tags) if ours and isinstance(tags, Mapping) else {},
        urls=urls,
        notes=_notes(body),
        times=_times(body),
        ratings=_ratings(body.get("ratings")),
        sha256=sha256 if isinstance(sha256, str) else None,
        raw=whole,
    )


def is_url(text: object) -> bool:
    """Say whether a value is a whole address of the web."""
    if not isinstance(text, str) or re.search(r"\s", text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _object(text: str) -> Mapping[str, object]:
    try:
        # JSON has neither; Python would take them, and no database does.
        found = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise MalformedSidecar(
            f"line {error.lineno}, column {error.colno}: it is not JSON: {error.msg}"
        ) from None
    except UnicodeEncodeError:
        raise MalformedSidecar("it holds half of a character") from None
    except (RecursionError, ValueError) as error:
        raise MalformedSidecar(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise MalformedSidecar("it must hold an object, {…}")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _services(tags: Mapping[str, object]) -> dict[str, list[str]]:
    return {name: _texts(some, f"tags: {name}") for name, some in tags.items()}


def _tags(body: Mapping[str, object]) -> tuple[str, ...]:
    """Give tags with their namespaces where JSON tells kinds apart, and the others as they are."""
    given = body.get("tags") or body.get("tag_string")
    kinds: dict[str, object] = dict(given) if isinstance(given, Mapping) else {}
    for key, value in body.items():
        if (kind := _KIND.fullmatch(key)) and isinstance(value, str | list):
            kinds[kind[1]] = value
    told: dict[str, str] = {}
    for name, some in kinds.items():
        namespace = NAMESPACES.get(name, name)
        for tag in _tag_list(some, name):
            told.setdefault(tag, f"{namespace}:{tag}" if namespace else tag)
    if not isinstance(given, Mapping):
        for tag in _tag_list(given, "tags"):
            told.setdefault(tag, tag)
    return _once(told.values())


def _tag_list(given: object, where: str) -> list[str]:
    match given:
        case None:
            return []
        case str():
            # One text of many tags: with commas or line ends, or as boorus do, who put _ into tags.
            parts = re.split(r"[,\r\n]", given) if re.search(r"[,\n]", given) else given.split()
            return [tag for part in parts if (tag := part.strip())]
        case list():
            named = (each.get("name") if isinstance(each, Mapping) else each for each in given)
            return [tag.strip() for tag in _texts(list(named), where) if tag.strip()]
        case _:
            raise MalformedSidecar(f"{where}: {_excerpt(given)} is no list of tags")


def _urls(body: Mapping[str, object]) -> tuple[str, ...]:
    for url in sure if isinstance(sure := body.get("urls"), list) else [sure] if sure else []:
        if not is_url(url):
            raise MalformedSidecar(f"urls: {_excerpt(url)} is no URL")
    found = (url for key in ("urls", *URL_KEYS) for url in _listed(body.get(key)) if is_url(url))
    return _once(str(url) for url in found)


def _notes(body: Mapping[str, object]) -> dict[str, str]:
    texts = {key: text for key in NOTE_KEYS if isinstance(text := body.get(key), str)}
    match body.get("notes"):
        case None:
            pass
        case dict() as notes:
            for name, text in notes.items():
                if not isinstance(text, str):
                    raise MalformedSidecar(f"notes: {_excerpt(name)} must be a text")
            texts |= notes
        case list() as lines:
            texts |= dict(_note(line, "notes") for line in _texts(lines, "notes"))
        case other:
            raise MalformedSidecar(f"notes: {_excerpt(other)} are no notes")
    return {name: text for name, text in texts.items() if text.strip()}


def _times(body: Mapping[str, object]) -> dict[str, object]:
    given = body.get("times")
    if given is not None and not isinstance(given, Mapping):
        raise MalformedSidecar(f"times: {_excerpt(given)} are no times")
    found: dict[str, object] = {}
    for kind in ("modified", "imported"):
        some = (given or {}).get(kind)
        if isinstance(some, Mapping):
            moments = {n: _moment(at, f"times: {kind}: {n}") for n, at in some.items() if at}
            found |= {kind: moments} if moments else {}
    if at := (given or {}).get("archived"):
        found["archived"] = _moment(at, "times: archived")
    page = next((url for key in PAGE_KEYS if is_url(url := body.get(key))), None)
    posted = body.get("date")
    if "modified" not in found and page is not None and isinstance(posted, str) and posted:
        domain = (urlsplit(str(page)).hostname or "").removeprefix("www.")
        # gallery-dl writes times without a zone, and means UTC by it.
        found["modified"] = {domain: _moment(posted, "date", zone_needed=False)}
    return found


def _moment(value: object, where: str, *, zone_needed: bool = True) -> str:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise MalformedSidecar(f"{where}: {_excerpt(value)} is no time") from None
    if at.tzinfo is None:
        if zone_needed:
            raise MalformedSidecar(f"{where}: {_excerpt(value)} has no time zone; end it with Z")
        at = at.replace(tzinfo=UTC)
    return at.isoformat()


def _ratings(given: object) -> dict[str, bool | int | str | None]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise MalformedSidecar(f"ratings: {_excerpt(given)} are no ratings by service")
    found: dict[str, bool | int | str | None] = {}
    for service, rating in given.items():
        if rating is not None and not isinstance(rating, bool | int | str):
            raise MalformedSidecar(f"ratings: {service}: {_excerpt(rating)} is no rating")
        if rating is not None:
            found[service] = rating
    return found


def _texts(given: object, where: str) -> list[str]:
    for each in given if isinstance(given, list) else [given]:
        if not isinstance(each, str):
            raise MalformedSidecar(f"{where}: {_excerpt(each)} is no text")
    return [given] if isinstance(given, str) else list(given) if isinstance(given, list) else []


def _listed(given: object) -> list[object]:
    return given if isinstance(given, list) else [given]


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _excerpt(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}…")


FORMATS: tuple[SidecarFormat, ...] = (
    SidecarFormat("txt", (".txt", ".tags.txt"), read_tags),
    SidecarFormat("txt_commas", (".txt", ".tags.txt"), read_tags_with_commas),
    SidecarFormat("urls", (".urls.txt", ".url.txt"), read_urls),
    SidecarFormat("notes", (".notes.txt",), read_notes),
    SidecarFormat("json", (".json",), read_json),
)


@hookimpl
def hydrusd_register_sidecar_formats(register: Callable[[SidecarFormat], None]) -> None:
    """Register them all."""
    for each in FORMATS:
        register(each)
