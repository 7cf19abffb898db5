"""The log and the activity feed over HTTP."""

import json
import threading
import time
from typing import Any

import httpx
import pytest

from interfaces.http.routes import events as routes
from tests.interfaces.service import Service


def submit(client: httpx.Client, **task: Any) -> dict[str, Any]:
    answer = client.post("/v1/tasks", json={"kind": "review"} | task).raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def of_tasks(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a page but for those that tell who read the log."""
    return [event for event in page["items"] if event["type"].startswith("task.")]


def place_of(cursor: str) -> int:
    return int(cursor.partition(":")[2])


def test_an_event_is_a_cloud_event(service: Service, admin: httpx.Client) -> None:
    receipt = submit(admin, input={"file": "a.py"}, priority=7)

    (event,) = of_tasks(admin.get("/v1/events").json())

    assert event["id"] == receipt["cursor"] == "1:1"
    assert event["specversion"] == "1.0"
    assert event["source"] == f"/musterroll/{service.process.store_id}"
    assert (event["type"], event["subject"]) == ("task.submitted", f"task/{receipt['task_id']}")
    assert event["time"].endswith("Z")
    assert (event["version"], event["actor"]) == (1, "user/admin")
    assert event["correlationid"] == receipt["task_id"]
    assert event["data"]["input"] == {"file": "a.py"}
    assert event["data"]["priority"] == 7
    assert not {"timestamp", "originator_topic", "class_version"} & set(event["data"])


def test_the_log_is_read_in_order_by_pages(admin: httpx.Client) -> None:
    cursors = [submit(admin)["cursor"] for _ in range(7)]

    found: list[str] = []
    after = None
    while True:
        parameters = {"limit": "3"} | ({"after": after} if after else {})
        page = admin.get("/v1/events", params=parameters).json()
        after = page["next_cursor"]
        if not page["items"]:
            break
        found += [event["id"] for event in of_tasks(page)]

    assert found == cursors


def test_the_log_is_narrowed(admin: httpx.Client) -> None:
    first, second = submit(admin, approval=True), submit(admin)
    admin.post(f"/v1/tasks/{first['task_id']}/approve").raise_for_status()

    def ids(**parameters: str) -> list[str]:
        return [e["id"] for e in admin.get("/v1/events", params=parameters).json()["items"]]

    assert ids(type="task.approved") == ["1:3"]
    assert ids(aggregate_id=first["task_id"]) == ["1:1", "1:3"]
    assert ids(after="1:1", until="1:2") == [second["cursor"]]
    assert ids(until="1:0") == ids(type="task.forgotten") == []


def test_a_narrowed_page_says_how_far_it_looked(admin: httpx.Client) -> None:
    submit(admin)
    last = submit(admin)

    page = admin.get("/v1/events", params={"type": "task.completed"}).json()

    assert page["items"] == []
    assert place_of(page["next_cursor"]) > place_of(last["cursor"])


def test_the_log_comes_as_lines_too(admin: httpx.Client) -> None:
    submit(admin, input="one\ntwo")
    submit(admin)

    answer = admin.get("/v1/events", headers={"Accept": "application/x-ndjson"})

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    end = answer.headers["Musterroll-Next-Cursor"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == admin.get("/v1/events", params={"until": lines[-1]["id"]}).json()["items"]
    assert place_of(end) > place_of(lines[-1]["id"])


def test_a_wait_ends_with_the_next_event(admin: httpx.Client) -> None:
    submit(admin)
    submitter = threading.Timer(0.3, lambda: submit(admin))
    submitter.start()

    began = time.monotonic()
    page = admin.get("/v1/events", params={"after": "1:1", "wait": "20"}).json()
    submitter.join()

    assert [event["type"] for event in of_tasks(page)] == ["task.submitted"]
    assert time.monotonic() - began < 10


def test_following_while_others_write_misses_and_doubles_nothing(
    service: Service, admin: httpx.Client
) -> None:
    def write() -> None:
        with service.client() as client:
            for _ in range(40):
                submit(client)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()

    found: list[str] = []
    after = "1:0"
    while len(found) < 120:
        parameters = {"after": after, "wait": "10", "limit": "7"}
        page = admin.get("/v1/events", params=parameters).json()
        assert page["items"], "nothing came for 10 s"
        found += [event["id"] for event in of_tasks(page)]
        after = page["next_cursor"]
    for writer in writers:
        writer.join()

    listed = admin.get("/v1/events", params={"type": "task.submitted", "limit": "1000"}).json()
    assert found == [event["id"] for event in listed["items"]]
    assert len(found) == len(set(found)) == 120


def test_a_page_of_large_events_is_cut(
    admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PAGE_BYTES_MAX", 100_000)
    monkeypatch.setattr(routes, "CHUNK_EVENTS", 2)
    for _ in range(8):
        submit(admin, input="x" * 30_000)
    wanted = {"type": "task.submitted"}

    first = admin.get("/v1/events", params=wanted).json()
    second = admin.get("/v1/events", params=wanted | {"after": first["next_cursor"]}).json()

    assert [len(page["items"]) for page in (first, second)] == [4, 4]


@pytest.mark.parametrize("name", ["after", "until", "seen"])
def test_a_cursor_of_another_epoch_has_ended(shared_admin: httpx.Client, name: str) -> None:
    answer = shared_admin.get("/v1/events", params={name: "2:1"})

    assert (answer.status_code, answer.json()["code"]) == (410, "epoch_ended")


@pytest.mark.parametrize(
    "query", ["after=1", "limit=0", "limit=1001", "wait=31", "wait=-1", "aggregate_id=x", "type="]
)
def test_a_parameter_that_cannot_be_is_refused(shared_admin: httpx.Client, query: str) -> None:
    assert shared_admin.get(f"/v1/events?{query}").status_code == 422


def test_what_happened_is_told_in_words_newest_first(admin: httpx.Client) -> None:
    receipt = submit(admin)
    path = f"/v1/tasks/{receipt['task_id']}/cancel"
    cancelled = admin.post(path, json={"reason": "enough"}).json()

    page = admin.get("/v1/activity", params={"seen": cancelled["cursor"], "limit": "1"}).json()
    rest = admin.get("/v1/activity", params={"cursor": page["next_cursor"]}).json()

    (newest,) = page["items"]
    assert newest | {"at": ""} == {
        "cursor": cancelled["cursor"],
        "at": "",
        "subject": f"task/{receipt['task_id']}",
        "type": "task.cancelled",
        "text": "The task was cancelled: enough.",
        "actor": "user/admin",
    }
    assert [item["type"] for item in rest["items"]] == ["task.submitted"]
    assert rest["next_cursor"] is None
