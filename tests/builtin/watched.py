"""A watched folder, for tests of how it is watched and of what becomes of it."""

from __future__ import annotations

import contextlib

from noticing import Context as AnyContext, noticing

from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.plugin import Doubt


class Context(AnyContext):
    """Vouches for groups of files, too."""

    def __init__(self, kept=None, **arguments):
        super().__init__(kept, **arguments)
        self.vouched = {}

    async def doubt(self, digests):
        groups = {group for group, digest in digests.items() if self.vouched.get(group) != digest}
        return Doubt(frozenset(groups), b"token")

    async def vouch(self, doubt, digests):
        assert digests.keys() <= doubt.groups
        self.vouched |= digests

    async def forget_gone(self, groups):
        assert groups >= 0


@contextlib.asynccontextmanager
async def watching(root, kept=None, *, context=None, **parameters):
    """Run the trigger, already through with its first look. ``kept`` is of an earlier run."""
    context = context or Context(kept)
    trigger = WatchFolder(path=root, **{"settle": "2s", **parameters})
    async with noticing(trigger, context):
        await context.until(lambda: context.told)
        yield context


def names_in(context):
    """Give the names of what was noticed, by their paths below the folder."""
    return [file["relative"] for file in context.data("file")]


async def until_noticed(context, *names):
    """Let time pass until all these have been noticed."""
    await context.until(lambda: set(names) <= set(names_in(context)))


def how(context):
    """Give the last thing that was told."""
    return context.told[-1][1]


class Listing:
    """What is in a folder, as ``give`` gives one after the other of the real entries."""

    def __init__(self, entries, give):
        self._entries, self._give = entries, give

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._entries.close()

    def __iter__(self):
        return self

    def __next__(self):
        return self._give(self._entries)
