"""So many of a tenant at a time, so many of all, and none that are forgotten."""

from contextlib import ExitStack

import pytest

from application.turnstile import Turnstile


class Full(Exception):
    """There is no room."""


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile(2, 3, full=Full)


def test_a_tenant_has_no_more_at_a_time_than_it_may(turnstile: Turnstile) -> None:
    with turnstile.one("acme"), turnstile.one("acme"):
        with pytest.raises(Full), turnstile.one("acme"):
            pass

        with turnstile.one("globex"):
            pass


def test_all_tenants_have_no_more_at_a_time_than_they_may(turnstile: Turnstile) -> None:
    with ExitStack() as under_way:
        for tenant in ("acme", "globex", "initech"):
            under_way.enter_context(turnstile.one(tenant))

        with pytest.raises(Full), turnstile.one("umbrella"):
            pass


def test_what_fails_makes_room_as_what_succeeds(turnstile: Turnstile) -> None:
    for _ in range(4):
        with pytest.raises(ZeroDivisionError), turnstile.one("acme"):
            _ = 1 / 0

    with turnstile.one("acme"):
        pass
