"""``hydrusd api``: what people at a terminal want to know of their client.

Everything that is shown was named by somebody else, and some of it by websites: it goes
out as text that commands no terminal. Values of cookies are not shown at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hydrusd.cli._terminal import configure_logs, plain

if TYPE_CHECKING:
    from hydrusd.hydrus import HydrusClient, Page

KEY_VARIABLE = "HYDRUS_ACCESS_KEY"
LIMIT_SINCE_API = 18
POPUP_LINES = 4

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

# The value of such a header lets people in.
_SECRET_HEADER = re.compile(r"(?i)auth|cookie|token|key|secret|session|password")


def _keep_client_name(context: click.Context, _: click.Parameter, name: str | None) -> None:
    context.obj = name


def _where(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
        click.option(
            "--url", help=f"Where the client is; its access key is taken from {KEY_VARIABLE}."
        ),
        click.option(
            "--rules",
            type=click.Path(path_type=Path),
            help="The rules file that says where the client is. Default: as for the daemon.",
        ),
        click.option(
            "--client",
            expose_value=False,
            callback=_keep_client_name,
            help="Which client of the rules file, where it has several.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@_where
def info(rules: Path | None, url: str | None, as_json: bool) -> None:
    """Show the client's version and what the access key may do."""

    async def ask(client: HydrusClient) -> tuple[dict[str, Any], list[str]]:
        from hydrusd.hydrus import Permission

        found = client.info
        may = [p for p in Permission if found.permits_everything or p in found.permissions]
        here = [p for p in Permission if p.since_api <= found.api_version]
        words = {p: p.words(found.api_version) for p in here}
        version = f"v{found.hydrus_version}" if found.hydrus_version else "of an old version"
        lines = [f"Hydrus {version}, Client API {found.api_version}"]
        if found.permits_everything:
            lines.append(f'the access key "{found.key_name}" may do everything')
        else:
            lines.append(f'the access key "{found.key_name}" may')
            lines += [f"  {words[p]}" for p in here if p in may] or ["  do nothing"]
            lines += ["and may not", *(f"  {words[p]}" for p in here if p not in may)]
        return {
            "api_version": found.api_version,
            "hydrus_version": found.hydrus_version,
            "name": found.key_name,
            "permits_everything": found.permits_everything,
            "permissions": [words[p] for p in here if p in may],
        }, lines

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@_where
def services(rules: Path | None, url: str | None, as_json: bool) -> None:
    """List the client's services: their names, kinds and keys."""

    async def ask(client: HydrusClient) -> tuple[list[dict[str, Any]], list[str]]:
        from hydrusd.hydrus import ServiceType

        found = [
            {"name": s.name, "kind": _word(ServiceType, s.type), "type": s.type, "key": s.key}
            for s in client.services
        ]
        rows = [(s.name, _word(ServiceType, s.type), s.key or "") for s in client.services]
        return found, _table(("name", "kind", "key"), rows)

    _tell(ask, rules, url, as_json=as_json)


