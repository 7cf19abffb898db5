"""Seals: who makes them, who proves by them, and what verifies the log without a service."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from application.duties import Duty
from application.seals.head import BadHead, Head
from application.seals.ports import Evidence, Signer
from application.seals.proofs import Proofs
from application.seals.sealer import Sealer
from infrastructure.postgres.database import database_of
from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.postgres.seal_evidence import evidence_in
from infrastructure.postgres.seals import PostgresSealReader, PostgresSealStore
from infrastructure.seals.heads_file import FILE_NAME, NdjsonHeads, read_heads
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security import signing_key
from infrastructure.settings import Settings
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.views import Views

__all__ = ["Seals", "evidence_of", "heads_file_of", "kept_heads", "open_seals", "signed"]

KEY_FILE_NAME = "seal-key.pem"
CONNECT_SECONDS_MAX = 5
KEPT_HEADS_MAX = 100_000
"""In memory at once; some 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """`duty` seals; only who leads has it. `signer` signs what else has to be checked elsewhere."""

    proofs: Proofs
    signer: Signer
    duty: Duty


async def open_seals(ground: Ground, views: Views, settings: Settings) -> Seals:
    """With a key, which is made when there is none. Raises UnsafeKey, OSError."""
    key_file = settings.seal_key_file or settings.data_dir / KEY_FILE_NAME
    key = await asyncio.to_thread(signing_key.load_or_make, key_file)
    signer = Ed25519Signer(key)
    sealer = Sealer(
        PostgresSealStore(ground.pool),
        NdjsonHeads(heads_file_of(settings)),
        signer,
        views.watermarks,
        log_id=ground.store.store_id,
        epoch=ground.store.epoch,
        block_seconds=settings.seal_seconds,
    )
    reader = PostgresSealReader(ground.async_pool)
    return Seals(proofs=Proofs(reader), signer=signer, duty=Duty("sealing", sealer.run))


def heads_file_of(settings: Settings) -> Path:
    """Where heads are kept outside of the database."""
    return settings.heads_file or settings.data_dir / FILE_NAME


def kept_heads(path: Path, *, heads_max: int = KEPT_HEADS_MAX) -> list[Head]:
    """The heads in a file, or of very many a part and the newest: each vouches for those before.

    Raises BadHead with the line that holds none, and OSError.
    """
    heads: list[Head] = []
    for number, line in read_heads(path):
        try:
            heads.append(Head.parse(line))
        except BadHead as error:
            raise BadHead(f"{path}, line {number}: {error.message}") from error
        if len(heads) > heads_max:
            del heads[-2::-2]
    return heads


@contextmanager
def evidence_of(settings: Settings) -> Iterator[Evidence]:
    """The log as it lies in the database, whether or not a service runs on it.

    Raises EmbeddedPostgresFailed, DatabaseUnavailable.
    """
    if settings.database_url is not None:
        with evidence_in(settings.database_url.get_secret_value()) as evidence:
            yield evidence
        return
    folder = settings.data_dir / "postgres"
    database = database_of(settings.data_dir, None, None)
    # The one of a service that runs is read beside it; otherwise it is started for the while.
    if folder.exists() and _answers(EmbeddedPostgres(folder).url):
        with evidence_in(database.url) as evidence:
            yield evidence
        return
    if not folder.exists():
        raise NoDatabase(f"There is no database in {settings.data_dir}.")
    try:
        database.start()
        with evidence_in(database.url) as evidence:
            yield evidence
    finally:
        database.stop()


class NoDatabase(Exception):
    """The folder holds none: it is another's, or no service ever ran there."""


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS_MAX):
            return True
    except psycopg.OperationalError:
        return False
