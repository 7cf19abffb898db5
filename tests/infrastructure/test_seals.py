"""Seals in PostgreSQL and in the file of heads: made, gone on with, and proved by."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import orjson
import psycopg
import pytest

from application.seals.finding import where
from application.seals.head import NOTHING_BEFORE, BadHead, Head
from application.seals.ports import HeadsDiffer, SealedElsewhere
from application.seals.proofs import HeadNotFound, NotSealedYet, Proofs
from application.seals.sealer import SEALED, Sealer
from application.seals.verification import Verification
from application.watermarks import LOG, Watermarks
from domain.errors import DatabaseUnavailable, EventNotFound
from domain.merkle import consistent, included, leaf_hash
from infrastructure.postgres.log import Pool
from infrastructure.postgres.pool import make_async_pool, make_pool
from infrastructure.postgres.row_copy import rows_of
from infrastructure.postgres.seal_evidence import PostgresEvidence, evidence_in
from infrastructure.postgres.seals import PostgresSealReader, PostgresSealStore, copy_statement
from infrastructure.seals.heads_file import NdjsonHeads, read_heads
from infrastructure.seals.signer import Ed25519Signer, signed
from tests.application.loop import Loop
from tests.conftest import Database
from tests.faults.tampering import a_signer, write_events


@dataclass
class Desk:
    """A log, and who seals it into a file."""

    database: Database
    pool: Pool
    owner: "psycopg.Connection[tuple[object, ...]]"
    rng: random.Random
    file: Path
    signer: Ed25519Signer
    watermarks: Watermarks

    def write(self, count: int) -> None:
        write_events(self.owner, self.rng, count)
        row = self.owner.execute("SELECT max(position) FROM events").fetchone()
        assert row is not None
        assert isinstance(row[0], int)
        self.watermarks.advance(LOG, row[0])

    def sealer(self, *, block_events: int = 100, seconds: float = 0.01, epoch: int = 1) -> Sealer:
        with evidence_in(self.database.url) as evidence:
            log_id = evidence.log_id()
        return Sealer(
            PostgresSealStore(self.pool),
            NdjsonHeads(self.file),
            self.signer,
            self.watermarks,
            log_id=log_id,
            epoch=epoch,
            block_events=block_events,
            block_seconds=seconds,
        )

    def heads(self) -> list[Head]:
        """In the file."""
        return [Head.parse(line) for _, line in read_heads(self.file)]

    def stored(self) -> list[Head]:
        """In the database."""
        return list(PostgresSealStore(self.pool).heads(after=0, limit=10_000))

    def fault(self) -> object:
        with evidence_in(self.database.url) as evidence:
            return Verification(evidence, signed, self.heads()).run().fault


@pytest.fixture
def desk(database: Database, rng: random.Random, tmp_path: Path) -> Iterator[Desk]:
    async def look_up(_: str) -> int:
        return 0

    with (
        make_pool(database.url, connections_max=4) as pool,
        psycopg.connect(database.owner_url, autocommit=True) as owner,
    ):
        owner.execute("SET search_path = musterroll")
        watermarks = Watermarks(look_up)
        yield Desk(database, pool, owner, rng, tmp_path / "heads.ndjson", a_signer(), watermarks)


def seal_all(sealer: Sealer) -> None:
    sealer.begin()
    while sealer.seal():
        pass


# Sealing.


def test_what_is_hashed_in_the_database_is_what_copy_sends(desk: Desk) -> None:
    desk.write(300)
    # Whatever a session has set, the bytes are the same.
    for setting in ("bytea_output = escape", "timezone = 'Asia/Tokyo'", "datestyle = 'sql, dmy'"):
        desk.owner.execute(f"SET {setting}")
    desk.owner.execute("SET client_encoding = latin1")
    rows = [bytes(row) for row in rows_of(desk.owner, copy_statement(after=None, until=None))]

    (block,) = PostgresSealStore(desk.pool).next_blocks(after=0, events=1_000, blocks=1)

    assert list(block.leaves) == [sha256(row).digest() for row in rows]
    assert list(block.leaves) == [leaf_hash(row[1:]) for row in rows]


def test_a_log_is_sealed_in_blocks_each_of_which_follows_on_the_one_before(desk: Desk) -> None:
    desk.write(250)

    seal_all(desk.sealer())

    heads = desk.stored()
    assert [head.size for head in heads] == [100, 200, 250]
    assert [head.previous for head in heads] == [
        NOTHING_BEFORE,
        *[head.digest for head in heads[:-1]],
    ]
    assert all(signed(desk.signer.public_key, head.text, head.signature) for head in heads)
    assert desk.watermarks.position(SEALED) == heads[-1].position
    assert desk.heads() == heads
    assert desk.fault() is None


def test_nothing_is_sealed_while_nothing_happens(desk: Desk) -> None:
    desk.write(10)
    sealer = desk.sealer()
    seal_all(sealer)

    assert sealer.seal() is None
    assert len(desk.stored()) == 1


def test_a_new_sealer_goes_on_where_the_last_one_stood(desk: Desk) -> None:
    for _ in range(12):
        desk.write(desk.rng.randint(1, 150))
        seal_all(desk.sealer(block_events=desk.rng.randint(1, 120)))

    assert desk.heads() == desk.stored()
    assert desk.fault() is None


def test_of_two_that_seal_the_same_block_one_is_refused_and_goes_on(desk: Desk) -> None:
    desk.write(150)
    first, second = desk.sealer(), desk.sealer(block_events=70)
    first.begin()
    second.begin()
    first.seal()

    with pytest.raises(SealedElsewhere):
        second.seal()

    second.begin()
    second.seal()
    assert [head.size for head in desk.stored()] == [100, 150]
    assert desk.heads() == desk.stored()
    assert desk.fault() is None


def test_another_key_goes_on_with_the_same_chain(desk: Desk) -> None:
    desk.write(50)
    seal_all(desk.sealer())
    desk.signer = a_signer()
    desk.write(50)
    seal_all(desk.sealer())

    assert len({head.key_id for head in desk.stored()}) == 2
    assert desk.fault() is None


def test_seals_can_be_neither_changed_nor_deleted(desk: Desk) -> None:
    desk.write(300)
    seal_all(desk.sealer())
    for url in (desk.database.url, desk.database.owner_url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET search_path = musterroll")
            for table in ("seals", "seal_nodes", "seal_keys"):
                for change in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(change)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("UPDATE musterroll.seals SET epoch = 2")


def test_it_seals_by_itself_when_a_block_is_full_or_its_time_is_over(desk: Desk) -> None:
    async def story() -> None:
        desk.watermarks.attach(asyncio.get_running_loop())
        sealing = asyncio.create_task(desk.sealer(seconds=0.05).run())
        try:
            for count, size in ((100, 100), (7, 107)):
                before = desk.watermarks.position(LOG)
                await asyncio.to_thread(desk.write, count)
                head = desk.watermarks.position(LOG)
                assert head > before
                assert await desk.watermarks.reached(
                    SEALED, head, timeout_seconds=10, poll_seconds=10
                )
                assert (await asyncio.to_thread(desk.stored))[-1].size == size
        finally:
            sealing.cancel()

    with Loop() as loop:
        loop.run(story())


# The file of heads.


def test_heads_that_a_kill_kept_from_the_file_are_appended_at_the_next_start(desk: Desk) -> None:
    desk.write(400)
    seal_all(desk.sealer(block_events=50))
    lines = desk.file.read_bytes().splitlines(keepends=True)
    for left in (lines[:3], [*lines[:3], lines[3][:40]], [lines[0][:10]], [], lines):
        desk.file.write_bytes(b"".join(left))

        desk.sealer().begin()

        assert desk.file.read_bytes() == b"".join(lines)


def test_a_file_that_was_removed_is_written_again(desk: Desk) -> None:
    desk.write(120)
    seal_all(desk.sealer())
    desk.file.unlink()

    desk.sealer().begin()

    assert desk.heads() == desk.stored()
    assert desk.file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_ahead_of_the_database_stops_the_sealing(desk: Desk) -> None:
    desk.write(120)
    seal_all(desk.sealer())
    strip(desk, "size > 100")

    with pytest.raises(HeadsDiffer, match="lost or changed"):
        desk.sealer().begin()


def test_a_file_of_another_history_stops_the_sealing(desk: Desk) -> None:
    desk.write(120)
    seal_all(desk.sealer())
    strip(desk, "true")
    desk.write(10)
    desk.file.rename(desk.file.with_suffix(".old"))
    seal_all(desk.sealer(block_events=120))
    desk.file.with_suffix(".old").rename(desk.file)

    with pytest.raises(HeadsDiffer):
        desk.sealer().begin()


def test_lines_of_another_log_are_left_alone(desk: Desk) -> None:
    other = a_head()
    NdjsonHeads(desk.file).append([other])
    desk.write(20)

    seal_all(desk.sealer())

    assert desk.heads() == [other, *desk.stored()]


def test_a_file_that_ends_with_something_else_is_not_appended_to(desk: Desk) -> None:
    desk.file.write_bytes(b'{"size": 1}\n')
    desk.write(20)

    with pytest.raises(HeadsDiffer, match="no head"):
        desk.sealer().begin()


def test_a_full_disk_is_waited_for_and_loses_no_head(desk: Desk) -> None:
    desk.write(120)
    desk.file.mkdir()  # nothing can be written there
    sealer = desk.sealer()
    with pytest.raises(OSError, match="directory"):
        seal_all(sealer)
    desk.file.rmdir()

    seal_all(desk.sealer())

    assert desk.heads() == desk.stored()
    assert desk.fault() is None


def test_the_last_head_is_found_from_the_end_of_a_long_file(desk: Desk) -> None:
    file, head = NdjsonHeads(desk.file), a_head()
    file.append([replace(head, size=size) for size in range(1, 2_001)])

    found = file.last(head.log)

    assert found is not None
    assert found.size == 2_000
    assert len(list(read_heads(desk.file))) == 2_000


def test_what_is_no_head_is_refused_with_a_reason() -> None:
    good = a_head().members()
    assert Head.parse(good) == a_head()
    for name in good:
        bad: object
        for bad in (None, "", "x", -1, 0, 2**70, [], {}, True, "ABCDEF", 1.5):
            with pytest.raises(BadHead):
                Head.parse(good | {name: bad})
    strange: object
    for strange in (None, [], "x", 7):
        with pytest.raises(BadHead):
            Head.parse(strange)


# Proofs.


def test_every_event_is_proved_to_its_tenant_and_to_nobody_else(desk: Desk) -> None:
    desk.write(900)
    seal_all(desk.sealer(block_events=70))
    rows = desk.owner.execute("SELECT position, tenant FROM events ORDER BY 1").fetchall()

    async def story() -> None:
        async with make_async_pool(desk.database.url, connections_max=2) as pool:
            proofs = Proofs(PostgresSealReader(pool))
            for position, tenant in desk.rng.sample(rows, 60):
                assert isinstance(position, int)
                found = await proofs.inclusion(str(tenant), position)
                leaf = leaf_hash(found.content)
                assert included(leaf, found.index, found.head.size, found.path, found.head.root)
                assert int.from_bytes(found.content[5:13], "big") == position
                with pytest.raises(EventNotFound):
                    await proofs.inclusion("another", position)
            for position in (0, -1, 10**9):
                with pytest.raises(EventNotFound):
                    await proofs.inclusion("default", position)

    with Loop() as loop:
        loop.run(story())


def test_every_growth_between_heads_is_proved(desk: Desk) -> None:
    desk.write(900)
    seal_all(desk.sealer(block_events=70))
    heads = desk.stored()

    async def story() -> None:
        async with make_async_pool(desk.database.url, connections_max=2) as pool:
            proofs = Proofs(PostgresSealReader(pool))
            for _ in range(60):
                one, other = desk.rng.choices(heads, k=2)
                found = await proofs.consistency(one.size, other.size)
                assert consistent(
                    found.old.size, found.new.size, found.path, found.old.root, found.new.root
                )
                assert {found.old.size, found.new.size} == {one.size, other.size}
            with pytest.raises(HeadNotFound) as unknown:
                await proofs.consistency(1, 70)
            assert unknown.value.facts == {"nearest": 900}
            with pytest.raises(NotSealedYet) as ahead:
                await proofs.consistency(70, 901)
            assert ahead.value.facts == {"nearest": 900}

    with Loop() as loop:
        loop.run(story())


def test_an_event_that_is_not_sealed_yet_is_told_from_one_that_is_not_there(desk: Desk) -> None:
    desk.write(100)
    seal_all(desk.sealer())
    sealed = desk.stored()[-1].position
    desk.write(50)
    rows = desk.owner.execute("SELECT position, tenant FROM events ORDER BY 1 DESC LIMIT 1")
    row = rows.fetchone()
    assert row is not None

    async def story() -> None:
        async with make_async_pool(desk.database.url, connections_max=2) as pool:
            with pytest.raises(NotSealedYet) as refused:
                await Proofs(PostgresSealReader(pool)).inclusion(str(row[1]), int(str(row[0])))
            assert refused.value.facts == {"nearest": sealed}

    with Loop() as loop:
        loop.run(story())


# Verifying.


def test_a_database_that_cannot_be_read_is_said_to_be_away(desk: Desk) -> None:
    with pytest.raises(DatabaseUnavailable), evidence_in("postgresql://nobody@127.0.0.1:1/x"):
        pass


def test_what_no_seal_can_hold_is_found_and_no_error(desk: Desk) -> None:
    desk.write(300)
    seal_all(desk.sealer())
    for change in (
        "UPDATE seals SET sealed_at = 'infinity' WHERE size = 200",
        "ALTER TABLE seals ALTER root DROP NOT NULL; UPDATE seals SET root = NULL WHERE size = 200",
        "UPDATE seal_nodes SET height = -1",
        "UPDATE seal_keys SET public_key = ''",
        "UPDATE events SET recorded_at = 'infinity' WHERE position = 7",
        "DELETE FROM seals WHERE size > 100; INSERT INTO seals SELECT * FROM seals WHERE false",
    ):
        with desk.owner.transaction(force_rollback=True):
            for table in ("events", "seals", "seal_nodes", "seal_keys"):
                desk.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            desk.owner.execute(change)
            verdict = Verification(PostgresEvidence(desk.owner), signed, desk.heads()).run()
            assert verdict.fault is not None, change


def test_places_are_named_as_people_say_them() -> None:
    assert (where(7, 7), where(7, 9)) == ("position 7", "positions 7 to 9")


def a_head() -> Head:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    return Head(
        log=UUID(int=1),
        epoch=1,
        size=10,
        position=12,
        root=bytes(range(32)),
        recorded_at=noon,
        time=noon,
        previous=bytes(32),
        key_id="ab" * 32,
        signature=bytes(64),
    )


def strip(desk: Desk, condition: str) -> None:
    """Take seals away, as only their owner can."""
    with desk.owner.transaction():
        for table in ("seals", "seal_nodes"):
            desk.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            desk.owner.execute(f"DELETE FROM {table} WHERE {condition}")
            desk.owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")


def test_the_file_is_json_lines_that_anybody_reads(desk: Desk) -> None:
    desk.write(20)
    seal_all(desk.sealer())

    members = [orjson.loads(line) for line in desk.file.read_bytes().splitlines()]

    assert members == [head.members() for head in desk.stored()]
    assert members[0]["time"].endswith("Z")
