"""The history told again by a fold of the tests' own: from the JSON in the log, by topic, without
any class or function of ours that folds."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from application.ports import Record

FINAL = {"completed", "failed", "cancelled"}
ROUTINE = dict.fromkeys(
    ("requires", "priority", "max_attempts", "timeout_seconds", "labels", "approval")
)
Told = dict[str, Any]


@dataclass
class Retold:
    """Tasks and agents of all tenants, by id, each a plain dict."""

    tasks: dict[UUID, Told] = field(default_factory=dict)
    agents: dict[UUID, Told] = field(default_factory=dict)

    def counts(self, tenant: str) -> dict[str, int]:
        return dict(Counter(t["status"] for t in self.tasks.values() if t["tenant"] == tenant))

    def open_tasks(self, tenant: str) -> dict[UUID, Told]:
        return {
            task_id: task
            for task_id, task in self.tasks.items()
            if task["tenant"] == tenant and task["status"] not in FINAL
        }


def retold(records: Iterable[Record]) -> Retold:
    """What became of everything, up to the last of the records."""
    story = Retold()
    for record in records:
        told = json.loads(record.state)
        kind, _, happened = record.topic.partition(".")
        if kind == "task":
            _tell_of_task(story, record, happened, told)
        elif kind == "agent":
            _tell_of_agent(story, record, happened, told)
    return story


def _tell_of_task(  # noqa: C901 - a case an event
    story: Retold, record: Record, happened: str, told: Told
) -> None:
    now = _time(told["timestamp"])
    if happened == "submitted":
        story.tasks[record.aggregate_id] = _submitted(record, told, now)
    task = story.tasks[record.aggregate_id]
    task["version"], task["position"] = record.version, record.position
    if happened == "submitted" and not told["approval"]:
        _wait(task, _time(told["not_before"]), now)
    elif happened == "approved":
        _wait(task, task["not_before"], now)
    elif happened in {"queued", "released", "lease_expired", "retried"}:
        if happened == "lease_expired":
            task["failures"] += 1
            task["error_code"] = "lease_expired"
            story.agents[UUID(told["agent_id"])]["lost"] += 1
            story.agents[UUID(told["agent_id"])]["position"] = record.position
        if happened == "retried":
            task["failures"], task["error_code"], task["finished_at"] = 0, None, None
        _wait(task, None, now)
    elif happened == "assigned":
        task["status"], task["attempt"] = "assigned", told["attempt"]
        task["agent_id"] = UUID(told["agent_id"])
        task["lease_expires_at"] = _time(told["lease_expires_at"])
        task["progress"] = 0.0
    elif happened in {"started", "progressed"}:
        task["status"] = "running"
        if happened == "started" or task["started_at"] is None:
            task["started_at"] = now
        task["progress"] = told.get("fraction", task["progress"])
    elif happened == "attempt_failed":
        task["failures"] += 1
        task["error_code"] = told["code"]
        _wait(task, _time(told["retry_at"]), now)
        story.agents[UUID(told["agent_id"])]["failed"] += 1
        story.agents[UUID(told["agent_id"])]["position"] = record.position
    elif happened in {"completed", "failed", "cancelled", "rejected"}:
        task["finished_at"] = now
        _end(story, record, told, task)


def _end(story: Retold, record: Record, told: Told, task: Told) -> None:
    happened = record.topic.partition(".")[2]
    task["status"] = "cancelled" if happened == "rejected" else happened
    task["lease_expires_at"] = task["due_at"] = None
    task["error_code"] = told["code"] if happened == "failed" else happened
    if happened == "completed":
        task["progress"], task["result"], task["error_code"] = 1.0, told["result"], None
        story.agents[UUID(told["agent_id"])]["completed"] += 1
        story.agents[UUID(told["agent_id"])]["position"] = record.position


def _submitted(record: Record, told: Told, now: datetime | None) -> Told:
    return {name: told[name] for name in ROUTINE} | {
        "task_id": record.aggregate_id,
        "tenant": record.tenant,
        "kind": told["kind"],
        "input": told["input"],
        "not_before": _time(told["not_before"]),
        "deadline": _time(told["deadline"]),
        "parent_id": told["parent_id"] and UUID(told["parent_id"]),
        "submitted_at": now,
        "submitted_by": record.actor,
        "status": "awaiting_approval",
        "attempt": 0,
        "failures": 0,
        "progress": 0.0,
        "result": None,
        "error_code": None,
        "agent_id": None,
        "lease_expires_at": None,
        "due_at": None,
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
    }


def _wait(task: Told, due_at: datetime | None, now: datetime | None) -> None:
    assert now is not None
    task["agent_id"] = task["lease_expires_at"] = task["started_at"] = task["due_at"] = None
    task["progress"] = 0.0
    if due_at is not None and due_at > now:
        task["status"], task["due_at"] = "scheduled", due_at
    else:
        task["status"], task["queued_at"] = "queued", now


def _tell_of_agent(story: Retold, record: Record, happened: str, told: Told) -> None:
    if happened == "registered":
        story.agents[record.aggregate_id] = {
            "agent_id": record.aggregate_id,
            "tenant": record.tenant,
            "name": told["name"],
            "standing": "active",
            "online": False,
            "registered_at": _time(told["timestamp"]),
            "completed": 0,
            "failed": 0,
            "lost": 0,
        }
    agent = story.agents[record.aggregate_id]
    agent["version"], agent["position"] = record.version, record.position
    if happened in {"registered", "changed", "reinstated"}:
        agent |= {name: told[name] for name in ("capabilities", "slots", "labels")}
    if happened in {"drained", "resumed", "retired", "reinstated"}:
        agent["standing"] = {"drained": "draining", "retired": "retired"}.get(happened, "active")
    if happened in {"came_online", "went_offline", "retired"}:
        agent["online"] = happened == "came_online"


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
