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
