"""Who waits for which topic, inside one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class Watches:
    """Topics and their watchers. Used in the event loop's thread only."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[TopicWatch]] = {}

    def watch(self, topic: str) -> TopicWatch:
        """A watch that begins with its `with`."""
        return TopicWatch(self, topic)

    def wake(self, topics: Iterable[str]) -> None:
        """Tell everyone who watches one of `topics`."""
        for topic in topics:
            for watcher in self._watchers.get(topic, ()):
                watcher.woken.set()

    def add(self, topic: str, watcher: TopicWatch) -> None:
        """Register."""
        self._watchers.setdefault(topic, set()).add(watcher)

    def remove(self, topic: str, watcher: TopicWatch) -> None:
        """Let go; a topic without watchers takes no room."""
        watchers = self._watchers[topic]
        watchers.discard(watcher)
        if not watchers:
            del self._watchers[topic]


class TopicWatch:
    """A place to wait for commits that woke a topic. One task waits at a time."""

    def __init__(self, watches: Watches, topic: str) -> None:
        self._watches = watches
        self._topic = topic
        self.woken = asyncio.Event()

    def __enter__(self) -> Self:
        self._watches.add(self._topic, self)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._watches.remove(self._topic, self)

    async def changed(self, timeout_s: float | None = None) -> bool:
        """True as soon as the topic was woken since the last call (or since the watch began); False: timed out."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.woken.wait()
        except TimeoutError:
            return False
        self.woken.clear()
        return True
