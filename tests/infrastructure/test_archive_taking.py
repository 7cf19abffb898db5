"""Taking archives: of what is in the log, none twice, none left out, whatever comes in between."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pyrage  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.archives.chain import Catalogue, ManifestFile
from application.archives.faults import RepositoryFull
from application.archives.format import ArchiveType, Content
from application.archives.ports import JobFailed, Kept
from application.ids import uuid7
from domain.merkle import root_of
from infrastructure.archives.collecting import READ_MODELS, snapshot_of
from infrastructure.archives.encryption import DataKey, DataKeys
from infrastructure.archives.folder import FolderRepository
from infrastructure.archives.packaging import portions
from infrastructure.archives.segment import read_segment
from infrastructure.archives.taking import Order, Taken, Taking
from infrastructure.archives.verifying import verify_archive
from infrastructure.postgres import read_model_store
from infrastructure.postgres.read_model_store import TableShape
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security.signing_key import SigningKey
from tests.conftest import Database

FILL = """
INSERT INTO musterroll.events
SELECT nextval('musterroll.positions'), gen_random_uuid(), 1, 'subject.erased',
       convert_to('{"timestamp":"2026-11-23T12:00:00+00:00","tenant":"default"}', 'UTF8'),
       'default', 'user/ada', gen_random_uuid(), gen_random_uuid(), NULL, NULL, clock_timestamp()
FROM generate_series(1, %s) AS n
"""
REQUEST = """
INSERT INTO musterroll.requests (key, fingerprint, base, answer)
SELECT gen_random_uuid(), 'f', max(position) - 1, 'a' FROM musterroll.events
"""
SEAL_KEY = """
INSERT INTO musterroll.seal_keys (key_id, public_key)
VALUES (repeat('0', 64), decode(repeat('00', 32), 'hex'))
"""
SEAL = """
INSERT INTO musterroll.seals (log_id, epoch, size, position, root, recorded_at, sealed_at, previous,
                              key_id, signature, former_size, leaves)
SELECT store_id, 1, 50, 50, %s, now(), now(), decode(repeat('00', 32), 'hex'), repeat('0', 64),
       decode(repeat('00', 64), 'hex'), 0, %s
