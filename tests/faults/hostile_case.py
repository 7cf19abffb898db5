"""What a hostile archive is, and to whom it is done."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.format import (
    key_name,
)
from application.archives.manifest import FileEntry
from infrastructure.archives.encryption import DataKey
from tests.archive_forge import Forge

Hostile = Callable[[Forge], "UUID | None"]
"""Does it to a forge with a full and an incremental archive, and tells which one to look at; None:
the newest."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is done, and what it must be called, at a level."""

    do: Hostile
    faults: tuple[str, ...]
    level: int


CASES: dict[str, Case] = {}
ENCRYPTED: dict[str, Case] = {}
"""Of a forge with a data key."""


def hostile(*faults: str, level: int = 2) -> Callable[[Hostile], Hostile]:
    """Is to be refused with one of these faults."""

    def listed(do: Hostile) -> Hostile:
        CASES[do.__name__] = Case(do, faults, level)
        return do

    return listed


def a_victim(folder: Path, rng: random.Random, *, key: DataKey | None = None) -> Forge:
    """Two archives, of several segments each."""
    forge = Forge(folder, rng, segment_events=60, key=key)
    if key is not None:
        forge.keys.keep(key)
        forge.repository.put_if_absent(key_name(key.key_id), b"wrapped for nobody")
    forge.write_sealed(130)
    forge.take("full")
    forge.write_sealed(130)
    forge.take("incremental")
    return forge


def refusal_of(forge: Forge, archive_id: UUID | None, level: int) -> str | None:
    """What a verification says; None: it found nothing."""
    wanted = archive_id or UUID(forge.taken[-1].name[-41:-5])
    try:
        found = forge.verify(forge.catalogue().one(wanted), level)
    except BadArchive as fault:
        return fault.fault
    return found.reason


def encrypted_case(name: str, *faults: str) -> Callable[[Hostile], Hostile]:
    """Of a forge with a key."""

    def listed(do: Hostile) -> Hostile:
        ENCRYPTED[name] = Case(do, faults, 2)
        return do

    return listed


def path_of(forge: Forge, name: str) -> Path:
    return forge.folder / str(forge.store_id) / name


def overwrite(forge: Forge, name: str, content: bytes) -> None:
    path = path_of(forge, name)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def newest(forge: Forge) -> str:
    return forge.taken[-1].name


def content_of(forge: Forge, name: str) -> bytes:
    return path_of(forge, name).read_bytes()


def a_segment(forge: Forge, number: int = 0) -> FileEntry:
    return forge.taken[-1].manifest.files_of("events")[number]
