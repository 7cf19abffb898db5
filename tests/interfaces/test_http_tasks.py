"""Tasks over HTTP: submitted, repeated, watched, decided upon."""

import threading
import time
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.interfaces.service import Service


def submit(client: httpx.Client, **task: Any) -> dict[str, Any]:
    answer = client.post("/v1/tasks", json={"kind": "review"} | task)
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


def shown(client: httpx.Client, receipt: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/tasks/{receipt['task_id']}"
    found: dict[str, Any] = client.get(path, params={"seen": receipt["cursor"]}).json()
    return found


# Submitting.


def test_a_task_is_accepted_and_says_where_it_is(shared_admin: httpx.Client) -> None:
    answer = shared_admin.post("/v1/tasks", json={"kind": "review", "input": {"file": "a.py"}})

    assert answer.status_code == 202
    receipt = answer.json()
    assert set(receipt) == {"task_id", "version", "cursor"}
    assert answer.headers["Location"] == f"/v1/tasks/{receipt['task_id']}"
    assert answer.headers["ETag"] == f'"{receipt["version"]}"' == '"1"'
    assert "Idempotency-Replayed" not in answer.headers


def test_a_task_is_shown_with_everything_that_was_asked_for(shared_admin: httpx.Client) -> None:
    task = {
        "kind": "review",
        "input": {"file": "a.py"},
        "requires": ["review", "python"],
        "priority": 9,
        "max_attempts": 1,
        "timeout_seconds": 60,
        "not_before": "2030-01-01T00:00:00Z",
        "deadline": "2031-01-01T00:00:00+01:00",
        "labels": {"team": "platform"},
        "approval": True,
    }

    found = shown(shared_admin, submit(shared_admin, **task))

    assert {name: found[name] for name in task} == task | {"deadline": "2030-12-31T23:00:00Z"}
    assert found["status"] == "awaiting_approval"
    assert found["waiting_reason"] == "approval"
    assert found["submitted_by"] == "user/admin"


def test_a_repeated_request_gets_the_first_answer_again(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "key 1"}
    first = shared_admin.post("/v1/tasks", json={"kind": "review", "priority": 1}, headers=key)

    again = shared_admin.post("/v1/tasks", json={"priority": 1, "kind": "review"}, headers=key)

    assert again.status_code == first.status_code
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    for name in ("Location", "ETag"):
        assert again.headers[name] == first.headers[name]


def test_a_key_stands_for_one_request(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "key 2"}
    task_id = shared_admin.post("/v1/tasks", json={"kind": "review"}, headers=key).json()["task_id"]

    for answer in (
        shared_admin.post("/v1/tasks", json={"kind": "review", "priority": 1}, headers=key),
        shared_admin.post(f"/v1/tasks/{task_id}/cancel", headers=key),
        shared_admin.post("/v1/agents", json={"name": "a", "capabilities": ["a"]}, headers=key),
    ):
        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_key_reused"


def test_the_same_key_of_another_principal_is_another_key(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    body = {"username": "alice", "password": "correct horse", "scopes": ["tasks:write"]}
    shared_admin.post("/v1/users", json=body).raise_for_status()
    key = {"Idempotency-Key": "key 3"}
    mine = shared_admin.post("/v1/tasks", json={"kind": "review"}, headers=key).json()

    with shared_service.client("alice", "correct horse") as alice:
        theirs = alice.post("/v1/tasks", json={"kind": "review"}, headers=key).json()

    assert theirs["task_id"] != mine["task_id"]


def test_one_key_at_once_makes_one_task(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    answers: list[httpx.Response] = []

    def send() -> None:
        with shared_service.client() as client:
            key = {"Idempotency-Key": "key 4"}
            answers.append(client.post("/v1/tasks", json={"kind": "review"}, headers=key))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1


@pytest.mark.parametrize("key", ["", "a" * 201, "\u00e9".encode("latin-1"), "a\tb"])
def test_a_key_that_cannot_be_is_refused(shared_admin: httpx.Client, key: Any) -> None:
    headers = [("Idempotency-Key", key)]

    answer = shared_admin.post("/v1/tasks", json={"kind": "review"}, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_header"


def test_two_keys_are_refused(shared_admin: httpx.Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    assert shared_admin.post("/v1/tasks", json={"kind": "a"}, headers=headers).status_code == 400


def test_a_deadline_in_the_past_is_refused(shared_admin: httpx.Client) -> None:
    task = {"kind": "review", "deadline": "2020-01-01T00:00:00Z"}

    answer = shared_admin.post("/v1/tasks", json=task)

    assert answer.status_code == 422
    assert answer.json()["code"] == "deadline_passed"


def test_a_trace_is_carried_into_the_log(admin: httpx.Client) -> None:
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    bad = "00-00000000000000000000000000000000-00f067aa0ba902b7-01"
    for trace in (good, bad):
        headers = {"traceparent": trace}
        admin.post("/v1/tasks", json={"kind": "review"}, headers=headers).raise_for_status()

    events = admin.get("/v1/events", params={"type": "task.submitted"}).json()["items"]

    assert [event["traceparent"] for event in events] == [good, None]


# Many at once.


def test_a_batch_has_an_outcome_for_each_in_order(shared_admin: httpx.Client) -> None:
    tasks = [
        {"kind": "a"},
        {"kind": "b", "deadline": "2020-01-01T00:00:00Z"},
        {"kind": "c"},
    ]

    answer = shared_admin.post("/v1/tasks/batch", json={"tasks": tasks})

    assert answer.status_code == 202
    first, second, third = answer.json()["outcomes"]
    assert shown(shared_admin, first)["kind"] == "a"
    assert shown(shared_admin, third)["kind"] == "c"
    assert second["error"]["code"] == "deadline_passed"


def test_a_batch_with_a_fault_is_refused_as_a_whole(admin: httpx.Client) -> None:
    answer = admin.post("/v1/tasks/batch", json={"tasks": [{"kind": "a"}, {}]})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/tasks/1/kind", "message": "is required"}]
    assert admin.get("/v1/tasks/counts").json()["counts"]["queued"] == 0


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_has_1_to_1000_members(shared_admin: httpx.Client, count: int) -> None:
    answer = shared_admin.post("/v1/tasks/batch", json={"tasks": [{"kind": "a"}] * count})

    assert answer.status_code == 422


def test_a_repeated_batch_gets_the_same_tasks(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "key 5"}
    body = {"tasks": [{"kind": "a"}] * 1_000}
    first = shared_admin.post("/v1/tasks/batch", json=body, headers=key)

    again = shared_admin.post("/v1/tasks/batch", json=body, headers=key)

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len({outcome["task_id"] for outcome in first.json()["outcomes"]}) == 1_000


def test_another_batch_under_the_same_key_makes_nothing(admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "key 6"}
    body = {"tasks": [{"kind": "a"}]}
    admin.post("/v1/tasks/batch", json=body, headers=key).raise_for_status()

    answer = admin.post("/v1/tasks/batch", json={"tasks": [{"kind": "b"}] * 5}, headers=key)

    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"
    submitted = admin.get("/v1/events", params={"type": "task.submitted"}).json()["items"]
    assert len(submitted) == 1


def test_many_tasks_are_retried_each_with_its_outcome(shared_admin: httpx.Client) -> None:
    queued = submit(shared_admin)

    nobody = "018f6a3e-1c2b-7d4e-9f00-0123456789ab"
    answer = shared_admin.post("/v1/tasks/retry", json={"task_ids": [queued["task_id"], nobody]})

    assert answer.status_code == 200
    codes = [outcome["error"]["code"] for outcome in answer.json()["outcomes"]]
    assert codes == ["task_not_failed", "not_found"]


# Deciding.


def test_an_approved_task_goes_ahead(shared_admin: httpx.Client) -> None:
    receipt = submit(shared_admin, approval=True)

    approved = shared_admin.post(f"/v1/tasks/{receipt['task_id']}/approve").json()

    assert approved["version"] == 2
    assert shown(shared_admin, approved)["status"] == "queued"


def test_a_rejected_task_keeps_the_reason(shared_admin: httpx.Client) -> None:
    receipt = submit(shared_admin, approval=True)

    path = f"/v1/tasks/{receipt['task_id']}/reject"
    rejected = shared_admin.post(path, json={"reason": "not now"}).json()

    found = shown(shared_admin, rejected)
    assert found["status"] == "cancelled"
    assert found["error"] == {"code": "rejected", "message": "not now"}


@pytest.mark.parametrize("body", [None, {}, {"reason": None}, {"reason": "enough"}])
def test_a_task_is_cancelled_with_or_without_a_reason(
    shared_admin: httpx.Client, body: Any
) -> None:
    path = f"/v1/tasks/{submit(shared_admin)['task_id']}/cancel"

    answer = shared_admin.post(path) if body is None else shared_admin.post(path, json=body)

    assert answer.status_code == 200
    assert shown(shared_admin, answer.json())["status"] == "cancelled"
    assert shared_admin.post(path).json()["version"] == answer.json()["version"]


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("approve", "task_not_awaiting_approval"),
        ("reject", "task_not_awaiting_approval"),
        ("retry", "task_not_failed"),
    ],
)
def test_what_the_state_forbids_is_a_conflict(
    shared_admin: httpx.Client, verb: str, code: str
) -> None:
    answer = shared_admin.post(f"/v1/tasks/{submit(shared_admin)['task_id']}/{verb}")

    assert answer.status_code == 409
    assert answer.json()["code"] == code
    assert answer.json()["status"] == 409


def test_a_command_on_a_version_that_is_gone_is_refused(shared_admin: httpx.Client) -> None:
    path = f"/v1/tasks/{submit(shared_admin, approval=True)['task_id']}"
    shared_admin.post(f"{path}/approve", headers={"If-Match": '"1"'}).raise_for_status()

    answer = shared_admin.post(f"{path}/cancel", headers={"If-Match": '"1"'})

    assert answer.status_code == 412
    assert (answer.json()["code"], answer.json()["found"]) == ("version_mismatch", 2)
    shared_admin.post(f"{path}/cancel", headers={"If-Match": "*"}).raise_for_status()


@pytest.mark.parametrize("tag", ["1", 'W/"1"', '"x"', '"1", "2"', '""', '"-1"', "", '"1'])
def test_a_version_that_is_none_is_refused(shared_admin: httpx.Client, tag: str) -> None:
    path = f"/v1/tasks/{submit(shared_admin)['task_id']}/cancel"

    answer = shared_admin.post(path, headers={"If-Match": tag})

    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_header"


# Asking.


def test_a_status_says_where_the_task_stands(shared_admin: httpx.Client) -> None:
    receipt = submit(shared_admin)

    answer = shared_admin.get(
        f"/v1/tasks/{receipt['task_id']}/status", headers={"Musterroll-Seen": receipt["cursor"]}
    )

    assert answer.json() == {
        "id": receipt["task_id"],
        "status": "queued",
        "progress": 0.0,
        "result": None,
        "error": None,
        "attempt": 0,
        "agent_id": None,
        "version": 1,
        "cursor": receipt["cursor"],
        "waiting_reason": "no_capable_agent",
    }
    assert answer.headers["ETag"] == '"1"'


def test_a_wait_ends_with_the_news(shared_service: Service, shared_admin: httpx.Client) -> None:
    receipt = submit(shared_admin)
    path = f"/v1/tasks/{receipt['task_id']}"
    shared_admin.get(path, params={"seen": receipt["cursor"]}).raise_for_status()
    with shared_service.client() as other:
        canceller = threading.Timer(0.3, lambda: other.post(f"{path}/cancel"))
        canceller.start()

        began = time.monotonic()
        answer = shared_admin.get(f"{path}/status", params={"wait": "20", "after_version": "1"})
        canceller.join()

    assert answer.json()["status"] == "cancelled"
    assert time.monotonic() - began < 10


def test_a_wait_without_news_ends_with_the_task_as_it_is(shared_admin: httpx.Client) -> None:
    receipt = submit(shared_admin)
    path = f"/v1/tasks/{receipt['task_id']}/status"

    began = time.monotonic()
    parameters = {"wait": "0.5", "after_version": "1", "seen": receipt["cursor"]}
    answer = shared_admin.get(path, params=parameters)

    assert answer.json()["version"] == 1
    assert time.monotonic() - began > 0.4


def test_tasks_are_listed_newest_first_by_pages(admin: httpx.Client) -> None:
    receipts = [submit(admin, kind=f"kind-{number}") for number in range(5)]
    seen = receipts[-1]["cursor"]

    found: list[str] = []
    parameters = {"limit": "2", "seen": seen}
    while True:
        page = admin.get("/v1/tasks", params=parameters).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        parameters["cursor"] = page["next_cursor"]

    assert sorted(found, reverse=True) == found
    assert set(found) == {receipt["task_id"] for receipt in receipts}
    assert "input" not in page["items"][0]


def test_a_list_is_narrowed(admin: httpx.Client) -> None:
    wanted = submit(admin, kind="a", labels={"team": "x:y", "size": "s"}, approval=True)
    submit(admin, kind="b", labels={"team": "x:y"}, approval=True)
    last = submit(admin, kind="a", labels={"team": "x:y", "size": "s"})
    seen = last["cursor"]

    def ids(*parameters: tuple[str, str]) -> list[str]:
        answer = admin.get("/v1/tasks", params=[("seen", seen), *parameters])
        return [item["id"] for item in answer.json()["items"]]

    narrow = [
        ("status", "awaiting_approval"),
        ("kind", "a"),
        ("label", "team:x:y"),
        ("label", "size:s"),
    ]
    assert ids(*narrow) == [wanted["task_id"]]
    assert ids(("since", "2999-01-01T00:00:00Z")) == []
    assert len(ids(("since", "1999-01-01T00:00:00Z"))) == 3
    assert ids(("agent_id", wanted["task_id"])) == []


def test_tasks_are_counted_by_every_status(admin: httpx.Client) -> None:
    submit(admin, approval=True)
    receipt = submit(admin)

    found = admin.get("/v1/tasks/counts", params={"seen": receipt["cursor"]}).json()

    assert found["counts"] == {
        "scheduled": 0,
        "queued": 1,
        "assigned": 0,
        "running": 0,
        "awaiting_approval": 1,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
    }
    assert found["cursor"] == receipt["cursor"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_parameter"),
        ("limit=201", "invalid_parameter"),
        ("limit=ten", "invalid_parameter"),
        ("limit=", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("limit=%D9%A5", "invalid_parameter"),
        ("limit=1_0", "invalid_parameter"),
        ("status=done", "invalid_parameter"),
        ("kind=a%00", "invalid_parameter"),
        ("kind=%FF", "invalid_parameter"),
        ("label=a", "invalid_parameter"),
        ("label=:a", "invalid_parameter"),
        ("since=yesterday", "invalid_parameter"),
        ("cursor=1", "invalid_parameter"),
        ("agent_id=reviewer", "invalid_parameter"),
        ("seen=4711", "invalid_parameter"),
        ("seen=", "invalid_parameter"),
        ("seen=1:99999999999999999999", "invalid_parameter"),
        ("Limit=1", "unknown_parameter"),
        ("offset=5", "unknown_parameter"),
        ("&".join(["label=a:b"] * 101), "invalid_parameter"),
        ("&".join(["label=a:b"] * 33), "invalid_parameter"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(
    shared_admin: httpx.Client, query: str, code: str
) -> None:
    answer = shared_admin.get(f"/v1/tasks?{query}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == code


def test_a_cursor_of_another_epoch_has_ended(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/v1/tasks", params={"seen": "7:1"})

    assert answer.status_code == 410
    assert (answer.json()["code"], answer.json()["current_epoch"]) == ("epoch_ended", 1)


def test_a_seen_header_that_is_no_cursor_is_refused(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/v1/tasks", headers={"Musterroll-Seen": "yesterday"})

    assert answer.status_code == 422
    assert answer.json()["code"] == "bad_cursor"


@pytest.mark.parametrize("name", ["x", "1", str(UUID(int=0)).replace("-", ""), "%00", "{task_id}"])
def test_what_is_no_id_names_nothing(shared_admin: httpx.Client, name: str) -> None:
    for answer in (
        shared_admin.get(f"/v1/tasks/{name}"),
        shared_admin.post(f"/v1/tasks/{name}/cancel"),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == "no_such_path"


def test_a_command_takes_no_query(shared_admin: httpx.Client) -> None:
    answer = shared_admin.post("/v1/tasks?seen=1:1", json={"kind": "a"})

    assert answer.status_code == 422
    assert answer.json()["code"] == "unknown_parameter"