FROM musterroll.store
"""


class Killed(BaseException):
    """As if the process had died there."""


@dataclass
class Interrupted:
    """A repository that is interrupted at its nth write, before it or after it."""

    inner: FolderRepository
    at: int
    after: bool
    error: BaseException = field(default_factory=Killed)
    writes: int = 0
    url: str = "file:///interrupted"

    def put_if_absent(self, name: str, content: bytes) -> bool:
        with self._interrupted():
            return self.inner.put_if_absent(name, content)

    def replace(self, name: str, content: bytes) -> None:
        with self._interrupted():
            self.inner.replace(name, content)

    def get(self, name: str, *, bytes_max: int) -> bytes:
        return self.inner.get(name, bytes_max=bytes_max)

    def listed(self, folder: str) -> Iterator[Kept]:
        return self.inner.listed(folder)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    @contextmanager
    def _interrupted(self) -> Iterator[None]:
        self.writes += 1
        if self.writes >= self.at and not self.after:
            raise self.error
        yield
        if self.writes >= self.at:
            raise self.error


class Vault:
    """A database, a folder for its archives, and a key that signs them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        with psycopg.connect(database.owner_url) as connection:
            row = connection.execute("SELECT store_id FROM musterroll.store").fetchone()
        assert row is not None
        self.store_id: UUID = row[0]
        self.repository = FolderRepository(folder, self.store_id)
        self.signer = Ed25519Signer(SigningKey(Ed25519PrivateKey.generate()))
        self.keys = DataKeys(self.repository, None)
        self.newest: tuple[UUID, str] | None = None

    def happen(self, events: int) -> None:
        """So many events more, and a request that came with the last of them."""
        self.run(FILL, events)
        self.run(REQUEST)

    def run(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.database.owner_url) as connection:
            connection.execute(statement, values)

    def take(
        self,
        type: ArchiveType = "incremental",  # noqa: A002
        *,
        repository: Any = None,
        key: DataKey | None = None,
        archive_id: UUID | None = None,
    ) -> Taken:
        order = Order(
            archive_id=archive_id or uuid7(),
            type=type,
            newest=self.newest,
            topics={"subject.erased": 1},
            release="1",
        )
        repository = repository or self.repository
        taking = Taking(repository, self.catalogue, self.signer, lambda *_: None)
        if (taken := taking.resumed(order)) is None:
            if type == "synthetic":
                taken = taking.merge(order)
            else:
                with snapshot_of(self.database.url) as snapshot:
                    taken = taking.take(order, snapshot, key)
        self.newest = order.archive_id, taken.file.sha256
        return taken

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.repository, self.store_id, signed, {self.signer.key_id})

    def rows(self, taken: Taken, content: Content = "events") -> list[bytes]:
        """As anybody reads them back."""
        return [bytes(row) for segment in self.segments(taken, content) for row in segment]

    def segments(self, taken: Taken, content: Content) -> Iterator[Sequence[memoryview]]:
        for file in taken.chain.files(content):
            kept = self.repository.get(file.name, bytes_max=file.size)
            yield read_segment(kept, file, self.keys, store_id=self.store_id).rows

    def sound(self, taken: Taken, *, level: int = 2) -> int:
        """How many events were verified."""
        return verify_archive(
            self.repository, self.catalogue, taken.file, level, self.keys, lambda *_: None
        ).events

    def sound_file(self, file: ManifestFile) -> int:
        return self.sound(Taken(file=file, chain=self.catalogue.chain(file)))

    @property
    def files(self) -> dict[str, str]:
        """What lies in the folder, by name, with its digest."""
        return {
            str(path.relative_to(self.folder)): sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def vault(database: Database, tmp_path: Path) -> Vault:
    return Vault(database, tmp_path / "backups")


def test_a_full_archive_holds_every_event_and_its_root_is_that_of_the_log(vault: Vault) -> None:
    vault.happen(25_000)

    taken = vault.take("full")

    rows, manifest = vault.rows(taken), taken.chain.newest
    assert [file.count for file in taken.chain.files("events")] == [10_000, 10_000, 5_000]
    assert (manifest.size, manifest.last, manifest.base) == (25_000, 25_000, 0)
    assert manifest.root == root_of([sha256(row).digest() for row in rows])
    assert vault.sound(taken) == 25_000
    assert set(manifest.digests) == set(READ_MODELS)


def test_full_and_full_with_incrementals_and_synthetic_are_the_same_events(
    vault: Vault, rng: Random
) -> None:
    for _ in range(4):
        vault.happen(rng.randrange(1, 4_000))
        chained = vault.take()
    synthetic = vault.take("synthetic")
    full = vault.take("full")

    assert [file.manifest.type for file in chained.chain.manifests] == [
        "full",
        *["incremental"] * 3,
    ]
    assert vault.rows(chained) == vault.rows(synthetic) == vault.rows(full)
    assert vault.rows(chained, "requests") == vault.rows(full, "requests")
    roots = {taken.chain.newest.root for taken in (chained, synthetic, full)}
    assert len(roots) == 1
    assert {vault.sound(taken) for taken in (chained, synthetic, full)} == {
        chained.chain.newest.size
    }


def test_positions_that_are_missing_are_no_gap_in_an_archive(vault: Vault) -> None:
    vault.happen(10)
    vault.take()
    vault.run("SELECT setval('musterroll.positions', 1000)")
    vault.happen(10)

    taken = vault.take()

    manifest = taken.chain.newest
    assert (manifest.size, manifest.last, manifest.issued) == (20, 1010, 1010)
    assert (manifest.type, manifest.base) == ("incremental", 10)


def test_a_segment_is_cut_before_it_holds_more_than_8_mib() -> None:
    mib = bytes(2**20)
    rows = [memoryview(mib)] * 20 + [memoryview(bytes(12 * 2**20))] + [memoryview(b"x")] * 10_001

    cut = [[len(row) for row in portion] for portion in portions(rows)]

    assert [len(portion) for portion in cut] == [7, 7, 6, 1, 10_000, 1]
    assert all(sum(portion) + 4 * len(portion) <= 8 * 2**20 for portion in cut if len(portion) > 1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_what_was_killed_at_any_write_is_taken_by_the_next_run(vault: Vault, after: bool) -> None:
    vault.happen(21_000)
    archive_id, at, killed = uuid7(), 0, True

    while killed:
        at += 1
        repository = Interrupted(vault.repository, at, after)
        try:
            taken = vault.take("full", repository=repository, archive_id=archive_id)
            killed = False
        except Killed:
            manifests = vault.catalogue.manifests()
            assert len(manifests) <= 1
            assert all(vault.sound_file(file) == 21_000 for file in manifests)

    # Segments, requests, the manifest and the hint: each was interrupted once.
    assert at > 5
    assert vault.sound(taken) == 21_000
    assert len([name for name in vault.files if "/events-" in name]) == 3


def test_where_there_is_no_room_there_is_no_archive(vault: Vault) -> None:
    vault.happen(100)
    repository = Interrupted(vault.repository, 2, False, RepositoryFull("No room."))

    with pytest.raises(RepositoryFull):
        vault.take("full", repository=repository)

    assert vault.catalogue.manifests() == []
    assert vault.sound(vault.take("full")) == 100


def test_a_segment_that_was_damaged_is_written_again(vault: Vault) -> None:
    vault.happen(100)
    former = vault.take("full")
    name = former.chain.files("events")[0].name
    path = vault.folder / str(vault.store_id) / name
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    again = vault.take("full")

    assert again.chain.files("events")[0].name == name
    assert vault.sound(again) == 100


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (lambda content: content.replace(b'"size":', b'"sIze":'), "bad_signature"),
        (lambda _: b"", "bad_manifest"),
    ],
)
def test_what_cannot_be_continued_is_not_continued(vault: Vault, spoil: Any, because: str) -> None:
    vault.happen(100)
    former = vault.take()
    path = vault.folder / str(vault.store_id) / former.file.name
    path.chmod(0o600)
    path.write_bytes(spoil(path.read_bytes()))
    vault.happen(10)

    taken = vault.take()

    assert taken.because == because
    assert (taken.chain.newest.type, taken.chain.newest.size) == ("full", 110)


