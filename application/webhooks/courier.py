"""Delivers the events of one webhook: at least once, in order for each aggregate."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from application.cloud_events import CloudEvents
from application.cursor import Cursor
from application.duties import cancelled
from application.erasure.disclosure import Disclosure
from application.feed import Feed
from application.live.interest import Shown
from application.live.ports import History
from application.ports import Clock, EventLog, Record
from application.watermarks import LOG, Watermarks
from application.webhooks.lanes import Item, Lanes
from application.webhooks.patience import Patience, bounded
from application.webhooks.ports import PostAnswer, Poster, SecretBox, Unreachable
from application.webhooks.signing import signed_headers
from application.webhooks.target import origin_of
from application.webhooks.webhook import (
    DEAD_LETTERS_MAX,
    Ledger,
    Letter,
    UnreadableSecret,
    Webhook,
    WebhookState,
)
from domain.errors import DatabaseUnavailable

AT_ONCE_MAX = 8
"""Deliveries of one webhook under way; one alone after a failure, so that a target that is down
takes nobody else's place."""
AT_ONCE_OF_TENANT_MAX = 32
AT_ONCE_OF_ALL_MAX = 128
PAGE_EVENTS = 200
OPEN_MAX = 200
"""Events read and not yet delivered, beyond which no more are read."""
PARKED_MAX = 1_000
"""Letters that wait, beyond which the webhook stands still: a target that is down for days must not
turn the log into letters."""
AWAY_PAUSE_SECONDS = 1.0
GONE = 410
ASKS_TO_WAIT = frozenset({429, 503})

log = structlog.get_logger("webhooks")


class Slots:
    """Who may post now: so many of one tenant, so many of all, first come, first served."""

    def __init__(
        self, *, of_tenant: int = AT_ONCE_OF_TENANT_MAX, of_all: int = AT_ONCE_OF_ALL_MAX
    ) -> None:
        self._of_tenant = of_tenant
        self._all = asyncio.Semaphore(of_all)
        self._tenants: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def one(self, tenant: str) -> AsyncIterator[None]:
        """A place of a tenant's, for as long as the block lasts."""
        places = self._tenants.setdefault(tenant, asyncio.Semaphore(self._of_tenant))
        async with places, self._all:
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all couriers of a process work with."""

    event_log: EventLog
    feed: Feed
    history: History
    watermarks: Watermarks
    cloud_events: CloudEvents
    poster: Poster
    box: SecretBox
    clock: Clock
    disclosure: Disclosure
    patience: Patience = field(default_factory=Patience)
    slots: Slots = field(default_factory=Slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why a webhook may not go on by itself, and the state that it is in then."""

    state: WebhookState
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    reason: str
    retry_after_seconds: float | None = None
    status: int | None = None


class _NotTried(Exception):
    """It is not known whether the target would take the event."""


