"""Shows what is personal, on its way out of the log: in clear while its subject has its key, as
`[erased]` afterwards, as `[locked]` where there is a key and it cannot be opened. Whatever reads
the log, the read models or the memory of either for somebody outside goes through here; see "What
is personal" in application/README.md."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

import orjson

from application.erasure.keyring import Keyring, SubjectKey
from application.erasure.ports import SubjectVault, UnreadableKey
from application.erasure.sealed import (
    ERASED,
    IN_TEXT,
    INPUT,
    LOCKED,
    PERSONAL,
    PERSONAL_OF_ROWS,
    PREFIX,
    PREFIX_BYTES,
    TEXT,
    Place,
    Sealed,
)
from application.ports import Json, Record

TURN_BYTES = 128 * 1024
"""Opened in a row, some half a millisecond, before others get their turn of the event loop."""

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Found:
    """What looks sealed: the name of its field, where it belongs, what it holds, and whether it was
    sealed here, for there. If it was not, it is what somebody wrote, or was sealed with another
    signing key."""

    name: str
    place: Place
    text: str
    sealed: Sealed
    genuine: bool

    def concerns(self, key: SubjectKey) -> bool:
        """Whether it is shown as something else than it is."""
        return self.genuine or key.locked


class Disclosure:
    """For one event loop. Each method that waits raises DatabaseUnavailable."""

    def __init__(self, keyring: Keyring, vault: SubjectVault) -> None:
        self._keyring = keyring
        self._vault = vault

    async def records(self, records: Sequence[Record]) -> Sequence[Record]:
        """Records of the log as they may be shown, or decoded to be shown."""
        keys = await self.keys(records)
        if not keys:
            return records
        shown = []
        turn = Turn()
        for record in records:
            key = keys.get(record.position)
            shown.append(record if key is None else self.opened(record, key))
            await turn.taken(len(record.state) if key else 0)
        return shown

    async def keys(self, records: Sequence[Record]) -> dict[int, SubjectKey]:
        """Of the records that hold something sealed, by position, the keys to show them with."""
        sealed = {
            record.position: found[0]
            for record in records
            if PREFIX_BYTES in record.state and (found := self._found(record))
        }
        keys = await self._keys_of(sealed.values())
        return {
            position: key
            for position, one in sealed.items()
            if one.concerns(key := keys[one.sealed.subject_id])
        }

    def opened(self, record: Record, key: SubjectKey) -> Record:
        """One record with its key, as it is at this moment."""
        state = orjson.loads(record.state)
        for one in self._found(record):
            state[one.name] = self._opened(one, key)
        return replace(record, state=orjson.dumps(state))

    async def rows(self, rows: Sequence[RowT]) -> list[RowT]:
        """Rows of the task board, or what has its fields, as they may be shown."""
        found = [list(self._found_in_row(row)) for row in rows]
        keys = await self._keys_of(one for fields in found for one in fields)
        shown, turn = [], Turn()
        for row, fields in zip(rows, found, strict=True):
            changes = {one.name: self._opened(one, keys[one.sealed.subject_id]) for one in fields}
            shown.append(replace(row, **changes) if changes else row)  # type: ignore[type-var]
            await turn.taken(sum(len(one.text) for one in fields))
        return shown

    async def inputs(self, inputs: Mapping[UUID, Json]) -> dict[UUID, Json]:
        """What tasks were submitted with, by task, as their workers get it."""
        found = {
            task_id: one
            for task_id, value in inputs.items()
            if (one := self._look("input", value, Place(task_id, INPUT)))
        }
        keys = await self._keys_of(found.values())
        shown, turn = dict(inputs), Turn()
        for task_id, one in found.items():
            shown[task_id] = self._opened(one, keys[one.sealed.subject_id])
            await turn.taken(len(one.text))
        return shown

    async def texts(self, texts: Sequence[tuple[UUID, str]]) -> list[str]:
        """Sentences about tasks, as they may be shown, whatever sealed texts they hold."""
        found = {
            (task_id, match): one
            for task_id, text in texts
            if PREFIX in text
            for match in IN_TEXT.findall(text)
            if (one := self._look("text", match, Place(task_id, TEXT)))
        }
        keys = await self._keys_of(found.values())

        def shown(task_id: UUID, match: str) -> str:
            one = found.get((task_id, match))
            return str(self._opened(one, keys[one.sealed.subject_id])) if one else match

        return [
            IN_TEXT.sub(lambda match, of=task_id: shown(of, match[0]), text)  # type: ignore[misc]
            if PREFIX in text
            else text
            for task_id, text in texts
        ]

    def _found(self, record: Record) -> list[Found]:
        fields = PERSONAL.get(record.topic)
        if fields is None:
            return []
        state = orjson.loads(record.state)
        candidates = (
            self._look(name, state.get(name), Place(record.aggregate_id, sort))
            for name, sort in fields.items()
        )
        return [one for one in candidates if one]

    def _found_in_row(self, row: Any) -> Iterator[Found]:
        for name, sort in PERSONAL_OF_ROWS.items():
            value = getattr(row, name, None)
            if isinstance(value, str) and value.startswith(PREFIX):
                one = self._look(name, value, Place(row.task_id, sort))
                if one:
                    yield one

    def _look(self, name: str, value: Any, place: Place) -> Found | None:
        sealed = Sealed.parse(value)
        if sealed is None:
            return None
        return Found(name, place, value, sealed, sealed.genuine(place, self._vault))

    async def _keys_of(self, found: Iterable[Found]) -> dict[UUID, SubjectKey]:
        subject_ids = {one.sealed.subject_id for one in found}
        return await self._keyring.load(subject_ids) if subject_ids else {}

    def _opened(self, one: Found, key: SubjectKey) -> Any:
        if key.locked:
            return LOCKED
        if not one.genuine:
            return one.text
        if key.cipher is None:
            return ERASED
        try:
            plain = key.cipher.open(one.place.of(one.sealed.subject_id), one.sealed.content)
        except UnreadableKey:
            # Sealed by a former key of the subject, which is as good as destroyed.
            return ERASED
        return plain.decode() if one.place.sort == TEXT else orjson.loads(plain)


class Closed(Disclosure):
    """Opens nothing: what is sealed is shown as it stands. For where there are no keys."""

    def __init__(self) -> None:
        """Without anything."""

    def _look(self, name: str, value: Any, place: Place) -> None:
        """Nothing looks sealed."""


CLOSED = Closed()


class Turn:
    """How much was opened since others last had the event loop."""

    def __init__(self) -> None:
        self._bytes = 0

    async def taken(self, size: int) -> None:
        """Let others go on when it has been a while."""
        self._bytes += size
        if self._bytes >= TURN_BYTES:
            self._bytes = 0
            await asyncio.sleep(0)