def test_the_first_archive_of_an_epoch_is_full(vault: Vault) -> None:
    vault.happen(100)
    vault.take()
    vault.run("UPDATE musterroll.store SET epoch = 2")
    vault.happen(1)

    taken = vault.take()

    assert taken.because == "other_epoch"
    assert (taken.chain.newest.type, taken.chain.newest.epoch) == ("full", 2)


def test_no_archive_is_made_of_a_log_that_is_not_what_was_sealed(vault: Vault) -> None:
    vault.happen(100)
    vault.run(SEAL_KEY)
    vault.run(SEAL, b"x" * 32, bytes(50 * 32))

    with pytest.raises(JobFailed, match="first 50 events are not those that were sealed") as failed:
        vault.take("full")

    assert failed.value.code == "log_differs"
    assert vault.catalogue.manifests() == []


def test_an_encrypted_archive_is_read_by_who_has_the_key_alone(vault: Vault) -> None:
    vault.happen(1_000)
    key = vault.keys.make([str(pyrage.x25519.Identity.generate().to_public())])

    taken = vault.take("full", key=key)

    assert vault.sound(taken) == 1_000
    vault.keys = DataKeys(vault.repository, None)
    assert vault.sound(taken, level=1) == 1_000
    assert b"subject.erased" not in b"".join(
        path.read_bytes() for path in vault.folder.rglob("*.seg")
    )


def test_the_digests_are_those_of_the_read_models_there_are() -> None:
    shapes = [one for one in vars(read_model_store).values() if isinstance(one, TableShape)]

    assert {shape.table: shape.key for shape in shapes} == READ_MODELS
