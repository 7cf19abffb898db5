"""Accounts on PostgreSQL: added and repeated, and kept without a secret in clear."""

import asyncio
from typing import Any

import psycopg
import pytest

from application.access import Foreign, InsufficientScope, Principal
from application.accounts.account import AccountExists, ScopeNotGrantable
from application.accounts.administration import Accounts, new_password
from application.accounts.principals import principal_for
from application.commands import RequestKey
from domain.errors import IdempotencyKeyReused, Invalid
from tests.conftest import Database
from tests.given import a_key
from tests.infrastructure.accounts_stage import (
    PASSWORD,
    REVIEWER,
    Play,
    a_user,
    accounts_of,
    play,
    the_operator,
)

__all__ = ["play"]


# Adding.


def test_a_user_signs_in_with_the_password_given(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        added = await a_user(accounts, await the_operator(accounts))

        found = await accounts.sign_in.with_password("alice", PASSWORD, address="here")

        assert found == added
        assert (found.subject, found.tenant) == ("user/alice", "default")
        assert found.scopes == {"tasks:read"}

    play(story)


def test_a_password_that_was_made_works(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        issued = await accounts.add_user(
            by, username="alice", password=None, scopes=[], tenant=None, request=a_key()
        )

        assert issued.secret is not None
        await accounts.sign_in.with_password("alice", issued.secret, address="here")

    play(story)


def test_a_client_signs_in_with_its_id_and_secret(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        issued = await accounts.add_client(
            by, name="nightly", scopes=["tasks:write"], tenant=None, request=a_key()
        )

        assert issued.secret is not None
        assert issued.secret.startswith("mrs_")
        for _ in range(2):  # the second time it is known by its digest
            found = await accounts.sign_in.with_client_secret(
                str(issued.account.account_id), issued.secret, address="here"
            )
            assert found == issued.account

    play(story)


@pytest.mark.parametrize("kind", ["user", "client"])
def test_a_name_is_given_once(play: Play, kind: str) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        await add(accounts, by)

        with pytest.raises(AccountExists, match="called 'alice' already"):
            await add(accounts, by)

    async def add(accounts: Accounts, by: Principal) -> None:
        if kind == "user":
            await a_user(accounts, by)
        else:
            await accounts.add_client(by, name="alice", scopes=[], tenant=None, request=a_key())

    play(story)


def test_a_name_in_another_case_is_the_same_name(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        added: dict[str, Any] = {"scopes": [], "tenant": "acme"}
        await accounts.add_client(by, name="Straße", request=a_key(), **added)

        for tenant in ("default", "acme"):
            with pytest.raises(AccountExists, match="called 'Admin' already"):
                await a_user(accounts, by, username="Admin", tenant=tenant)
        with pytest.raises(AccountExists):
            await accounts.add_client(by, name="straße", request=a_key(), **added)
        await accounts.add_client(by, name="straße", request=a_key(), scopes=[], tenant=None)

    play(story)


def test_of_names_added_at_once_one_is_added(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        outcomes = await asyncio.gather(
            *(a_user(accounts, by, username=name) for name in ("bob", "Bob", "bOB", "BOB")),
            return_exceptions=True,
        )

        assert sum(isinstance(outcome, AccountExists) for outcome in outcomes) == 3

    play(story)


@pytest.mark.parametrize(
    "name", ["a\x85b", "a\x1bb", "txt.\u202egnp", "\u2066a", "a\u200b", "a\nb", "a\u2028b"]
)
def test_a_clients_name_can_be_seen_as_it_is(play: Play, name: str) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        with pytest.raises(Invalid, match="can be seen"):
            await accounts.add_client(by, name=name, scopes=[], tenant=None, request=a_key())

    play(story)


def test_a_password_is_counted_in_characters_and_bounded_in_bytes(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        await a_user(accounts, by, username="short", password="é" * 8)
        await a_user(accounts, by, username="long", password="é" * 512)

    play(story)


def test_a_removed_name_may_be_given_again(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        former = await a_user(accounts, by)
        await accounts.remove(by, "user", former.account_id)

        assert (await a_user(accounts, by)).account_id != former.account_id

    play(story)


@pytest.mark.parametrize(
    "changes",
    [
        {"username": ""},
        {"username": "a" * 101},
        {"username": "alice smith"},
        {"username": "аlice"},  # noqa: RUF001 - a Cyrillic letter that looks like ours
        {"username": "alice\n"},
        {"password": "short"},
        {"password": "é" * 7},
        {"password": "x" * 1025},
        {"password": "é" * 513},
        {"tenant": "Acme"},
        {"tenant": "a/b"},
        {"tenant": ""},
    ],
)
def test_a_user_that_cannot_be_is_refused(play: Play, changes: dict[str, Any]) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        with pytest.raises(Invalid):
            await a_user(accounts, by, **changes)

    play(story)


@pytest.mark.parametrize(
    ("tenant", "scope"),
    [("default", "worker"), ("acme", "worker"), ("acme", "backups:admin"), ("acme", "root")],
)
def test_a_scope_that_cannot_be_given_is_refused(play: Play, tenant: str, scope: str) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)

        with pytest.raises(ScopeNotGrantable, match=scope):
            await a_user(accounts, by, scopes=["tasks:read", scope], tenant=tenant)

    play(story)


# Repeating.


def test_a_repeated_request_gets_the_first_account_and_no_secret(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        key = a_key()
        wanted: dict[str, Any] = {"name": "nightly", "scopes": [], "tenant": None, "request": key}
        first = await accounts.add_client(by, **wanted)

        again = await accounts.add_client(by, **wanted)

        assert again.account == first.account
        assert (again.secret, again.repeated) == (None, True)

    play(story)


def test_a_key_stands_for_one_request_only(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        key = a_key()
        await accounts.add_client(by, name="a", scopes=[], tenant=None, request=key)
        other = RequestKey(command_id=key.command_id, fingerprint=b"2")

        with pytest.raises(IdempotencyKeyReused):
            await accounts.add_client(by, name="b", scopes=[], tenant=None, request=other)

    play(story)


def test_another_password_is_another_request(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        wanted: dict[str, Any] = {
            "username": "alice",
            "scopes": [],
            "tenant": None,
            "request": a_key(),
        }
        await accounts.add_user(by, password=PASSWORD, **wanted)
        assert (await accounts.add_user(by, password=PASSWORD, **wanted)).repeated

        with pytest.raises(IdempotencyKeyReused):
            await accounts.add_user(by, password="another password", **wanted)

    play(story)


def test_the_same_request_at_once_makes_one_account(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        key = a_key()

        issued = await asyncio.gather(
            *(
                accounts.add_client(by, name="nightly", scopes=[], tenant=None, request=key)
                for _ in range(5)
            )
        )

        assert len({one.account.account_id for one in issued}) == 1
        assert sum(one.secret is not None for one in issued) == 1

    play(story)


def test_a_repeated_rotation_rotates_once(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        user = await a_user(accounts, by)
        key = a_key()
        first = await accounts.rotate(by, "user", user.account_id, request=key)

        again = await accounts.rotate(by, "user", user.account_id, request=key)

        assert again.account == first.account
        assert again.secret is None
        assert first.secret is not None
        await accounts.sign_in.with_password("alice", first.secret, address="here")

    play(story)


# Tenants.


def test_an_administrator_sees_and_reaches_its_own_tenant_only(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        operator = await the_operator(accounts)
        there = await a_user(accounts, operator, username="eve", scopes=["admin"], tenant="acme")
        eve = principal_for(there, there.scopes)
        here = await a_user(accounts, operator)

        names = [one.name for one in await accounts.list(eve, "user", after=None, limit=10)]

        assert names == ["eve"]
        for attempt in (
            accounts.remove(eve, "user", here.account_id),
            accounts.rotate(eve, "user", here.account_id, request=a_key()),
            a_user(accounts, eve, username="mole", tenant="default"),
        ):
            with pytest.raises(Foreign):
                await attempt

    play(story)


def test_the_operator_sees_and_reaches_every_tenant(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        operator = await the_operator(accounts)
        eve = await a_user(accounts, operator, username="eve", scopes=["admin"], tenant="acme")

        names = [one.name for one in await accounts.list(operator, "user", after=None, limit=10)]
        assert names == ["admin", "eve"]
        await accounts.remove(operator, "user", eve.account_id)

    play(story)


def test_accounts_are_listed_by_pages(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        operator = await the_operator(accounts)
        for name in ("a", "b", "c"):
            await a_user(accounts, operator, username=name)

        names, after = [], None
        while page := await accounts.list(operator, "user", after=after, limit=2):
            names += [account.name for account in page]
            after = page[-1].account_id

        assert names == ["admin", "a", "b", "c"]

    play(story)


def test_only_administrators_list_accounts(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        user = await a_user(accounts, await the_operator(accounts))

        with pytest.raises(InsufficientScope):
            await accounts.list(principal_for(user, user.scopes), "user", after=None, limit=1)

    play(story)


# The first administrator.


def test_the_first_administrator_is_made_once(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        made = await accounts.ensure_administrator(None)

        assert made is not None
        assert await accounts.ensure_administrator(None) is None
        assert await accounts.ensure_administrator("another password") is None
        account = await accounts.sign_in.with_password("admin", made, address="here")
        assert account.tenant == "default"
        assert account.scopes == {"admin"}

    play(story)


def test_processes_that_start_at_once_make_one_administrator(database: Database) -> None:
    async def story() -> None:
        async with accounts_of(database) as here, accounts_of(database) as there:
            made = await asyncio.gather(
                *(accounts.ensure_administrator(None) for accounts in (here, there) * 3)
            )

            passwords = [password for password in made if password is not None]
            assert len(passwords) == 1
            await here.sign_in.with_password("admin", passwords[0], address="here")

    asyncio.run(story())


def test_made_passwords_differ() -> None:
    assert len({new_password() for _ in range(100)}) == 100


# What is kept.


def test_no_secret_is_kept_in_clear(database: Database, play: Play) -> None:
    secrets: list[str] = [PASSWORD]

    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        await a_user(accounts, by)
        client = await accounts.add_client(
            by, name="nightly", scopes=[], tenant=None, request=a_key()
        )
        agent = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=1)
        secrets.extend([client.secret or "", agent.secret or ""])

    play(story)

    with psycopg.connect(database.owner_url) as connection:
        rows = connection.execute("SELECT a::text FROM musterroll.accounts a").fetchall()
        rows += connection.execute("SELECT r::text FROM musterroll.requests r").fetchall()
    for (row,) in rows:
        assert not any(secret in row for secret in secrets)
    assert all("$argon2id$" in row for (row,) in rows[:4])


def test_the_application_deletes_no_account(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("SET search_path = musterroll")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM accounts")
