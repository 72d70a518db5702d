"""The triggers that come with hydrusd, registered like anyone's."""

from __future__ import annotations

from collections.abc import Callable

from hydrusd.builtin.triggers.client import ClientTrigger
from hydrusd.builtin.triggers.cookie_expiring import CookieExpiring
from hydrusd.builtin.triggers.feed import Feed
from hydrusd.builtin.triggers.manual import Manual
from hydrusd.builtin.triggers.page_links import PageLinks
from hydrusd.builtin.triggers.popup import PopupPutAway
from hydrusd.builtin.triggers.rule_finished import RuleFinished
from hydrusd.builtin.triggers.schedule import Schedule
from hydrusd.builtin.triggers.search import Search
from hydrusd.builtin.triggers.startup import Startup
from hydrusd.builtin.triggers.url_list import UrlList
from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.builtin.triggers.webhook import Webhook
from hydrusd.plugin import Trigger, hookimpl

TRIGGERS: tuple[type[Trigger], ...] = (
    ClientTrigger,
    CookieExpiring,
    Feed,
    Manual,
    PageLinks,
    PopupPutAway,
    RuleFinished,
    Schedule,
    Search,
    Startup,
    UrlList,
    WatchFolder,
    Webhook,
)


@hookimpl
def hydrusd_register_triggers(register: Callable[[type[Trigger]], None]) -> None:
    """Register them all."""
    for trigger in TRIGGERS:
        register(trigger)
