"""Sealed values: what goes in comes out, for its place and under its key, and for nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from application.erasure.disclosure import CLOSED, Disclosure
from application.erasure.errors import SubjectErased
from application.erasure.keyring import Keyring
from application.erasure.ports import Erasure
from application.erasure.sealed import ERASED, LOCKED, PERSONAL, Sealed
from application.erasure.sealing import NO_SUBJECTS, KeySealing
from application.ids import uuid7
from application.ports import Record
from domain.catalogue import EVENTS
from domain.task import Task
from infrastructure.mapper import CatalogueMapper
from infrastructure.postgres.pool import make_async_pool
from infrastructure.postgres.subjects import PostgresSubjectKeys
from infrastructure.security.subject_vault import SigningKeyVault
from tests.conftest import Database
from tests.given import NOON, TENANT, a_specification

VAULT = SigningKeyVault(Ed25519PrivateKey.generate())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Desk:
    """A keyring on a real database, and what seals and shows with it."""

    def __init__(self, store: PostgresSubjectKeys, vault: SigningKeyVault = VAULT) -> None:
        self.store = store
        self.keyring = Keyring(store, vault)
        self.sealing = KeySealing(self.keyring, vault)
        self.disclosure = Disclosure(self.keyring, vault)

    async def subject(self, name: str) -> UUID:
        """One with a key, loaded."""
        subject_id = VAULT.id_of(TENANT, name)
        await self.keyring.make(TENANT, [subject_id])
        await self.keyring.load([subject_id])
        return subject_id

    async def erase(self, subject_id: UUID) -> None:
        """As by another process: nobody tells this keyring."""
        erasure = Erasure(
            subject_id=subject_id, tenant=TENANT, erased_at=datetime.now(UTC), actor="user/ada"
        )
        await self.store.destroy([erasure])


def play(database: Database, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with make_async_pool(database.url, connections_max=2) as pool:
            await story(Desk(PostgresSubjectKeys(pool)))

    asyncio.run(run())


def submitted(desk: Desk, subject_id: UUID, value: Any) -> Record:
    """The event of a task about somebody, as it stands in the log."""
    task_id = uuid7()
    sealed = desk.sealing.input(subject_id, task_id, value)
    task = Task.submit(
        task_id,
        a_specification(input=sealed),
        tenant=TENANT,
        parent=None,
        now=NOON,
        subject_id=subject_id,
    )
    return record_of(task)


def record_of(task: Task, *, position: int = 1) -> Record:
    [event] = task.take_events()
    return Record(
        aggregate_id=task.id,
        version=event.originator_version,
        topic=type(event).TOPIC,  # type: ignore[attr-defined]
        state=CatalogueMapper().encode(event),
        tenant=TENANT,
        actor="user/ada",
        command_id=uuid4(),
        correlation_id=task.id,
        causation_id=None,
        traceparent=None,
        position=position,
    )


def input_in(record: Record) -> Any:
    event = CatalogueMapper().decode(
        record.aggregate_id, record.version, record.topic, record.state
    )
    assert isinstance(event, Task.Submitted)
    return event.input


def test_every_personal_field_is_a_field_of_its_event() -> None:
    for topic, fields in PERSONAL.items():
        assert fields.keys() <= EVENTS[topic].__dataclass_fields__.keys()


def test_what_was_sealed_is_shown_again_as_it_was(database: Database, rng: Random) -> None:
    async def story(desk: Desk) -> None:
        subject_id = await desk.subject("ada")
        values = [{"n": rng.random(), "s": "é" * rng.randrange(50)}, [], "", 0, False, "x" * 10**6]
        for value in values:
            record = submitted(desk, subject_id, value)

            [shown] = await desk.disclosure.records([record])

            assert input_in(shown) == value
            assert str(input_in(record)).startswith("$sealed:1:")
            assert input_in((await CLOSED.records([record]))[0]) == input_in(record)

    play(database, story)


def test_a_process_that_starts_anew_shows_it_and_one_after_the_erasure_does_not(
    database: Database,
) -> None:
    async def story(desk: Desk) -> None:
        subject_id = await desk.subject("ada")
        record = submitted(desk, subject_id, "secret")

        [before] = await Desk(desk.store).disclosure.records([record])
        await desk.erase(subject_id)
        [after] = await Desk(desk.store).disclosure.records([record])

        assert (input_in(before), input_in(after)) == ("secret", ERASED)

    play(database, story)


def test_a_keyring_forgets_what_another_process_erased_within_a_second(
    database: Database,
) -> None:
    async def story(desk: Desk) -> None:
        subject_id = await desk.subject("ada")
        record = submitted(desk, subject_id, "secret")
        forgotten = asyncio.Event()
        desk.keyring.when_erased(lambda _: forgotten.set())
        noted: list[UUID] = []
        watching = asyncio.create_task(
            desk.keyring.watch(
                lambda: datetime.now(UTC), lambda some: noted.extend(o.subject_id for o in some)
            )
        )

        await desk.erase(subject_id)
        async with asyncio.timeout(1):
            await forgotten.wait()
        [shown] = await desk.disclosure.records([record])
        watching.cancel()

        assert input_in(shown) == ERASED
        with pytest.raises(SubjectErased):
            desk.sealing.input(subject_id, uuid7(), "more")

    play(database, story)


def test_every_erasure_is_told_of_once_also_of_a_key_that_is_not_here(database: Database) -> None:
    async def story(desk: Desk) -> None:
        elsewhere = Desk(desk.store)
        unknown, seen_gone = await elsewhere.subject("ada"), await elsewhere.subject("bob")
        for subject_id in (unknown, seen_gone):
            await desk.erase(subject_id)
        await desk.keyring.load([seen_gone])
        told: list[UUID] = []
        looks = asyncio.Semaphore(0)
        desk.keyring.when_erased(told.append)

        watching = asyncio.create_task(
            desk.keyring.watch(lambda: datetime.now(UTC), lambda _: looks.release())
        )
        async with asyncio.timeout(10):
            for _ in range(3):
                await looks.acquire()
        watching.cancel()

        assert sorted(told) == sorted([unknown, seen_gone])

    play(database, story)


def test_what_is_moved_to_another_task_or_field_is_not_opened(database: Database) -> None:
    async def story(desk: Desk) -> None:
        subject_id = await desk.subject("ada")
        stolen = input_in(submitted(desk, subject_id, "secret"))
        mine = Task.submit(
            uuid7(), a_specification(input=stolen), tenant=TENANT, parent=None, now=NOON
        )

        [moved] = await desk.disclosure.records([record_of(mine)])
        texts = await desk.disclosure.texts([(mine.id, f"See {stolen}.")])
        await desk.erase(subject_id)
        [erased] = await Desk(desk.store).disclosure.records([moved])

        assert input_in(moved) == input_in(erased) == stolen
        assert texts == [f"See {stolen}."]

    play(database, story)


def test_with_another_signing_key_nothing_is_called_erased_that_was_not(
    database: Database,
) -> None:
    async def story(desk: Desk) -> None:
        subject_id = await desk.subject("ada")
        record = submitted(desk, subject_id, "secret")
        task_id, sealed = record.aggregate_id, input_in(record)
        other = Desk(desk.store, SigningKeyVault(Ed25519PrivateKey.generate()))

        [shown] = await other.disclosure.records([record])
        inputs = await other.disclosure.inputs({task_id: sealed})
        texts = await other.disclosure.texts([(task_id, f"It says {sealed}.")])

        assert (input_in(shown), inputs) == (LOCKED, {task_id: LOCKED})
        assert texts == [f"It says {LOCKED}."]
        [here] = await desk.disclosure.records([record])
        assert input_in(here) == "secret"

    play(database, story)


def test_a_subject_that_was_erased_gets_no_new_key(database: Database) -> None:
    async def story(desk: Desk) -> None:
        subject_id = await desk.subject("ada")
        await desk.erase(subject_id)

        again = Desk(desk.store)
        await again.subject("ada")

        with pytest.raises(SubjectErased):
            again.sealing.input(subject_id, uuid7(), "more")

    play(database, story)


def test_without_keys_a_task_about_somebody_is_not_decided_upon() -> None:
    with pytest.raises(LookupError):
        NO_SUBJECTS.input(uuid4(), uuid7(), "secret")


@given(JSON)
def test_no_other_value_is_taken_for_a_sealed_one(value: Any) -> None:
    assert Sealed.parse(value) is None


@given(st.text(alphabet="$sealed:1-_abcdef0123456789=é\n"))
def test_a_text_that_looks_sealed_is_taken_apart_or_not_and_never_fails(rest: str) -> None:
    for text in (rest, f"$sealed:1:{rest}", f"$sealed:1:{uuid4().hex}:{rest}"):
        sealed = Sealed.parse(text)

        assert sealed is None or not sealed.mark or len(sealed.mark) <= 16


@given(st.text(), st.text(), st.text(), st.text())
def test_two_subjects_have_two_ids(tenant: str, name: str, other: str, another: str) -> None:
    same = (tenant, name) == (other, another)

    assert (VAULT.id_of(tenant, name) == VAULT.id_of(other, another)) == same
    assert VAULT.id_of(tenant, name).version == 8
    assert SigningKeyVault(Ed25519PrivateKey.generate()).id_of(tenant, name) != VAULT.id_of(
        tenant, name
    )
