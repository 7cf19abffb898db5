"""Request builders as methods of the two clients: written once, typed twice.

`submit = blocking(tasks.submit)` gives a class the method `submit`, with the builder's parameters
and docstring, that carries out what the builder plans. `awaited` is its twin for the async client.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from musterroll._request import Page, Pages, Plan

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


class Blocking(Protocol):
    def _run(self, plan: Plan[T]) -> T: ...


class Awaiting(Protocol):
    async def _run(self, plan: Plan[T]) -> T: ...


def blocking(build: Callable[P, Plan[T]]) -> Callable[Concatenate[Blocking, P], T]:
    def call(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(build(*args, **kwargs))

    return _like(build, call)


def awaited(
    build: Callable[P, Plan[T]],
) -> Callable[Concatenate[Awaiting, P], Coroutine[Any, Any, T]]:
    async def call(self: Awaiting, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(build(*args, **kwargs))

    return _like(build, call)


def listed(build: Callable[P, Pages[T]]) -> Callable[Concatenate[Blocking, P], Iterator[T]]:
    def call(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        pages = build(*args, **kwargs)
        reading = _Reading(pages)
        while reading.request is not None:
            yield from reading.take(self._run(reading.request))

    return _like(build, call)


def listed_async(
    build: Callable[P, Pages[T]],
) -> Callable[Concatenate[Awaiting, P], AsyncIterator[T]]:
    async def call(self: Awaiting, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        pages = build(*args, **kwargs)
        reading = _Reading(pages)
        while reading.request is not None:
            for item in reading.take(await self._run(reading.request)):
                yield item

    return _like(build, call)


class _Reading:
    """How far a list has been read."""

    def __init__(self, pages: Pages[Any]) -> None:
        self._pages = pages
        self._wanted = pages.limit
        self.request = pages.first if pages.limit != 0 else None

    def take(self, page: Page[Any]) -> list[Any]:
        items = page.items if self._wanted is None else page.items[: self._wanted]
        if self._wanted is not None:
            self._wanted -= len(items)
        self.request = None if self._wanted == 0 else self._pages.following(page)
        return items


def _like(build: Callable[..., Any], call: C) -> C:
    """Give a call its builder's name, docstring and parameters."""
    signature = inspect.signature(build)
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    parameters += signature.parameters.values()
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=inspect.Signature.empty
    )
    call.__name__ = build.__name__
    call.__doc__ = build.__doc__
    return call
