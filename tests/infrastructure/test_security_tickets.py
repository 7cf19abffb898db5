"""One-time tickets: each is good once, for a moment, anywhere in the installation."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.access import InvalidToken
from application.accounts.account import Account, Claims
from infrastructure.postgres.pool import make_async_pool
from infrastructure.postgres.tickets import PostgresSpentTickets
from infrastructure.security.signing_key import SigningKey
from infrastructure.security.tickets import JwtTickets
from infrastructure.security.tokens import JwtAccessTokens
from tests.conftest import Database

KEY = SigningKey(Ed25519PrivateKey.generate())
NOW = 1_800_000_000
ISSUER = "urn:uuid:00000000-0000-0000-0000-000000000001"
HEADER = {"alg": "EdDSA", "typ": "ticket+jwt", "kid": KEY.key_id}
CLAIMS = Claims(
    account_id=UUID(int=7),
    tenant="acme",
    scopes=frozenset({"tasks:read", "agents:read"}),
    generation=3,
    agent_id=None,
    expires_at=NOW + 600,
)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def tickets_of(
    database: Database, clock: Callable[[], float], key: SigningKey = KEY
) -> AsyncIterator[JwtTickets]:
    """The tickets as one process of the installation makes and takes them."""
    async with make_async_pool(database.url, connections_max=4) as pool:
        yield JwtTickets(key, PostgresSpentTickets(pool), issuer=ISSUER, clock=clock)


Story = Callable[[JwtTickets], Coroutine[Any, Any, None]]


def played(database: Database, story: Story, clock: Callable[[], float] | None = None) -> None:
    async def play() -> None:
        async with tickets_of(database, clock or Clock()) as tickets:
            await story(tickets)

    asyncio.run(play())


async def refused(tickets: JwtTickets, ticket: str) -> None:
    with pytest.raises(InvalidToken):
        await tickets.redeem(ticket)


def test_a_ticket_gives_the_rights_and_the_end_of_its_token(database: Database) -> None:
    agents = replace(CLAIMS, agent_id=UUID(int=8), scopes=frozenset({"worker"}))

    async def story(tickets: JwtTickets) -> None:
        assert await tickets.redeem(tickets.issue(CLAIMS)) == CLAIMS
        assert await tickets.redeem(tickets.issue(agents)) == agents

    played(database, story)


def test_a_ticket_is_good_once_in_all_processes_together(database: Database) -> None:
    async def story(tickets: JwtTickets) -> None:
        async with tickets_of(database, Clock()) as elsewhere:
            ticket = tickets.issue(CLAIMS)
            places = [tickets, elsewhere] * 10

            outcomes = await asyncio.gather(
                *(place.redeem(ticket) for place in places), return_exceptions=True
            )

            assert outcomes.count(CLAIMS) == 1
            assert sum(isinstance(one, InvalidToken) for one in outcomes) == len(places) - 1

    played(database, story)


def test_a_ticket_is_good_for_30_seconds(database: Database) -> None:
    clock = Clock()

    async def story(tickets: JwtTickets) -> None:
        first, second = tickets.issue(CLAIMS), tickets.issue(CLAIMS)
        clock.now = NOW + 29.9
        assert await tickets.redeem(first) == CLAIMS
        clock.now = NOW + 30
        await refused(tickets, second)

    played(database, story, clock)


def test_a_ticket_ends_with_its_token_when_that_is_sooner(database: Database) -> None:
    clock = Clock()

    async def story(tickets: JwtTickets) -> None:
        ticket = tickets.issue(replace(CLAIMS, expires_at=NOW + 2))
        clock.now = NOW + 8
        await refused(tickets, ticket)

    played(database, story, clock)


def test_a_ticket_of_a_clock_that_goes_a_little_before_is_good(database: Database) -> None:
    clock = Clock()

    async def story(tickets: JwtTickets) -> None:
        clock.now = NOW + 4
        ahead = tickets.issue(CLAIMS)
        clock.now = NOW + 60
        far_ahead = tickets.issue(CLAIMS)
        clock.now = NOW
        assert await tickets.redeem(ahead) == CLAIMS
        await refused(tickets, far_ahead)

    played(database, story, clock)


def test_neither_a_ticket_nor_a_token_passes_for_the_other(database: Database) -> None:
    tokens = JwtAccessTokens(KEY, issuer=ISSUER, lifetime_seconds=900, clock=Clock())
    account = Account(
        account_id=CLAIMS.account_id,
        kind="user",
        name="alice",
        tenant="acme",
        scopes=CLAIMS.scopes,
        secret_hash="",
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )

    async def story(tickets: JwtTickets) -> None:
        await refused(tickets, tokens.issue(account, account.scopes))
        with pytest.raises(InvalidToken):
            tokens.verify(tickets.issue(CLAIMS))

    played(database, story)


def payload(**changes: Any) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "aud": "musterroll/tickets",
        "sub": str(CLAIMS.account_id),
        "iat": NOW,
        "exp": NOW + 30,
        "until": NOW + 600,
        "jti": str(uuid4()),
        "scope": "tasks:read",
        "tenant": "acme",
        "gen": 3,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(members: dict[str, Any], *, key: Any = KEY.private, **header: Any) -> str:
    return jwt.encode(members, key, algorithm="EdDSA", headers=HEADER | header)


BAD_TICKETS = {
    "empty": "",
    "no ticket": "hello",
    "too long": signed(payload(tenant="x" * 9_000)),
    "not ascii": signed(payload()) + "\u00e9",
    "signed by a stranger": signed(payload(), key=Ed25519PrivateKey.generate()),
    "of the type of a token": signed(payload(), typ="at+jwt"),
    "for the audience of a token": signed(payload(aud="musterroll")),
    "of another installation": signed(payload(iss="urn:uuid:2")),
    "an unknown crit": signed(payload(), crit=["exp"]),
    "an end that is text": signed(payload(exp="9999999999")),
    "a number that is no id": signed(payload(jti="1")),
    "a generation that is true": signed(payload(gen=True)),
} | {f"without {name}": signed(payload(**{name: None})) for name in payload()}


@pytest.mark.parametrize("what", BAD_TICKETS)
def test_a_bad_ticket_is_refused_and_leaves_nothing(database: Database, what: str) -> None:
    played(database, lambda tickets: refused(tickets, BAD_TICKETS[what]))

    assert spent(database) == 0


def test_a_ticket_forged_like_ours_by_our_key_is_believed(database: Database) -> None:
    async def story(tickets: JwtTickets) -> None:
        assert (await tickets.redeem(signed(payload()))).tenant == "acme"

    played(database, story)


def test_what_was_spent_long_ago_is_forgotten_as_others_are_spent(database: Database) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO musterroll.spent_tickets"
            " SELECT gen_random_uuid(), now() - interval '1 hour' FROM generate_series(1, 20)"
        )

    async def story(tickets: JwtTickets) -> None:
        for _ in range(15):
            await tickets.redeem(tickets.issue(CLAIMS))

    played(database, story)

    assert spent(database) == 15


def spent(database: Database) -> int:
    with psycopg.connect(database.owner_url) as owner:
        row = owner.execute("SELECT count(*) FROM musterroll.spent_tickets").fetchone()
    assert row is not None
    return int(row[0])
