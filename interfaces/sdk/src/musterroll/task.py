"""What a handler is given, and how it says that a task cannot be done."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any


class TaskFailed(Exception):
    """Raised by a handler: the task failed, with this code and message.

    Without `retryable` it fails for good, whatever attempts it had left.
    """

    def __init__(self, code: str, message: str = "", *, retryable: bool = False) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.retryable = retryable


class Told:
    """Nothing to wait for; may be awaited, and an async handler that does lets others run."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()


@dataclass(slots=True, kw_only=True)
class Task:
    """One attempt at a task, in the hands of a handler.

    `lessons` is what was learned from tasks like this one. `attempt` begins at 1. `timeout_seconds`
    is how long this attempt may take. `Task(kind="count", input=...)` makes one for a test.
    """

    kind: str
    input: Any = None
    id: str = ""
    attempt: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    lessons: tuple[Any, ...] = ()
    timeout_seconds: float = 300.0
    collaboration_id: str | None = None
    cancelled: bool = False
    """True once nobody wants the result any more: stop working. A handler in a thread must look."""
    _tell: Callable[["Task", float, str | None], None] | None = field(default=None, repr=False)
    _write: Callable[["Task", str], None] | None = field(default=None, repr=False)

    def progress(self, fraction: float, message: str | None = None) -> Told:
        """Tell how far the work is: a fraction from 0 to 1, and a line for people.

        At most one a second is recorded, the last word wins. Call it plainly, or await it.
        Raises ValueError for a fraction outside of 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress runs from 0 to 1, not {fraction}")
        if self._tell is not None:
            self._tell(self, float(fraction), None if message is None else str(message))
        return Told()

    def output(self, text: str) -> Told:
        """Show what the work brings while it goes on: tokens, log lines, with their line ends.

        Whoever watches the task sees it within a moment; it is kept nowhere, and left out where it
        comes faster than it can be sent. Never fails the task or holds it up. Call it plainly, or
        await it.
        """
        if self._write is not None:
            self._write(self, str(text))
        return Told()
