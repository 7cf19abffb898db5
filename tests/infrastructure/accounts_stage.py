"""What the tests of accounts share: people, and accounts as one process sees them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from application.access import Principal
from application.accounts.account import Account, Claims
from application.accounts.administration import Accounts
from application.accounts.principals import principal_for
from domain.agent import agent_id_of
from infrastructure.postgres.accounts import PostgresAccounts
from infrastructure.postgres.pool import make_async_pool
from infrastructure.security.passwords import Argon2Hasher
from tests.conftest import Database
from tests.given import a_key

PASSWORD = "correct horse battery"
REVIEWER = agent_id_of("default", "reviewer")
Story = Callable[[Accounts], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


@asynccontextmanager
async def accounts_of(database: Database) -> AsyncIterator[Accounts]:
    """The accounts as one process sees them."""
    async with make_async_pool(database.url, connections_max=8) as pool:
        yield Accounts(PostgresAccounts(pool), Argon2Hasher(memory_kib=64, passes=1))


@pytest.fixture
def play(database: Database) -> Play:
    """Plays a story on the accounts of a fresh database."""

    def play(story: Story) -> None:
        async def played() -> None:
            async with accounts_of(database) as accounts:
                await story(accounts)

        asyncio.run(played())

    return play


def claims_of(account: Account) -> Claims:
    return Claims(
        account_id=account.account_id,
        tenant=account.tenant,
        scopes=account.scopes,
        generation=account.generation,
        agent_id=account.agent_id,
        expires_at=0,
    )


async def the_operator(accounts: Accounts) -> Principal:
    """The first administrator, signed in."""
    await accounts.ensure_administrator(PASSWORD)
    account = await accounts.sign_in.with_password("admin", PASSWORD, address="here")
    return principal_for(account, account.scopes)


async def a_user(accounts: Accounts, by: Principal, **changes: Any) -> Account:
    wanted = {"username": "alice", "password": PASSWORD, "scopes": ["tasks:read"], "tenant": None}
    return (await accounts.add_user(by, request=a_key(), **(wanted | changes))).account
