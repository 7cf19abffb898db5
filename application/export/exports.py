"""Exports of the log, line by line, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractContextManager
from datetime import UTC
from hashlib import sha256
from uuid import UUID

from application.cloud_events import CloudEvents
from application.cursor import Cursor
from application.erasure.disclosure import Disclosure
from application.export.manifest import Manifest
from application.live.channel import Channel
from application.live.interest import Interest, Subscription
from application.live.ports import History
from application.ports import Clock
from application.seals.ports import Signer
from application.stretch import Stretch
from application.turnstile import Turnstile
from domain.errors import Unavailable

EXPORTS_OF_TENANT_MAX = 2
EXPORTS_MAX = 8
"""At a time, of this process: each holds a page, and reads the log as fast as it is taken."""


class TooManyExports(Unavailable):
    """As many exports are under way as can be."""

    code = "too_many_exports"

    def __init__(self) -> None:
        super().__init__(
            f"{EXPORTS_OF_TENANT_MAX} exports of a tenant, or {EXPORTS_MAX} of all, are under way.",
            retry_after_seconds=10,
        )


class Exports:
    """Writes exports. Belongs to the event loop."""

    def __init__(
        self,
        history: History,
        cloud_events: CloudEvents,
        disclosure: Disclosure,
        signer: Signer,
        clock: Clock,
    ) -> None:
        self._history = history
        self._cloud_events = cloud_events
        self._disclosure = disclosure
        self._signer = signer
        self._clock = clock
        self._turnstile = Turnstile(EXPORTS_OF_TENANT_MAX, EXPORTS_MAX, full=TooManyExports)

    def under_way(self, tenant: str) -> AbstractContextManager[None]:
        """While one is being written. Raises TooManyExports."""
        return self._turnstile.one(tenant)

    async def lines(
        self, tenant: str, stretch: Stretch, *, sign: bool, of: Collection[UUID] = ()
    ) -> AsyncGenerator[bytes]:
        """The events as CloudEvents, one a line, some lines at a time, as they may be shown now;
        then, if it is to be signed, the manifest. `of` are the tasks and agents whose events are
        wanted; without any, all are. Raises DatabaseUnavailable."""
        digest, count = sha256(), 0
        interest, after = _interest(tenant, of), stretch.after
        while after < stretch.until:
            page, after = await self._history.read(interest, after=after, until=stretch.until)
            records = await self._disclosure.records(page)
            lines = b"".join(self._cloud_events.encode(record) + b"\n" for record in records)
            if lines:
                digest.update(lines)
                count += len(records)
                yield lines
        if sign:
            aggregates = " ".join(sorted({str(one) for one in of}))
            manifest = self._manifest(
                tenant, stretch, aggregates, count=count, digest=digest.hexdigest()
            )
            signature = await asyncio.to_thread(self._signer.sign, manifest.text)
            yield manifest.line(self._signer.public_key, signature)

    def _manifest(
        self, tenant: str, stretch: Stretch, aggregates: str, *, count: int, digest: str
    ) -> Manifest:
        epoch = self._cloud_events.epoch
        time = self._clock().astimezone(UTC)
        return Manifest(
            log=str(self._cloud_events.store_id),
            tenant=tenant,
            after=str(Cursor(epoch, stretch.after)),
            until=str(Cursor(epoch, stretch.until)),
            count=count,
            sha256=digest,
            time=time.isoformat().replace("+00:00", "Z"),
            key_id=self._signer.key_id,
            aggregates=aggregates,
        )


def _interest(tenant: str, of: Collection[UUID]) -> Interest:
    if not of:
        return Interest.in_everything(tenant)
    # An id is that of a task or of an agent; both channels together find it.
    channels = (Channel(family, one) for one in of for family in ("tasks", "agents"))
    return Interest.of(tenant, map(Subscription, channels))