class Courier:
    """Reads the log from its webhook's position, and posts what the webhook wants.

    What came of it is in the `ledger`, for others to keep. Belongs to the event loop.
    """

    def __init__(
        self, webhook: Webhook, means: Means, *, letters: Sequence[Letter], dead: int
    ) -> None:
        self.webhook = webhook
        self.halted: Halt | None = None
        self._means = means
        self._interest = webhook.interest
        self._read_up_to = webhook.position
        self._health = webhook.health
        self._kept = (webhook.position, webhook.health)
        self._dead = dead
        self._skipped = {one.position for one in letters if one.position > webhook.position}
        self._lanes = Lanes()
        self._changes: dict[int, Letter | None] = {}
        self._held_until: datetime | None = None
        self._under_way = 0
        self._keys: list[bytes] = []
        self._stirred = asyncio.Event()
        self.take_letters(letters)

    def stir(self) -> None:
        """There may be more to do."""
        self._stirred.set()

    def take(self, webhook: Webhook, *, dead: int) -> None:
        """Somebody has changed what may change of it: its secrets, and which letters are dead."""
        self.webhook = webhook
        self._keys = []
        unkept = (letter for letter in self._changes.values() if letter and letter.dead)
        self._dead = dead + sum(1 for _ in unkept)

    def take_letters(self, letters: Sequence[Letter]) -> None:
        """Letters as they are kept: those that wait and are not here yet are delivered."""
        for letter in letters:
            known = letter.position in self._changes or self._lanes.holds(letter.position)
            if not letter.dead and not known:
                self._lanes.add(Item.of(letter))
        self.stir()

    async def run(self) -> None:
        """Deliver until cancelled, or `halted`."""
        async with asyncio.TaskGroup() as deliveries:
            while not (self.halted or cancelled()):
                self._stirred.clear()
                more = await self._read_on()
                while item := self._next_item():
                    self._under_way += 1
                    deliveries.create_task(self._deliver(item))
                if more:
                    await asyncio.sleep(0)
                else:
                    await self._wait()

    # What came of it.

    def ledger(self) -> Ledger | None:
        """What was not kept yet; None when there is nothing."""
        place = (self._lanes.settled_up_to(self._read_up_to), self._health)
        if not self._changes and place == self._kept:
            return None
        return Ledger(
            webhook_id=self.webhook.webhook_id,
            position=place[0],
            health=place[1],
            letters=[letter for letter in self._changes.values() if letter],
            settled=[position for position, letter in self._changes.items() if not letter],
        )

    def failed(self, reason: str) -> None:
        """It met a fault that is not the target's; its health tells so."""
        self._health = self._health.failed(self._means.clock(), reason)

    def kept(self, ledger: Ledger) -> None:
        """What a ledger says is kept; what has changed since is not."""
        self._kept = (ledger.position, ledger.health)
        kept: dict[int, Letter | None] = dict.fromkeys(ledger.settled)
        kept.update((letter.position, letter) for letter in ledger.letters)
        for position, letter in kept.items():
            if position in self._changes and self._changes[position] is letter:
                del self._changes[position]

    # Reading.

    async def _read_on(self) -> bool:
        """Take in a page, when there is room; whether there may be more."""
        head = self._means.watermarks.position(LOG)
        full = self._lanes.open >= OPEN_MAX or self._lanes.parked >= PARKED_MAX
        if full or self._read_up_to >= head:
            return False
        try:
            page, up_to = await self._page(head)
        except DatabaseUnavailable:
            await asyncio.sleep(AWAY_PAUSE_SECONDS)
            return True
        now = self._means.clock()
        for record in page:
            if record.position in self._skipped:
                self._skipped.discard(record.position)
                continue
            item = Item(record.position, record.aggregate_id, now, record)
            if self._lanes.add(item):
                self._changes[item.position] = item.letter()
        self._read_up_to = up_to
        return True

    async def _page(self, head: int) -> tuple[list[Record], int]:
        """What comes next and is wanted, and how far that leads. Raises DatabaseUnavailable."""
        after = self._read_up_to
        recent = self._means.feed.recent(after=after, limit=PAGE_EVENTS)
        if recent:
            records: Sequence[Record] = [record for record, _ in recent]
            up_to = records[-1].position
        else:
            records, up_to = await self._means.history.read(self._interest, after=after, until=head)
        shown = [Shown(record) for record in records if record.tenant == self.webhook.tenant]
        if self._interest.needs_labels and shown:
            places = [(one.record.aggregate_id, one.record.version) for one in shown]
            found = await self._means.history.labels(places)
            for one, place in zip(shown, places, strict=True):
                one.labels = found.get(place, {})
        return [one.record for one in shown if self._interest.channel_for(one)], up_to

    async def _record_at(self, position: int) -> Record:
        """The event of a letter. Raises DatabaseUnavailable."""
        [record] = await asyncio.to_thread(self._means.event_log.read, after=position - 1, limit=1)
        assert record.position == position, "what stands in the log stays there"
        return record

    # Delivering.

    def _next_item(self) -> Item | None:
        now = self._means.clock()
        held = self._held_until is not None and now < self._held_until
        if held or self.halted or not self._has_place:
            return None
        return self._lanes.take(now)

    @property
    def _has_place(self) -> bool:
        return self._under_way < (1 if self._health.failing_since else AT_ONCE_MAX)

    async def _wait(self) -> None:
        """Until there is something to do: told, or by the clock."""
        due_at = self._lanes.next_due_at()
        if due_at and self._held_until:
            due_at = max(due_at, self._held_until)
        seconds = None
        if due_at and self._has_place:
            seconds = max(0.0, (due_at - self._means.clock()).total_seconds())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    async def _deliver(self, item: Item) -> None:
        try:
            async with self._means.slots.one(self.webhook.tenant):
                record = item.record or await self._record_at(item.position)
                [shown] = await self._means.disclosure.records([record])
                failure = await self._post(shown)
        except (DatabaseUnavailable, _NotTried):
            pause = timedelta(seconds=AWAY_PAUSE_SECONDS)
            self._lanes.give_back(item, self._means.clock() + pause)
        else:
            self._settle(item, failure)
        finally:
            self._under_way -= 1
            self.stir()

    async def _post(self, record: Record) -> _Failure | None:
        """Why it failed; None when it was taken. Raises _NotTried when there is no going on."""
        if self.halted:
            raise _NotTried
        means, webhook = self._means, self.webhook
        body = means.cloud_events.encode(record)
        cursor = str(Cursor(means.cloud_events.epoch, record.position))
        now = means.clock()
        try:
            headers = signed_headers(self._good_keys(now), cursor, now, body)
            answer = await means.poster.post(webhook.url, headers, body)
        except UnreadableSecret:
            self._halt("paused", "its secret cannot be read with this signing key; renew it")
            raise _NotTried from None
        except Unreachable as error:
            return _Failure(reason=str(error))
        return self._verdict(answer)

    def _good_keys(self, now: datetime) -> list[bytes]:
        """The key, and the former one while it is good. Raises UnreadableSecret."""
        webhook, box = self.webhook, self._means.box
        if not self._keys:
            self._keys = [box.open(webhook.webhook_id, webhook.secret)]
            if webhook.former_secret:
                with suppress(UnreadableSecret):
                    self._keys.append(box.open(webhook.webhook_id, webhook.former_secret))
        former_ended = webhook.former_until is None or webhook.former_until <= now
        return self._keys[:1] if former_ended else self._keys

    def _verdict(self, answer: PostAnswer) -> _Failure | None:
        status = answer.status
        if 200 <= status < 300:
            return None
        if status == GONE:
            self._halt("gone", "it answered 410: it wants no more")
            raise _NotTried
        reason = f"it answered {status}"
        if 300 <= status < 400:
            reason += ", and redirects are not followed"
        return _Failure(
            reason=reason, retry_after_seconds=answer.retry_after_seconds, status=status
        )

    def _settle(self, item: Item, failure: _Failure | None) -> None:
        now = self._means.clock()
        if failure is None:
            self._health = self._health.delivered(now)
            if item.parked:
                self._changes[item.position] = None
            self._lanes.settle(item)
            return
        self._tell(item, failure)
        self._health = self._health.failed(now, failure.reason)
        item.attempts += 1
        item.failure, item.failed_at = failure.reason, now
        asked = failure.retry_after_seconds
        if failure.status in ASKS_TO_WAIT and asked:
            self._held_until = now + timedelta(seconds=bounded(asked))
        pause = self._means.patience.pause_seconds(item.attempts, asked)
        if pause is None:
            self._give_up(item)
            return
        newly_parked = self._lanes.put_off(item, now + timedelta(seconds=pause))
        for one in [item, *newly_parked]:
            self._changes[one.position] = one.letter()

    def _give_up(self, item: Item) -> None:
        self._lanes.settle(item)
        self._changes[item.position] = item.letter(dead=True)
        self._dead += 1
        if self._dead >= DEAD_LETTERS_MAX:
            self._halt("paused", f"it has given up {self._dead} events")

    def _halt(self, state: WebhookState, failure: str) -> None:
        self.halted = Halt(state=state, failure=failure)
        self._health = self._health.failed(self._means.clock(), failure)
        log.warning("webhook_halted", webhook_id=str(self.webhook.webhook_id), failure=failure)

    def _tell(self, item: Item, failure: _Failure) -> None:
        """Once when it begins to fail; what follows is in its health."""
        if not self._health.failing_since:
            log.warning(
                "webhook_failing",
                webhook_id=str(self.webhook.webhook_id),
                target=origin_of(self.webhook.url),
                position=item.position,
                failure=failure.reason,
            )
