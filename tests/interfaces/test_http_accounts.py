"""Users and clients over HTTP."""

from typing import Any

import httpx
import pytest

from tests.interfaces.service import Service

NOBODY = "018f6a3e-1c2b-7d4e-9f00-0123456789ab"


def add_user(client: httpx.Client, username: str, **changes: Any) -> dict[str, Any]:
    body = {"username": username, "scopes": ["tasks:read"]} | changes
    made: dict[str, Any] = client.post("/v1/users", json=body).raise_for_status().json()
    return made


def test_a_user_is_added_with_a_password_that_was_made(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    made = add_user(shared_admin, "made")

    assert set(made) == {"user_id", "username", "tenant", "scopes", "created_at", "password"}
    with shared_service.client("made", made["password"]) as user:
        assert user.get("/v1/tasks").status_code == 200
        assert user.post("/v1/tasks", json={"kind": "a"}).status_code == 403


def test_a_password_that_was_given_is_not_told(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    made = add_user(shared_admin, "given", password="correct horse")

    assert made["password"] is None
    shared_service.client("given", "correct horse").close()


def test_a_client_is_added_with_a_secret(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    body = {"name": "nightly", "scopes": ["tasks:write"], "tenant": "acme"}

    answer = shared_admin.post("/v1/clients", json=body)

    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"client_id", "name", "tenant", "scopes", "created_at", "client_secret"}
    assert (made["tenant"], made["scopes"]) == ("acme", ["tasks:write"])
    shared_service.machine(made["client_id"], made["client_secret"]).close()


def test_a_repeated_request_does_not_tell_the_secret_again(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    body = {"name": "repeated", "scopes": ["tasks:write"]}
    first = shared_admin.post("/v1/clients", json=body, headers=key)

    again = shared_admin.post("/v1/clients", json=body, headers=key)
    other = shared_admin.post("/v1/clients", json=body | {"name": "other"}, headers=key)

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json() == first.json() | {"client_secret": None}
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_name_that_is_taken_is_a_conflict(shared_admin: httpx.Client) -> None:
    add_user(shared_admin, "taken")

    answer = shared_admin.post("/v1/users", json={"username": "taken", "scopes": ["admin"]})

    assert (answer.status_code, answer.json()["code"]) == (409, "account_exists")


def test_a_password_is_renewed_and_the_former_one_ends(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    made = add_user(shared_admin, "renewed")
    with shared_service.client("renewed", made["password"]) as user:
        renewed = shared_admin.post(f"/v1/users/{made['user_id']}/secret").json()

        assert user.get("/v1/tasks").status_code == 401
    assert renewed["password"] not in {None, made["password"]}
    shared_service.client("renewed", renewed["password"]).close()
    chosen = {"password": "correct horse"}
    answer = shared_admin.post(f"/v1/users/{made['user_id']}/secret", json=chosen)
    assert answer.json()["password"] is None
    shared_service.client("renewed", "correct horse").close()


def test_a_clients_secret_is_renewed(shared_service: Service, shared_admin: httpx.Client) -> None:
    made = shared_admin.post("/v1/clients", json={"name": "old", "scopes": ["admin"]}).json()

    renewed = shared_admin.post(f"/v1/clients/{made['client_id']}/secret").json()

    shared_service.machine(renewed["client_id"], renewed["client_secret"]).close()
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        shared_service.machine(made["client_id"], made["client_secret"])


@pytest.mark.parametrize("kind", ["users", "clients"])
def test_a_removed_account_is_gone(shared_admin: httpx.Client, kind: str) -> None:
    name = {"users": "username", "clients": "name"}[kind]
    made = shared_admin.post(f"/v1/{kind}", json={name: "gone", "scopes": ["admin"]}).json()
    path = f"/v1/{kind}/{made[kind[:-1] + '_id']}"

    answer = shared_admin.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert shared_admin.delete(path).status_code == 404
    assert shared_admin.post(f"{path}/secret").status_code == 404
    items = shared_admin.get(f"/v1/{kind}").json()["items"]
    assert "gone" not in {item[name] for item in items}


def test_the_last_administrator_stays(admin: httpx.Client) -> None:
    (only,) = admin.get("/v1/users").json()["items"]

    answer = admin.delete(f"/v1/users/{only['user_id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")


def test_accounts_are_listed_by_pages_without_secrets(admin: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        add_user(admin, name)

    first = admin.get("/v1/users", params={"limit": "3"}).json()
    second = admin.get("/v1/users", params={"limit": "3", "cursor": first["next_cursor"]}).json()

    items = first["items"] + second["items"]
    assert [item["username"] for item in items] == ["admin", "a", "b", "c"]
    assert second["next_cursor"] is None
    assert set(items[0]) == {"user_id", "username", "tenant", "scopes", "created_at"}


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "a b"},
        {"username": ""},
        {"scopes": []},
        {"scopes": None},
        {"scopes": "admin"},
        {"password": "short"},
        {"password": "é" * 600},
        {"password": 12345678},
        {"tenant": "A"},
        {"tenant": "a/b"},
        {"admin": True},
        {"user_id": NOBODY},
        {"scopes": ["worker"]},
        {"scopes": ["root"]},
    ],
)
def test_a_user_that_cannot_be_is_refused(
    shared_admin: httpx.Client, changes: dict[str, Any]
) -> None:
    body = {"username": "alice", "scopes": ["tasks:read"]} | changes

    answer = shared_admin.post("/v1/users", json=body)

    assert answer.status_code == 422, answer.text
    if isinstance(changes.get("password"), str):
        assert changes["password"] not in answer.text


def test_nobody_is_not_found(shared_admin: httpx.Client) -> None:
    for path in ("users", "clients"):
        assert shared_admin.delete(f"/v1/{path}/{NOBODY}").status_code == 404
        assert shared_admin.post(f"/v1/{path}/{NOBODY}/secret").status_code == 404
        assert shared_admin.delete(f"/v1/{path}/admin").status_code == 404
