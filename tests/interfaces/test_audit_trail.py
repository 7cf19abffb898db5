"""What people do, ask for and are refused stands in the log, once each, before it is answered."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from application import writer
from application.audit import flood
from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import OPEN, SIGNED_IN, Operation
from interfaces.http.routes import table
from tests.interfaces.live import Subscriber, a_tenant, submitted, token_of
from tests.interfaces.muster import Muster
from tests.interfaces.service import PASSWORD, Service

SECONDS_MAX = 10
Entry = dict[str, Any]
OPERATIONS = [one for one in table(RequestMetrics()) if one.scope not in {OPEN, SIGNED_IN}]


@pytest.fixture
def tenant(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    with a_tenant(shared_service, shared_admin) as tenant:
        yield tenant


@pytest.fixture
def stranger(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    with a_tenant(shared_service, shared_admin) as stranger:
        yield stranger


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is too much for it."""
    monkeypatch.setattr(flood, "REFUSALS_OF_PLACE_MAX", 100_000)
    monkeypatch.setattr(flood, "REFUSALS_MAX", 100_000)


def trail(client: httpx.Client, **parameters: str) -> list[Entry]:
    """Oldest first, but for the reading of the trail itself."""
    asked = {"limit": "200", **parameters}
    items: list[Entry] = (
        client.get("/v1/audit/trail", params=asked).raise_for_status().json()["items"]
    )
    own = ("audit.read", "/v1/audit/trail")
    return [e for e in reversed(items) if (e["type"], e["data"].get("route")) != own]


def until(look: Callable[[], list[Entry]], count: int) -> list[Entry]:
    """What there is, once there is so much: refusals are recorded in the background."""
    deadline = time.monotonic() + SECONDS_MAX
    while len(found := look()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def refusals(client: httpx.Client, count: int) -> list[Entry]:
    return until(lambda: trail(client, type="audit.refused"), count)


def as_said(entry: Entry) -> tuple[str, str, int]:
    data = entry["data"]
    return data["method"], data["route"], data["status"]


def filled(operation: Operation, thing_id: object = "01a20953-f961-7e9e-92db-faf5146a3525") -> str:
    before, brace, rest = operation.path.partition("{")
    return before + (str(thing_id) + rest.partition("}")[2] if brace else "")


# Commands.


def test_a_command_stands_in_the_trail_when_it_is_answered(tenant: httpx.Client) -> None:
    made = tenant.post("/v1/agents", json={"name": "anna", "capabilities": ["x"]}).json()
    drained = tenant.post(f"/v1/agents/{made['agent_id']}/drain")

    registered, entry = trail(tenant, type="audit.commanded")

    assert as_said(entry) == ("POST", "/v1/agents/{agent_id}/drain", 200)
    assert entry["data"]["about"] == {"agent_id": made["agent_id"]}
    assert entry["data"]["address"] == "127.0.0.1"
    assert entry["data"]["request_id"] == drained.headers["X-Request-ID"]
    assert entry["data"]["code"] is None
    assert entry["actor"].startswith("user/")
    assert registered["data"]["about"] == {"agent_id": made["agent_id"], "name": "anna"}


def test_a_command_that_was_in_vain_stands_there_with_its_code(tenant: httpx.Client) -> None:
    for _ in range(2):
        tenant.post("/v1/agents", json={"name": "anna", "capabilities": ["x"]})

    entries = trail(tenant, type="audit.commanded")

    codes = [(entry["data"]["status"], entry["data"]["code"]) for entry in entries]
    assert codes == [(201, None), (409, "agent_exists")]


def test_who_was_given_an_account_is_told_and_its_secret_is_not(tenant: httpx.Client) -> None:
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "scopes": ["tasks:read", "agents:read"]}
    made = tenant.post("/v1/users", json=user).raise_for_status().json()
    tenant.post(f"/v1/users/{made['user_id']}/secret", json={"password": PASSWORD + "2"})
    tenant.delete(f"/v1/users/{made['user_id']}")

    answer = tenant.get("/v1/audit/trail", params={"type": "audit.commanded"})

    added = answer.json()["items"][-1]["data"]["about"]
    assert added["user_id"] == made["user_id"]
    assert (added["name"], added["scopes"]) == (name, "agents:read tasks:read")
    assert len(answer.json()["items"]) == 3
    assert PASSWORD not in answer.text


