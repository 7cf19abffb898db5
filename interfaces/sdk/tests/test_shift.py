"""A shift against a service that answers in memory: what is asked for, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from musterroll import Task
from musterroll._request import Request
from musterroll._routes import work
from musterroll._worker import outbox as outbox_module
from musterroll._worker import shift as shift_module
from musterroll._worker.shift import Shift
from musterroll.errors import Unavailable


class Service:
    """Leases what it is given, and remembers."""

    def __init__(self) -> None:
        self.asked_for: list[int] = []
        self.reports: list[str] = []
        self.batches: list[int] = []
        self.leases: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self.was_asked = asyncio.Event()
        self.has_reports = asyncio.Event()
        self.may_report = asyncio.Event()
        self.may_report.set()

    def lease(self, *task_ids: str) -> None:
        self.leases.put_nowait([{"task_id": t, "attempt": 1, "kind": "count"} for t in task_ids])

    async def next_request(self) -> int:
        self.was_asked.clear()
        await self.was_asked.wait()
        return self.asked_for[-1]

    async def _run(self, request: Request[Any]) -> Any:
        body = orjson.loads(request.content or b"null")
        if request.path.endswith("/heartbeat"):
            return request.parse({"state": "available"})
        if request.path.endswith("/leases"):
            self.asked_for.append(body["slots"])
            self.was_asked.set()
            return request.parse({"leases": await self.leases.get()})
        if request.path.endswith("/output"):
            self.reports += [f"{piece['task_id']} says {piece['text']}" for piece in body["output"]]
            return request.parse({"outcomes": [{"accepted": True} for _ in body["output"]]})
        await self.may_report.wait()
        self.batches.append(len(body["reports"]))
        self.reports += [f"{r['task_id']} {r['type']}" for r in body["reports"]]
        self.has_reports.set()
        return request.parse({"outcomes": [{"accepted": True} for _ in body["reports"]]})


def on_shift(
    scenario: Callable[[Service], Awaitable[None]],
    handler: Callable[[Task], Any],
    *,
    slots: int,
) -> Service:
    async def run() -> Service:
        service, stop = Service(), asyncio.Event()
        shift = Shift(
            service,  # type: ignore[arg-type]
            "a1",
            handlers={"count": handler},
            slots=slots,
            grace_seconds=5,
            stop=stop,
            hurry=asyncio.Event(),
        )
        working = asyncio.create_task(shift.work())
        await asyncio.wait_for(scenario(service), 10)
        stop.set()
        await asyncio.wait_for(working, 10)
        return service

    return asyncio.run(run())


async def nothing(_: Task) -> None:
    """Ends at once."""


def test_a_handler_that_ends_at_once_is_reported_begun_and_ended_in_one_request() -> None:
    async def scenario(service: Service) -> None:
        service.lease("a", "b", "c")
        await service.has_reports.wait()

    service = on_shift(scenario, nothing, slots=8)

    assert service.batches == [6]
    assert sorted(service.reports) == sorted(
        f"{task} {kind}" for task in "abc" for kind in ("started", "completed")
    )


def test_all_free_slots_are_asked_for_at_once() -> None:
    async def scenario(service: Service) -> None:
        await service.next_request()
        service.lease("a", "b", "c")
        await service.next_request()

    async def endless(_: Task) -> None:
        await asyncio.sleep(0.1)

    assert on_shift(scenario, endless, slots=8).asked_for[:2] == [8, 5]


def test_tasks_that_end_one_by_one_are_followed_by_one_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shift_module, "GATHER_SECONDS", 0.2)
    ends = {name: asyncio.Event() for name in "abcdefgh"}

    async def handler(task: Task) -> None:
        await ends[task.id].wait()

    async def scenario(service: Service) -> None:
        service.lease(*ends)
        await service.next_request()
        for name in "abc":
            ends[name].set()
            await asyncio.sleep(0.01)
        await service.next_request()
        for end in ends.values():
            end.set()

    assert on_shift(scenario, handler, slots=8).asked_for[:2] == [8, 3]


def test_no_more_is_leased_while_too_much_is_undelivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "UNDELIVERED_MAX", 4)

    async def scenario(service: Service) -> None:
        service.may_report.clear()
        service.lease("a", "b")
        await service.next_request()
        service.lease("c", "d")
        await service.next_request()
        for _ in range(20):
            await asyncio.sleep(0)
        asked = len(service.asked_for)
        service.may_report.set()
        if asked == 2:
            await service.next_request()
        assert len(service.asked_for) == 3

    service = on_shift(scenario, nothing, slots=2)

    assert len(service.reports) == 8


def test_what_a_task_wrote_goes_before_the_report_of_its_end() -> None:
    async def handler(task: Task) -> None:
        await task.output("one ")
        await task.output("two")

    async def scenario(service: Service) -> None:
        service.lease("a")
        await service.has_reports.wait()

    service = on_shift(scenario, handler, slots=1)

    assert service.reports == ["a says one two", "a started", "a completed"]


def test_an_answer_without_leases_is_not_the_services() -> None:
    parse = work.leases("a1", slots=1, wait_seconds=0).parse

    answers: list[Any] = ["text", {}, {"leases": [{}]}, {"leases": ["a"]}, {"leases": [None]}]
    for nonsense in answers:
        with pytest.raises(Unavailable, match="not Musterroll's"):
            parse(nonsense)


def test_a_lease_becomes_a_task() -> None:
    members = {"task_id": "a", "attempt": 2, "kind": "count", "input": [1], "tomorrow": True}

    grant = work.leases("a1", slots=1, wait_seconds=0).parse(
        {"leases": [{**members, "labels": None, "lessons": [1], "timeout_seconds": 5}]}
    )

    assert grant.tasks == [
        Task(id="a", attempt=2, kind="count", input=[1], lessons=(1,), timeout_seconds=5)
    ]
