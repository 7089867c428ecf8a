"""A generator that works one item ahead in a thread of its own, so that its work and its consumer's overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made while the consumer is at the one before it.

    What making an item raises is raised when it is asked for. When the consumer ends early, the item that is being made is the last.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        coming = maker.submit(next, source, _END)
        while (item := coming.result()) is not _END:
            coming = maker.submit(next, source, _END)
            yield item
