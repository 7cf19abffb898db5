"""Who asks is looked up once for all who ask, before it is too old, and in vain for nobody."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from application.access import InvalidToken, Principal
from application.accounts.account import Account
from application.accounts.administration import Accounts
from application.accounts.principals import AGEING_SECONDS, FRESH_SECONDS, Principals
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.accounts import PostgresAccounts
from infrastructure.postgres.pool import make_async_pool
from tests.conftest import Database
from tests.infrastructure.accounts_stage import a_user, accounts_of, claims_of, the_operator

TOGETHER = 20


class Watched(PostgresAccounts):
    """The accounts, with a count of the look-ups; while `away` none of them is answered."""

    looks = 0
    away = False

    async def by_id(self, account_id: UUID) -> Account | None:
        self.looks += 1
        if self.away:
            raise DatabaseUnavailable("It is away.")
        return await super().by_id(account_id)


class Stage:
    """A process that knows alice, with a clock that stands still, and another that removes her."""

    def __init__(self, store: Watched, others: Accounts, operator: Principal, alice: Account):
        self.store = store
        self.now = 0.0
        self._others = others
        self._operator = operator
        self._claims = claims_of(alice)
        self._principals = Principals(store, clock=lambda: self.now)

    async def ask(self) -> str:
        return (await self._principals.of(self._claims)).subject

    async def remove_alice(self) -> None:
        await self._others.remove(self._operator, "user", self._claims.account_id)

    async def until_looked_up(self) -> None:
        await asyncio.gather(*self._principals._looking.values(), return_exceptions=True)


Story = Callable[[Stage], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(database: Database) -> Play:
    """Plays a story on a fresh database."""

    async def played(story: Story) -> None:
        pool = make_async_pool(database.url, connections_max=2)
        async with accounts_of(database) as others, pool:
            operator = await the_operator(others)
            alice = await a_user(others, operator)
            await story(Stage(Watched(pool), others, operator, alice))

    return lambda story: asyncio.run(played(story))


def test_those_who_ask_at_once_are_answered_by_one_look_up(play: Play) -> None:
    async def story(stage: Stage) -> None:
        answers = await asyncio.gather(*(stage.ask() for _ in range(TOGETHER)))

        assert answers == ["user/alice"] * TOGETHER
        assert stage.store.looks == 1

    play(story)


def test_one_who_goes_away_takes_the_answer_from_nobody(play: Play) -> None:
    async def story(stage: Stage) -> None:
        first, second = asyncio.create_task(stage.ask()), asyncio.create_task(stage.ask())
        await asyncio.sleep(0)

        first.cancel()

        assert await second == "user/alice"
        assert stage.store.looks == 1

    play(story)


def test_who_asks_all_the_time_never_waits(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.ask()
        for _ in range(3):
            stage.now += AGEING_SECONDS
            asked = stage.ask().send  # It ends without waiting for anything.
            with pytest.raises(StopIteration, match="user/alice"):
                asked(None)
            await stage.until_looked_up()

        assert stage.store.looks == 4

    play(story)


def test_a_revocation_elsewhere_counts_once_the_account_is_too_old(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.ask()
        await stage.remove_alice()

        stage.now = FRESH_SECONDS

        with pytest.raises(InvalidToken):
            await stage.ask()

    play(story)


def test_a_revocation_elsewhere_counts_as_soon_as_it_is_seen(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.ask()
        await stage.remove_alice()

        stage.now = AGEING_SECONDS
        assert await stage.ask() == "user/alice"
        await stage.until_looked_up()

        with pytest.raises(InvalidToken):
            await stage.ask()

    play(story)


def test_a_database_that_is_away_is_noticed_once_the_account_is_too_old(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.ask()
        stage.store.away = True

        stage.now = AGEING_SECONDS
        assert await stage.ask() == "user/alice"
        await stage.until_looked_up()
        stage.now = FRESH_SECONDS
        with pytest.raises(DatabaseUnavailable):
            await stage.ask()
        stage.store.away = False

        assert await stage.ask() == "user/alice"

    play(story)
