"""Refusals are recorded one by one up to a bound, and counted beyond it."""

from datetime import timedelta

import pytest

from application.audit import flood
from application.audit.flood import Flood
from tests.given import NOON


class Hands:
    """A time that is moved by hand, for both clocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def bounded(hands: Hands) -> Flood:
    return Flood(lambda: NOON + timedelta(seconds=hands.seconds), hands)


def test_what_is_beyond_the_bound_of_an_address_is_counted_by_the_minute(
    bounded: Flood, hands: Hands
) -> None:
    let_through = [bounded.lets_through("acme", "192.0.2.1") for _ in range(130)]
    assert sum(let_through) == 100
    assert let_through[:100] == [True] * 100
    assert bounded.take_counts() == []
    assert bounded.ends_in_seconds == 60

    hands.seconds = 61
    (count,) = bounded.take_counts()

    assert (count.tenant, count.address, count.count) == ("acme", "192.0.2.1", 30)
    assert (count.since, count.until) == (NOON, NOON + timedelta(seconds=61))
    assert bounded.lets_through("acme", "192.0.2.1")
    assert bounded.ends_in_seconds is None


def test_each_address_and_tenant_is_counted_by_itself(bounded: Flood) -> None:
    for _ in range(101):
        bounded.lets_through("acme", "192.0.2.1")
    bounded.lets_through("other", "192.0.2.1")
    assert bounded.lets_through("acme", "192.0.2.2")

    counts = {(one.tenant, one.address): one.count for one in bounded.take_counts(at_once=True)}

    assert counts == {("acme", "192.0.2.1"): 1, ("other", "192.0.2.1"): 1}


def test_a_whole_network_of_ipv6_is_one_address(bounded: Flood) -> None:
    let_through = [bounded.lets_through("acme", f"2001:db8::{n:x}") for n in range(1, 151)]

    assert sum(let_through) == 100
    (count,) = bounded.take_counts(at_once=True)
    assert (count.address, count.count) == ("2001:db8::/64", 50)


def test_many_addresses_together_are_bounded_too(bounded: Flood) -> None:
    addresses = [f"10.{n // 250}.{n % 250}.1" for n in range(2_000)]
    let_through = sum(bounded.lets_through("acme", address) for address in addresses * 3)
    counts = bounded.take_counts(at_once=True)

    assert let_through <= flood.REFUSALS_MAX
    assert len(counts) <= flood.PLACES_MAX + 1
    assert sum(one.count for one in counts) == 6_000 - let_through
    assert max(counts, key=lambda one: one.count).address == flood.ELSEWHERE
