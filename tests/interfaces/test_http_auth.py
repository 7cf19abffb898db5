"""Who may call what: every operation of the route table against every way to be nobody."""

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from application.access import SCOPES
from infrastructure.security import signing_key
from interfaces.http.metrics import RequestMetrics
from interfaces.http.operation import OPEN, SIGNED_IN, Operation
from interfaces.http.routes import table
from tests.interfaces.service import Service

OPERATIONS = table(RequestMetrics())
GUARDED = [operation for operation in OPERATIONS if operation.scope != OPEN]
OPEN_PATHS = {
    "/v1/oauth/token",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/docs/events",
    "/problems/{code}",
    "/",
}


@dataclass(frozen=True)
class Stage:
    """A service with an agent, and the means to forge its tokens."""

    anybody: httpx.Client
    key: signing_key.SigningKey
    agent_id: str
    worker_token: str
    admin_token: str

    def good_for(self, operation: Operation) -> str:
        """A token that the operation takes."""
        return self.worker_token if operation.scope == "worker" else self.admin_token

    def forged(
        self,
        good: str,
        *,
        key: Any = None,
        algorithm: str = "EdDSA",
        header: Any = None,
        **claims: Any,
    ) -> str:
        """The token with other claims or another header, signed anew."""
        payload = jwt.decode(good, options={"verify_signature": False}) | claims
        return jwt.encode(
            payload,
            key or self.key.private,
            algorithm=algorithm,
            headers=jwt.get_unverified_header(good) | (header or {}),
        )

    def path(self, operation: Operation, other_id: str | None = None) -> str:
        """The operation's path with ids: the agent's own, and for the rest one of nothing."""
        path = operation.path.replace("{agent_id}", other_id or self.agent_id)
        return re.sub(r"\{\w+\}", other_id or str(uuid4()), path)

    def call(
        self, operation: Operation, headers: dict[str, str] | list[tuple[str, str]], **more: Any
    ) -> httpx.Response:
        """The operation called with these headers and an empty body."""
        path = more.pop("path", None) or self.path(operation)
        return self.anybody.request(operation.method, path, headers=headers, **more)

    def token(self, made: dict[str, str]) -> str:
        """A token for the credentials that were made."""
        form = {"grant_type": "client_credentials"}
        form |= {name: made[name] for name in ("client_id", "client_secret")}
        answer = self.anybody.post("/v1/oauth/token", data=form).raise_for_status()
        return str(answer.json()["access_token"])


@pytest.fixture
def stage(service: Service, admin: httpx.Client, tmp_path: Path) -> Iterator[Stage]:
    made = admin.post("/v1/agents", json={"name": "reviewer", "capabilities": ["review"]}).json()
    with httpx.Client(base_url=service.url, timeout=40) as anybody:
        stage = Stage(
            anybody=anybody,
            key=signing_key.load(tmp_path / "signing-key.pem"),
            agent_id=made["agent_id"],
            worker_token="",
            admin_token=_bearer(admin),
        )
        yield replace(stage, worker_token=stage.token(made))


def _bearer(client: httpx.Client) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def _unsigned(good: str, header: dict[str, Any], signature: bytes) -> str:
    payload = good.split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    sealed = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    return f"{head}.{payload}.{sealed}"


def _with_public_key(stage: Stage, good: str) -> str:
    header = jwt.get_unverified_header(good) | {"alg": "HS256"}
    unsigned = _unsigned(good, header, b"").rpartition(".")[0]
    pem = stage.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return _unsigned(good, header, hmac.digest(pem, unsigned.encode(), "sha256"))


