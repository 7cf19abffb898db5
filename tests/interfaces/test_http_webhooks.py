"""Webhooks over HTTP: who may do what, and what becomes of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from application.webhooks.patience import Patience
from tests.conftest import Database, fresh_database
from tests.interfaces.service import Service
from tests.receiver import Received, Receiver, Reply

NOBODY = "018f6a3e-1c2b-7d4e-9f00-0123456789ab"
PUBLIC = "https://hooks.example.org/in?token=abc"
SECONDS_MAX = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that may post to loopback, and tries again soon."""
    folder = tmp_path_factory.mktemp("service")
    with fresh_database() as database:
        service = Service(database, folder, webhook_private_targets=True)
        service.process.patience = Patience((0.05, 0.05))
        with service:
            yield service


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def add(client: httpx.Client, url: str = PUBLIC, **changes: Any) -> dict[str, Any]:
    body = {"url": url, "channels": ["tasks"]} | changes
    made: dict[str, Any] = client.post("/v1/webhooks", json=body).raise_for_status().json()
    return made


def added_and_allowed(client: httpx.Client, url: str, **changes: Any) -> dict[str, Any]:
    made = add(client, url, **changes)
    client.post(f"/v1/webhooks/{made['webhook_id']}/allow").raise_for_status()
    return made


def submit(client: httpx.Client, kind: str = "k", **changes: Any) -> dict[str, Any]:
    body = {"kind": kind} | changes
    made: dict[str, Any] = client.post("/v1/tasks", json=body).raise_for_status().json()
    return made


