"""Agents over HTTP: registered, changed, given secrets, drained and retired."""

from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import Database
from tests.interfaces.service import Service

REVIEWER = {"name": "reviewer", "capabilities": ["review"], "slots": 2, "labels": {"zone": "a"}}


def register(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/agents", json=REVIEWER | changes)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def token_of(client: httpx.Client, made: dict[str, Any]) -> httpx.Response:
    form = {"grant_type": "client_credentials"}
    form |= {name: made[name] or "" for name in ("client_id", "client_secret")}
    return httpx.post(f"{client.base_url}/v1/oauth/token".replace("//v1", "/v1"), data=form)


def test_a_registered_agent_gets_credentials_and_is_shown(shared_admin: httpx.Client) -> None:
    answer = shared_admin.post("/v1/agents", json=REVIEWER | {"name": "first"})

    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"agent_id", "version", "cursor", "client_id", "client_secret"}
    assert answer.headers["Location"] == f"/v1/agents/{made['agent_id']}"
    assert token_of(shared_admin, made).status_code == 200
    found = shared_admin.get(answer.headers["Location"], params={"seen": made["cursor"]}).json()
    assert found | {"registered_at": ""} == {
        "id": made["agent_id"],
        "name": "first",
        "state": "registered",
        "online": False,
        "capabilities": ["review"],
        "slots": 2,
        "labels": {"zone": "a"},
        "running": 0,
        "cpu": None,
        "memory": None,
        "queue": 0,
        "load": None,
        "last_heard_at": None,
        "completed": 0,
        "failed": 0,
        "lost": 0,
        "registered_at": "",
        "version": 1,
        "cursor": made["cursor"],
    }


def test_a_name_that_is_taken_changes_no_secret(shared_admin: httpx.Client) -> None:
    made = register(shared_admin, name="taken")

    answer = shared_admin.post("/v1/agents", json=REVIEWER | {"name": "taken"})

    assert answer.status_code == 409
    assert answer.json()["code"] == "agent_exists"
    assert answer.json()["agent_id"] == made["agent_id"]
    assert token_of(shared_admin, made).status_code == 200


def test_a_repeated_registration_does_not_tell_the_secret_again(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "registration"}
    body = REVIEWER | {"name": "repeated"}
    first = shared_admin.post("/v1/agents", json=body, headers=key)

    again = shared_admin.post("/v1/agents", json=body, headers=key)

    assert again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json() | {"client_secret": None}
    assert token_of(shared_admin, first.json()).status_code == 200


def test_a_registration_that_was_cut_short_is_completed_by_its_repetition(
    database: Database, service: Service, admin: httpx.Client
) -> None:
    key = {"Idempotency-Key": "registration"}
    admin.post("/v1/agents", json=REVIEWER, headers=key).raise_for_status()
    # As if the process had died between the log and the account.
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("DELETE FROM musterroll.accounts WHERE kind = 'agent'")

    again = admin.post("/v1/agents", json=REVIEWER, headers=key)

    assert again.json()["client_secret"] is not None
    assert token_of(admin, again.json()).status_code == 200


def test_a_registration_that_was_cut_short_is_completed_by_a_new_secret(
    database: Database, admin: httpx.Client
) -> None:
    made = register(admin)
    admin.get(f"/v1/agents/{made['agent_id']}", params={"seen": made["cursor"]})
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("DELETE FROM musterroll.accounts WHERE kind = 'agent'")

    issued = admin.post(f"/v1/agents/{made['agent_id']}/secret").json()

    assert token_of(admin, issued).status_code == 200