Forge = Callable[[Stage, str], str]
STRANGER = Ed25519PrivateKey.generate()
FORGERIES: dict[str, Forge] = {
    "malformed": lambda _, __: "not-a-token",
    "cut short": lambda _, good: good[:-10],
    "too long": lambda stage, good: stage.forged(good, jti="x" * 9_000),
    "expired": lambda stage, good: stage.forged(good, exp=int(time.time()) - 60),
    "not yet good": lambda stage, good: stage.forged(good, nbf=int(time.time()) + 600),
    "issued in the future": lambda stage, good: stage.forged(good, iat=int(time.time()) + 600),
    "signed by a stranger": lambda stage, good: stage.forged(good, key=STRANGER),
    "algorithm none": lambda _, good: _unsigned(
        good, jwt.get_unverified_header(good) | {"alg": "none"}, b""
    ),
    "HS256 with the public key": _with_public_key,
    "another audience": lambda stage, good: stage.forged(good, aud="elsewhere"),
    "another issuer": lambda stage, good: stage.forged(good, iss="urn:uuid:other"),
    "another type": lambda stage, good: stage.forged(good, header={"typ": "JWT"}),
    "an unknown crit": lambda stage, good: stage.forged(good, header={"crit": ["x"], "x": 1}),
    "an embedded jwk": lambda stage, good: stage.forged(
        good, key=STRANGER, header={"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}
    ),
    "of a former generation": lambda stage, good: stage.forged(good, gen=0),
    "of a later generation": lambda stage, good: stage.forged(good, gen=2),
    "of another tenant": lambda stage, good: stage.forged(good, tenant="acme"),
    "of nobody": lambda stage, good: stage.forged(good, sub=str(UUID(int=1))),
}


def test_every_operation_says_who_may_call_it() -> None:
    assert {operation.path for operation in OPERATIONS if operation.scope == OPEN} == OPEN_PATHS
    assert {operation.scope for operation in GUARDED} <= {*SCOPES, SIGNED_IN}
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("scope", ["", "tasks", "everybody", None])
def test_an_operation_without_a_scope_cannot_be_made(scope: Any) -> None:
    with pytest.raises(AssertionError, match="no scope"):
        Operation(
            method="GET",
            path="/v1/x",
            handler=GUARDED[0].handler,
            scope=scope,
            summary="X",
            answer=None,
        )


def test_no_operation_answers_to_nobody(stage: Stage) -> None:
    for operation in GUARDED:
        answer = stage.call(operation, {})

        assert answer.status_code == 401, operation
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="musterroll"'


def test_no_operation_answers_to_a_bad_token(stage: Stage) -> None:
    wrong = {}
    for operation in GUARDED:
        for what, forge in FORGERIES.items():
            token = forge(stage, stage.good_for(operation))
            answer = stage.call(operation, {"Authorization": f"Bearer {token}"})
            challenge = answer.headers.get("WWW-Authenticate", "")
            if answer.status_code != 401 or 'error="invalid_token"' not in challenge:
                wrong[operation.method, operation.path, what] = answer.status_code

    assert wrong == {}


def test_no_operation_takes_a_token_in_the_url_or_twice(stage: Stage) -> None:
    for operation in GUARDED:
        good = stage.good_for(operation)
        bearer = ("Authorization", f"Bearer {good}")
        in_url = f"{stage.path(operation)}?access_token={good}"

        assert stage.call(operation, {}, path=in_url).status_code == 401, operation
        for answer in (
            stage.call(operation, [bearer], path=in_url),
            stage.call(operation, [bearer, bearer]),
            stage.call(operation, {"Authorization": "Bearer"}),
            stage.call(operation, {"Authorization": f"Bearer {good} {good}"}),
        ):
            assert answer.status_code == 400, operation
            assert answer.json()["code"] == "invalid_request"
            assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]
        answer = stage.call(operation, {"Authorization": f"Basic {good}"})
        assert answer.status_code == 401, operation


def test_no_operation_answers_without_its_scope(stage: Stage, admin: httpx.Client) -> None:
    tokens = {"worker": stage.worker_token}  # first, before others rotate its secret
    for scope in set(SCOPES) - {"worker", "admin"}:
        body = {"name": scope, "scopes": [scope]}
        made = admin.post("/v1/clients", json=body).json()
        tokens[scope] = stage.token(made)

    wrong = {}
    for scope, token in tokens.items():
        for operation in GUARDED:
            answer = stage.call(operation, {"Authorization": f"Bearer {token}"})
            refused = answer.status_code == 403
            if refused == (operation.scope in {scope, SIGNED_IN}):
                wrong[operation.method, operation.path, scope] = answer.status_code
            if refused:
                challenge = answer.headers["WWW-Authenticate"]
                assert 'error="insufficient_scope"' in challenge
                assert f'scope="{operation.scope}"' in challenge

    assert wrong == {}


def test_every_operation_answers_to_a_good_token(stage: Stage) -> None:
    for operation in sorted(GUARDED, key=lambda operation: operation.path.endswith("/retire")):
        answer = stage.call(operation, {"Authorization": f"Bearer {stage.good_for(operation)}"})

        assert answer.status_code not in {400, 401, 403, 405}, operation
        assert answer.status_code < 500, (operation, answer.text)
        if operation.path == "/v1/agents/{agent_id}/secret":
            stage = replace(stage, worker_token=stage.token(answer.json()))