# So that "-tag" is a tag that must not be there, and not four options.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("--limit", type=click.IntRange(1), help="Give no more than so many.")
@click.option("--hashes", is_flag=True, help="Give hashes (SHA-256) and not file ids.")
@_where
def search(
    tags: tuple[str, ...],
    limit: int | None,
    hashes: bool,
    rules: Path | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Find the files to which all TAGs apply, the newest first.

    A TAG may be a predicate ('system:inbox'), have wildcards ('samus*'), or begin with - to
    leave out what has it.
    """

    async def ask(client: HydrusClient) -> tuple[list[Any], list[str]]:
        wanted = list(tags)
        if limit is not None and client.info.api_version >= LIMIT_SINCE_API:
            wanted.append(f"system:limit = {limit}")
        found = await client.search_files(
            wanted, ascending=False, file_ids=not hashes, hashes=hashes
        )
        files: list[Any] = list(found.hashes if hashes else found.file_ids)[:limit]
        return files, [str(file) for file in files]

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@click.argument("hashes", nargs=-1, required=True, metavar="HASH...")
@_where
def tags(hashes: tuple[str, ...], rules: Path | None, url: str | None, as_json: bool) -> None:
    """Show the tags of files, by their SHA-256."""

    async def ask(client: HydrusClient) -> tuple[dict[str, Any], list[str]]:
        from hydrusd.hydrus import ServiceType, TagStatus

        names = {s.reference: s.name for s in client.services}
        unions = {s.reference for s in client.services if s.type == ServiceType.ALL_KNOWN_TAGS}
        found: dict[str, Any] = {}
        lines: list[str] = []
        for file, by_service in (await client.tags(hashes)).items():
            found[file] = []
            lines.append(file)
            for reference, by_status in by_service.items():
                # What all services know together is said by each of them.
                if reference in unions or names.get(reference, reference) == "all known tags":
                    continue
                name = names.get(reference, reference)
                kinds = {
                    _word(TagStatus, status): sorted(texts)
                    for status, texts in sorted(by_status.items())
                    if texts
                }
                if not kinds:
                    continue
                found[file].append({"service": name, "reference": reference, **kinds})
                lines.append(f"  {name}")
                lines += [
                    f"    {text}" + ("" if kind == "current" else f"  ({kind})")
                    for kind, texts in kinds.items()
                    for text in texts
                ]
            if not found[file]:
                lines.append("  no tags")
        return found, lines

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@click.argument("domain")
@_where
def cookies(domain: str, rules: Path | None, url: str | None, as_json: bool) -> None:
    """List the cookies that the client has for a DOMAIN; never their values."""

    async def ask(client: HydrusClient) -> tuple[list[dict[str, Any]], list[str]]:
        found = [
            {"name": c.name, "domain": c.domain, "path": c.path, "expires": _time(c.expires)}
            for c in await client.get_cookies(domain)
        ]
        rows = [
            (str(c["name"]), str(c["domain"]), str(c["path"]), c["expires"] or "with the session")
            for c in found
        ]
        return found, _table(("name", "domain", "path", "expires"), rows)

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@click.argument("domain", required=False)
@_where
def headers(domain: str | None, rules: Path | None, url: str | None, as_json: bool) -> None:
    """List the headers that the client sends to all websites, or to a DOMAIN.

    The value of one that lets people in is not shown.
    """

    async def ask(client: HydrusClient) -> tuple[list[dict[str, Any]], list[str]]:
        found = [
            {
                "name": name,
                "value": None if _SECRET_HEADER.search(name) else header.value,
                "approved": header.approved.value if header.approved else None,
                "reason": header.reason,
            }
            for name, header in (await client.get_headers(domain)).items()
        ]
        rows = [
            (
                str(h["name"]),
                "(not shown)" if h["value"] is None else h["value"],
                h["approved"] or "",
                h["reason"] or "",
            )
            for h in found
        ]
        return found, _table(("name", "value", "approved", "reason"), rows)

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@_where
def pages(rules: Path | None, url: str | None, as_json: bool) -> None:
    """Show the pages of the client's window, as a tree; * marks those in front."""

    async def ask(client: HydrusClient) -> tuple[dict[str, Any], list[str]]:
        from hydrusd.hydrus import PageType

        def described(page: Page) -> dict[str, Any]:
            return {
                "name": page.name,
                "kind": _word(PageType, page.page_type),
                "type": page.page_type,
                "key": page.page_key,
                "state": page.page_state,
                "selected": page.selected,
                "pages": [described(inner) for inner in page.pages],
            }

        def branch(page: Page, depth: int) -> Iterable[tuple[str, str, str]]:
            mark = "*" if page.selected else " "
            name = f"{mark} {'  ' * depth}{page.name}"
            yield name, _word(PageType, page.page_type), page.page_key
            for inner in page.pages:
                yield from branch(inner, depth + 1)

        root = await client.get_pages()
        return described(root), _table(("  page", "kind", "key"), list(branch(root, 0)))

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@_where
def popups(rules: Path | None, url: str | None, as_json: bool) -> None:
    """Show the popups in the corner of the client's window."""

    async def ask(client: HydrusClient) -> tuple[list[dict[str, Any]], list[str]]:
        found: list[dict[str, Any]] = []
        lines: list[str] = []
        for popup in await client.get_popups():
            state = (
                *(["failed"] if popup.had_error else []),
                *(["cancelled"] if popup.is_cancelled else []),
                *(["paused"] if popup.is_paused else []),
                "done" if popup.is_done else "at work",
            )
            gauges = [list(g) for g in (popup.popup_gauge_1, popup.popup_gauge_2) if g]
            found.append(
                {
                    "key": popup.key,
                    "title": popup.status_title,
                    "text": popup.text,
                    "state": list(state),
                    "gauges": gauges,
                    "files": len(popup.files.hashes) if popup.files else 0,
                }
            )
            shown = "".join(f" {_of(done)}/{_of(whole)}" for done, whole in gauges)
            lines.append(f"{popup.key}  {', '.join(state)}{shown}")
            # A popup may hold a whole traceback, or the client's environment: that is for --json.
            said = [line for line in popup.text.splitlines() if line.strip()]
            lines += [f"  {line}" for line in said[:POPUP_LINES]]
            if len(said) > POPUP_LINES:
                lines.append(f"  … and {len(said) - POPUP_LINES} more lines")
        return found, lines or ["There are none."]

    _tell(ask, rules, url, as_json=as_json)


@click.command()
@click.argument("address", metavar="URL")
@_where
def urls(address: str, rules: Path | None, url: str | None, as_json: bool) -> None:
    """Show what the client would do with a URL, and which files it has from there."""

    async def ask(client: HydrusClient) -> tuple[dict[str, Any], list[str]]:
        from hydrusd.hydrus import ImportStatus

        about, files = await client.get_url_info(address), await client.get_url_files(address)
        found = {
            "normalised_url": about.normalised_url,
            "kind": about.url_type_string,
            "url_class": about.match_name,
            "can_parse": about.can_parse,
            "cannot_parse_reason": about.cannot_parse_reason,
            "files": [
                {
                    "hash": file.hash,
                    "status": _word(ImportStatus, file.status) if file.status else "new",
                    "note": file.note,
                }
                for file in files.url_file_statuses
            ],
        }
        parsed = "can" if about.can_parse else "cannot"
        reason = f": {about.cannot_parse_reason}" if about.cannot_parse_reason else ""
        return found, [
            about.normalised_url,
            f"  {about.url_type_string} ({about.match_name}); the client {parsed} parse it{reason}",
            *(
                f"  {file['hash'] or 'no file'}  {file['status']}"
                for file in found["files"]  # type: ignore[attr-defined]
            ),
            *([] if files.url_file_statuses else ["  no files are known to be from there"]),
        ]

    _tell(ask, rules, url, as_json=as_json)


COMMANDS: dict[str, click.Command] = {
    str(command.name): command
    for command in (info, services, search, tags, cookies, headers, pages, popups, urls)
}


def _tell(
    ask: Callable[[HydrusClient], Awaitable[tuple[Any, list[str]]]],
    rules: Path | None,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """Ask the client and print the answer: as JSON, or line by line."""
    import anyio

    from hydrusd.redaction import redact, redact_strings

    async def asked() -> tuple[Any, list[str]]:
        async with _client(rules, url) as client:
            await client.connect()
            return await ask(client)

    found, lines = anyio.run(asked)
    if as_json:
        # Nothing but ASCII comes out: an escape sequence is an escaped one.
        click.echo(json.dumps(redact_strings(found), indent=2))
        return
    for line in lines:
        click.echo(redact(plain(line)))


def _client(rules: Path | None, url: str | None) -> HydrusClient:
    from hydrusd.cli._paths import rules_path
    from hydrusd.daemon import make_client, read_client_only
    from hydrusd.hydrus import HydrusClient

    configure_logs(level="warning")
    if url is None:
        return make_client(read_client_only(rules_path(rules), click.get_current_context().obj))
    if rules is not None:
        raise click.UsageError("say where the client is by --rules or by --url, not by both")
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise click.UsageError(f"with --url, {KEY_VARIABLE} has to hold the access key")
    try:
        return HydrusClient(url, key)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Give rows as lines with their columns in line; the last is as wide as it is."""
    from rich.cells import cell_len

    if not rows:
        return ["There are none."]
    cleaned = [list(titles), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cleaned, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cleaned
    ]


def _word(kinds: Any, number: int) -> str:
    """Give the word for a number of the protocol, or the number where there is none."""
    try:
        return str(kinds(number).name).replace("_", " ").lower()
    except ValueError:
        return f"kind {number}"


def _time(seconds: int | None) -> str | None:
    from datetime import UTC, datetime

    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s after 1970"


def _of(number: float | None) -> str:
    return "?" if number is None else f"{number:g}"