def test_a_new_secret_ends_the_former_one(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    made = register(shared_admin, name="rotated")
    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        path = f"/v1/agents/{made['agent_id']}/heartbeat"
        assert worker.post(path, json={}).status_code == 200

        issued = shared_admin.post(f"/v1/agents/{made['agent_id']}/secret").json()

        assert worker.post(path, json={}).status_code == 401
    assert issued["client_id"] == made["client_id"]
    assert token_of(shared_admin, made).status_code == 401
    assert token_of(shared_admin, issued).status_code == 200


def test_a_repeated_rotation_does_not_tell_the_secret_again(shared_admin: httpx.Client) -> None:
    made = register(shared_admin, name="rotated once")
    key = {"Idempotency-Key": "rotation"}
    first = shared_admin.post(f"/v1/agents/{made['agent_id']}/secret", headers=key).json()

    again = shared_admin.post(f"/v1/agents/{made['agent_id']}/secret", headers=key)

    assert again.json() == {"client_id": made["client_id"], "client_secret": None}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert token_of(shared_admin, first).status_code == 200


def test_an_agent_is_changed_where_it_is_asked_for(shared_admin: httpx.Client) -> None:
    made = register(shared_admin, name="changed")
    path = f"/v1/agents/{made['agent_id']}"

    changed = shared_admin.patch(path, json={"slots": 7}, headers={"If-Match": '"1"'}).json()

    found = shared_admin.get(path, params={"seen": changed["cursor"]}).json()
    assert (found["slots"], found["capabilities"], found["version"]) == (7, ["review"], 2)
    stale = shared_admin.patch(path, json={"slots": 8}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


def test_an_agent_is_drained_and_resumed(shared_admin: httpx.Client) -> None:
    made = register(shared_admin, name="drained")
    path = f"/v1/agents/{made['agent_id']}"

    states = []
    for verb in ("drain", "resume"):
        receipt = shared_admin.post(f"{path}/{verb}").json()
        found = shared_admin.get(path, params={"seen": receipt["cursor"]}).json()
        states.append(found["state"])

    assert states == ["draining", "registered"]


def test_a_retired_agent_is_brought_back_by_its_name_with_a_new_secret(
    shared_admin: httpx.Client,
) -> None:
    made = register(shared_admin, name="veteran")
    path = f"/v1/agents/{made['agent_id']}"
    retired = shared_admin.post(f"{path}/retire").json()
    shared_admin.get(path, params={"seen": retired["cursor"]})
    assert token_of(shared_admin, made).status_code == 401
    for verb in ("drain", "resume", "secret"):
        answer = shared_admin.post(f"{path}/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (409, "agent_retired")

    back = register(shared_admin, name="veteran")

    assert back["agent_id"] == made["agent_id"]
    assert back["client_secret"] not in {None, made["client_secret"]}
    assert token_of(shared_admin, made).status_code == 401
    assert token_of(shared_admin, back).status_code == 200
    # The retirement is repeated late, by a client that never got its answer.
    assert shared_admin.get(path, params={"seen": back["cursor"]}).json()["state"] == "registered"


def test_a_late_repetition_of_a_retirement_leaves_the_new_secret_alone(
    shared_admin: httpx.Client,
) -> None:
    made = register(shared_admin, name="returned")
    path = f"/v1/agents/{made['agent_id']}/retire"
    key = {"Idempotency-Key": "retirement"}
    shared_admin.post(path, headers=key).raise_for_status()
    back = register(shared_admin, name="returned")

    late = shared_admin.post(path, headers=key)

    assert late.headers["Idempotency-Replayed"] == "true"
    assert token_of(shared_admin, back).status_code == 200


def test_agents_are_listed_by_name_by_pages(admin: httpx.Client) -> None:
    names = ["b/x", "a", "ü", "c d", "Z"]
    made = [register(admin, name=name) for name in names]

    found: list[str] = []
    parameters = {"limit": "2", "seen": made[-1]["cursor"]}
    while True:
        page = admin.get("/v1/agents", params=parameters).json()
        found += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]

    assert sorted(found) == sorted(names)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a" * 101},
        {"name": "a\nb"},
        {"name": None},
        {"capabilities": []},
        {"capabilities": ["a"] * 65},
        {"capabilities": [""]},
        {"slots": 0},
        {"slots": 1_001},
        {"labels": {"a:b": "c"}},
        {"tenant": "acme"},
        {"agent_id": "018f6a3e-1c2b-7d4e-9f00-0123456789ab"},
    ],
)
def test_an_agent_that_cannot_be_is_refused(
    shared_admin: httpx.Client, changes: dict[str, Any]
) -> None:
    answer = shared_admin.post("/v1/agents", json=REVIEWER | changes)

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_body"
