"""Signing in, and what ends it."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from application.access import Foreign, InvalidToken
from application.accounts.account import (
    Claims,
    LastAdministrator,
    ScopeNotHeld,
    TooManyAttempts,
    WrongPassword,
    WrongSecret,
)
from application.accounts.administration import Accounts
from application.accounts.sign_in import narrowed
from tests.conftest import Database
from tests.given import a_key
from tests.infrastructure.accounts_stage import (
    PASSWORD,
    REVIEWER,
    Play,
    a_user,
    accounts_of,
    claims_of,
    play,
    the_operator,
)

__all__ = ["play"]

HERE, THERE = "192.0.2.1", "198.51.100.1"


# Signing in.


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice", "wrong password"),
        ("bob", PASSWORD),
        ("", PASSWORD),
        ("alice", ""),
        ("a\0", PASSWORD),
        ("a" * 100_000, PASSWORD),
        ("alice", "x" * 100_000),
    ],
)
def test_wrong_credentials_are_all_refused_alike(play: Play, username: str, password: str) -> None:
    async def story(accounts: Accounts) -> None:
        await a_user(accounts, await the_operator(accounts))

        with pytest.raises(WrongPassword, match="The name or the secret is wrong"):
            await accounts.sign_in.with_password(username, password, address=HERE)

    play(story)


def test_a_user_is_no_client_and_a_client_no_user(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        user = await a_user(accounts, by)
        client = await accounts.add_client(
            by, name="nightly", scopes=[], tenant=None, request=a_key()
        )

        with pytest.raises(WrongSecret):
            await accounts.sign_in.with_client_secret(str(user.account_id), PASSWORD, address=HERE)
        with pytest.raises(WrongPassword):
            await accounts.sign_in.with_password("nightly", client.secret or "", address=HERE)
        with pytest.raises(WrongSecret):
            await accounts.sign_in.with_client_secret("no id", PASSWORD, address=HERE)

    play(story)


def test_guessing_is_slowed_down_for_that_name_and_address_only(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        await a_user(accounts, await the_operator(accounts))
        for _ in range(10):
            with pytest.raises(WrongPassword):
                await accounts.sign_in.with_password("alice", "wrong", address=THERE)

        with pytest.raises(TooManyAttempts):
            await accounts.sign_in.with_password("alice", PASSWORD, address=THERE)
        await accounts.sign_in.with_password("alice", PASSWORD, address=HERE)
        await accounts.sign_in.with_password("admin", PASSWORD, address=THERE)

    play(story)


def test_trying_many_names_is_slowed_down_for_that_address(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        await the_operator(accounts)
        for number in range(60):
            with pytest.raises(WrongPassword):
                await accounts.sign_in.with_password(f"user{number}", "wrong", address=THERE)

        with pytest.raises(TooManyAttempts):
            await accounts.sign_in.with_password("admin", PASSWORD, address=THERE)
        await accounts.sign_in.with_password("admin", PASSWORD, address=HERE)

    play(story)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("x1", "x2"),
        ("", "unix:"),
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
    ],
)
def test_one_place_under_other_names_is_one_place(play: Play, first: str, other: str) -> None:
    async def story(accounts: Accounts) -> None:
        await the_operator(accounts)
        for _ in range(10):
            with pytest.raises(WrongPassword):
                await accounts.sign_in.with_password("admin", "wrong", address=first)

        with pytest.raises(TooManyAttempts):
            await accounts.sign_in.with_password("admin", "wrong", address=other)

    play(story)


def test_a_secret_that_is_known_passes_a_flood_from_its_address(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        made = await accounts.add_client(
            by, name="nightly", scopes=[], tenant=None, request=a_key()
        )
        client_id, secret = str(made.account.account_id), made.secret or ""
        await accounts.sign_in.with_client_secret(client_id, secret, address=THERE)
        for number in range(65):
            with pytest.raises((WrongPassword, TooManyAttempts)):
                await accounts.sign_in.with_password(f"user{number}", "wrong", address=THERE)

        found = await accounts.sign_in.with_client_secret(client_id, secret, address=THERE)

        assert found == made.account

    play(story)


@pytest.mark.parametrize("how", ["rotated", "removed"])
def test_a_known_secret_that_ended_is_refused(play: Play, how: str) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        made = await accounts.add_client(
            by, name="nightly", scopes=[], tenant=None, request=a_key()
        )
        account_id, secret = made.account.account_id, made.secret or ""
        await accounts.sign_in.with_client_secret(str(account_id), secret, address=HERE)
        if how == "removed":
            await accounts.remove(by, "client", account_id)
        else:
            await accounts.rotate(by, "client", account_id, request=a_key())

        with pytest.raises(WrongSecret):
            await accounts.sign_in.with_client_secret(str(account_id), secret, address=HERE)

    play(story)


def test_guessing_from_many_addresses_is_slowed_down_for_that_name(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        await a_user(accounts, await the_operator(accounts))
        throttle_stands_still(accounts)
        await guess_from_everywhere(accounts, "alice")

        with pytest.raises(TooManyAttempts):
            await accounts.sign_in.with_password("alice", PASSWORD, address="203.0.113.77")
        await accounts.sign_in.with_password("admin", PASSWORD, address="203.0.113.77")

    play(story)


def test_who_signed_in_from_a_place_before_is_held_up_there_by_that_place_only(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        await a_user(accounts, await the_operator(accounts))
        throttle_stands_still(accounts)
        await accounts.sign_in.with_password("alice", PASSWORD, address=HERE)

        await guess_from_everywhere(accounts, "alice")

        await accounts.sign_in.with_password("alice", PASSWORD, address=HERE)
        for _ in range(10):
            with pytest.raises(WrongPassword):
                await accounts.sign_in.with_password("alice", "wrong", address=HERE)
        with pytest.raises(TooManyAttempts):
            await accounts.sign_in.with_password("alice", PASSWORD, address=HERE)

    play(story)


def throttle_stands_still(accounts: Accounts) -> None:
    """No attempt comes back while the test takes its time."""
    for throttle in (accounts.sign_in._names, accounts.sign_in._users):
        throttle._clock = lambda: 0.0


async def guess_from_everywhere(accounts: Accounts, username: str) -> None:
    for place in range(20):
        address = f"198.51.100.{place}"
        for _ in range(5):
            with pytest.raises(WrongPassword):
                await accounts.sign_in.with_password(username, "wrong", address=address)


def test_a_token_is_for_some_of_the_scopes_at_most(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        user = await a_user(accounts, by, scopes=["tasks:read", "tasks:write"])
        administrator = await accounts.sign_in.with_password("admin", PASSWORD, address=HERE)

        assert narrowed(user, None) == {"tasks:read", "tasks:write"}
        assert narrowed(user, "tasks:read") == {"tasks:read"}
        assert narrowed(administrator, "audit:read tasks:read") == {"audit:read", "tasks:read"}
        for wanted in ("admin", "tasks:read admin", "", " ", "worker", "nonsense"):
            with pytest.raises(ScopeNotHeld):
                narrowed(user, wanted)

    play(story)


# Ending.


def test_a_removed_account_is_refused_at_once(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        user = await a_user(accounts, by)
        await accounts.principals.of(claims_of(user))

        await accounts.remove(by, "user", user.account_id)

        with pytest.raises(InvalidToken):
            await accounts.principals.of(claims_of(user))
        with pytest.raises(WrongPassword):
            await accounts.sign_in.with_password("alice", PASSWORD, address=HERE)
        with pytest.raises(Foreign):
            await accounts.remove(by, "user", user.account_id)
        with pytest.raises(Foreign):
            await accounts.rotate(by, "user", user.account_id, request=a_key())

    play(story)


def test_a_rotated_secret_ends_the_former_one_and_its_tokens_at_once(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        issued = await accounts.add_client(
            by, name="nightly", scopes=[], tenant=None, request=a_key()
        )
        client_id, former = str(issued.account.account_id), issued.secret or ""
        await accounts.sign_in.with_client_secret(client_id, former, address=HERE)
        await accounts.principals.of(claims_of(issued.account))

        renewed = await accounts.rotate(by, "client", issued.account.account_id, request=a_key())

        with pytest.raises(InvalidToken):
            await accounts.principals.of(claims_of(issued.account))
        with pytest.raises(WrongSecret):
            await accounts.sign_in.with_client_secret(client_id, former, address=HERE)
        await accounts.principals.of(claims_of(renewed.account))
        await accounts.sign_in.with_client_secret(client_id, renewed.secret or "", address=HERE)

    play(story)


def test_another_process_learns_of_a_removal_within_a_second(database: Database) -> None:
    async def story() -> float:
        async with accounts_of(database) as here, accounts_of(database) as there:
            by = await the_operator(here)
            user = await a_user(here, by)
            await there.principals.of(claims_of(user))

            await here.remove(by, "user", user.account_id)

            removed_at = time.monotonic()
            while True:
                try:
                    await there.principals.of(claims_of(user))
                except InvalidToken:
                    return time.monotonic() - removed_at
                await asyncio.sleep(0.01)

    assert asyncio.run(story()) < 1


def test_a_look_up_that_was_overtaken_by_a_removal_is_not_believed(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        user = await a_user(accounts, by)
        await accounts.remove(by, "user", user.account_id)

        accounts.principals.remember(user)

        with pytest.raises(InvalidToken):
            await accounts.principals.of(claims_of(user))

    play(story)


@pytest.mark.parametrize(
    "changes",
    [{"tenant": "acme"}, {"agent_id": REVIEWER}, {"generation": 2}, {"account_id": uuid4()}],
)
def test_claims_that_do_not_fit_the_account_are_refused(
    play: Play, changes: dict[str, Any]
) -> None:
    async def story(accounts: Accounts) -> None:
        user = await a_user(accounts, await the_operator(accounts))
        good = claims_of(user)
        fields = {name: getattr(good, name) for name in Claims.__slots__}

        with pytest.raises(InvalidToken):
            await accounts.principals.of(Claims(**(fields | changes)))

    play(story)


def test_a_token_gives_no_scope_that_its_account_lacks(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        user = await a_user(accounts, await the_operator(accounts))
        good = claims_of(user)
        fields = {name: getattr(good, name) for name in Claims.__slots__}
        more = Claims(**(fields | {"scopes": frozenset({"tasks:read", "admin"})}))

        principal = await accounts.principals.of(more)

        assert principal.scopes == {"tasks:read"}

    play(story)


def test_the_last_administrator_stays(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        with pytest.raises(LastAdministrator):
            await accounts.remove(by, "user", by.account_id)

        other = await a_user(accounts, by, username="bob", scopes=["admin"])
        outcomes = await asyncio.gather(
            accounts.remove(by, "user", other.account_id),
            accounts.remove(by, "user", by.account_id),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == [
            "LastAdministrator",
            "NoneType",
        ]

    play(story)
