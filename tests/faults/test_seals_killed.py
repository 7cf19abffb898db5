"""Goal: whenever the sealer is killed, the next one goes on, and the log verifies.

Method: a process seals blocks of a few events as fast as it can, while another writes; it is killed
with SIGKILL at random moments, between any two of hashing, committing and appending to the file.
"""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from application.seals.head import Head
from application.seals.verification import Verification
from infrastructure.postgres.pool import make_pool
from infrastructure.postgres.seal_evidence import evidence_in
from infrastructure.postgres.seals import PostgresSealStore
from infrastructure.seals.heads_file import read_heads
from infrastructure.seals.signer import signed
from tests.conftest import Database
from tests.faults.tampering import write_events

KILLS = 5
PROGRAM = """
import sys
from pathlib import Path
from application.seals.sealer import Sealer
from application.watermarks import Watermarks
from infrastructure.postgres.pool import make_pool
from infrastructure.postgres.seal_evidence import evidence_in
from infrastructure.postgres.seals import PostgresSealStore
from infrastructure.seals.heads_file import NdjsonHeads
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security.signing_key import load_or_make

url, folder = sys.argv[1], Path(sys.argv[2])
with evidence_in(url) as evidence:
    log_id = evidence.log_id()
with make_pool(url, connections_max=2) as pool:
    sealer = Sealer(
        PostgresSealStore(pool), NdjsonHeads(folder / "heads.ndjson"),
        Ed25519Signer(load_or_make(folder / "key.pem")), Watermarks(None),
        log_id=log_id, epoch=1, block_events=3,
    )
    sealer.begin()
    print("sealing", flush=True)
    while sys.argv[3] == "for ever" or sealer.seal():
        sealer.seal()
"""
ROOT = Path(__file__).parents[2]


def test_a_sealer_that_is_killed_leaves_nothing_that_the_next_one_stumbles_over(
    database: Database, tmp_path: Path, rng: random.Random
) -> None:
    with written(database, rng):
        for _ in range(KILLS):
            sealer = started(database, tmp_path, "for ever")
            assert sealer.stdout is not None
            assert sealer.stdout.readline() == "sealing\n"
            with pytest.raises(subprocess.TimeoutExpired):
                sealer.wait(rng.uniform(0.0, 0.3))
            sealer.kill()
            _, errors = sealer.communicate()
            assert "Traceback" not in errors, errors

    last = started(database, tmp_path, "to the end")
    _, errors = last.communicate(timeout=60)
    assert last.returncode == 0, errors

    kept = [Head.parse(line) for _, line in read_heads(tmp_path / "heads.ndjson")]
    with make_pool(database.url, connections_max=2) as pool:
        assert kept == PostgresSealStore(pool).heads(after=0, limit=100_000)
    with evidence_in(database.url) as evidence:
        verdict = Verification(evidence, signed, kept).run()
    assert verdict.fault is None
    assert verdict.unsealed == 0
    assert verdict.sealed > KILLS


def started(database: Database, folder: Path, until: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", PROGRAM, database.url, str(folder), until]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def written(database: Database, rng: random.Random) -> Iterator[None]:
    """Events come as long as it lasts."""
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            connection.execute("SET search_path = musterroll")
            while not over.wait(0.005):
                write_events(connection, rng, 5)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()
