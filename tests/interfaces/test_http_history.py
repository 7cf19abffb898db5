"""The past over HTTP: one thing as of a moment, everything as of a moment, and what changed it."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.interfaces.service import Service


@pytest.fixture(scope="module")
def told(shared_service: Service, shared_admin: httpx.Client) -> dict[str, Any]:
    """A short history: an agent does one task of three, and one is cancelled."""
    admin = shared_admin
    agent = admin.post(
        "/v1/agents", json={"name": "ada", "capabilities": ["review"], "slots": 2}
    ).json()
    tasks = [admin.post("/v1/tasks", json={"kind": "review", "input": n}).json() for n in range(3)]
    with shared_service.machine(agent["client_id"], agent["client_secret"]) as worker:
        at = f"/v1/agents/{agent['agent_id']}"
        worker.post(f"{at}/heartbeat", json={"cpu": 1, "memory": 1, "queue": 0, "running": []})
        [lease] = worker.post(f"{at}/leases", json={"slots": 1, "wait_seconds": 20}).json()[
            "leases"
        ]
        report = {"task_id": lease["task_id"], "attempt": 1}
        done = worker.post(
            f"{at}/reports",
            json={
                "reports": [
                    {**report, "type": "started"},
                    {**report, "type": "completed", "result": {"verdict": "fine"}},
                ]
            },
        ).json()["outcomes"][-1]
        worker.post(f"{at}/heartbeat", json={"cpu": 1, "memory": 1, "queue": 0, "running": []})
    cancelled = admin.post(f"/v1/tasks/{tasks[2]['task_id']}/cancel").json()
    return {
        "agent": agent,
        "tasks": tasks,
        "done": {**done, "task_id": lease["task_id"]},
        "cancelled": cancelled,
    }


def get(client: httpx.Client, path: str, **params: Any) -> Any:
    return client.get(path, params=params).raise_for_status().json()


def test_a_task_is_shown_as_of_a_version_a_cursor_and_a_time(
    shared_admin: httpx.Client, told: dict[str, Any]
) -> None:
    path = f"/v1/tasks/{told['done']['task_id']}"
    now = get(shared_admin, path, seen=told["cancelled"]["cursor"])

    first = get(shared_admin, path, at="v1")
    then = get(shared_admin, path, at=told["done"]["cursor"])
    by_time = get(shared_admin, path, at=then["at"]["time"])

    assert (first["status"], first["version"], first["result"]) == ("queued", 1, None)
    assert first["waiting_reason"] in {"agents_offline", "agents_busy"}
    assert first.keys() == now.keys() | {"at"}
    assert then["at"]["cursor"] == told["done"]["cursor"]
    assert {**then, "at": 0} == {**now, "at": 0} == {**by_time, "at": 0}
    status = get(shared_admin, f"{path}/status", at="v2")
    assert (status["status"], status["at"]["cursor"]) == ("assigned", status["cursor"])


def test_an_agent_is_shown_as_of_a_moment_without_readings(
    shared_admin: httpx.Client, told: dict[str, Any]
) -> None:
    path = f"/v1/agents/{told['agent']['agent_id']}"
    before = get(shared_admin, path, at="v1")
    after = get(shared_admin, path, seen=told["cancelled"]["cursor"])

    assert (before["state"], before["completed"], before["running"]) == ("registered", 0, 0)
    assert [before[name] for name in ("cpu", "memory", "queue", "load", "last_heard_at")] == [
        None
    ] * 5
    now = get(shared_admin, path, at=told["cancelled"]["cursor"])
    telling = ("name", "state", "slots", "capabilities", "completed", "running", "version")
    assert {name: now[name] for name in telling} == {name: after[name] for name in telling}
    assert now["completed"] == 1


def test_the_story_of_a_task_is_told_in_words_with_cause_and_actor(
    shared_admin: httpx.Client, told: dict[str, Any]
) -> None:
    path = f"/v1/tasks/{told['done']['task_id']}/history"
    whole = get(shared_admin, path)
    first = get(shared_admin, path, limit=1)
    rest = get(shared_admin, path, limit=200, cursor=first["next_cursor"])

    types = [item["type"] for item in whole["items"]]
    assert types == ["task.submitted", "task.assigned", "task.started", "task.completed"]
    assert [item["version"] for item in whole["items"]] == [1, 2, 3, 4]
    assert whole["items"][0]["actor"].startswith("user/")
    assert whole["items"][0]["cause"] is None
    assert whole["items"][1]["cause"] == whole["items"][0]["cursor"]
    assert whole["items"][3]["text"] == "The task was completed by attempt 1."
    assert first["items"] + rest["items"] == whole["items"]
    assert rest["next_cursor"] is None


def test_a_diff_lists_the_members_that_differ_in_their_order(
    shared_admin: httpx.Client, told: dict[str, Any]
) -> None:
    path = f"/v1/tasks/{told['done']['task_id']}/diff"
    diff = get(shared_admin, path, **{"from": "v1", "to": "v2"})

    changes = {one["field"]: (one["from"], one["to"]) for one in diff["changes"]}
    assert changes["status"] == ("queued", "assigned")
    assert changes["version"] == (1, 2)
    assert "kind" not in changes
    assert diff["changes"][0]["field"] == "status"
    agent = get(shared_admin, f"/v1/agents/{told['agent']['agent_id']}/diff", **{"from": "v1"})
    assert {"field": "completed", "from": 0, "to": 1} in agent["changes"]
    assert get(shared_admin, path, **{"from": "v2", "to": "v2"})["changes"] == []


def test_the_freeze_frame_shows_everything_as_of_a_moment(
    shared_admin: httpx.Client, told: dict[str, Any]
) -> None:
    then = get(shared_admin, "/v1/state", at=told["tasks"][2]["cursor"])
    after = get(shared_admin, "/v1/state", at=told["cancelled"]["cursor"])

    assert then["tasks"]["counts"]["queued"] == 3 == then["queue"]["depth"]
    assert then["queue"]["by_kind"] == {"review": 3}
    assert then["queue"]["oldest_waiting_since"] is not None
    assert [one["id"] for one in then["tasks"]["items"]] == [
        one["task_id"] for one in reversed(told["tasks"])
    ]
    assert [one["code"] for one in then["bottlenecks"]] == ["agents_offline"]
    assert then["bottlenecks"][0]["facts"] == {"requires": ["review"], "queued": 3}
    counts = after["tasks"]["counts"]
    assert (counts["queued"], counts["completed"], counts["cancelled"]) == (1, 1, 1)
    assert after["fleet"] == {"online": 1, "slots": 2, "running": 0, "load": 0.0}
    [agent] = after["agents"]
    assert (agent["name"], agent["state"], agent["completed"]) == ("ada", "available", 1)
    assert after["digest"] != then["digest"]
    assert get(shared_admin, "/v1/state", seen="1:0")["tasks"]["counts"] == counts
    assert (
        get(shared_admin, "/v1/state", at=told["cancelled"]["cursor"])["digest"] == after["digest"]
    )


@pytest.mark.parametrize("status", [None, "queued", "completed", "cancelled", "failed"])
def test_the_tasks_of_a_freeze_frame_are_read_page_by_page(
    shared_admin: httpx.Client, told: dict[str, Any], status: str | None
) -> None:
    asked = {"at": told["cancelled"]["cursor"], "limit": 1} | ({"status": status} if status else {})
    found: list[Any] = []
    page = get(shared_admin, "/v1/state", **asked)
    while True:
        found += page["tasks"]["items"]
        if page["tasks"]["next_cursor"] is None:
            break
        page = get(shared_admin, "/v1/state", **asked, cursor=page["tasks"]["next_cursor"])

    counts = page["tasks"]["counts"]
    assert len(found) == (counts[status] if status else 3)
    assert {one["status"] for one in found} <= ({status} if status else set(counts))
    assert len({one["id"] for one in found}) == len(found)


def test_bisect_finds_the_event_that_made_something_true(
    shared_admin: httpx.Client, told: dict[str, Any]
) -> None:
    def bisect(predicate: str, **body: Any) -> Any:
        answer = shared_admin.post("/v1/history/bisect", json={"predicate": predicate, **body})
        return answer.raise_for_status().json()

    for scan in (False, True):
        cancelled = bisect("tasks.cancelled >= 1", scan=scan)
        assert (cancelled["found"], cancelled["event"]["type"]) == (True, "task.cancelled")
        assert cancelled["event"]["id"] == told["cancelled"]["cursor"]
        first = bisect('task["' + told["done"]["task_id"] + '"].status = "completed"', scan=scan)
        assert first["event"]["id"] == told["done"]["cursor"]
        never = bisect("queue.depth > 100", scan=scan)
        assert (never["found"], never["outcome"], never["event"]) == (False, "never_held", None)
        already = bisect("queue.depth < 100", scan=scan)
        assert (already["found"], already["outcome"]) == (False, "held_already")


@pytest.mark.parametrize(
    ("path", "params", "status", "code", "nearest"),
    [
        ("/v1/tasks/{task}", {"at": "v99"}, 422, "version_ahead", "v4"),
        ("/v1/tasks/{task}", {"at": "1:99999999"}, 422, "cursor_ahead", ...),
        ("/v1/tasks/{task}", {"at": "2:1"}, 410, "epoch_ended", None),
        ("/v1/tasks/{task}", {"at": "yesterday"}, 422, "bad_moment", None),
        ("/v1/tasks/{task}", {"at": "1:1"}, 422, "before_history", ...),
        ("/v1/tasks/{task}", {"at": "2999-01-01T00:00:00Z"}, 422, "after_history", ...),
        ("/v1/tasks/{task}", {"at": "1970-01-01T00:00:00Z"}, 422, "before_history", ...),
        ("/v1/tasks/{task}/status", {"at": "v1", "wait": "1"}, 422, "invalid_parameter", None),
        ("/v1/tasks/{task}/diff", {}, 422, "invalid_parameter", None),
        ("/v1/agents/{agent}", {"at": "v99"}, 422, "version_ahead", ...),
        ("/v1/tasks/{agent}", {"at": "v1"}, 404, "not_found", None),
        ("/v1/tasks/{nobody}", {"at": "v1"}, 404, "not_found", None),
        ("/v1/agents/{task}/history", {}, 404, "not_found", None),
        ("/v1/state", {"at": "v7"}, 422, "bad_moment", None),
        ("/v1/state", {"at": "1:99999999"}, 422, "cursor_ahead", ...),
        ("/v1/state", {"at": "1:0"}, 422, "before_history", "1:1"),
        ("/v1/state", {"status": "lost"}, 422, "invalid_parameter", None),
        ("/v1/state", {"cursor": "x"}, 422, "bad_cursor", None),
        ("/v1/state", {"cursor": "x", "status": "queued"}, 422, "bad_cursor", None),
        ("/v1/state", {"seen": "1:99999999"}, 422, "cursor_ahead", ...),
    ],
)
def test_wrong_moments_are_refused_with_the_nearest_right_one(  # noqa: PLR0917 - a table
    shared_admin: httpx.Client,
    told: dict[str, Any],
    path: str,
    params: dict[str, str],
    status: int,
    code: str,
    nearest: Any,
) -> None:
    names = {"task": told["done"]["task_id"], "agent": told["agent"]["agent_id"]}
    answer = shared_admin.get(path.format(**names, nobody=uuid4()), params=params)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if nearest is ...:
        nearby = answer.json()["nearest"]
        assert shared_admin.get(path.format(**names), params={"at": nearby}).status_code == 200
    else:
        assert answer.json().get("nearest") == nearest


@pytest.fixture(scope="module")
def stranger(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    """Somebody of another tenant, who may read everything there."""
    scopes = ["tasks:read", "tasks:write", "agents:read", "audit:read"]
    body = {"username": "eve", "password": "correct horse", "scopes": scopes, "tenant": "other"}
    shared_admin.post("/v1/users", json=body).raise_for_status()
    with shared_service.client("eve", "correct horse") as client:
        yield client


def test_another_tenant_sees_nothing_of_the_past(
    stranger: httpx.Client, told: dict[str, Any]
) -> None:
    task, agent = told["done"]["task_id"], told["agent"]["agent_id"]
    for path in (
        f"/v1/tasks/{task}?at=v1",
        f"/v1/tasks/{task}?at=v99",
        f"/v1/tasks/{task}/status?at=v1",
        f"/v1/tasks/{task}/history",
        f"/v1/tasks/{task}/diff?from=v1",
        f"/v1/agents/{agent}?at=v1",
        f"/v1/agents/{agent}/history",
        f"/v1/agents/{agent}/diff?from=v1",
    ):
        assert stranger.get(path).status_code == 404, path
    state = get(stranger, "/v1/state")
    assert sum(state["tasks"]["counts"].values()) == 0
    assert (state["agents"], state["tasks"]["items"]) == ([], [])
    named = {"predicate": f'task["{task}"].status = "completed"'}
    assert stranger.post("/v1/history/bisect", json=named).status_code == 404
    found = stranger.post("/v1/history/bisect", json={"predicate": "tasks.total > 0"}).json()
    assert found["outcome"] == "never_held"


@pytest.mark.parametrize(
    ("predicate", "column", "nearest"),
    [
        ("queue.dept > 1", 1, "queue.depth"),
        ("queue.depth > 1 and tasks.fialed = 2", 21, "tasks.failed"),
        ("queue.depth >", 14, None),
        ("queue.depth > 1)", 16, None),
        ("queue.depth", 1, None),
        ('queue.depth > "x"', 15, None),
        ("__import__('os')", 1, ...),
    ],
)
def test_a_predicate_that_does_not_parse_is_refused_with_its_column(
    shared_admin: httpx.Client, told: dict[str, Any], predicate: str, column: int, nearest: Any
) -> None:
    answer = shared_admin.post("/v1/history/bisect", json={"predicate": predicate})

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["column"]) == (
        422,
        "bad_predicate",
        column,
    )
    if nearest is not ...:
        assert problem["nearest"] == nearest