def test_a_webhook_is_commanded_from_its_addition_to_its_end(tenant: httpx.Client) -> None:
    body = {"url": "https://example.com/secret-in-a-path", "channels": ["tasks"]}
    webhook_id = tenant.post("/v1/webhooks", json=body).raise_for_status().json()["webhook_id"]
    tenant.post(f"/v1/webhooks/{webhook_id}/pause")
    tenant.delete(f"/v1/webhooks/{webhook_id}")

    answer = tenant.get("/v1/audit/trail", params={"type": "audit.commanded"})

    assert [as_said(one)[0] for one in answer.json()["items"]] == ["DELETE", "POST", "POST"]
    assert {one["data"]["about"]["webhook_id"] for one in answer.json()["items"]} == {webhook_id}
    assert "secret-in-a-path" not in answer.text


def test_the_name_of_a_subject_has_no_place_in_it(tenant: httpx.Client) -> None:
    name = f"ada-{uuid4().hex}"
    task = {"kind": "x", "subject": name, "input": 1}
    tenant.post("/v1/tasks", json=task).raise_for_status()
    made = tenant.post(f"/v1/subjects/{name}/erase").raise_for_status().json()

    (entry,) = trail(tenant, type="audit.commanded")

    assert as_said(entry) == ("POST", "/v1/subjects/{subject}/erase", 200)
    assert entry["data"]["about"] == {"subject_id": made["subject_id"]}


def test_work_is_no_administration(tenant: httpx.Client) -> None:
    task_id = submitted(tenant)
    tenant.post(f"/v1/tasks/{task_id}/cancel")
    tenant.get(f"/v1/tasks/{task_id}")

    assert trail(tenant) == [] or {e["type"] for e in trail(tenant)} == {"audit.opened"}


# Readings.


def test_every_reading_of_the_past_is_an_entry(tenant: httpx.Client) -> None:
    submitted(tenant)
    # The first reading opens the trail of this tenant.
    tenant.get("/v1/events")
    paths = ["/v1/events", "/v1/events/export", "/v1/audit/heads", "/v1/audit/keys", "/v1/state"]
    for path in paths:
        tenant.get(path).raise_for_status()
    replay = tenant.post("/v1/replays", json={"from": first_of(tenant)}).raise_for_status().json()
    tenant.delete(f"/v1/replays/{replay['replay_id']}")

    entries = trail(tenant, type="audit.read")

    expected = [("GET", path) for path in ["/v1/events", *paths, "/v1/events"]]
    expected += [("POST", "/v1/replays"), ("DELETE", "/v1/replays/{replay_id}")]
    assert [(one["data"]["method"], one["data"]["route"]) for one in entries] == expected


def first_of(tenant: httpx.Client) -> str:
    cursor: str = tenant.get("/v1/events", params={"limit": "1"}).json()["items"][0]["id"]
    return cursor


def test_a_reading_leaves_itself_out(tenant: httpx.Client) -> None:
    first = tenant.get("/v1/events").json()
    second = tenant.get("/v1/events", params={"after": first["next_cursor"]}).json()

    assert [one["type"] for one in first["items"]] == ["audit.opened"]
    assert second["items"] == []


def test_those_who_wait_for_events_do_not_wake_one_another(tenant: httpx.Client) -> None:
    cursor = tenant.get("/v1/events").json()["next_cursor"]
    tenant.get("/v1/events")

    began = time.monotonic()
    page = tenant.get("/v1/events", params={"after": cursor, "wait": "1"}).json()

    assert time.monotonic() - began >= 1
    assert [one["type"] for one in page["items"]] == ["audit.read"]


