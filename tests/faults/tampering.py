"""What somebody who may do anything in the database can do to the log, one thing at a time.

A mutation is made in a transaction that is rolled back once the log was verified in it, with every
trigger off: the owner of the tables is to them what a superuser is to the database.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow

from application.seals.head import Head
from application.seals.sealer import Sealer
from application.seals.verification import Verdict, Verification
from application.watermarks import Watermarks
from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.postgres.log import SQL as LOG_SQL
from infrastructure.postgres.log import Pool
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.seal_evidence import PostgresEvidence
from infrastructure.postgres.seals import PostgresSealStore
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security.signing_key import SigningKey

EVENT_COLUMNS = {
    "position": "bigint",
    "aggregate_id": "uuid",
    "version": "bigint",
    "topic": "text",
    "state": "bytea",
    "tenant": "text",
    "actor": "text",
    "command_id": "uuid",
    "correlation_id": "uuid",
    "causation_id": "text",
    "traceparent": "text",
    "recorded_at": "timestamptz",
}
SEAL_COLUMNS = {
    "size": "bigint",
    "former_size": "bigint",
    "log_id": "uuid",
    "epoch": "integer",
    "position": "bigint",
    "root": "bytea",
    "recorded_at": "timestamptz",
    "sealed_at": "timestamptz",
    "previous": "bytea",
    "signature": "bytea",
    "leaves": "bytea",
}
NODE_COLUMNS = {"size": "bigint", "height": "smallint", "hash": "bytea"}
RESULT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "results" / "tampering.json"
MUTATIONS_A_LOG = 250
TABLES = ("events", "seals", "seal_nodes", "seal_keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """What was done, the first position that is not as it was, and whether only heads that were
    kept elsewhere can tell. `exact`: the position can be named, and not only its block."""

    what: str
    position: int | None
    kind: str = ""
    exact: bool = True
    needs_kept: bool = False


class KeptHeads:
    """Implements HeadsFile in memory: what an auditor has."""

    def __init__(self) -> None:
        self.heads: list[Head] = []

    def last(self, log: UUID) -> Head | None:
        return next((head for head in reversed(self.heads) if head.log == log), None)

    def append(self, heads: Sequence[Head]) -> None:
        self.heads.extend(heads)


class _OneConnection:
    """In place of a pool: the transaction in which the log is mutated."""

    def __init__(self, connection: Connection[TupleRow]) -> None:
        self._connection = connection

    @contextmanager
    def connection(self) -> Iterator[Connection[TupleRow]]:
        yield self._connection


def a_signer() -> Ed25519Signer:
    return Ed25519Signer(SigningKey(Ed25519PrivateKey.generate()))


def a_sealer(
    connection: Connection[TupleRow], signer: Ed25519Signer, kept: KeptHeads, *, block_events: int
) -> Sealer:
    """One that works in a transaction."""
    row = connection.execute("SELECT store_id FROM musterroll.store").fetchone()
    assert row is not None

    async def look_up(_: str) -> int:
        return 0

    pool = cast("Pool", _OneConnection(connection))
    return Sealer(
        PostgresSealStore(pool),
        kept,
        signer,
        Watermarks(look_up),
        log_id=row[0],
        epoch=1,
        block_events=block_events,
    )


def seal_everything(sealer: Sealer) -> None:
    sealer.begin()
    while sealer.seal():
        pass


@dataclass
class Crime:
    """A sealed log, and somebody who changes it. `kept` is what was kept of it elsewhere."""

    connection: Connection[TupleRow]
    rng: random.Random
    signer: Ed25519Signer
    kept: KeptHeads
    block_events: int
    unsealed: int

    def verify(self, kept: Sequence[Head] = ()) -> Verdict:
        return Verification(PostgresEvidence(self.connection), signed, kept).run()

    @contextmanager
    def mutated(self) -> Iterator[Mutation]:
        """One mutation of any kind, for a while."""
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        with self.committed_by(kind) as mutation:
            yield mutation

    @contextmanager
    def committed_by(self, kind: "Kind") -> Iterator[Mutation]:
        with self.connection.transaction(force_rollback=True):
            for table in TABLES:
                self.connection.execute(f"ALTER TABLE musterroll.{table} DISABLE TRIGGER USER")
            self.connection.execute("ALTER TABLE musterroll.seals DROP CONSTRAINT seals_check")
            yield replace(kind(self), kind=getattr(kind, "__name__", ""))

    def rows(self, table: str, key: str) -> list[Any]:
        found = self.connection.execute(
            sql.SQL("SELECT {} FROM musterroll.{} ORDER BY 1").format(
                sql.Identifier(key), sql.Identifier(table)
            )
        )
        return [row[0] for row in found.fetchall()]

    def positions(self) -> list[int]:
        """Of what is sealed."""
        last = self.kept.heads[-1].position
        return [position for position in self.rows("events", "position") if position <= last]

    def flip(self, table: str, key: str, at: Any, column: str, kind: str) -> str:
        """One bit, character or unit of one value; what it was and what it is."""
        where = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
        where["key"] = sql.Identifier(key)
        found = self.connection.execute(
            sql.SQL("SELECT {column} FROM musterroll.{table} WHERE {key} = %s").format(**where),
            (at,),
        ).fetchone()
        assert found is not None
        update = sql.SQL("UPDATE musterroll.{table} SET {column} = %s WHERE {key} = %s")
        while True:
            value = self.changed(found[0], kind)
            # What is part of a key can become one that is there: then it becomes another.
            with suppress(UniqueViolation), self.connection.transaction():
                self.connection.execute(update.format(**where), (value, at))
                return f"{table}.{column} of {at}: {found[0]!r} became {value!r}"[:300]

    def changed(self, value: Any, kind: str) -> Any:
        rng = self.rng
        if not value and kind in {"bytea", "text"}:
            return b"\0" if kind == "bytea" else "x"
        if kind == "bytea":
            changed = bytearray(value)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            return bytes(changed)
        if kind == "uuid":
            return UUID(int=value.int ^ 1 << rng.randrange(128))
        if kind == "text":
            at = rng.randrange(len(value))
            other = rng.choice([c for c in "abcxyz019-." if c != value[at]])
            return value[:at] + other + value[at + 1 :]
        if kind == "timestamptz":
            row = self.connection.execute(
                "SELECT %s::timestamptz + %s * interval '1 microsecond'",
                (value, rng.choice([-1, 1]) << rng.randrange(40)),
            ).fetchone()
            assert row is not None
            return row[0]
        bits = {"bigint": 40, "integer": 30, "smallint": 14}[kind]
        return value ^ 1 << rng.randrange(bits)


Kind = Callable[[Crime], Mutation]


def a_crime(
    connection: Connection[TupleRow], rng: random.Random, *, events: int, block_events: int
) -> Crime:
    """A log in which so many events are sealed and some are not."""
    connection.execute("SET search_path = musterroll")
    signer, kept, unsealed = a_signer(), KeptHeads(), rng.randint(5, 20)
    write_events(connection, rng, events)
    seal_everything(a_sealer(connection, signer, kept, block_events=block_events))
    write_events(connection, rng, unsealed)
    return Crime(connection, rng, signer, kept, block_events, unsealed)


def edit(crime: Crime, position: int | None = None) -> Mutation:
    """One byte of any column of any row."""
    position = position or crime.rng.choice(crime.positions())
    column = crime.rng.choice([name for name in EVENT_COLUMNS if name != "position"])
    what = crime.flip("events", "position", position, column, EVENT_COLUMNS[column])
    return Mutation(what=what, position=position)


def move(crime: Crime) -> Mutation:
    """The position of a row; where it was, one is missing, and where it is, one too many."""
    positions = crime.positions()
    position, taken = crime.rng.choice(positions), set(crime.rows("events", "position"))
    while (target := position ^ 1 << crime.rng.randrange(12)) in taken:
        pass
    crime.connection.execute(
        "UPDATE musterroll.events SET position = %s WHERE position = %s", (target, position)
    )
    first = min(position, target)
    return Mutation(what=f"moved {position} to {target}", position=first, exact=False)


def delete(crime: Crime) -> Mutation:
    position = crime.rng.choice(crime.positions())
    crime.connection.execute("DELETE FROM musterroll.events WHERE position = %s", (position,))
    return Mutation(what=f"deleted {position}", position=position, exact=False)


def insert(crime: Crime) -> Mutation:
    """Into a gap, or before everything."""
    positions = crime.positions()
    gaps = sorted(set(range(-3, positions[-1])) - set(crime.rows("events", "position")))
    position = crime.rng.choice(gaps)
    crime.connection.execute(
        "INSERT INTO musterroll.events SELECT %s, gen_random_uuid(), version, topic, state, tenant,"
        " actor, command_id, correlation_id, causation_id, traceparent, recorded_at"
        " FROM musterroll.events WHERE position = %s",
        (position, crime.rng.choice(positions)),
    )
    return Mutation(what=f"inserted {position}", position=position)


def swap(crime: Crime) -> Mutation:
    """Two rows change places."""
    one, other = sorted(crime.rng.sample(crime.positions(), 2))
    for source, target in ((one, -9), (other, one), (-9, other)):
        crime.connection.execute(
            "UPDATE musterroll.events SET position = %s WHERE position = %s", (target, source)
        )
    return Mutation(what=f"swapped {one} and {other}", position=one)


def cut(crime: Crime) -> Mutation:
    """The end of the log; the seals stay."""
    position = crime.rng.choice(crime.positions())
    crime.connection.execute("DELETE FROM musterroll.events WHERE position >= %s", (position,))
    return Mutation(what=f"cut from {position}", position=position, exact=False)


def cut_with_seals(crime: Crime) -> Mutation:
    """The end of the log, and of its seals, so that nothing in the database tells."""
    head = crime.rng.choice(crime.kept.heads[:-1])
    _cut_seals(crime, head.size)
    crime.connection.execute("DELETE FROM musterroll.events WHERE position > %s", (head.position,))
    return Mutation(
        what=f"cut behind {head.position}, seals too",
        position=head.position + 1,
        exact=False,
        needs_kept=True,
    )


def unseal(crime: Crime) -> Mutation:
    """The last seals, and no event."""
    head = crime.rng.choice(crime.kept.heads[:-1])
    _cut_seals(crime, head.size)
    return Mutation(
        what=f"removed the seals behind {head.size}",
        position=head.position + 1,
        exact=False,
        needs_kept=True,
    )


def rewrite_with_another_key(crime: Crime) -> Mutation:
    return _rewrite(crime, a_signer(), "another key")


def rewrite_with_the_stolen_key(crime: Crime) -> Mutation:
    return _rewrite(crime, crime.signer, "the stolen key")


def _cut_seals(crime: Crime, size: int) -> None:
    for table in ("seals", "seal_nodes"):
        crime.connection.execute(f"DELETE FROM musterroll.{table} WHERE size > %s", (size,))


def _rewrite(crime: Crime, signer: Ed25519Signer, whose: str) -> Mutation:
    """An event is changed, and everything is sealed anew from there or from the start."""
    done = crime.rng.choice([edit, delete, swap])(crime)
    for table in ("seals", "seal_nodes", "seal_keys"):
        crime.connection.execute(f"DELETE FROM musterroll.{table}")
    blocks = crime.rng.choice([crime.block_events, crime.block_events + 3])
    seal_everything(a_sealer(crime.connection, signer, KeptHeads(), block_events=blocks))
    return Mutation(
        what=f"{done.what}, sealed anew with {whose}",
        position=done.position,
        exact=False,
        needs_kept=True,
    )


def edit_with_hashes(crime: Crime) -> Mutation:
    """An event, and the kept hashes of its block, so that these cannot tell which."""
    done = edit(crime)
    size = next(head.size for head in crime.kept.heads if head.position >= (done.position or 0))
    crime.flip("seals", "size", size, "leaves", "bytea")
    return Mutation(what=f"{done.what}, and the hashes", position=done.position, exact=False)


def edit_a_seal(crime: Crime) -> Mutation:
    column = crime.rng.choice(list(SEAL_COLUMNS))
    size = crime.rng.choice(crime.rows("seals", "size"))
    what = crime.flip("seals", "size", size, column, SEAL_COLUMNS[column])
    return Mutation(what=what, position=None)


def delete_a_seal(crime: Crime) -> Mutation:
    """Not the last: then there is nothing that tells but kept heads."""
    size = crime.rng.choice(crime.rows("seals", "size")[:-1])
    crime.connection.execute("DELETE FROM musterroll.seals WHERE size = %s", (size,))
    return Mutation(what=f"deleted the seal of {size}", position=None)


def edit_a_node(crime: Crime) -> Mutation:
    column = crime.rng.choice(list(NODE_COLUMNS))
    node = crime.rng.choice(crime.rows("seal_nodes", "hash"))
    what = crime.flip("seal_nodes", "hash", node, column, NODE_COLUMNS[column])
    return Mutation(what=what, position=None)


def delete_a_node(crime: Crime) -> Mutation:
    size = crime.rng.choice(crime.rows("seal_nodes", "size"))
    crime.connection.execute("DELETE FROM musterroll.seal_nodes WHERE size = %s", (size,))
    return Mutation(what=f"deleted the nodes of {size}", position=None)


def edit_a_key(crime: Crime) -> Mutation:
    key_id = crime.rows("seal_keys", "key_id")[0]
    what = crime.flip("seal_keys", "key_id", key_id, "public_key", "bytea")
    return Mutation(what=what, position=None)


KINDS: dict[Kind, int] = {
    edit: 40,
    move: 6,
    delete: 8,
    insert: 8,
    swap: 8,
    cut: 4,
    cut_with_seals: 3,
    unseal: 2,
    rewrite_with_another_key: 3,
    rewrite_with_the_stolen_key: 3,
    edit_with_hashes: 4,
    edit_a_seal: 8,
    delete_a_seal: 2,
    edit_a_node: 2,
    delete_a_node: 1,
    edit_a_key: 1,
}
"""How often each is done."""


def found(crime: Crime, mutation: Mutation) -> str | None:
    """Whether it was found and named as it should; None, or what is wrong with the answer."""
    inside = crime.verify().fault
    fault = crime.verify(crime.kept.heads).fault
    if fault is None:
        return "it was not found"
    if (inside is None) != mutation.needs_kept:
        return f"without kept heads it was told otherwise: {inside}"
    if mutation.position is None:
        return None
    first, last = fault.first, fault.last
    if first is None or last is None or not first <= mutation.position <= last:
        return f"another position was named: {fault}"
    if mutation.exact and first != last:
        return f"no exact position was named: {fault}"
    return None


def write_events(connection: Connection[TupleRow], rng: random.Random, count: int) -> None:
    """Through the only way in, with everything that a column can hold, and with gaps."""
    left = count
    while left > 0:
        events = min(left, rng.randint(1, 20))
        left -= events
        psycopg.RawCursor(connection).execute(LOG_SQL["append"], _a_batch(rng, events))
        if rng.random() < 0.2:
            connection.execute("SELECT nextval('musterroll.positions')")


def _a_batch(rng: random.Random, count: int) -> list[list[object]]:
    def ids() -> list[object]:
        return [UUID(int=rng.getrandbits(128)) for _ in range(count)]

    def texts(*choice: str | None) -> list[object]:
        return [rng.choice(choice) for _ in range(count)]

    return [
        ids(),
        [rng.randint(1, 10**6) for _ in range(count)],
        texts("task.submitted", "task.completed", ""),
        [rng.randbytes(rng.choice([0, 1, 30, 400, 5_000])) for _ in range(count)],
        texts("default", "ünïcode", "\U0001f4dc", ""),
        texts("user/admin", "agent/Bob's\n\t\\N"),
        ids(),
        ids(),
        texts(None, "1:7", ""),
        texts(None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        *([], [], []),
    ]


def main() -> int:
    """Do thousands of them, a fresh log for each few hundred; 1 when any was not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    told = parser.parse_args()
    began, done, undetected = time.monotonic(), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="musterroll-tampering-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        server.start()
        try:
            for number in range(-(-told.mutations // MUTATIONS_A_LOG)):
                rng = random.Random(f"{told.seed}/{number}")
                left = min(MUTATIONS_A_LOG, told.mutations - done.total())
                with a_log(server, f"crime_{number}", rng) as crime:
                    for _ in range(left):
                        with crime.mutated() as mutation:
                            if reason := found(crime, mutation):
                                undetected.append(f"log {number}: {mutation.what}: {reason}")
                        done[mutation.kind] += 1
        finally:
            server.stop()
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": told.seed,
        "mutations": done.total(),
        "undetected_or_misnamed": undetected,
        "kinds": dict(done.most_common()),
        "seconds": round(time.monotonic() - began, 1),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if undetected else 0


@contextmanager
def a_log(server: EmbeddedPostgres, name: str, rng: random.Random) -> Iterator[Crime]:
    """In a database of its own, with blocks of some size."""
    with psycopg.connect(server.owner_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
    owner_url = make_conninfo(server.owner_url, dbname=name)
    migrate(owner_url, make_conninfo(server.url, dbname=name))
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield a_crime(
            connection, rng, events=rng.randint(300, 1_500), block_events=rng.randint(10, 200)
        )


if __name__ == "__main__":
    sys.exit(main())
