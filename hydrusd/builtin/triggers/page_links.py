"""The trigger that notices new links on a web page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from hydrusd.builtin.triggers._page_links import read_page
from hydrusd.builtin.triggers._url_lines import plain_form
from hydrusd.builtin.triggers._visits import Visits, WebAddress
from hydrusd.plugin import Duration, Event, HttpReply, Trigger, TriggerContext

ACCEPT = "text/html, application/xhtml+xml;q=0.9, */*;q=0.1"


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return pattern


class PageLinks(Trigger):
    r"""Notice each new link on a web page whose address fits a pattern, once.

    For pages without a feed. Links and pictures that are in the page as it comes from the
    server are seen; what its scripts would add is not. What is there when the rule begins is
    passed over, unless `backfill`. As to politeness, see `feed`.

    `pattern` is a regular expression that must fit somewhere in the whole address of the
    link, such as `/posts/\d+$`.

    Conditions and templates see `url`, `text` (of the link), `page.title` and `page.url`.
    """

    trigger: ClassVar[str] = "page_links"
    outside: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    gives: ClassVar[Mapping[str, Any] | None] = {
        "url": None,
        "text": None,
        "page": {"title": None, "url": None},
    }

    url: WebAddress = Field(description="The address of the page.")
    pattern: Annotated[str, AfterValidator(_regular)] = Field(
        min_length=1, description="A regular expression for the addresses of the links wanted."
    )
    every: Duration = Field(
        default=1800.0,
        ge=60,
        description="How often to look.",
        json_schema_extra={"default": "30m"},
    )
    backfill: bool = Field(
        default=False, description="Whether to take what is there when the rule begins, too."
    )

    async def run(self, context: TriggerContext) -> None:
        """Notice links until cancelled."""
        await Visits(self.url, self.every, self.backfill, ACCEPT, self._read).run(context)

    def _read(self, reply: HttpReply) -> list[Event]:
        page = read_page(reply.body, reply.headers.get("content-type", ""), reply.url)
        about = {"title": page.title, "url": self.url}
        return [
            Event(f"{self.url} {plain_form(url)}", {"url": url, "text": text, "page": about})
            for url, text in page.links.items()
            if re.search(self.pattern, url)
        ]
