"""What the bench knows of how seals are made inside, beside `ours.py`."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.seals.sealer import Sealer
from application.seals.verification import Verdict, Verification
from application.watermarks import Watermarks
from benchmarks import ours
from infrastructure.postgres.pool import make_pool
from infrastructure.postgres.seal_evidence import evidence_in
from infrastructure.postgres.seals import PostgresSealStore
from infrastructure.seals.heads_file import NdjsonHeads
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security.signing_key import SigningKey

FILL = """
INSERT INTO musterroll.events
SELECT nextval('musterroll.positions'), gen_random_uuid(), 1, 'task.submitted',
       convert_to(repeat(md5(n::text), 12), 'UTF8'), 'default', 'user/admin', gen_random_uuid(),
       gen_random_uuid(), NULL, NULL, clock_timestamp()
FROM generate_series(1, %s) AS n
"""
HEADS = "heads.ndjson"


def fill(urls: ours.Urls, events: int) -> None:
    """So many events of about 400 bytes, by no way that the product has."""
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute(FILL, (events,))
        connection.execute("VACUUM ANALYZE musterroll.events")


def a_sealer(urls: ours.Urls, data_dir: Path, watermarks: Watermarks | None = None) -> Sealer:
    """One that works without a process around it; without watermarks, when told to."""
    pool = make_pool(urls.application, connections_max=2)
    pool.open(wait=True)
    with evidence_in(urls.application) as evidence:
        log_id = evidence.log_id()
    file = NdjsonHeads(data_dir / HEADS)
    signer = Ed25519Signer(SigningKey(Ed25519PrivateKey.generate()))
    store = PostgresSealStore(pool)
    return Sealer(store, file, signer, watermarks or Watermarks(_nowhere), log_id=log_id, epoch=1)


async def _nowhere(_: str) -> int:
    return 0


def seal_everything(sealer: Sealer) -> int:
    """How many seals it took."""
    sealer.begin()
    seals = 0
    while sealer.seal():
        seals += 1
    return seals


@asynccontextmanager
async def sealing(sealer: Sealer) -> AsyncIterator[None]:
    """Seal on the running loop meanwhile, as the process that leads does."""
    task = asyncio.create_task(sealer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def cpu_seconds() -> float:
    """Of this process and all that it began, PostgreSQL too: it hardly depends on who else works
    on the machine, as rates do. What ended meanwhile is missing."""
    spent = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def verified(urls: ours.Urls) -> tuple[Verdict, float, float]:
    """What `muster audit verify` finds, how many seconds it takes, and how many of its core."""
    with evidence_in(urls.application) as evidence:
        began, worked = time.perf_counter(), time.process_time()
        verdict = Verification(evidence, signed).run()
        return verdict, time.perf_counter() - began, time.process_time() - worked
