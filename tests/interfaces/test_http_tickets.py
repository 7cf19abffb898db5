"""One-time tickets over HTTP: whoever is signed in gets one, and the process takes it back."""

import asyncio
from pathlib import Path

import httpx
import pytest

from application.access import InvalidToken
from application.accounts.account import Claims
from interfaces.bootstrap import ControlPlaneProcess
from tests.conftest import Database
from tests.interfaces.service import Service

PATH = "/v1/ws-tickets"


def redeemed(process: ControlPlaneProcess, ticket: str) -> Claims:
    async def redeem() -> Claims:
        return await process.tickets.redeem(ticket)

    loop = process.watermarks._loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(redeem(), loop).result(timeout=20)


def test_a_ticket_stands_for_the_token_it_was_asked_for_with(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    answer = shared_admin.post(PATH)

    assert answer.status_code == 201
    assert set(answer.json()) == {"ticket", "expires_in"}
    assert answer.json()["expires_in"] == 30
    token = shared_admin.headers["Authorization"].removeprefix("Bearer ")
    of_token = shared_service.process.tokens.verify(token)
    assert redeemed(shared_service.process, answer.json()["ticket"]) == of_token


def test_whoever_is_signed_in_gets_a_ticket(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    made = shared_admin.post("/v1/agents", json={"name": "a", "capabilities": ["a"]}).json()

    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        ticket = worker.post(PATH).raise_for_status().json()["ticket"]

    assert redeemed(shared_service.process, ticket).scopes == {"worker"}


def test_a_ticket_is_no_token(shared_admin: httpx.Client) -> None:
    ticket = shared_admin.post(PATH).json()["ticket"]

    answer = shared_admin.post(PATH, headers={"Authorization": f"Bearer {ticket}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_repeated_request_gets_another_ticket(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    first, second = (
        shared_admin.post(PATH, headers={"Idempotency-Key": "1"}).json()["ticket"] for _ in range(2)
    )

    assert redeemed(shared_service.process, first) == redeemed(shared_service.process, second)
    with pytest.raises(InvalidToken):
        redeemed(shared_service.process, first)


def test_another_process_takes_a_ticket_that_this_one_made(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path) as one, one.client() as admin:
        ticket = admin.post(PATH).json()["ticket"]

        async def redeem_elsewhere() -> Claims:
            other = ControlPlaneProcess(one.process.settings)
            await other.start()
            try:
                return await other.tickets.redeem(ticket)
            finally:
                await other.stop()

        assert asyncio.run(redeem_elsewhere()).tenant == "default"
        with pytest.raises(InvalidToken):
            redeemed(one.process, ticket)
