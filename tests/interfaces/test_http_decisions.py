"""Why, causes, effects and what if, over HTTP and the SDK."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx
import pytest

from application.decisions.whatif import WhatIf
from musterroll import AsyncClient, Client
from musterroll.errors import Invalid, NotFound
from tests.interfaces.service import PASSWORD, Service

Past = dict[str, Any]


@pytest.fixture(scope="module")
def told(shared_service: Service, shared_admin: httpx.Client) -> Past:
    """An agent did a task, and its child after that failed for good."""
    admin = shared_admin
    agent = admin.post(
        "/v1/agents", json={"name": "ada", "capabilities": ["review"], "slots": 2}
    ).json()
    parent = admin.post("/v1/tasks", json={"kind": "review"}).json()
    at = f"/v1/agents/{agent['agent_id']}"
    with shared_service.machine(agent["client_id"], agent["client_secret"]) as worker:

        def work(**report: Any) -> Any:
            asked = {"slots": 1, "wait_seconds": 20}
            [lease] = worker.post(f"{at}/leases", json=asked).json()["leases"]
            report |= {"task_id": lease["task_id"], "attempt": lease["attempt"]}
            child = {"kind": "review", "parent_id": parent["task_id"]} if "result" in report else {}
            born = admin.post("/v1/tasks", json=child).json() if child else None
            worker.post(f"{at}/reports", json={"reports": [report]}).raise_for_status()
            return born

        worker.post(f"{at}/heartbeat", json={"cpu": 5, "memory": 5, "queue": 0, "running": []})
        child = work(type="completed", result=1)
        failure = {"code": "boom", "message": "It broke."}
        work(type="failed", error=failure, retryable=False)
    return {"agent": agent, "parent": parent, "child": child}


@pytest.fixture
def stranger(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    """Somebody of another tenant who may read everything there."""
    name = uuid4().hex
    scopes = ["tasks:read", "audit:read"]
    body = {"username": name, "password": PASSWORD, "tenant": name, "scopes": scopes}
    shared_admin.post("/v1/users", json=body).raise_for_status()
    with shared_service.client(name) as client:
        yield client


def get(client: httpx.Client, path: str, **params: Any) -> Any:
    return client.get(path, params=params).raise_for_status().json()


def position(receipt: Past) -> str:
    return str(receipt["cursor"].partition(":")[2])


def test_a_task_is_explained_step_by_step(shared_admin: httpx.Client, told: Past) -> None:
    found = get(shared_admin, f"/v1/tasks/{told['child']['task_id']}/why")

    assert (found["task_id"], found["truncated"]) == (told["child"]["task_id"], False)
    submitted, assigned, failed, ended = found["steps"]
    assert [step["type"] for step in found["steps"]] == [
        "task.submitted",
        "task.assigned",
        "task.attempt_failed",
        "task.failed",
    ]
    assert assigned["text"].startswith("ada was chosen: nobody else could do it")
    decision = assigned["decision"]
    assert (decision["policy"], decision["policy_version"]) == ("weighted_load", 1)
    assert decision["reproduced"] is True
    assert decision["ready"] == {"cursor": submitted["cursor"], "time": submitted["time"]}
    assert decision["waited_seconds"] >= 0
    winner = {"agent_id": told["agent"]["agent_id"], "name": "ada"}
    assert decision["winner"] == decision["recomputed_winner"] == winner
    (candidate,) = decision["candidates"]
    assert (candidate["name"], candidate["cpu"], candidate["slots"]) == ("ada", 5, 2)
    assert candidate["score"] == candidate["recomputed_score"]
    assert failed["text"].startswith("Attempt 1 by ada failed (boom).")
    assert ended["decision"] is None


def test_the_graph_leads_from_a_failed_child_to_the_submission_of_its_parent(
    shared_admin: httpx.Client, told: Past
) -> None:
    why = get(shared_admin, f"/v1/tasks/{told['child']['task_id']}/why")
    last = why["steps"][-1]["cursor"]

    behind = get(shared_admin, f"/v1/events/{last}/causes")
    ahead = get(shared_admin, f"/v1/events/{position(told['parent'])}/effects")

    assert [item["event"]["type"] for item in behind["items"]] == [
        "task.failed",
        "task.attempt_failed",
        "task.assigned",
        "task.submitted",
        "task.assigned",
        "task.submitted",
    ]
    causes = {item["event"]["id"]: item["causes"] for item in behind["items"]}
    assert causes[told["parent"]["cursor"]] == []
    assert ahead["items"][0]["event"]["id"] == told["parent"]["cursor"]
    assert last in {item["event"]["id"] for item in ahead["items"]}
    assert (behind["truncated"], ahead["truncated"]) == (False, False)
    one = get(shared_admin, f"/v1/events/{last}/causes", depth=1, limit=1)
    assert (len(one["items"]), one["truncated"]) == (1, True)


def test_another_tenant_sees_nothing_of_it(stranger: httpx.Client, told: Past) -> None:
    assert stranger.get(f"/v1/tasks/{told['child']['task_id']}/why").status_code == 404
    for way in ("causes", "effects"):
        answer = stranger.get(f"/v1/events/{position(told['parent'])}/{way}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    found = stranger.post("/v1/history/whatif", json={"policy": "weighted_load"}).json()
    assert (found["decisions"], found["estimate"], found["agents"]) == (0, None, [])


def test_the_same_policy_decides_alike_and_the_answer_tells_of_the_times(
    shared_admin: httpx.Client, told: Past
) -> None:
    body = {"policy": "weighted_load", "from": told["parent"]["cursor"]}
    found = shared_admin.post("/v1/history/whatif", json=body).raise_for_status().json()

    assert found["policy"] == {"name": "weighted_load", "version": 1}
    assert (found["decisions"], found["changed"], found["share"], found["rescored"]) == (2, 0, 0, 0)
    agent_id = told["agent"]["agent_id"]
    assert found["agents"] == [{"agent_id": agent_id, "name": "ada", "then": 2, "instead": 2}]
    assert (found["differences"], found["truncated"]) == ([], False)
    assert found["from"]["cursor"] == told["parent"]["cursor"]
    estimate = found["estimate"]
    assert estimate["recorded"] == estimate["instead"]
    assert estimate["instead"]["attempts"] == 2
    assert estimate["happened"]["waiting_seconds"]["max"] >= 0
    assert "simulation" in estimate["caveat"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "nearest"),
    [
        ("GET", "/v1/tasks/{none}/why", None, 404, "not_found", None),
        ("GET", "/v1/tasks/7/why", None, 404, "no_such_path", None),
        ("GET", "/v1/events/0/causes", None, 404, "not_found", None),
        ("GET", "/v1/events/x/causes", None, 404, "not_found", None),
        ("GET", "/v1/events/-1/causes", None, 404, "not_found", None),
        ("GET", "/v1/events/999999999/effects", None, 422, "cursor_ahead", ...),
        ("GET", "/v1/events/2:1/effects", None, 410, "epoch_ended", None),
        ("GET", "/v1/events/1/effects?depth=0", None, 422, "invalid_parameter", None),
        ("GET", "/v1/events/1/effects?limit=1001", None, 422, "invalid_parameter", None),
        ("POST", "/v1/history/whatif", {"policy": "oracle"}, 422, "unknown_policy", None),
        ("POST", "/v1/history/whatif", {}, 422, "invalid_body", None),
        ("POST", "/v1/history/whatif", {"from": "1:0"}, 422, "before_history", "1:1"),
        ("POST", "/v1/history/whatif", {"to": "1:999999999"}, 422, "cursor_ahead", ...),
        ("POST", "/v1/history/whatif", {"to": "9:1"}, 410, "epoch_ended", None),
        ("POST", "/v1/history/whatif", {"from": "v7"}, 422, "bad_moment", None),
        ("POST", "/v1/history/whatif", {"from": "1:3", "to": "1:1"}, 422, "bad_stretch", "1:3"),
        ("POST", "/v1/history/whatif", {"differences": 1001}, 422, "invalid_body", None),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_stable_code(
    shared_admin: httpx.Client,
    told: Past,
    *,
    method: str,
    path: str,
    body: Any,
    status: int,
    code: str,
    nearest: Any,
) -> None:
    if body:
        body = {"policy": "weighted_load", **body}
    answer = shared_admin.request(method, path.format(none=uuid4()), json=body)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    if nearest is ...:
        assert problem["nearest"].startswith("1:")
    elif nearest:
        assert problem["nearest"] == nearest
    if code == "unknown_policy":
        assert problem["policies"] == ["least_outstanding", "weighted_load"]


def test_who_comes_second_is_told_when_to_come_back_and_who_goes_away_ends_it(
    shared_service: Service, shared_admin: httpx.Client, monkeypatch: pytest.MonkeyPatch, told: Past
) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def endless(*_: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    body = {"policy": "weighted_load"}
    with monkeypatch.context() as patched:
        patched.setattr(WhatIf, "_replayed", endless)
        with shared_service.client() as hasty, pytest.raises(httpx.ReadTimeout):
            hasty.post("/v1/history/whatif", json=body, timeout=1)
        assert begun.is_set()
        assert cancelled.wait(5)
        waiting = shared_service.client()
        asking = threading.Thread(target=lambda: _ask_and_leave(waiting, body))
        begun.clear()
        asking.start()
        assert begun.wait(5)
        answer = shared_admin.post("/v1/history/whatif", json=body)
        asking.join()
    assert (answer.status_code, answer.json()["code"]) == (503, "what_if_busy")
    assert int(answer.headers["retry-after"]) > 0


def _ask_and_leave(client: httpx.Client, body: Any) -> None:
    with client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/history/whatif", json=body, timeout=1)


def test_an_answer_that_got_lost_is_given_again(shared_admin: httpx.Client, told: Past) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    body = {"policy": "least_outstanding"}

    first, again, other = (
        shared_admin.post("/v1/history/whatif", json=one, headers=key)
        for one in (body, body, {"policy": "weighted_load"})
    )

    assert again.json() == first.raise_for_status().json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_what_is_personal_is_shown_in_the_graph_until_it_is_erased(
    shared_admin: httpx.Client, told: Past
) -> None:
    task = {"kind": "nobodys", "input": "canary", "subject": uuid4().hex}
    made = shared_admin.post("/v1/tasks", json=task).raise_for_status().json()
    path = f"/v1/events/{made['cursor']}/effects"

    before = shared_admin.get(path).text
    shared_admin.post(f"/v1/subjects/{task['subject']}/erase").raise_for_status()
    after = shared_admin.get(path).text

    assert "canary" in before
    assert "canary" not in after
    assert "[erased]" in after
    assert "canary" not in shared_admin.get(f"/v1/tasks/{made['task_id']}/why").text


def test_the_sdk_asks_the_same(shared_service: Service, told: Past) -> None:
    task_id = told["child"]["task_id"]
    with Client(shared_service.url, username="admin", password=PASSWORD) as client:
        why = client.tasks.why(task_id)
        assert [step["type"] for step in why["steps"]][-1] == "task.failed"
        behind = client.causes(why["steps"][-1]["cursor"])
        assert behind["items"][-1]["event"]["id"] == told["parent"]["cursor"]
        assert client.effects(int(position(told["parent"])), limit=2)["truncated"]
        assert client.what_if("least_outstanding", told["parent"]["cursor"])["decisions"] == 2
        with pytest.raises(Invalid, match="There is no policy"):
            client.what_if("oracle")
        with pytest.raises(NotFound):
            client.tasks.why(str(uuid4()))


def test_the_async_client_asks_the_same(shared_service: Service, told: Past) -> None:
    async def ask() -> None:
        async with AsyncClient(shared_service.url, username="admin", password=PASSWORD) as client:
            why = await client.tasks.why(told["child"]["task_id"])
            found = await client.causes(why["steps"][-1]["cursor"], depth=1)
            assert len(found["items"]) == 2
            assert (await client.effects(told["parent"]["cursor"]))["items"]
            assert (await client.what_if("weighted_load"))["changed"] == 0

    asyncio.run(ask())


@pytest.mark.parametrize("text", ["%00", "ada%20lovelace", "x:5", "%F0%9F%92%A9"])
def test_what_a_stranger_writes_where_a_position_stands_is_kept_nowhere(
    service: Service, text: str
) -> None:
    """A NUL in the log could not be looked through by PostgreSQL ever after."""
    with httpx.Client(base_url=service.url) as nobody, service.client() as admin:
        assert nobody.get(f"/v1/events/{text}/causes").status_code == 401

        refused = admin.get("/v1/audit/trail", params={"type": "audit.refused"})
        effects = admin.get("/v1/events/1/effects")

    [entry] = refused.json()["items"]
    assert unquote(text) not in entry["data"]["about"].values()
    assert effects.status_code == 200
