"""Goal: every wanted event is delivered at least once, and in order for each aggregate, whatever
the target does.

Method: the write side and a post office on a real database, a real receiver on loopback; the
receiver decides what becomes of each delivery.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.cloud_events import CloudEvents
from application.commands.tasks import CancelTask
from application.cursor import Cursor
from application.erasure.disclosure import CLOSED
from application.ids import uuid7
from application.webhooks import courier as couriers
from application.webhooks import post_office
from application.webhooks.courier import Means, Slots
from application.webhooks.patience import Patience
from application.webhooks.post_office import PostOffice
from application.webhooks.signing import new_secret
from application.webhooks.webhook import Letter, Standing, Webhook
from infrastructure.postgres.history import PostgresHistory
from infrastructure.postgres.pool import make_async_pool, make_pool
from infrastructure.postgres.webhooks import PostgresDeliveries, PostgresWebhooks
from infrastructure.webhooks.posting import HttpPoster
from infrastructure.webhooks.secret_box import SigningKeySecretBox
from tests.application.stage import Stage, a_stage
from tests.conftest import Database
from tests.given import TENANT
from tests.receiver import Received, Receiver, Reply

SOON = Patience((0.02, 0.02, 0.02))
NEVER_AGAIN = Patience((3600.0,))
SECONDS_MAX = 30


@dataclass
class Post:
    """A post office and its webhooks, as one process has them."""

    stage: Stage
    receiver: Receiver
    webhooks: PostgresWebhooks
    deliveries: PostgresDeliveries
    means: Means

    async def allowed(self, **changes: Any) -> Webhook:
        """A webhook that is on from the start of the log."""
        webhook_id = uuid7()
        wanted: dict[str, Any] = {
            "webhook_id": webhook_id,
            "tenant": TENANT,
            "url": self.receiver.url,
            "channels": ("tasks",),
            "types": (),
            "labels": {},
            "state": "on",
            "created_by": "user/alice",
            "created_at": datetime.now(UTC),
            "secret": self.means.box.seal(webhook_id, new_secret()),
            "epoch": 1,
            "position": 0,
        }
        webhook = Webhook(**(wanted | changes))
        await self.webhooks.add(webhook, None)
        return webhook

    async def standing(self, webhook: Webhook) -> Standing:
        found = await self.webhooks.find(webhook.tenant, webhook.webhook_id)
        assert found is not None
        return found

    async def dead(self, webhook: Webhook) -> list[Letter]:
        found = await self.webhooks.dead_letters(webhook.webhook_id, after=0, limit=10_000)
        return [letter for letter, _ in found]

    @asynccontextmanager
    async def open(self, patience: Patience = SOON) -> AsyncIterator[PostOffice]:
        """A post office that works within the block, and is cut off at its end."""
        office = PostOffice(self.deliveries, replace(self.means, patience=patience))
        running = asyncio.create_task(office.run())
        try:
            yield office
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert running.cancelled() or running.result() is None

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():  # noqa: ASYNC110 - the receiver is on other threads
                await asyncio.sleep(0.01)

    async def until_stands(self, webhook: Webhook, condition: Callable[[Standing], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition(found := await self.standing(webhook)):
                assert found
                await asyncio.sleep(0.02)

    async def until_done(self, webhook: Webhook) -> None:
        """Until it has come to the end of the log, with nothing left."""
        await self.until_stands(webhook, lambda one: one.lag == 0 and one.parked == 0)

    def positions(self, received: list[Received] | None = None) -> dict[str, list[int]]:
        """What was taken, by aggregate, in the order in which it came."""
        found: dict[str, list[int]] = {}
        for one in self.receiver.taken if received is None else received:
            found.setdefault(one.event["subject"], []).append(Cursor.parse(one.cursor).position)
        return found

    async def in_the_log(self) -> dict[str, list[int]]:
        records = await asyncio.to_thread(self.stage.log.read, after=0, limit=100_000)
        found: dict[str, list[int]] = {}
        for one in records:
            if one.topic.startswith("task."):
                found.setdefault(f"task/{one.aggregate_id}", []).append(one.position)
        return found

    async def busy(self, tasks: int) -> list[UUID]:
        """Tasks that were submitted and cancelled: two events each."""
        task_ids = await asyncio.gather(*(self.stage.submit() for _ in range(tasks)))
        cancelled = [
            self.stage.execute(CancelTask, task_id=task_id, reason=None) for task_id in task_ids
        ]
        await asyncio.gather(*cancelled)
        return list(task_ids)


Story = Callable[[Post], Coroutine[Any, Any, None]]


@asynccontextmanager
async def a_post(database: Database, receiver: Receiver) -> AsyncIterator[Post]:
    key = Ed25519PrivateKey.generate()
    poster = HttpPoster(private=True, whole_seconds=5)
    pool = make_pool(database.url, connections_max=4)
    pool.open()
    async with a_stage(database) as stage, make_async_pool(database.url, connections_max=4) as own:
        store = await asyncio.to_thread(stage.log.store)
        means = Means(
            event_log=stage.log,
            feed=stage.feed,
            history=PostgresHistory(pool),
            watermarks=stage.watermarks,
            cloud_events=CloudEvents(store.store_id, store.epoch),
            poster=poster,
            box=SigningKeySecretBox(key),
            clock=lambda: datetime.now(UTC),
            disclosure=CLOSED,
        )
        try:
            yield Post(stage, receiver, PostgresWebhooks(own), PostgresDeliveries(own), means)
        finally:
            await poster.close()
            pool.close()


@pytest.fixture
def play(database: Database) -> Callable[[Story], None]:
    def play(story: Story) -> None:
        async def played() -> None:
            with Receiver() as receiver:
                async with a_post(database, receiver) as post:
                    await story(post)

        asyncio.run(played())

    return play


Play = Callable[[Story], None]


def test_everything_comes_once_and_in_order_when_the_target_takes_it(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.busy(20)

        async with post.open():
            await post.busy(20)
            await post.until_done(webhook)

        assert post.positions() == await post.in_the_log()

    play(story)


def test_an_event_waits_for_those_of_its_aggregate_and_for_no_others(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        stuck, *others = await post.busy(4)
        refused = {f"task/{stuck}"}
        post.receiver.answering = lambda one: Reply(500 if one.event["subject"] in refused else 200)

        async with post.open(Patience((0.02,) * 500)):
            await post.until(lambda: len(post.receiver.taken) == 2 * len(others))
            await post.until_stands(webhook, lambda one: one.lag == 0 and one.parked == 2)
            refused.clear()
            await post.until_done(webhook)

        of_stuck = [
            one for one in post.receiver.received if one.event["subject"] == f"task/{stuck}"
        ]
        cursors = list(dict.fromkeys(one.cursor for one in of_stuck))
        assert len(cursors) == 2
        assert of_stuck[-1].cursor == cursors[1]
        assert [one.cursor for one in of_stuck].count(cursors[1]) == 1
        assert post.positions() == await post.in_the_log()

    play(story)


def test_an_event_that_is_given_up_lets_its_aggregate_go_on(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.busy(3)
        post.receiver.answering = lambda one: Reply(
            500 if one.event["type"] == "task.submitted" else 200
        )

        async with post.open():
            await post.until_done(webhook)
            await post.until_stands(webhook, lambda one: one.dead == 3)

        log = await post.in_the_log()
        assert post.positions() == {subject: [last] for subject, (_, last) in log.items()}
        dead = await post.dead(webhook)
        assert [letter.position for letter in dead] == sorted(first for first, _ in log.values())
        assert {letter.attempts for letter in dead} == {4}
        assert {letter.failure for letter in dead} == {"it answered 500"}

    play(story)


def test_a_random_target_gets_everything_in_order_over_restarts(play: Play, rng: Any) -> None:
    """Cut off at random moments, as by a crash: what was not kept comes again."""

    async def story(post: Post) -> None:
        webhook = await post.allowed()
        post.receiver.answering = lambda _: Reply(rng.choice([200, 200, 200, 500, 302, 429]))
        for _ in range(8):
            await post.busy(5)
            async with post.open(Patience((0.02,) * 100)):
                count = len(post.receiver.received) + rng.randrange(1, 15)
                await asyncio.to_thread(post.receiver.wait_for_posts, count)

        post.receiver.answering = lambda _: Reply()
        async with post.open():
            await post.until_done(webhook)

        first_times = {
            subject: list(dict.fromkeys(positions))
            for subject, positions in post.positions().items()
        }
        assert first_times == await post.in_the_log()

    play(story)


def test_a_target_that_is_down_does_not_turn_the_log_into_letters(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "PARKED_MAX", 30)
    monkeypatch.setattr(couriers, "OPEN_MAX", 10)
    monkeypatch.setattr(couriers, "PAGE_EVENTS", 10)

    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.busy(100)
        post.receiver.answering = lambda _: Reply(503)

        async with post.open(NEVER_AGAIN):
            await post.until_stands(webhook, lambda one: one.parked >= 30)
            standing = await post.standing(webhook)
            came = len(post.receiver.received)
            await post.stage.submit()
            await post.until_stands(webhook, lambda one: one.head > standing.head)

        after = await post.standing(webhook)
        assert after.parked <= 30 + 10
        assert after.webhook.position == standing.webhook.position
        assert after.lag > 100
        assert after.webhook.health.failing_since is not None
        assert len(post.receiver.received) <= came + 1

    play(story)


def test_a_target_that_comes_back_gets_what_stood_still(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "PARKED_MAX", 20)

    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.busy(60)
        post.receiver.answering = lambda _: Reply(500)

        async with post.open(Patience((0.05,) * 1000)):
            await post.until_stands(webhook, lambda one: one.parked >= 20)
            post.receiver.answering = lambda _: Reply()
            await post.until_done(webhook)

        assert post.positions() == await post.in_the_log()

    play(story)


def test_at_most_eight_are_under_way_and_one_while_it_fails(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook, receiver = await post.allowed(), post.receiver
        await post.busy(30)

        def answer_when_eight_are_there(_: Received) -> Reply:
            receiver.wait_until(lambda: receiver.at_once_max >= couriers.AT_ONCE_MAX)
            return Reply()

        receiver.answering = answer_when_eight_are_there
        async with post.open():
            await post.until_done(webhook)
        assert receiver.at_once_max == couriers.AT_ONCE_MAX

        await post.stage.submit()
        receiver.answering = lambda _: Reply(500)
        async with post.open(Patience((0.02,) * 1000)):
            await post.until_stands(webhook, lambda one: one.parked == 1)
            receiver.at_once_max = 0
            await post.busy(30)
            await post.until_stands(webhook, lambda one: one.parked == 61)
        assert receiver.at_once_max == 1

    play(story)


def test_who_asks_to_wait_is_left_alone(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.stage.submit()
        post.receiver.answering = lambda _: Reply(429, {"Retry-After": "3600"})

        async with post.open():
            await post.until_stands(webhook, lambda one: one.parked == 1)
            before = await post.standing(webhook)
            await post.busy(3)
            await post.until_stands(webhook, lambda one: one.head > before.head)

        assert len(post.receiver.received) == 1
        [letter] = await post.deliveries.letters(webhook.webhook_id)
        assert (letter.due_at - datetime.now(UTC)).total_seconds() > 3_000

    play(story)


def test_what_was_given_up_beyond_its_place_is_not_read_again(play: Play) -> None:
    """The first event is under way for long, so that the place stands before those given up."""

    async def story(post: Post) -> None:
        webhook, receiver = await post.allowed(), post.receiver
        first = f"task/{await post.stage.submit()}"
        await post.busy(5)
        cut_off = threading.Event()

        def answering(one: Received) -> Reply:
            if one.event["subject"] == first:
                cut_off.wait(SECONDS_MAX)
            return Reply(500)

        receiver.answering = answering
        async with post.open(Patience(())):
            await post.until_stands(webhook, lambda one: one.dead == 5)
            place = (await post.standing(webhook)).webhook.position
        cut_off.set()
        receiver.answering = lambda _: Reply()
        async with post.open():
            await post.until_done(webhook)

        log = await post.in_the_log()
        assert place == 0
        assert post.positions() == {subject: found[-1:] for subject, found in log.items()}
        dead = [letter.position for letter in await post.dead(webhook)]
        assert dead == sorted(found[0] for subject, found in log.items() if subject != first)

    play(story)


def test_a_retried_letter_goes_out_while_others_are_delivered(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.busy(3)
        post.receiver.answering = lambda _: Reply(500)
        async with post.open(Patience(())) as office:
            await post.until_stands(webhook, lambda one: one.dead == 6)
            post.receiver.answering = lambda _: Reply()

            await post.webhooks.retry(TENANT, webhook.webhook_id, None, request=None)
            office.changed()
            await post.busy(3)
            await post.until_done(webhook)

        assert post.positions() == await post.in_the_log()
        assert (await post.standing(webhook)).dead == 0

    play(story)


def test_too_many_dead_letters_pause_it(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "DEAD_LETTERS_MAX", 4)

    async def story(post: Post) -> None:
        webhook = await post.allowed()
        await post.busy(10)
        post.receiver.answering = lambda _: Reply(500)

        async with post.open(Patience(())):
            await post.until_stands(webhook, lambda one: one.webhook.state == "paused")

        found = await post.standing(webhook)
        assert 4 <= found.dead <= 4 + couriers.AT_ONCE_MAX
        assert "has given up" in str(found.webhook.health.failure)
        log = [
            position for positions in (await post.in_the_log()).values() for position in positions
        ]
        dead = {letter.position for letter in await post.dead(webhook)}
        assert {one for one in log if one <= found.webhook.position} <= dead

    play(story)


def test_retried_letters_count_as_dead_no_longer(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "DEAD_LETTERS_MAX", 4)

    async def story(post: Post) -> None:
        webhook = await post.allowed()
        async with post.open(Patience(())) as office:
            for _ in range(3):
                post.receiver.answering = lambda _: Reply(500)
                await post.busy(1)
                await post.until_stands(webhook, lambda one: one.dead == 2)
                post.receiver.answering = lambda _: Reply()
                await post.webhooks.retry(TENANT, webhook.webhook_id, None, request=None)
                office.changed()
                await post.until_done(webhook)

        assert (await post.standing(webhook)).webhook.state == "on"
        assert post.positions() == await post.in_the_log()

    play(story)


def test_a_webhook_of_an_epoch_that_ended_is_paused_and_begins_anew(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed(epoch=7, position=500)
        await post.busy(2)

        async with post.open() as office:
            await post.until_stands(webhook, lambda one: one.webhook.state == "paused")
            reason = (await post.standing(webhook)).webhook.health.failure
            await post.webhooks.allow(TENANT, webhook.webhook_id, epoch=1, request=None)
            office.changed()
            later = await post.stage.submit()
            await post.until(lambda: len(post.receiver.taken) == 1)

        assert "was restored" in str(reason)
        assert list(post.positions()) == [f"task/{later}"]

    play(story)


def test_one_that_is_removed_while_it_delivers_leaves_nothing(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        other = await post.allowed()
        await post.busy(20)
        post.receiver.answering = lambda _: Reply(500)

        async with post.open(Patience((0.02,) * 1000)):
            await post.until_stands(webhook, lambda one: one.parked > 0)
            await post.webhooks.remove(TENANT, webhook.webhook_id)
            post.receiver.answering = lambda _: Reply()
            await post.until_done(other)

        assert await post.deliveries.letters(webhook.webhook_id) == []

    play(story)


def test_labels_are_those_that_the_task_had(play: Play) -> None:
    async def story(post: Post) -> None:
        blue = await post.stage.submit(labels={"team": "blue"})
        await post.stage.submit(labels={"team": "red"})
        await post.stage.execute(CancelTask, task_id=blue, reason=None)
        webhook = await post.allowed(labels={"team": "blue"})

        async with post.open():
            await post.until_done(webhook)

        assert list(post.positions()) == [f"task/{blue}"]
        assert len(post.positions()[f"task/{blue}"]) == 2

    play(story)


class BrokenHistory(PostgresHistory):
    """Cannot tell labels, until it is mended."""

    broken = True

    async def labels(self, of: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], Any]:
        if self.broken:
            raise ValueError
        return await super().labels(of)


def test_a_fault_in_delivering_one_is_told_and_tried_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_office, "REST_SECONDS", 0.05)

    async def story(post: Post) -> None:
        history = BrokenHistory(post.stage.log._pool)
        post.means = replace(post.means, history=history)
        blue = await post.stage.submit(labels={"team": "blue"})
        choosy = await post.allowed(labels={"team": "blue"})
        other = await post.allowed()

        async with post.open():
            await post.until_stands(
                choosy, lambda one: one.webhook.health.failing_since is not None
            )
            await post.until_done(other)
            told = (await post.standing(choosy)).webhook
            history.broken = False
            await post.until_done(choosy)

        assert told.state == "on"
        assert told.health.failure == "the service met a fault of its own, and tries again"
        assert post.positions() == {f"task/{blue}": [1, 1]}

    play(story)


def test_the_former_secret_is_good_until_its_time_is_over(play: Play) -> None:
    async def story(post: Post) -> None:
        webhook = await post.allowed()
        now, day = datetime.now(UTC), timedelta(hours=24)
        sealed = post.means.box.seal(webhook.webhook_id, new_secret())
        await post.webhooks.renew(
            TENANT, webhook.webhook_id, sealed, former_until=now + day, request=None
        )
        for later in (timedelta(), 2 * day):
            post.means = replace(post.means, clock=lambda later=later: datetime.now(UTC) + later)
            await post.stage.submit()
            async with post.open():
                await post.until_done(webhook)

        signatures = [one.headers["webhook-signature"] for one in post.receiver.taken]
        assert [len(one.split(" ")) for one in signatures] == [2, 1]

    play(story)


def test_one_tenant_leaves_places_to_the_others() -> None:
    async def story() -> list[str]:
        slots = Slots(of_tenant=2, of_all=3)
        under_way: list[str] = []

        async def post(tenant: str) -> None:
            async with slots.one(tenant):
                under_way.append(tenant)
                await asyncio.Event().wait()

        posts = [asyncio.create_task(post(tenant)) for tenant in ("a", "a", "a", "a", "b", "b")]
        await asyncio.sleep(0)
        for one in posts:
            one.cancel()
        await asyncio.wait(posts)
        return under_way

    assert asyncio.run(story()) == ["a", "a", "b"]


def test_two_post_offices_at_once_lose_nothing(play: Play) -> None:
    """A process that has lost the lead notices within a second; until then both deliver."""

    async def story(post: Post) -> None:
        webhook = await post.allowed()
        answers = iter(range(10**6))
        post.receiver.answering = lambda _: Reply(500 if next(answers) % 5 == 0 else 200)

        async with post.open(Patience((0.02,) * 1000)), post.open(Patience((0.02,) * 1000)):
            await post.busy(20)
            await post.until_done(webhook)

        first_times = {
            subject: sorted(set(positions)) for subject, positions in post.positions().items()
        }
        assert first_times == await post.in_the_log()

    play(story)
