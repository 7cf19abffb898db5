"""Rows a second of a binary COPY into a table with two indexes: told `{"url", "rows"}`.

The rows look like events of about 400 bytes. They are made by PostgreSQL and read out once, so that
no time goes into encoding them.
"""

import time
from typing import Any

import psycopg

from benchmarks.jobs.job import answer

MAKE = """
CREATE TABLE copied (
    position bigint PRIMARY KEY, aggregate_id uuid NOT NULL, version bigint NOT NULL,
    topic text NOT NULL, state bytea NOT NULL, UNIQUE (aggregate_id, version)
)
"""
FILL = """
INSERT INTO copied
SELECT n, uuidv7(), 1, 'bench.copied', convert_to(repeat('x', 340), 'UTF8')
FROM generate_series(1, %s) AS n
"""
OUT = "COPY copied TO STDOUT (FORMAT binary)"
IN = "COPY copied FROM STDIN (FORMAT binary)"


def measure(told: dict[str, Any]) -> float:
    """Durable: the clock stops after the commit."""
    with psycopg.connect(told["url"], autocommit=True) as connection:
        connection.execute(MAKE)
        connection.execute(FILL, (told["rows"],))
        with connection.cursor().copy(OUT) as out:
            blocks = [bytes(block) for block in out]
        connection.execute("TRUNCATE copied")
        text = b"".join(blocks)
        began = time.perf_counter()
        with connection.cursor().copy(IN) as into:
            into.write(text)
        seconds = time.perf_counter() - began
        row = connection.execute("SELECT count(*) FROM copied").fetchone()
    assert row == (told["rows"],)
    return float(told["rows"]) / seconds


if __name__ == "__main__":
    answer(measure)
