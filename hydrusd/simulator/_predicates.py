"""The ``system:`` predicates of a search, as far as people write them in rules.

The real client parses some eighty; these are those of the API's fact sheet and their
near relatives. The others are refused in its words for nonsense, so that a test notices.
What it accepts was asked of a real client (v682): ``>=`` for measures but not for
sizes and counts, no limit without ``=``, note names only in lower case, and minutes
by themselves taken for a date, so that ``> 5 minutes ago`` means newer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from hydrusd.simulator._client import Client
from hydrusd.simulator._config import Service
from hydrusd.simulator._domains import Test, domain_test
from hydrusd.simulator._entries import Entry, Rating, StoredFile
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._pictures import FILETYPES
from hydrusd.simulator._relationships import DOCUMENT, Relationships
from hydrusd.simulator._services import (
    ALL_KNOWN_FILES,
    FILE_TYPES,
    LIKE_RATING,
    RATING_TYPES,
)

TagsOf = Callable[[Entry], set[str]]
Number = float | int | None
Match = re.Match[str]

_APPROXIMATELY = 0.15
_SIGNS = {
    "<": "<", ">": ">", "=": "=", "is": "=", "!=": "!=", "is not": "!=", "isn't": "!=",
    "~=": "~", "≈": "~", "about": "~", "is about": "~", "less than": "<", "more than": ">",
    "since": ">", "before": "<", ">=": ">=", "≥": ">=", "<=": "<=", "≤": "<=", "≠": "!=",
}  # fmt: skip
_LOOSE = {"<", ">", "=", "!=", "~"}
_SIGN = "(" + "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True)) + ")"
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_PIXELS = {"": 1, "k": 1000, "m": 1_000_000}
_SECONDS = {"minute": 60, "second": 1}
_DAYS = {"year": 365, "month": 30, "day": 1, "hour": 1 / 24}
_NOT = r"(?P<no>no |does not have |doesn't have )?(?:has )?(?:an? )?"
_TRUTHS: dict[str, Callable[[StoredFile], bool]] = {
    "duration": lambda file: bool(file.duration_ms),
    "frames": lambda file: bool(file.num_frames),
    "audio": lambda _: False,
    "transparency": lambda file: file.has_transparency,
    "exif": lambda file: file.has_exif,
    "icc profile": lambda file: file.has_icc_profile,
    "human-readable embedded metadata": lambda _: False,
}
_MEASURES: dict[str, Callable[[StoredFile], Number]] = {
    "width": lambda file: file.width,
    "height": lambda file: file.height,
    "frames": lambda file: file.num_frames or 0,
}


def _modified_at(entry: Entry) -> float | None:
    times = [entry.file.modified_at] if entry.file else []
    return min([*times, *entry.site_times.values()], default=None)


_TIMES: dict[str, Callable[[Entry], float | None]] = {
    "import": lambda entry: entry.file.imported_at if entry.file else None,
    "modified": _modified_at,
    "archive": lambda entry: entry.file.archived_at if entry.file else None,
    "last view": lambda entry: max(
        (seen.last for seen in entry.viewings.values() if seen.last is not None), default=None
    ),
}


class Unparsable(Exception):
    """A predicate whose value makes no sense."""


def compare(sign: str, value: Number, wanted: float) -> bool:
    """Say whether a value stands in that relation to the wanted one; nothing stands in any."""
    if value is None:
        return False
    match sign:
        case "<":
            return value < wanted
        case ">":
            return value > wanted
        case "=":
            return value == wanted
        case "!=":
            return value != wanted
        case "<=":
            return value <= wanted
        case ">=":
            return value >= wanted
        case _:
            return abs(value - wanted) <= abs(wanted) * _APPROXIMATELY


def _where(measure: Callable[[StoredFile], Any], test: Callable[[Any], bool]) -> Test:
    def passes(_: str, entry: Entry) -> bool:
        return entry.file is not None and test(measure(entry.file))

    return passes


def _negated(test: Test, negative: object) -> Test:
    return (lambda sha256, entry: not test(sha256, entry)) if negative else test


class Predicates:
    """Makes a test of the text behind ``system:``."""

    def __init__(self, client: Client, tags_of: TagsOf) -> None:
        self._client = client
        self._tags_of = tags_of

    def test(self, text: str, whole: str) -> Test:
        """Give the test; ``whole`` is the predicate as it was sent, for the refusal."""
        spaced = text.replace("_", " ")
        for pattern, make in _PATTERNS:
            if match := pattern.fullmatch(text) or pattern.fullmatch(spaced):
                try:
                    return make(self, match)
                except LookupError as error:
                    raise bad_request(
                        f'Problem when trying to parse this system predicate: "{whole}"!'
                    ) from error
                except (Unparsable, ValueError):
                    break
        raise unparsable(whole)

    def everything(self, _: Match) -> Test:
        return lambda _sha256, _entry: True

    def inbox(self, match: Match) -> Test:
        wanted = match[0] == "inbox"
        return lambda _, entry: entry.file is not None and entry.file.inbox == wanted

    def untagged(self, match: Match) -> Test:
        wanted = match[0] == "has tags"
        return lambda _, entry: bool(self._tags_of(entry)) == wanted

    def number_of_tags(self, match: Match) -> Test:
        sign, wanted = _sign(match, _LOOSE), int(match["number"])
        namespace = match["namespace"]

        def count(entry: Entry) -> int:
            tags = self._tags_of(entry)
            if namespace is None:
                return len(tags)
            return sum(tag.startswith(namespace + ":") for tag in tags)

        return lambda _, entry: compare(sign, count(entry), wanted)

    def tag_as_number(self, match: Match) -> Test:
        sign, wanted = _sign(match), int(match["number"])

        def numbers(entry: Entry) -> Iterator[int]:
            for tag in self._tags_of(entry):
                namespace, _, subtag = tag.rpartition(":")
                if namespace == match["namespace"] and subtag.isdecimal():
                    yield int(subtag)

        return lambda _, entry: any(compare(sign, n, wanted) for n in numbers(entry))

    def filetype(self, match: Match) -> Test:
        names = [name.strip() for name in match["values"].split(",")]
        if any(name not in FILETYPES for name in names):
            raise Unparsable
        enums = {enum for name in names for enum in FILETYPES[name]}
        test = _where(lambda file: file.filetype_enum, lambda enum: enum in enums)
        negated = _where(lambda file: file.filetype_enum, lambda enum: enum not in enums)
        return negated if _sign(match, {"=", "!="}) == "!=" else test

    def when(self, match: Match) -> Test:
        names = [name for name in _TIMES if match["kind"] and match["kind"].startswith(name)]
        moment = _TIMES[names[0]]
        sign, text = _sign(match), match["value"]
        if dated := re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}(?: \d{1,2}:\d{2}(?::\d{2})?)?", text):
            return _date_test(moment, sign, dated[0])
        amounts = re.findall(r"(\d+) ?([a-z]+?)s?\b", text.removesuffix("ago"))
        if not amounts:
            raise Unparsable
        days = sum(int(number) * _DAYS.get(unit, 0) for number, unit in amounts)
        ago = days * 24 * 60 * 60
        if not days:
            ago = sum(int(number) * _SECONDS.get(unit, 0) for number, unit in amounts)
            sign = {"<": ">", ">": "<"}.get(sign, sign)

        def passes(_: str, entry: Entry) -> bool:
            then = moment(entry)
            # The age is compared, so "<" means newer.
            return then is not None and compare(sign, time.time() - then, ago)

        return passes

    def filesize(self, match: Match) -> Test:
        sign, wanted = (
            _sign(match, _LOOSE),
            int(match["number"]) * _BYTES[(match["unit"] or "")[:1]],
        )
        return _where(lambda file: file.size, lambda size: compare(sign, size, wanted))

    def measure(self, match: Match) -> Test:
        sign, wanted = _sign(match), int(match["number"])
        return _where(_MEASURES[match["what"]], lambda value: compare(sign, value, wanted))

    def duration(self, match: Match) -> Test:
        factor = 1 if match["unit"].startswith("m") else 1000
        sign, wanted = _sign(match), int(match["number"]) * factor
        return _where(lambda file: file.duration_ms or 0, lambda ms: compare(sign, ms, wanted))

    def num_pixels(self, match: Match) -> Test:
        sign, wanted = (
            _sign(match, _LOOSE),
            int(match["number"]) * _PIXELS[(match["unit"] or "")[:1]],
        )
        return _where(
            lambda file: file.width * file.height, lambda pixels: compare(sign, pixels, wanted)
        )

    def ratio(self, match: Match) -> Test:
        signs = {"wider than": ">", "taller than": "<"}
        words = match["sign"].removeprefix("is ").strip()
        sign = signs.get(words) or _SIGNS[match["sign"]]
        if sign not in {"=", "~"} and words not in signs:
            raise Unparsable
        wanted = int(match["across"]) / int(match["down"])
        return _where(
            lambda file: file.width / file.height, lambda ratio: compare(sign, ratio, wanted)
        )

    def shape(self, match: Match) -> Test:
        sign = {"landscape": ">", "portrait": "<", "square": "="}[match["shape"]]
        return _where(lambda file: file.width / file.height, lambda ratio: compare(sign, ratio, 1))

    def hashes(self, match: Match) -> Test:
        kind = match["before"] or match["after"] or "sha256"
        wanted = set(re.findall("[0-9a-f]+", match["values"]))
        if kind == "sha256":
            test: Test = lambda sha256, _: sha256 in wanted  # noqa: E731 - one of two tests
        else:
            store = self._client.store
            test = lambda sha256, _: store.digests(sha256).get(kind) in wanted  # noqa: E731 - see above
        return _negated(test, _sign(match, {"=", "!="}) == "!=")

    def has_url(self, match: Match) -> Test:
        wanted = match["value"]
        return _negated(
            lambda _, entry: any(url.lower() == wanted for url in entry.known_urls), match["no"]
        )

    def has_domain(self, match: Match) -> Test:
        pattern = re.compile(
            r"[a-z]+://(?:[^/?#@]*@)?(?:[^/?#:]*\.)?"
            + re.escape(match["value"])
            + r"(?:[/?#:]|\Z)",
            re.IGNORECASE,
        )
        return _negated(lambda _, entry: any(map(pattern.match, entry.known_urls)), match["no"])

    def url_matches(self, match: Match) -> Test:
        try:
            pattern = re.compile(match["value"])
        except re.error as error:
            raise Unparsable from error
        return _negated(lambda _, entry: any(map(pattern.search, entry.known_urls)), match["no"])

    def urls(self, match: Match) -> Test:
        return _negated(lambda _, entry: bool(entry.known_urls), match["no"])

    def number_of(self, match: Match) -> Test:
        sign, wanted = _sign(match, _LOOSE), int(match["number"])
        if match["what"] != "urls" and sign not in {"<", ">", "="}:
            raise Unparsable
        if match["what"] == "urls":
            return lambda _, entry: compare(sign, len(entry.known_urls), wanted)
        return lambda _, entry: compare(sign, len(entry.notes), wanted)

    def truth(self, match: Match) -> Test:
        wanted = not match["no"]
        return _where(_TRUTHS[match["what"]], lambda value: value == wanted)

    def notes(self, match: Match) -> Test:
        return _negated(lambda _, entry: bool(entry.notes), match["no"])

    def note_named(self, match: Match) -> Test:
        wanted = match["value"]
        return _negated(lambda _, entry: wanted in entry.notes, match["no"])

    def has_rating(self, match: Match) -> Test:
        key = self._service(match["service"], RATING_TYPES).key
        return _negated(lambda _, entry: entry.ratings.get(key) is not None, match["no"])

    def rating(self, match: Match) -> Test:
        service = self._service(match["service"], RATING_TYPES)
        key, value = service.key, match["value"]
        if service.type == LIKE_RATING:
            liked = value == "like"
            if value not in {"like", "dislike"}:
                return lambda _sha256, _entry: False
            return lambda _, entry: entry.ratings.get(key) is liked
        if not value[0].isdecimal():
            return lambda _sha256, _entry: False
        if match["sign"] is None:
            raise Unparsable
        sign, wanted = _sign(match, _LOOSE), int(value.split("/")[0])

        def passes(_: str, entry: Entry) -> bool:
            rating: Rating | None = entry.ratings.get(key)
            return compare(sign, rating, wanted)

        return passes

    def file_service(self, match: Match) -> Test:
        service = self._service(match["service"], FILE_TYPES - {ALL_KNOWN_FILES})
        if match["state"] == "pending to":
            return _negated(lambda _sha256, _entry: False, match["no"])
        return _negated(domain_test(service.key, service.type), match["no"])

    def best_of_group(self, match: Match) -> Test:
        relationships = Relationships(self._client.store.document(DOCUMENT))
        return _negated(lambda sha256, _: relationships.king(sha256) == sha256, match["no"])

    def _service(self, name: str, types: frozenset[int]) -> Service:
        for service in self._client.services.by_key.values():
            if service.name.lower() == name.strip() and service.type in types:
                return service
        raise LookupError(name)


def _date_test(moment: Callable[[Entry], float | None], sign: str, text: str) -> Test:
    # The client means its machine's own time of day.
    begin = datetime.fromisoformat(re.sub(r"\b(\d)\b", r"0\1", text)).astimezone()
    end = begin + timedelta(days=1 if len(text) <= len("2024-01-31") else 0)
    about = timedelta(days=30)

    def passes(_: str, entry: Entry) -> bool:
        then = moment(entry)
        if then is None:
            return False
        match sign:
            case ">":
                return then >= begin.timestamp()
            case "<":
                return then < begin.timestamp()
            case "=":
                return begin.timestamp() <= then < end.timestamp()
            case _:
                return (begin - about).timestamp() <= then < (end + about).timestamp()

    return passes


def unparsable(whole: str) -> Refusal:
    """Give the 400 of a predicate that nobody understands."""
    return bad_request(f'Could not parse system predicate "{whole}"!')


def _sign(match: Match, allowed: set[str] | None = None) -> str:
    sign = _SIGNS[match["sign"]]
    if allowed and sign not in allowed:
        raise Unparsable
    return sign


def _patterns() -> Iterator[tuple[re.Pattern[str], Callable[[Predicates, Match], Test]]]:
    sign = f" ?(?P<sign>{_SIGN[1:-1]}) ?"
    number = r"(?P<number>\d+)"
    written = {
        "everything": Predicates.everything,
        "inbox|archived?": Predicates.inbox,
        "untagged|no tags|has tags": Predicates.untagged,
        rf"num(?:ber)?(?: of)? (?:(?P<namespace>[^<>=]+?) )?tags{sign}{number}": (
            Predicates.number_of_tags
        ),
        rf"tag as number (?P<namespace>.*?){sign}{number}": Predicates.tag_as_number,
        rf"file ?type{sign}(?P<values>.+)": Predicates.filetype,
        rf"(?:(?:date|time) )?(?P<kind>import|modified|archive|last view)(?:ed|d)?"
        rf"(?: (?:date|time))?:?{sign}(?P<value>.+)": Predicates.when,
        rf"file ?size{sign}{number} ?(?P<unit>k|m|g|kilo|mega|giga)?b(?:ytes?)?": (
            Predicates.filesize
        ),
        rf"(?P<what>width|height){sign}{number} ?(?:px|pixels?)?": Predicates.measure,
        rf"num(?:ber)?(?: of)? (?P<what>frames){sign}{number}": Predicates.measure,
        rf"duration{sign}{number} ?(?P<unit>seconds?|s|milliseconds?|ms|msecs?)": (
            Predicates.duration
        ),
        rf"num(?:ber)?(?: of)? pixels{sign}{number} ?(?P<unit>k|m|kilo|mega)?(?:px|pixels?)": (
            Predicates.num_pixels
        ),
        rf"ratio ?(?P<sign>(?:is )?(?:wider|taller) than|{_SIGN[1:-1]}) ?"
        r"(?P<across>[1-9]\d*):(?P<down>[1-9]\d*)": Predicates.ratio,
        r"ratio (?:is )?(?P<shape>landscape|portrait|square)": Predicates.shape,
        r"hash(?: \(?(?P<before>md5|sha1|sha512|sha256)\)?)?"
        rf"{sign}(?P<values>[0-9a-f]{{8,}}(?:[\s,]+[0-9a-f]{{8,}})*)"
        r"(?: (?P<after>md5|sha1|sha512|sha256))?": Predicates.hashes,
        rf"{_NOT}url:? (?P<value>http.+)": Predicates.has_url,
        rf"{_NOT}(?:url with )?domain (?P<value>.+)": Predicates.has_domain,
        rf"{_NOT}url matching regex (?P<value>.+)": Predicates.url_matches,
        r"(?:has|(?P<no>no)) urls": Predicates.urls,
        rf"num(?:ber)?(?: of)? (?P<what>urls|notes?){sign}{number}": Predicates.number_of,
        rf"(?:has|(?P<no>no)) (?P<what>{'|'.join(_TRUTHS)})": Predicates.truth,
        rf"(?:has (?=no))?{_NOT}notes?": Predicates.notes,
        rf"{_NOT}note (?:with name|named) (?P<value>.+)": Predicates.note_named,
        r"(?:has|(?P<no>(?:has )?no|does not have|doesn't have))(?: a)? (?:rating|count)(?: for)? "
        r"(?P<service>.+)": Predicates.has_rating,
        rf"(?:rating|count)(?: for)? (?P<service>.+?)(?:{sign}| )"
        r"(?P<value>like|dislike|\d+(?:/\d+)?)": Predicates.rating,
        r"file service (?:is )?(?P<no>not )?(?P<state>currently in|pending to) (?P<service>.+)": (
            Predicates.file_service
        ),
        r"(?:is )?(?P<no>not )?(?:the )?best quality(?: file)? of(?: its)?(?: duplicate)? group": (
            Predicates.best_of_group
        ),
    }
    for text, make in written.items():
        yield re.compile(text), make


_PATTERNS = tuple(_patterns())
