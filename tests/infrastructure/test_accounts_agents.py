"""The accounts of agents follow the registrations and retirements in the log."""

import asyncio
from uuid import UUID

import pytest

from application.access import Foreign, InvalidToken
from application.accounts.account import (
    WrongSecret,
)
from application.accounts.administration import Accounts
from tests.given import a_key
from tests.infrastructure.accounts_stage import (
    REVIEWER,
    Play,
    claims_of,
    play,
    the_operator,
)

__all__ = ["play"]


async def registered(accounts: Accounts, position: int) -> str | None:
    issued = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=position)
    return issued.secret


async def works(accounts: Accounts, client_id: UUID, secret: str | None) -> bool:
    try:
        await accounts.sign_in.with_client_secret(str(client_id), secret or "", address="here")
    except WrongSecret:
        return False
    return True


def test_a_registration_issues_a_secret_once(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        first = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)

        again = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)

        assert again.account == first.account
        assert again.secret is None
        assert first.account.scopes == {"worker"}
        assert first.account.agent_id == REVIEWER
        assert await works(accounts, first.account.account_id, first.secret)

    play(story)


def test_of_registrations_at_once_one_is_told_the_secret(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        secrets = await asyncio.gather(*(registered(accounts, 10) for _ in range(4)))

        assert sum(secret is not None for secret in secrets) == 1

    play(story)


def test_a_late_repetition_leaves_a_newer_secret_alone(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        first = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)
        await accounts.withdraw_from_agent(REVIEWER, position=20)
        second = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=30)

        late = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)
        await accounts.withdraw_from_agent(REVIEWER, position=20)

        assert late.secret is None
        assert second.account.account_id == first.account.account_id
        assert not await works(accounts, first.account.account_id, first.secret)
        assert await works(accounts, first.account.account_id, second.secret)

    play(story)


def test_a_retired_agents_secret_and_tokens_stop_working(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        issued = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)
        await accounts.principals.of(claims_of(issued.account))

        await accounts.withdraw_from_agent(REVIEWER, position=20)

        with pytest.raises(InvalidToken):
            await accounts.principals.of(claims_of(issued.account))
        assert not await works(accounts, issued.account.account_id, issued.secret)
        assert await accounts.rotate_for_agent("default", REVIEWER, a_key()) is None

    play(story)


def test_a_rotation_outlives_the_repetition_of_the_registration(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        issued = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)
        rotated = await accounts.rotate_for_agent("default", REVIEWER, a_key())
        assert rotated is not None

        late = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)

        assert late.secret is None
        assert not await works(accounts, issued.account.account_id, issued.secret)
        assert await works(accounts, issued.account.account_id, rotated.secret)

    play(story)


def test_another_tenants_agent_cannot_be_given_a_secret(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)

        with pytest.raises(Foreign):
            await accounts.rotate_for_agent("acme", REVIEWER, a_key())

    play(story)


def test_an_agents_account_is_neither_a_user_nor_a_client(play: Play) -> None:
    async def story(accounts: Accounts) -> None:
        by = await the_operator(accounts)
        issued = await accounts.issue_for_agent("default", REVIEWER, "reviewer", position=10)

        for kind in ("user", "client"):
            with pytest.raises(Foreign):
                await accounts.remove(by, kind, issued.account.account_id)
            listed = await accounts.list(by, kind, after=None, limit=10)
            assert issued.account not in listed

    play(story)
