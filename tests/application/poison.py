"""An event that stands in the log and cannot be read."""

import psycopg

from tests.conftest import Database


def poison(database: Database, topic: str = "os:system", state: bytes = b"{}") -> int:
    """Put one there, as only the owner can; its position."""
    with psycopg.connect(database.owner_url) as owner:
        row = owner.execute(
            "INSERT INTO musterroll.events (aggregate_id, version, topic, state, tenant, actor,"
            " command_id, correlation_id, recorded_at) VALUES (gen_random_uuid(), 1, %s, %s,"
            " 'default', 'x', gen_random_uuid(), gen_random_uuid(), now()) RETURNING position",
            (topic, state),
        ).fetchone()
    assert row is not None
    return int(row[0])


def mend(database: Database, position: int, state: bytes = b'{"labels": {}}') -> None:
    """Give it a state that can be read, as only the owner can."""
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("ALTER TABLE musterroll.events DISABLE TRIGGER append_only")
        owner.execute(
            "UPDATE musterroll.events SET state = %s WHERE position = %s", (state, position)
        )
        owner.execute("ALTER TABLE musterroll.events ENABLE ALWAYS TRIGGER append_only")
