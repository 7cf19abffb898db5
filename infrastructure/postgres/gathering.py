"""Questions that come at the same moment are asked together: a group commit's twin for reading."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

KEYS_MAX = 500
QUERIES_MAX = 2
"""At once; whoever comes while these are under way waits for the next."""

KeyT = TypeVar("KeyT", bound=Hashable)
RowT = TypeVar("RowT")


class Gathering(Generic[KeyT, RowT]):
    """Rows by key, however many ask, in few queries. For one event loop.

    A query costs about the same for one row as for thirty. Nobody waits for others to come: while
    nothing is under way, it is asked at once for those of this turn of the loop.
    """

    def __init__(self, ask: Callable[[Sequence[KeyT]], Awaitable[Mapping[KeyT, RowT]]]) -> None:
        self._ask = ask
        self._waiting: defaultdict[KeyT, list[asyncio.Future[RowT | None]]] = defaultdict(list)
        self._queries: set[asyncio.Task[None]] = set()

    async def find(self, key: KeyT) -> RowT | None:
        """The row, None when there is none. Raises what the query raises."""
        found: asyncio.Future[RowT | None] = asyncio.get_running_loop().create_future()
        self._waiting[key].append(found)
        if len(self._queries) < QUERIES_MAX:
            query = asyncio.create_task(self._answer())
            self._queries.add(query)
            query.add_done_callback(self._queries.discard)
        return await found

    async def _answer(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[:KEYS_MAX]
            asking = {key: self._waiting.pop(key) for key in keys}
            try:
                rows = await self._ask(keys)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to hear
                for future in _still_waiting(asking):
                    future.set_exception(error)
            else:
                for key, futures in asking.items():
                    for future in futures:
                        if not future.done():
                            future.set_result(rows.get(key))


def _still_waiting(
    asking: "Mapping[KeyT, list[asyncio.Future[RowT | None]]]",
) -> "list[asyncio.Future[RowT | None]]":
    return [future for futures in asking.values() for future in futures if not future.done()]
