"""The trigger that notices what is new in a feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from hydrusd.builtin.triggers._url_lines import plain_form
from hydrusd.builtin.triggers._visits import Visits, WebAddress
from hydrusd.plugin import Duration, Event, HttpReply, Trigger, TriggerContext

ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.1"


class Feed(Trigger):
    """Notice each new entry of an RSS or Atom feed, once.

    What is in the feed when the rule begins is passed over, unless `backfill`. The server is
    asked whether anything has changed; one that fails is asked less often for a while. What
    appeared and disappeared between two looks is not noticed.

    Conditions and templates see `url`, `title`, `author`, `published`, `tags` and
    `enclosures` (lists), `feed.title` and `feed.url`.
    """

    trigger: ClassVar[str] = "feed"
    outside: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    gives: ClassVar[Mapping[str, Any] | None] = {
        "url": None,
        "title": None,
        "author": None,
        "published": None,
        "tags": None,
        "enclosures": None,
        "feed": {"title": None, "url": None},
    }

    url: WebAddress = Field(description="The address of the feed.")
    every: Duration = Field(
        default=1800.0,
        ge=60,
        description="How often to look.",
        json_schema_extra={"default": "30m"},
    )
    backfill: bool = Field(
        default=False, description="Whether to take what is there when the rule begins, too."
    )
    take: Literal["links", "enclosures"] = Field(
        default="links",
        description="What `url` is: the page that an entry links to, or each file that is "
        "attached to it.",
    )

    async def run(self, context: TriggerContext) -> None:
        """Notice entries until cancelled."""
        await Visits(self.url, self.every, self.backfill, ACCEPT, self._read).run(context)

    def _read(self, reply: HttpReply) -> list[Event]:
        return list(self._events(reply))

    def _events(self, reply: HttpReply) -> Iterator[Event]:
        # Imported late: feedparser would cost start-up time for everyone.
        from hydrusd.builtin.triggers._feeds import read_feed

        feed = read_feed(reply)
        for entry in reversed(feed.entries):  # they begin with the newest
            wanted = (entry.url,) if self.take == "links" else entry.enclosures
            for url in filter(None, wanted):
                data = {
                    "url": url,
                    "title": entry.title,
                    "author": entry.author,
                    "published": entry.published,
                    "tags": list(entry.tags),
                    "enclosures": list(entry.enclosures),
                    "feed": {"title": feed.title, "url": self.url},
                }
                yield Event(f"{self.url} {plain_form(url)}", data)