def test_to_listen_to_an_auditors_channel_is_a_reading(
    shared_service: Service, tenant: httpx.Client
) -> None:
    with Subscriber(shared_service, token_of(tenant)) as subscriber:
        subscriber.subscribe("agents", "tasks")
        subscriber.subscribe("audit", "agents")
        _opened, entry = subscriber.events(2)

    assert entry["data"]["about"] == {"channels": "audit"}
    assert entry["data"]["route"] == "/ws/v1/events"
    with httpx.stream(
        "GET",
        f"{shared_service.url}/v1/stream",
        params={"channels": "system"},
        headers=tenant.headers,
    ) as stream:
        assert stream.status_code == 200
    routes = [one["data"]["route"] for one in trail(tenant, type="audit.read")]
    assert routes == ["/ws/v1/events", "/v1/stream"]


def test_entries_come_over_the_channel_audit_alone(
    shared_service: Service, tenant: httpx.Client
) -> None:
    with Subscriber(shared_service, token_of(tenant)) as subscriber:
        subscriber.subscribe("audit", "system")
        frames = subscriber.until(lambda frame: frame["event"]["type"] == "audit.read")
        left = subscriber.pong()

    assert {frame["channel"] for frame in frames} == {"audit"}
    assert [frame for frame in left if frame["type"] == "event"] == []


def test_what_is_audited_follows_from_what_is_declared() -> None:
    past = ("/v1/events", "/v1/state", "/v1/history", "/v1/audit", "/v1/replays")
    personal = ("GET", "/v1/subjects/{subject}")

    for one in OPERATIONS:
        audited = one.path.startswith(past) or (one.method, one.path) == personal
        # It reads nothing but what it is given, and is in the trail as a command.
        audited = audited and one.path != "/v1/events/import"
        assert one.is_audit_read == audited, one.path
        if not one.is_query and one.scope in {"admin", "agents:admin"}:
            assert one.is_administrative, one.path


# Refusals.


@pytest.mark.usefixtures("patient")
def test_every_refusal_for_want_of_a_token_is_one_entry(database: Any, tmp_path: Any) -> None:
    with Service(database, tmp_path) as service, service.client() as admin:
        with httpx.Client(base_url=service.url) as nobody:
            for one in OPERATIONS:
                assert nobody.request(one.method, filled(one)).status_code == 401, one.path
        found: list[Entry] = []

        def look() -> list[Entry]:
            newest = admin.get("/v1/audit/trail", params={"type": "audit.refused", "limit": "200"})
            found[:] = newest.json()["items"]
            return found

        until(look, len(OPERATIONS))

    expected = Counter((one.method, one.path, 401) for one in OPERATIONS)
    assert Counter(map(as_said, found)) == expected
    assert {(one["actor"], one["data"]["code"]) for one in found} == {
        ("anonymous", "unauthenticated")
    }


@pytest.mark.usefixtures("patient")
def test_every_refusal_for_want_of_a_scope_is_one_entry(
    shared_service: Service, tenant: httpx.Client
) -> None:
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "scopes": ["tasks:write"]}
    tenant.post("/v1/users", json=user).raise_for_status()
    refused = [one for one in OPERATIONS if one.scope != "tasks:write"]
    with shared_service.client(name) as writer:
        for one in refused:
            assert writer.request(one.method, filled(one)).status_code == 403, one.path

    found = refusals(tenant, len(refused))

    assert Counter(map(as_said, found)) == Counter((o.method, o.path, 403) for o in refused)
    assert {one["actor"] for one in found} == {f"user/{name}"}


