"""Signing in (RFC 6749)."""

import base64
from typing import Any
from urllib.parse import quote_plus

import httpx
import jwt
import pytest

from tests.interfaces.service import PASSWORD, Service

PATH = "/v1/oauth/token"
GOOD = {"grant_type": "password", "username": "admin", "password": PASSWORD}


@pytest.fixture
def anybody(shared_service: Service) -> Any:
    with httpx.Client(base_url=shared_service.url) as anybody:
        yield anybody


def test_a_password_gets_a_token(anybody: httpx.Client) -> None:
    answer = anybody.post(PATH, data=GOOD)

    assert answer.status_code == 200
    found = answer.json()
    assert set(found) == {"access_token", "token_type", "expires_in", "scope"}
    assert (found["token_type"], found["expires_in"], found["scope"]) == ("Bearer", 900, "admin")
    assert answer.headers["Cache-Control"] == "no-store"
    assert jwt.get_unverified_header(found["access_token"])["typ"] == "at+jwt"


def test_a_token_for_less_does_less(anybody: httpx.Client) -> None:
    found = anybody.post(PATH, data=GOOD | {"scope": "tasks:read agents:read"}).json()
    bearer = {"Authorization": f"Bearer {found['access_token']}"}

    assert found["scope"] == "agents:read tasks:read"
    assert anybody.get("/v1/tasks", headers=bearer).status_code == 200
    assert anybody.get("/v1/users", headers=bearer).status_code == 403


@pytest.mark.parametrize("by_header", [False, True])
def test_a_secret_gets_a_token_in_the_form_or_by_basic(
    anybody: httpx.Client, shared_admin: httpx.Client, by_header: bool
) -> None:
    name = f"by header {by_header}"
    made = shared_admin.post("/v1/clients", json={"name": name, "scopes": ["admin"]}).json()
    client_id, secret = made["client_id"], made["client_secret"]
    form = {"grant_type": "client_credentials"}
    if by_header:
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        answer = anybody.post(PATH, data=form, headers=headers)
    else:
        answer = anybody.post(PATH, data=form | {"client_id": client_id, "client_secret": secret})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"grant_type": "password", "username": "admin"}, "invalid_request"),
        ({"grant_type": "client_credentials", "client_id": "x"}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, "unsupported_grant_type"),
        (GOOD | {"password": "wrong"}, "invalid_grant"),
        (GOOD | {"username": "nobody"}, "invalid_grant"),
        (GOOD | {"scope": "worker"}, "invalid_scope"),
        (GOOD | {"scope": "everything"}, "invalid_scope"),
        (GOOD | {"password": "a\0b"}, "invalid_request"),
    ],
)
def test_what_gets_no_token_is_named_as_in_the_standard(
    anybody: httpx.Client, form: dict[str, str], error: str
) -> None:
    answer = anybody.post(PATH, data=form, headers=_form())

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"] == answer.json()["code"] == error
    assert answer.json()["error_description"]
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("client_id", ["018f6a3e-1c2b-7d4e-9f00-0123456789ab", "nightly", ""])
def test_a_client_that_is_none_is_challenged(anybody: httpx.Client, client_id: str) -> None:
    pair = base64.b64encode(f"{client_id}:secret".encode()).decode()
    form = {"grant_type": "client_credentials"}

    answer = anybody.post(PATH, data=form, headers={"Authorization": f"Basic {pair}"})

    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="musterroll"'


@pytest.mark.parametrize(
    "authorization", ["Basic", "Basic !", "Basic /w==", "Bearer x", "Digest x", ""]
)
def test_a_header_that_is_not_basic_is_refused(anybody: httpx.Client, authorization: str) -> None:
    form = {"grant_type": "client_credentials"}

    answer = anybody.post(PATH, data=form, headers={"Authorization": authorization})

    assert answer.status_code == 400 or answer.json()["error"] == "invalid_client"


def test_credentials_come_once(anybody: httpx.Client) -> None:
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    headers = {"Authorization": "Basic YTpi"}

    assert anybody.post(PATH, data=form, headers=headers).json()["error"] == "invalid_request"
    twice = b"grant_type=password&username=admin&username=admin&password=x"
    assert anybody.post(PATH, content=twice, headers=_form()).json()["error"] == "invalid_request"


@pytest.mark.parametrize("body", [b"\xff=1", b"a=%FF", b"&".join([b"a=b"] * 50)])
def test_a_form_that_cannot_be_read_is_refused(anybody: httpx.Client, body: bytes) -> None:
    answer = anybody.post(PATH, content=body, headers=_form())

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_json_is_no_form_and_a_form_is_bounded(anybody: httpx.Client) -> None:
    assert anybody.post(PATH, json=GOOD).status_code == 415
    assert anybody.post(PATH, data=GOOD | {"x": "y" * 20_000}).status_code == 413


def test_members_that_nobody_knows_are_ignored(anybody: httpx.Client) -> None:
    assert anybody.post(PATH, data=GOOD | {"audience": "x"}).status_code == 200


def test_guessing_is_answered_with_a_pause(anybody: httpx.Client) -> None:
    wrong = GOOD | {"username": "victim", "password": "wrong"}
    for _ in range(10):
        assert anybody.post(PATH, data=wrong).status_code == 400

    answer = anybody.post(PATH, data=wrong)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_attempts")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert anybody.post(PATH, data=GOOD).status_code == 200


def _form() -> dict[str, str]:
    return {"Content-Type": "application/x-www-form-urlencoded"}
