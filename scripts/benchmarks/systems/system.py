"""What the bench asks of every task queue."""

import importlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, cast

from benchmarks.payload import Payload

#: What a worker's no-op handler is: it counts the task, and nothing else.
Handled = Callable[[Payload], None]

WORKER_CONNECTIONS = 32
BULK_TASKS = 1_000


class System(Protocol):
    """A task queue, from within a program that uses it in its best documented way.

    A submitter calls `install` once and `open`, then the rest; a worker calls `work` alone.
    """

    async def install(self) -> None:
        """Make its tables."""

    async def open(self) -> None:
        """Connect, as a program that submits."""

    async def close(self) -> None:
        """Disconnect."""

    async def submit(self, payload: Payload) -> str:
        """Durably take a task in; its id."""

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        """The same in bulk."""

    async def status(self, job_id: str) -> str:
        """Where a task stands."""

    async def unfinished(self) -> int:
        """How many tasks are not recorded as done; 0 when all are."""

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        """Do tasks until cancelled, calling `ready` once it can."""


def system(name: str, url: str) -> System:
    """The system of that name, which works on that server or database."""
    module = importlib.import_module(f"benchmarks.systems.{name}")
    return cast("System", module.make(url))


async def submit_singly(
    submit: Callable[[Payload], Awaitable[str]], payloads: Sequence[Payload]
) -> None:
    """What bulk means where there is no bulk call."""
    for payload in payloads:
        await submit(payload)