def test_what_is_hidden_is_an_entry_and_what_does_not_exist_is_none(
    tenant: httpx.Client, stranger: httpx.Client
) -> None:
    task_id = submitted(tenant)
    agent = tenant.post("/v1/agents", json={"name": "anna", "capabilities": ["x"]}).json()
    user = {"username": uuid4().hex, "password": PASSWORD, "scopes": ["tasks:read"]}
    user_id = tenant.post("/v1/users", json=user).json()["user_id"]
    body = {"url": "https://example.com", "channels": ["tasks"]}
    webhook_id = tenant.post("/v1/webhooks", json=body).json()["webhook_id"]
    replay = tenant.post("/v1/replays", json={"from": first_of(tenant)}).json()
    asked = [
        ("GET", "/v1/tasks/{task_id}", task_id),
        ("POST", "/v1/tasks/{task_id}/cancel", task_id),
        ("POST", "/v1/agents/{agent_id}/drain", agent["agent_id"]),
        ("DELETE", "/v1/users/{user_id}", user_id),
        ("GET", "/v1/webhooks/{webhook_id}", webhook_id),
        ("GET", "/v1/replays/{replay_id}", replay["replay_id"]),
    ]

    for method, route, thing_id in asked:
        before, _, rest = route.partition("{")
        for one in (uuid4(), thing_id):
            path = before + str(one) + rest.partition("}")[2]
            assert stranger.request(method, path).status_code == 404

    found = refusals(stranger, len(asked))
    assert [as_said(one) for one in found] == [(m, route, 404) for m, route, _ in asked]
    things = [next(iter(one["data"]["about"].values())) for one in found]
    assert things == [str(thing_id) for _, _, thing_id in asked]
    assert trail(tenant, type="audit.refused") == []


def test_a_hidden_parent_is_found_out_too(tenant: httpx.Client, stranger: httpx.Client) -> None:
    answer = stranger.post("/v1/tasks", json={"kind": "x", "parent_id": submitted(tenant)})

    assert answer.status_code == 404
    (entry,) = refusals(stranger, 1)
    assert as_said(entry) == ("POST", "/v1/tasks", 404)


def test_a_failed_sign_in_is_the_matter_of_the_tenant_of_its_account(
    shared_service: Service, tenant: httpx.Client
) -> None:
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "scopes": ["tasks:read"]}
    tenant.post("/v1/users", json=user).raise_for_status()
    form = {"grant_type": "password", "username": name, "password": "wrong"}
    httpx.post(f"{shared_service.url}/v1/oauth/token", data=form)

    (entry,) = refusals(tenant, 1)

    assert entry["actor"] == "anonymous"
    assert entry["data"]["about"] == {"account": name}
    assert entry["data"]["code"] == "invalid_grant"


def test_what_was_typed_for_a_name_is_not_kept_where_nobody_has_it(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    typed = f"my password is {uuid4().hex}"
    form = {"grant_type": "password", "username": typed, "password": "x"}

    request = httpx.post(f"{shared_service.url}/v1/oauth/token", data=form)

    wanted = request.headers["X-Request-ID"]
    (entry,) = until(
        lambda: [
            one
            for one in trail(shared_admin, type="audit.refused")
            if one["data"]["request_id"] == wanted
        ],
        1,
    )
    assert entry["data"]["about"] == {}
    assert typed not in shared_admin.get("/v1/audit/trail", params={"limit": "200"}).text


def test_a_revoked_token_names_the_account_it_was_of(
    shared_service: Service, tenant: httpx.Client
) -> None:
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "scopes": ["tasks:read"]}
    made = tenant.post("/v1/users", json=user).raise_for_status().json()
    with shared_service.client(name) as gone:
        tenant.delete(f"/v1/users/{made['user_id']}").raise_for_status()
        assert gone.get("/v1/tasks").status_code == 401

    (entry,) = refusals(tenant, 1)

    assert (entry["actor"], entry["data"]["code"]) == ("anonymous", "invalid_token")
    assert entry["data"]["about"] == {"account": made["user_id"]}


def test_refusals_over_the_websocket_count_too(
    shared_service: Service, tenant: httpx.Client, stranger: httpx.Client
) -> None:
    task_id = submitted(tenant)
    with Subscriber(shared_service, token_of(stranger)) as subscriber:
        for thing in (uuid4(), task_id):
            subscriber.ask("error", type="subscribe", channels=[f"tasks.{thing}"])

    (entry,) = refusals(stranger, 1)

    assert as_said(entry) == ("GET", "/ws/v1/events", 404)


# Floods.