def test_a_removed_client_and_a_rotated_secret_end_their_tokens_everywhere(
    stage: Stage, admin: httpx.Client
) -> None:
    body = {"scopes": sorted(set(SCOPES) - {"worker"})}
    removed = admin.post("/v1/clients", json={"name": "removed"} | body).json()
    rotated = admin.post("/v1/clients", json={"name": "rotated"} | body).json()
    tokens = [stage.token(made) for made in (removed, rotated)]
    admin.delete(f"/v1/clients/{removed['client_id']}").raise_for_status()
    admin.post(f"/v1/clients/{rotated['client_id']}/secret").raise_for_status()
    admin.post(f"/v1/agents/{stage.agent_id}/secret").raise_for_status()

    for operation in GUARDED:
        for token in [*tokens, stage.worker_token]:
            answer = stage.call(operation, {"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, operation


def test_a_worker_of_another_agent_finds_none(stage: Stage, admin: httpx.Client) -> None:
    other = admin.post("/v1/agents", json={"name": "other", "capabilities": ["x"]}).json()

    for operation in GUARDED:
        if operation.scope == "worker":
            for path_id in (other["agent_id"], str(uuid4()), "reviewer"):
                answer = stage.call(
                    operation,
                    {"Authorization": f"Bearer {stage.worker_token}"},
                    path=stage.path(operation, path_id),
                    json={},
                )
                assert answer.status_code == 404, operation


# Another tenant.


@pytest.fixture
def eve(service: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    """An administrator of another tenant."""
    body = {
        "username": "eve",
        "password": "correct horse",
        "scopes": ["admin"],
        "tenant": "acme",
    }
    admin.post("/v1/users", json=body).raise_for_status()
    with service.client("eve", "correct horse") as eve:
        yield eve


BODIES: dict[str, Any] = {
    "/v1/agents/{agent_id}": {"slots": 2},
    "/v1/replays/{replay_id}/speed": {"speed": 2},
}
MOMENTS = {"from": "v1"}


def test_what_belongs_to_another_tenant_is_not_there(
    stage: Stage, admin: httpx.Client, eve: httpx.Client
) -> None:
    task = admin.post("/v1/tasks", json={"kind": "review"}).json()
    user = admin.post("/v1/users", json={"username": "alice", "scopes": ["admin"]}).json()
    client = admin.post("/v1/clients", json={"name": "nightly", "scopes": ["admin"]}).json()
    webhook = {"url": "https://example.org/hook", "channels": ["tasks"]}
    ids = {
        "{task_id}": task["task_id"],
        "{webhook_id}": admin.post("/v1/webhooks", json=webhook).json()["webhook_id"],
        "{agent_id}": stage.agent_id,
        "{user_id}": user["user_id"],
        "{client_id}": client["client_id"],
        "{replay_id}": admin.post("/v1/replays", json={"from": "1:1"}).json()["replay_id"],
    }
    # Backups belong to no tenant: whoever is not the operator is refused for want of the scope.
    others = {"worker", "backups:admin"}
    named = [one for one in GUARDED if "_id}" in one.path and one.scope not in others]
    assert named

    for operation in named:
        path = operation.path
        for name, value in ids.items():
            path = path.replace(name, value)
        asked: dict[str, Any] = {
            "json": BODIES.get(operation.path, {}),
            "params": MOMENTS if path.endswith("/diff") else {},
        }
        foreign = eve.request(operation.method, path, **asked)
        path = re.sub(r"\{\w+\}", str(uuid4()), operation.path)
        nothing = eve.request(operation.method, path, **asked)

        assert foreign.status_code == nothing.status_code == 404, operation
        assert foreign.json()["code"] == nothing.json()["code"], operation

    shown = admin.get(f"/v1/tasks/{task['task_id']}", params={"seen": task["cursor"]})
    assert shown.json()["version"] == 1


def test_lists_hold_what_belongs_to_the_caller_only(
    stage: Stage, admin: httpx.Client, eve: httpx.Client
) -> None:
    task = admin.post("/v1/tasks", json={"kind": "review"}).json()
    theirs = eve.post("/v1/tasks", json={"kind": "spying"}).json()
    seen = {"seen": theirs["cursor"]}

    assert [item["id"] for item in eve.get("/v1/tasks", params=seen).json()["items"]] == [
        theirs["task_id"]
    ]
    assert [item["id"] for item in admin.get("/v1/tasks", params=seen).json()["items"]] == [
        task["task_id"]
    ]
    assert eve.get("/v1/agents", params=seen).json()["items"] == []
    for path in ("/v1/events", "/v1/activity"):
        shown = eve.get(path, params=seen).json()["items"]
        subjects = {one["subject"] for one in shown if not one["type"].startswith("audit.")}
        assert subjects == {f"task/{theirs['task_id']}"}
        assert {one["actor"] for one in shown} == {"user/eve"}
    assert eve.get("/v1/tasks/counts", params=seen).json()["counts"]["queued"] == 1


def test_a_task_cannot_be_the_child_of_another_tenants_task(
    admin: httpx.Client, eve: httpx.Client
) -> None:
    task = admin.post("/v1/tasks", json={"kind": "review"}).json()

    answer = eve.post("/v1/tasks", json={"kind": "x", "parent_id": task["task_id"]})

    assert answer.status_code == 404


def test_agents_of_one_name_in_two_tenants_are_two(stage: Stage, eve: httpx.Client) -> None:
    body = {"name": "reviewer", "capabilities": ["review"]}

    answer = eve.post("/v1/agents", json=body)

    assert answer.status_code == 201
    assert answer.json()["agent_id"] != stage.agent_id


def test_an_administrator_of_another_tenant_gets_no_further_than_that(eve: httpx.Client) -> None:
    body = {"username": "mole", "scopes": ["tasks:read"], "tenant": "default"}

    assert eve.post("/v1/users", json=body).status_code == 404
    answer = eve.post("/v1/clients", json={"name": "mole", "scopes": ["backups:admin"]})
    assert answer.status_code == 422
    assert answer.json()["code"] == "scope_not_grantable"
