"""Bottlenecks: what stands in the way of the work, and what that is drawn from."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.projections.agent_roster import RosterLine
from application.time_travel.bottlenecks import Bottleneck, bottlenecks, load_percent
from application.time_travel.frame import Frame
from domain.agent import agent_id_of
from tests.application.past import a_card
from tests.given import NOON, SECOND, TENANT


def a_line(name: str, **changes: Any) -> RosterLine:
    plain: dict[str, Any] = {
        "agent_id": agent_id_of(TENANT, name),
        "tenant": TENANT,
        "name": name,
        "capabilities": ["review"],
        "slots": 10,
        "labels": {},
        "standing": "active",
        "online": True,
        "registered_at": NOON,
        "version": 1,
        "position": 1,
    }
    return RosterLine(**(plain | changes))


def found(
    *lines: RosterLine, queued: int = 0, running: int = 0, after: timedelta = SECOND, **card: Any
) -> list[Bottleneck]:
    """Of a frame with these agents, of which the first holds what runs."""
    frame = Frame(tenant=TENANT, lines={line.agent_id: line for line in lines})
    waiting = [a_card(task_id=uuid4(), **card) for _ in range(queued)]
    held = {"status": "running", "agent_id": lines[0].agent_id} if running else {}
    for one in [*waiting, *(a_card(task_id=uuid4(), **held) for _ in range(running))]:
        frame.cards[one.task_id] = one
        frame.enter(one)
    return bottlenecks(frame, now=NOON + after)


def test_work_that_flows_has_none() -> None:
    assert found() == []
    assert found(a_line("ada"), queued=3, running=8) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"capabilities": ["write"]}, "no_capable_agent"),
        ({"standing": "retired"}, "no_capable_agent"),
        ({"online": False}, "agents_offline"),
        ({"standing": "draining"}, "agents_draining"),
    ],
)
def test_tasks_that_nobody_will_take_are_critical(changes: dict[str, Any], code: str) -> None:
    [one] = found(a_line("ada", **changes), queued=2)

    assert (one.code, one.severity) == (code, "critical")
    assert one.facts == {"requires": ["review"], "queued": 2}
    assert one.text.startswith("2 tasks wait for review, and ")


@pytest.mark.parametrize(
    ("running", "queued", "severity"),
    [(8, 5, None), (9, 0, "warning"), (9, 5, "warning"), (10, 0, "warning"), (10, 1, "critical")],
)
def test_a_fleet_is_saturated_above_four_fifths_of_its_slots(
    running: int, queued: int, severity: str | None
) -> None:
    saturated = found(a_line("ada"), a_line("bob", online=False), queued=queued, running=running)

    assert [one.severity for one in saturated] == ([severity] if severity else [])
    if severity:
        percent = 10.0 * running
        facts = {"running": running, "slots": 10, "percent": percent, "queued": queued}
        assert saturated[0].facts == facts


@pytest.mark.parametrize(
    ("seconds", "severity"), [(60, None), (61, "warning"), (600, "warning"), (601, "critical")]
)
def test_who_waits_longer_than_a_minute_waits_long(seconds: int, severity: str | None) -> None:
    waiting = found(a_line("ada"), queued=1, after=seconds * SECOND)

    assert [one.severity for one in waiting] == ([severity] if severity else [])
    if severity:
        assert waiting[0].facts["waiting_seconds"] == seconds
        assert waiting[0].facts["queued_at"] == NOON


def test_the_critical_comes_first() -> None:
    codes = [
        one.code
        for one in found(a_line("ada", capabilities=["write"]), queued=1, after=120 * SECOND)
    ]

    assert codes == ["no_capable_agent", "waiting_long"]


def test_load_is_the_share_of_slots_in_use() -> None:
    assert load_percent(1, 4) == 25.0
    assert load_percent(0, 0) == 0.0
    assert load_percent(3, 2) == 150.0