def test_a_flood_of_refusals_is_counted(database: Any, tmp_path: Any) -> None:
    with Service(database, tmp_path) as service, httpx.Client(base_url=service.url) as nobody:
        for _ in range(300):
            nobody.get("/v1/tasks")
    with Service(database, tmp_path) as service, service.client() as admin:
        entries = trail(admin, type="audit.refused")
        (count,) = trail(admin, type="audit.refusals_counted")

    assert len(entries) == flood.REFUSALS_OF_PLACE_MAX
    assert count["data"]["count"] == 300 - flood.REFUSALS_OF_PLACE_MAX
    assert (count["data"]["address"], count["actor"]) == ("127.0.0.1", "process/audit")


# What cannot be written down.


def test_what_cannot_be_written_down_is_not_shown(
    tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_COMMANDS_MAX", 0)

    answers = [tenant.get(path) for path in ("/v1/events", "/v1/events/export", "/v1/audit/trail")]

    assert {(one.status_code, one.json()["code"]) for one in answers} == {
        (503, "database_unavailable")
    }


def test_a_change_that_could_not_be_written_down_is_told_by_its_repetition(
    tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"username": uuid4().hex, "password": PASSWORD, "scopes": ["tasks:read"]}
    key = {"Idempotency-Key": uuid4().hex}
    with monkeypatch.context() as full:
        full.setattr(writer, "WAITING_COMMANDS_MAX", 0)
        assert tenant.post("/v1/users", json=user, headers=key).status_code == 503

    again = tenant.post("/v1/users", json=user, headers=key)

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    (entry,) = trail(tenant, type="audit.commanded")
    assert entry["data"]["about"]["user_id"] == again.json()["user_id"]


def test_refusals_wait_until_they_can_be_written_down(
    tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(writer, "WAITING_COMMANDS_MAX", 0)
        for _ in range(3):
            assert tenant.post("/v1/read-models/task_board/rebuild").status_code == 404

    found = refusals(tenant, 3)

    assert {as_said(one) for one in found} == {("POST", "/v1/read-models/{name}/rebuild", 404)}
    assert len(found) == 3


# The trail.


def test_the_trail_is_read_by_pages_of_an_actor_since_a_time(tenant: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        tenant.post("/v1/agents", json={"name": name, "capabilities": ["x"]})
    wanted = {"type": "audit.commanded", "limit": "2"}

    first = tenant.get("/v1/audit/trail", params=wanted).json()
    rest = tenant.get("/v1/audit/trail", params=wanted | {"cursor": first["next_cursor"]}).json()
    last = first["items"][0]
    since = tenant.get("/v1/audit/trail", params=wanted | {"since": last["time"]}).json()
    nobody = tenant.get("/v1/audit/trail", params={"actor": "user/nobody"}).json()
    later = tenant.get("/v1/audit/trail", params={"since": "2999-01-01T00:00:00Z"}).json()

    names = [one["data"]["about"]["name"] for one in [*first["items"], *rest["items"]]]
    assert names == ["c", "b", "a"]
    assert rest["next_cursor"] is None
    assert len(since["items"]) <= 1
    assert nobody["items"] == later["items"] == []


def test_nobody_sees_the_trail_of_others(tenant: httpx.Client, stranger: httpx.Client) -> None:
    tenant.post("/v1/agents", json={"name": "anna", "capabilities": ["x"]})

    assert trail(stranger) == [] or {e["type"] for e in trail(stranger)} == {"audit.opened"}


def test_the_trail_is_no_activity(tenant: httpx.Client) -> None:
    made = tenant.post("/v1/agents", json={"name": "anna", "capabilities": ["x"]}).json()

    shown = tenant.get("/v1/activity", params={"seen": made["cursor"]}).json()["items"]

    assert [one["type"] for one in shown] == ["agent.registered"]


def test_the_command_line_lists_the_trail(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    muster = Muster(service, monkeypatch, capsys)
    muster.done("user", "add", "ada", "--scope", "tasks:read")

    said = muster.done("audit", "trail", "--type", "audit.commanded")
    rows = muster.done("audit", "trail", "--json").rows

    assert "POST /v1/users" in said.out
    assert "name=ada" in said.out
    assert {row["type"] for row in rows} == {"audit.opened", "audit.commanded", "audit.read"}
