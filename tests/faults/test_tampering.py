"""Goal: nobody changes what was sealed unseen, whatever they may do in the database.

Method: a log with everything that a column can hold is sealed, then mutated as its owner can, with
every trigger off, one mutation at a time. Each has to be found, and the first bad position named;
what leaves the database in agreement with itself has to be found through heads that were kept
elsewhere. `scripts/tampering.py` does thousands.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from tests.conftest import Database
from tests.faults.tampering import (
    KINDS,
    Crime,
    KeptHeads,
    Kind,
    Mutation,
    a_crime,
    a_signer,
    edit,
    found,
)

MUTATIONS = 150
EVENTS, BLOCK_EVENTS = 700, 60


@pytest.fixture
def crime(database: Database, rng: random.Random) -> Iterator[Crime]:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        yield a_crime(connection, rng, events=EVENTS, block_events=BLOCK_EVENTS)


def test_a_log_that_nobody_touched_is_as_it_was_sealed(crime: Crime) -> None:
    verdict = crime.verify(crime.kept.heads)

    assert verdict.fault is None
    assert (verdict.sealed, verdict.unsealed) == (EVENTS, crime.unsealed)
    assert verdict.compared == verdict.seals == len(crime.kept.heads)


def test_every_mutation_is_found_and_the_first_bad_position_named(crime: Crime) -> None:
    wrong, done = [], Counter[str]()
    for _ in range(MUTATIONS):
        with crime.mutated() as mutation:
            if reason := found(crime, mutation):
                wrong.append(f"{mutation.what}: {reason}")
        done[mutation.kind] += 1

    assert wrong == []
    assert crime.verify(crime.kept.heads).fault is None, "a mutation was not undone"


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.__name__)
def test_each_kind_of_mutation_is_found(crime: Crime, kind: Kind) -> None:
    for _ in range(3):
        with crime.committed_by(kind) as mutation:
            assert found(crime, mutation) is None, mutation.what


def test_a_change_that_a_key_of_its_table_forbids_becomes_another(crime: Crime) -> None:
    def edit_a_height(crime: Crime) -> Mutation:
        node = crime.rng.choice(crime.rows("seal_nodes", "hash"))
        what = crime.flip("seal_nodes", "hash", node, "height", "smallint")
        return Mutation(what=what, position=None)

    for _ in range(40):  # one in fourteen of which is forbidden
        with crime.committed_by(edit_a_height) as mutation:
            assert found(crime, mutation) is None, mutation.what


@pytest.mark.parametrize("which", ["first", "last"])
def test_the_first_and_the_last_event_are_guarded_as_well(crime: Crime, which: str) -> None:
    position = crime.positions()[0 if which == "first" else -1]
    with crime.committed_by(lambda one: edit(one, position)) as mutation:
        verdict = crime.verify()

    assert verdict.fault is not None, mutation.what
    assert (verdict.fault.first, verdict.fault.last) == (position, position)
    assert verdict.fault.code == "event_changed"


def test_what_is_not_sealed_yet_can_be_changed_and_is_said_to_be_unsealed(crime: Crime) -> None:
    # The weakness, stated: up to a block of events at the end is guarded by nothing yet.
    last = crime.rows("events", "position")[-1]
    assert last > crime.positions()[-1]
    with crime.committed_by(lambda one: edit(one, last)):
        verdict = crime.verify(crime.kept.heads)

    assert verdict.fault is None
    assert verdict.unsealed == crime.unsealed


def test_a_key_that_signed_nothing_and_when_one_was_added_are_guarded_by_nothing(
    crime: Crime,
) -> None:
    # The weakness, stated: a key is there before its first seal, so one without any is no fault.
    def add_a_key(crime: Crime) -> Mutation:
        stranger = a_signer()
        crime.connection.execute("UPDATE musterroll.seal_keys SET added_at = 'epoch'")
        crime.connection.execute(
            "INSERT INTO musterroll.seal_keys VALUES (%s, %s)",
            (stranger.key_id, stranger.public_key),
        )
        return Mutation(what="added a key", position=None)

    with crime.committed_by(add_a_key):
        assert crime.verify(crime.kept.heads).fault is None


def test_kept_heads_of_another_log_are_refused(crime: Crime) -> None:
    strange = replace(crime.kept.heads[0], log=UUID(int=7))

    verdict = crime.verify([strange])

    assert verdict.fault is not None
    assert verdict.fault.code == "other_log"
    # A file that was gone on with may hold both.
    assert crime.verify([strange, *crime.kept.heads]).compared == len(crime.kept.heads)


def test_a_kept_head_that_was_changed_is_told_from_a_log_that_was(crime: Crime) -> None:
    changed = replace(crime.kept.heads[1], root=bytes(32))

    verdict = crime.verify([changed])

    assert verdict.fault is not None
    assert verdict.fault.code == "kept_head_changed"


def test_some_of_the_heads_are_enough(crime: Crime) -> None:
    some = KeptHeads()
    some.append(crime.kept.heads[2::4])

    assert crime.verify(some.heads).compared == len(some.heads)
