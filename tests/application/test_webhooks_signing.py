"""Signatures, pauses, and lanes: the pure parts of deliveries."""

import base64
import random
from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import UUID

import pytest

from application.webhooks.lanes import Item, Lanes
from application.webhooks.patience import Patience
from application.webhooks.signing import new_secret, secret_text, signature, signed_headers
from tests.given import ALICE, BOB, NOON

# The example of the Standard Webhooks specification and its libraries.
VECTOR_SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
VECTOR_ID, VECTOR_TIME = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_signatures_are_those_of_standard_webhooks() -> None:
    assert signature(VECTOR_SECRET, VECTOR_ID, VECTOR_TIME, VECTOR_BODY) == VECTOR_SIGNATURE


def test_every_key_signs() -> None:
    now = datetime.fromtimestamp(VECTOR_TIME, UTC)

    headers = signed_headers([b"new", VECTOR_SECRET], VECTOR_ID, now, VECTOR_BODY)

    assert headers["webhook-id"] == VECTOR_ID
    assert headers["webhook-timestamp"] == str(VECTOR_TIME)
    assert headers["webhook-signature"].split(" ")[1] == VECTOR_SIGNATURE


def test_a_secret_is_32_bytes_as_text() -> None:
    secret = new_secret()

    text = secret_text(secret)

    assert text.startswith("whsec_")
    assert base64.b64decode(text.removeprefix("whsec_")) == secret
    assert (len(secret), secret == new_secret()) == (32, False)


def test_pauses_grow_over_half_a_day_and_then_it_is_given_up(rng: random.Random) -> None:
    patience = Patience(chance=rng)

    pauses = [patience.pause_seconds(attempts, None) for attempts in range(1, 9)]

    assert pauses[-1] is None
    seconds = [pause for pause in pauses if pause is not None]
    assert seconds == sorted(seconds)
    assert 9 * 3600 < sum(seconds) < 15 * 3600


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(None, 4, 6), (60.0, 60, 60), (1.0, 4, 6), (86_400.0, 3_600, 3_600), (-5.0, 4, 6)],
)
def test_a_longer_pause_is_kept_to_up_to_an_hour(
    rng: random.Random, asked: float | None, least: float, most: float
) -> None:
    pause = Patience(chance=rng).pause_seconds(1, asked)

    assert pause is not None
    assert least <= pause <= most


def an_item(position: int, aggregate_id: UUID = ALICE) -> Item:
    return Item(position, aggregate_id, NOON)


def taken(lanes: Lanes, now: datetime = NOON) -> Item:
    item = lanes.take(now)
    assert item is not None
    return item


def test_of_each_lane_only_the_first_may_be_taken() -> None:
    lanes = Lanes()
    for position, aggregate_id in ((1, ALICE), (2, ALICE), (3, BOB)):
        lanes.add(an_item(position, aggregate_id))

    first, second = taken(lanes), taken(lanes)

    assert (first.position, second.position, lanes.take(NOON)) == (1, 3, None)
    lanes.settle(first)
    assert taken(lanes).position == 2


def test_everything_is_settled_up_to_the_first_that_is_open() -> None:
    lanes = Lanes()
    for position, aggregate_id in ((4, ALICE), (7, BOB)):
        lanes.add(an_item(position, aggregate_id))
    first, second = taken(lanes), taken(lanes)
    assert lanes.settled_up_to(9) == 3

    lanes.settle(second)
    assert lanes.settled_up_to(9) == 3
    lanes.settle(first)

    assert lanes.settled_up_to(9) == 9


def test_what_failed_parks_its_lane_and_holds_up_no_other() -> None:
    lanes = Lanes()
    for position, aggregate_id in ((1, ALICE), (2, ALICE), (3, BOB)):
        lanes.add(an_item(position, aggregate_id))
    failed = taken(lanes)
    later = NOON + timedelta(seconds=5)

    parked = lanes.put_off(failed, later)
    behind = lanes.add(an_item(5))

    assert [item.position for item in parked] == [1, 2]
    assert behind
    assert (lanes.parked, lanes.open, lanes.settled_up_to(5)) == (3, 1, 2)
    assert taken(lanes).position == 3
    assert lanes.take(NOON) is None
    assert lanes.next_due_at() == later
    assert taken(lanes, later).position == 1


def test_a_letter_that_comes_back_waits_for_the_one_under_way() -> None:
    lanes = Lanes()
    lanes.add(an_item(5))
    under_way = taken(lanes)
    retried = an_item(2)
    retried.parked = True

    lanes.add(retried)

    assert lanes.take(NOON) is None
    lanes.settle(under_way)
    assert taken(lanes).position == 2
    assert lanes.holds(2)
    assert not lanes.holds(5)


def test_random_histories_lose_and_double_nothing(rng: random.Random) -> None:
    lanes, now = Lanes(), NOON
    aggregates = [UUID(int=n) for n in range(5)]
    settled: dict[UUID, list[int]] = {one: [] for one in aggregates}
    under_way: list[Item] = []
    read = 0
    while read < 400 or lanes.open or lanes.parked:
        choice = rng.random()
        if choice < 0.3 and read < 400:
            read += 1
            lanes.add(an_item(read, rng.choice(aggregates)))
        elif choice < 0.7 and (item := lanes.take(now)):
            under_way.append(item)
        elif under_way:
            item = under_way.pop(rng.randrange(len(under_way)))
            if rng.random() < 0.4:
                lanes.put_off(item, now + timedelta(seconds=rng.randrange(3)))
            else:
                lanes.settle(item)
                settled[item.aggregate_id].append(item.position)
        now += timedelta(seconds=rng.random())
        done = {position for positions in settled.values() for position in positions}
        open_below = set(range(1, lanes.settled_up_to(read) + 1)) - done
        assert all(lanes.holds(position) for position in open_below)

    assert all(positions == sorted(positions) for positions in settled.values())
    assert sorted(chain.from_iterable(settled.values())) == list(range(1, 401))