def shown(client: httpx.Client, made: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(f"/v1/webhooks/{made['webhook_id']}").raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def eventually(ask: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while not wanted(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def a_person(service: Service, admin: httpx.Client, name: str, **changes: Any) -> httpx.Client:
    body = {"username": name, "password": "correct horse", "scopes": ["tasks:read"]} | changes
    admin.post("/v1/users", json=body).raise_for_status()
    return service.client(name, "correct horse")


def test_events_are_posted_signed_once_an_admin_allows_the_target(
    admin: httpx.Client, receiver: Receiver
) -> None:
    made = add(admin, receiver.url, types=["task.submitted"])
    task = submit(admin)
    assert (made["state"], receiver.received) == ("waiting", [])

    allowed = admin.post(f"/v1/webhooks/{made['webhook_id']}/allow").json()

    [delivery] = receiver.wait_for(1)
    assert allowed["state"] == "on"
    assert delivery.is_signed_with(made["secret"])
    assert delivery.headers["content-type"] == "application/cloudevents+json"
    assert delivery.headers["user-agent"].startswith("Musterroll-Webhooks/")
    assert abs(int(delivery.headers["webhook-timestamp"]) - time.time()) < 60
    assert delivery.cursor == delivery.event["id"]
    events = admin.get("/v1/events", params={"aggregate_id": task["task_id"]}).json()["items"]
    assert delivery.event == events[0]
    assert made["secret"].startswith("whsec_")


def test_only_what_is_wanted_is_posted(admin: httpx.Client, receiver: Receiver) -> None:
    added_and_allowed(
        admin, receiver.url, types=["task.submitted"], labels={"team": "blue"}, channels=["tasks"]
    )

    submit(admin, labels={"team": "red"})
    blue = submit(admin, labels={"team": "blue", "more": "x"})

    [delivery] = receiver.wait_for(1)
    assert delivery.event["subject"] == f"task/{blue['task_id']}"


def test_it_can_begin_at_a_cursor_or_at_the_start(admin: httpx.Client, receiver: Receiver) -> None:
    first = submit(admin)
    second = submit(admin)
    task_ids = [first["task_id"], second["task_id"]]

    added_and_allowed(admin, f"{receiver.url}/a", after=first["cursor"], types=["task.submitted"])
    added_and_allowed(admin, f"{receiver.url}/b", after="start", types=["task.submitted"])

    def of(path: str) -> list[str]:
        found = [one.event["subject"] for one in receiver.taken if one.path == f"/hook/{path}"]
        return [subject for subject in found if subject.removeprefix("task/") in task_ids]

    receiver.wait_until(lambda: len(of("b")) == 2 and len(of("a")) == 1)
    assert of("a") == [f"task/{second['task_id']}"]


def test_the_secret_is_shown_once_and_no_repetition_tells_it(admin: httpx.Client) -> None:
    body = {"url": PUBLIC, "channels": ["tasks"]}
    key = {"Idempotency-Key": "one"}
    first = admin.post("/v1/webhooks", json=body, headers=key)

    again = admin.post("/v1/webhooks", json=body, headers=key)
    other = admin.post("/v1/webhooks", json=body | {"channels": ["agents"]}, headers=key)

    made = first.json()
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    # Meanwhile the log has moved on by the entry of the audit trail.
    assert again.json() == made | {"secret": None, "lag": again.json()["lag"]}
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert first.headers["Location"] == f"/v1/webhooks/{made['webhook_id']}"
    assert "secret" not in shown(admin, made)
    listed = admin.get("/v1/webhooks", params={"limit": 200}).json()["items"]
    assert made["webhook_id"] in {one["webhook_id"] for one in listed}
    assert not any("secret" in one for one in listed)


def test_a_repeated_pause_is_not_done_again(admin: httpx.Client) -> None:
    made = add(admin)
    path, key = f"/v1/webhooks/{made['webhook_id']}", {"Idempotency-Key": "pause"}
    admin.post(f"{path}/pause", headers=key)
    admin.post(f"{path}/allow")

    again = admin.post(f"{path}/pause", headers=key)

    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["state"] == "on"
    assert shown(admin, made)["state"] == "on"


def test_a_paused_one_keeps_its_place(admin: httpx.Client, receiver: Receiver) -> None:
    made = added_and_allowed(admin, receiver.url, types=["task.submitted"])
    submit(admin)
    receiver.wait_for(1)
    path = f"/v1/webhooks/{made['webhook_id']}"
    admin.post(f"{path}/pause").raise_for_status()
    while_paused = [submit(admin)["task_id"] for _ in range(3)]
    assert shown(admin, made)["state"] == "paused"

    admin.post(f"{path}/allow").raise_for_status()

    receiver.wait_until(
        lambda: (
            {f"task/{one}" for one in while_paused}
            <= {one.event["subject"] for one in receiver.taken}
        )
    )


def test_for_a_day_deliveries_are_signed_with_the_former_secret_too(
    admin: httpx.Client, receiver: Receiver
) -> None:
    made = added_and_allowed(admin, receiver.url, types=["task.submitted"])
    submit(admin)
    receiver.wait_for(1)

    renewed = admin.post(f"/v1/webhooks/{made['webhook_id']}/secret").json()
    for _ in range(20):
        submit(admin)

    last = receiver.wait_for(21)[-1]
    assert renewed["secret"] not in {None, made["secret"]}
    assert renewed["former_secret_until"] is not None
    assert last.is_signed_with(renewed["secret"])
    assert last.is_signed_with(made["secret"])
    assert len(last.headers["webhook-signature"].split(" ")) == 2


def test_what_is_given_up_is_listed_and_can_be_retried(
    admin: httpx.Client, receiver: Receiver
) -> None:
    refused: set[str] = set()

    def answering(received: Received) -> Reply:
        return Reply(500 if received.event["subject"] in refused else 200)

    receiver.answering = answering
    made = added_and_allowed(admin, receiver.url, types=["task.submitted"], labels={"dead": "yes"})
    path = f"/v1/webhooks/{made['webhook_id']}"
    task_ids = []
    admin.post(f"{path}/pause")
    for _ in range(3):
        task_ids.append(submit(admin, labels={"dead": "yes"})["task_id"])
        refused.add(f"task/{task_ids[-1]}")
    admin.post(f"{path}/allow")
    eventually(lambda: shown(admin, made), lambda one: one["dead_letters"] == 3)

    page = admin.get(f"{path}/dead-letters", params={"limit": 2}).json()
    rest = admin.get(f"{path}/dead-letters", params={"cursor": page["next_cursor"]}).json()
    letters = page["items"] + rest["items"]
    refused.clear()
    one = admin.post(f"{path}/dead-letters/retry", json={"cursors": [letters[1]["cursor"]]})
    [first] = receiver.wait_for(1)
    others = admin.post(f"{path}/dead-letters/retry")

    assert [letter["aggregate_id"] for letter in letters] == task_ids
    assert {letter["attempts"] for letter in letters} == {3}
    assert {letter["last_failure"] for letter in letters} == {"it answered 500"}
    assert {letter["type"] for letter in letters} == {"task.submitted"}
    assert rest["next_cursor"] is None
    assert one.json()["dead_letters"] == 2
    assert first.cursor == letters[1]["cursor"]
    assert others.json()["dead_letters"] == 0
    assert {one.event["subject"] for one in receiver.wait_for(3)} == {f"task/{i}" for i in task_ids}
    found = eventually(lambda: shown(admin, made), lambda one: one["parked"] == 0)
    assert found["failing_since"] is None
    assert found["last_failure"] == "it answered 500"


def test_a_target_that_is_gone_is_left_alone_until_it_is_allowed_again(
    admin: httpx.Client, receiver: Receiver
) -> None:
    receiver.answering = lambda _: Reply(410)
    made = added_and_allowed(admin, receiver.url, types=["task.submitted"])

    task = submit(admin)

    gone = eventually(lambda: shown(admin, made), lambda one: one["state"] == "gone")
    assert gone["last_failure"] == "it answered 410: it wants no more"
    assert gone["dead_letters"] == 0
    receiver.answering = lambda _: Reply(200)
    admin.post(f"/v1/webhooks/{made['webhook_id']}/allow").raise_for_status()
    [delivery] = receiver.wait_for(1)
    assert delivery.event["subject"] == f"task/{task['task_id']}"


def test_a_removed_one_is_gone_for_everybody(admin: httpx.Client, receiver: Receiver) -> None:
    made = added_and_allowed(admin, receiver.url)
    path = f"/v1/webhooks/{made['webhook_id']}"

    answer = admin.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert admin.get(path).status_code == 404
    assert admin.delete(path).status_code == 404
    for command in ("allow", "pause", "secret", "dead-letters/retry"):
        assert admin.post(f"{path}/{command}").status_code == 404


def test_it_takes_the_scopes_of_its_channels(service: Service, admin: httpx.Client) -> None:
    def answer_to(client: httpx.Client, *channels: str) -> tuple[int, str]:
        body = {"url": PUBLIC, "channels": list(channels)}
        answer = client.post("/v1/webhooks", json=body)
        return answer.status_code, answer.json().get("code", "")

    with a_person(service, admin, "reader") as reader:
        assert answer_to(reader, "tasks")[0] == 201
        assert answer_to(reader, "tasks", "agents") == (403, "insufficient_scope")
        assert answer_to(reader, "system") == (403, "insufficient_scope")
    with a_person(service, admin, "auditor", scopes=["audit:read"]) as auditor:
        assert answer_to(auditor, "system")[0] == 201
        assert auditor.get("/v1/webhooks").status_code == 403


def test_only_admins_allow_pause_renew_and_remove(service: Service, admin: httpx.Client) -> None:
    with a_person(service, admin, "maker") as maker:
        made = add(maker)
        path = f"/v1/webhooks/{made['webhook_id']}"

        refused = [
            maker.post(f"{path}/{command}").status_code
            for command in ("allow", "pause", "secret", "dead-letters/retry")
        ]

        assert refused == [403] * 4
        assert maker.delete(path).status_code == 403
        assert maker.get(f"{path}/dead-letters").json() == {"items": [], "next_cursor": None}
        assert shown(maker, made)["state"] == "waiting"


def test_who_is_no_admin_sees_no_path_and_no_query(service: Service, admin: httpx.Client) -> None:
    with a_person(service, admin, "onlooker") as onlooker:
        made = add(admin)

        assert made["url"] == PUBLIC
        assert shown(admin, made)["url"] == PUBLIC
        assert shown(onlooker, made)["url"] == "https://hooks.example.org"
        assert "abc" not in onlooker.get("/v1/webhooks").text


def test_a_webhook_of_another_tenant_does_not_exist(
    service: Service, admin: httpx.Client, receiver: Receiver
) -> None:
    made = add(admin)
    path = f"/v1/webhooks/{made['webhook_id']}"
    with a_person(service, admin, "stranger", scopes=["admin"], tenant="acme") as stranger:
        theirs = added_and_allowed(stranger, receiver.url, types=["task.submitted"])
        foreign = [
            stranger.get(path),
            stranger.delete(path),
            stranger.get(f"{path}/dead-letters"),
            *(
                stranger.post(f"{path}/{command}")
                for command in ("allow", "pause", "secret", "dead-letters/retry")
            ),
        ]
        listed = stranger.get("/v1/webhooks").json()["items"]
        task = submit(admin)
        of_one = {"url": PUBLIC, "channels": [f"tasks.{task['task_id']}"]}
        unknown = stranger.post("/v1/webhooks", json=of_one)
        own = submit(stranger)

    [delivery] = receiver.wait_for(1)
    assert [answer.status_code for answer in foreign] == [404] * 7
    assert {answer.json()["code"] for answer in foreign} == {"not_found"}
    assert [one["webhook_id"] for one in listed] == [theirs["webhook_id"]]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert delivery.event["subject"] == f"task/{own['task_id']}"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"channels": ["nothing"]}, 422, "bad_channel"),
        ({"channels": ["metrics"]}, 422, "channel_not_durable"),
        ({"channels": [f"tasks.{NOBODY}"]}, 404, "not_found"),
        ({"channels": []}, 422, "invalid_body"),
        ({"after": "yesterday"}, 422, "invalid_body"),
        ({"after": "1:999999999"}, 422, "cursor_ahead"),
        ({"after": "7:1"}, 410, "epoch_ended"),
        ({"url": "ftp://example.org/"}, 422, "bad_target"),
        ({"url": "http://169.254.169.254/"}, 422, "bad_target"),
        ({"url": "https://user:secret@example.org/"}, 422, "bad_target"),
        ({"url": "https://example.org/" + "a" * 2_000}, 422, "invalid_body"),
        ({"secret": "mine"}, 422, "invalid_body"),
    ],
)
def test_what_cannot_be_is_refused(
    admin: httpx.Client, changes: dict[str, Any], status: int, code: str
) -> None:
    body = {"url": PUBLIC, "channels": ["tasks"]} | changes

    answer = admin.post("/v1/webhooks", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_cursor_of_dead_letters_has_to_be_of_this_log(admin: httpx.Client) -> None:
    path = f"/v1/webhooks/{add(admin)['webhook_id']}/dead-letters"

    ended = admin.get(path, params={"cursor": "7:1"})
    retried = admin.post(f"{path}/retry", json={"cursors": ["7:1"]})
    none = admin.post(f"{path}/retry", json={"cursors": ["1:1"]})

    assert (ended.status_code, retried.status_code) == (410, 410)
    assert (none.status_code, none.json()["dead_letters"]) == (200, 0)


def test_a_tenant_has_a_hundred_at_most(service: Service, admin: httpx.Client) -> None:
    with a_person(service, admin, "collector", tenant="many") as collector:
        for _ in range(100):
            add(collector)

        answer = collector.post("/v1/webhooks", json={"url": PUBLIC, "channels": ["tasks"]})
        first = collector.get("/v1/webhooks", params={"limit": 60}).json()
        second = collector.get(
            "/v1/webhooks", params={"limit": 60, "cursor": first["next_cursor"]}
        ).json()

    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")
    ids = [one["webhook_id"] for one in first["items"] + second["items"]]
    assert (len(set(ids)), ids, second["next_cursor"]) == (100, sorted(ids), None)


def test_without_the_setting_only_https_to_public_addresses_is_taken(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as service, service.client() as admin:
        for url in ("http://example.org/", "https://127.0.0.1/", "https://localhost/"):
            answer = admin.post("/v1/webhooks", json={"url": url, "channels": ["tasks"]})
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_target")
        assert add(admin, "https://example.org/hook")["state"] == "waiting"


def test_a_signing_key_that_changed_pauses_what_it_cannot_sign(
    database: Database, tmp_path: Path, receiver: Receiver
) -> None:
    with (
        Service(database, tmp_path, webhook_private_targets=True) as service,
        service.client() as admin,
    ):
        made = added_and_allowed(admin, receiver.url, types=["task.submitted"])
    (tmp_path / "signing-key.pem").unlink()

    with (
        Service(database, tmp_path, webhook_private_targets=True) as service,
        service.client() as admin,
    ):
        path = f"/v1/webhooks/{made['webhook_id']}"
        submit(admin)
        paused = eventually(lambda: shown(admin, made), lambda one: one["state"] == "paused")
        renewed = admin.post(f"{path}/secret").json()
        admin.post(f"{path}/allow").raise_for_status()
        [delivery] = receiver.wait_for(1)

    assert "signing key" in paused["last_failure"]
    assert renewed["former_secret_until"] is None
    assert delivery.is_signed_with(renewed["secret"])
    assert not delivery.is_signed_with(made["secret"])
