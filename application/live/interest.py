"""What a subscriber wants to see of the log, and which channel an event comes over."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID
from weakref import WeakValueDictionary

from application.erasure.keyring import SubjectKey
from application.live.channel import SCOPES, VOLATILE, Channel, family_of
from application.ports import Record
from domain.catalogue import EVENTS

LABELLING = frozenset(
    topic for topic, kind in EVENTS.items() if "labels" in kind.__dataclass_fields__
)
"""The topics that say which labels their aggregate has from then on."""


@dataclass(slots=True)
class Shown:
    """An event on its way to subscribers.

    `labels` are those that its aggregate had then; None while nobody asked for them.
    """

    record: Record
    labels: dict[str, str] | None = None
    key: SubjectKey | None = None
    """What it is shown with, when something in it is sealed."""
    family: str = ""
    cursor: str = ""
    cloud_event: bytes = b""
    """As JSON, and the cursor that is its id; once somebody wants it."""
    frames: dict[object, bytes] = field(default_factory=dict)
    """As it is written, by format and channel, each made when it is first asked for."""

    def __post_init__(self) -> None:
        """Told once for all who look at it."""
        self.family = family_of(self.record.topic)

    def size(self) -> int:
        """About how many bytes it holds, once it is encoded."""
        return 3 * len(self.record.state)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One's wish for a channel: without types and labels every event of it passes."""

    channel: Channel
    types: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()

    def passes(self, shown: Shown) -> bool:
        """Whether the filters let an event of the channel through."""
        if self.types and shown.record.topic not in self.types:
            return False
        if not self.labels:
            return True
        assert shown.labels is not None, "labels are looked up before they are asked for"
        return self.labels <= shown.labels.items()


@dataclass(frozen=True)
class Interest:
    """A tenant, and everything that is wanted of it. Equal interests see the same, the same way."""

    tenant: str
    subscriptions: frozenset[Subscription] = frozenset()

    @classmethod
    def of(cls, tenant: str, subscriptions: Iterable[Subscription]) -> "Interest":
        """What is volatile is not of the log, and so of no interest here.

        Thousands of connections want the same: they share one object.
        """
        wanted = frozenset(s for s in subscriptions if not s.channel.volatile)
        interest = cls(tenant, wanted)
        return _KNOWN.setdefault(interest, interest)

    @classmethod
    def in_everything(cls, tenant: str) -> "Interest":
        """All events of a tenant, over whatever channel they come."""
        families = (family for family in SCOPES if family not in VOLATILE)
        return cls.of(tenant, (Subscription(Channel(family)) for family in families))

    def channel_for(self, shown: Shown) -> Channel | None:
        """The widest of the channels that an event comes over; None when it is not wanted."""
        if shown.record.tenant != self.tenant:
            return None
        for subscription in self._wide.get(shown.family, ()):
            if subscription.passes(shown):
                return subscription.channel
        for subscription in self._single.get(shown.record.aggregate_id, ()):
            if subscription.channel.family == shown.family and subscription.passes(shown):
                return subscription.channel
        return None

    def may_want(self, aggregate_ids: AbstractSet[UUID]) -> bool:
        """Whether an event of any of these could be wanted; quickly, for those who watch one."""
        return bool(self._wide) or bool(aggregate_ids & self._single.keys())

    @cached_property
    def needs_labels(self) -> bool:
        """Whether the labels of an event have to be known."""
        return any(subscription.labels for subscription in self.subscriptions)

    @cached_property
    def aggregate_ids(self) -> list[UUID] | None:
        """The only aggregates whose events can be wanted; None when it may be any."""
        return None if self._wide else sorted(self._single)

    @cached_property
    def topics(self) -> list[str] | None:
        """The only topics that can be wanted; None when it may be any."""
        if not all(subscription.types for subscription in self.subscriptions):
            return None
        return sorted({name for subscription in self.subscriptions for name in subscription.types})

    @cached_property
    def _wide(self) -> dict[str, list[Subscription]]:
        found = defaultdict(list)
        for subscription in self.subscriptions:
            if subscription.channel.thing_id is None:
                found[subscription.channel.family].append(subscription)
        return dict(found)

    @cached_property
    def _single(self) -> dict[UUID, list[Subscription]]:
        found = defaultdict(list)
        for subscription in self.subscriptions:
            if subscription.channel.thing_id is not None:
                found[subscription.channel.thing_id].append(subscription)
        return dict(found)


_KNOWN: WeakValueDictionary[Interest, Interest] = WeakValueDictionary()
