"""Watching a task: its status whenever it changes, whatever comes in between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from musterroll._live import watching
from musterroll._request import Plan, Request
from musterroll.errors import NotFound, Unavailable
from musterroll.models import TaskStatus

AWAY = Unavailable("no answer", code="unreachable")


def status(version: int, name: str = "running", **members: Any) -> dict[str, Any]:
    return {"id": "a", "status": name, "version": version, **members}


class Service:
    """Gives its answers in order, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def _run(self, plan: Plan[Any]) -> Any:
        assert isinstance(plan, Request)
        self.asked.append(dict(plan.query))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return plan.parse(answer)


class AsyncService(Service):
    async def _run(self, plan: Plan[Any]) -> Any:
        return super()._run(plan)


def plainly(*answers: dict[str, Any] | Exception) -> tuple[list[TaskStatus], list[Any]]:
    service = Service(*answers)
    return list(watching.watch(service, "a")), service.asked


def on_a_loop(*answers: dict[str, Any] | Exception) -> tuple[list[TaskStatus], list[Any]]:
    service = AsyncService(*answers)

    async def watch() -> list[TaskStatus]:
        return [found async for found in watching.watch_async(service, "a")]

    return asyncio.run(watch()), service.asked


Watch = Callable[..., tuple[list[TaskStatus], list[Any]]]
BOTH = pytest.mark.parametrize("watch", [plainly, on_a_loop])


@BOTH
def test_each_change_is_shown_up_to_the_end_with_its_result(watch: Watch) -> None:
    found, asked = watch(
        status(1, "queued"),
        status(1, "queued"),
        status(4),
        status(3),
        AWAY,
        AWAY,
        status(5, progress=0.5),
        status(6, "completed", result=[1]),
    )

    assert [one.version for one in found] == [1, 4, 5, 6]
    assert found[-1].result == [1]
    assert asked[0] == {}
    assert [query["after_version"] for query in asked[1:]] == [1, 1, 4, 4, 4, 4, 5]


@BOTH
def test_a_task_that_has_ended_is_shown_once(watch: Watch) -> None:
    found, asked = watch(status(6, "failed", error={"code": "x", "message": "y"}))

    assert [one.status for one in found] == ["failed"]
    assert len(asked) == 1


@BOTH
def test_what_was_never_answered_is_told_of(watch: Watch) -> None:
    with pytest.raises(Unavailable):
        watch(AWAY)
    with pytest.raises(NotFound):
        watch(NotFound("no", code="not_found"))
