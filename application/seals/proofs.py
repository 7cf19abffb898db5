"""Proofs of what is sealed: that an event is in the log, and that one head grew out of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from application.seals.head import Head
from application.seals.ports import SealReader
from domain.errors import Conflict, EventNotFound, NotFound
from domain.merkle import (
    Range,
    consistency_ranges,
    fold_peaks,
    inclusion_ranges,
    peaks_of,
)


class HeadNotFound(NotFound):
    """No head has that size. `nearest` is the newest one's."""

    code = "head_not_found"

    def __init__(self, size: int, nearest: int) -> None:
        super().__init__(f"No head has the size {size}.", nearest=nearest)


class NotSealedYet(Conflict):
    """It takes some seconds until an event is sealed. `nearest` is what was sealed last."""

    code = "not_sealed_yet"

    def __init__(self, what: str, nearest: int) -> None:
        super().__init__(
            f"{what} is not sealed yet; the last that is, is {nearest}.", nearest=nearest
        )


class SealsIncomplete(Conflict):
    """Hashes that were kept of the tree are gone: the log's seals were tampered with."""

    code = "seals_incomplete"

    def __init__(self) -> None:
        super().__init__("Kept hashes of the tree are missing: run `muster audit verify`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """The event of these canonical bytes is leaf `index` of the tree with this head."""

    position: int
    index: int
    content: bytes
    path: Sequence[bytes]
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """The tree of the one head begins with that of the other."""

    old: Head
    new: Head
    path: Sequence[bytes]


Keys = Mapping[str, tuple[bytes, datetime]]


class Proofs:
    """Answers from the stored nodes: a handful of them for each proof, however long the log is."""

    def __init__(self, reader: SealReader) -> None:
        self._reader = reader

    async def heads(self, *, before: int | None, limit: int) -> Sequence[Head]:
        """Those of a smaller size, newest first. Raises DatabaseUnavailable."""
        return await self._reader.heads(before=before, limit=limit)

    async def keys(self) -> Keys:
        """Public keys by their ids, and since when they are used. Raises DatabaseUnavailable."""
        return await self._reader.keys()

    async def inclusion(self, tenant: str, position: int) -> Inclusion:
        """That an event of the tenant is in the newest head.

        Raises EventNotFound, NotSealedYet, SealsIncomplete, DatabaseUnavailable.
        """
        # The head first: what is sealed meanwhile, is proved by the next.
        head = await self._reader.newest()
        event = await self._reader.event(tenant, position)
        if event is None:
            raise EventNotFound(position)
        if head is None or event.index is None or event.index >= head.size:
            raise NotSealedYet(f"Position {position}", head.position if head else 0)
        path = await self._roots(inclusion_ranges(event.index, head.size))
        return Inclusion(
            position=position, index=event.index, content=event.content, path=path, head=head
        )

    async def consistency(self, old: int, new: int) -> Consistency:
        """That nothing before the smaller of two heads was changed when the larger was made.

        Raises HeadNotFound, NotSealedYet, SealsIncomplete, DatabaseUnavailable.
        """
        smaller, larger = await self._head(min(old, new)), await self._head(max(old, new))
        path = await self._roots(consistency_ranges(smaller.size, larger.size))
        return Consistency(old=smaller, new=larger, path=path)

    async def _head(self, size: int) -> Head:
        found = await self._reader.head(size)
        if found is not None:
            return found
        newest = await self._reader.newest()
        nearest = newest.size if newest else 0
        if size > nearest:
            raise NotSealedYet(f"A log of {size} events", nearest)
        raise HeadNotFound(size, nearest)

    async def _roots(self, ranges: Sequence[Range]) -> list[bytes]:
        peaks = [peaks_of(leaves) for leaves in ranges]
        nodes = await self._reader.nodes({node for one in peaks for node in one})
        try:
            return [fold_peaks([nodes[node] for node in one]) for one in peaks]
        except KeyError as error:
            raise SealsIncomplete from error
