"""Every byte of an archive flipped and every length that it can be cut to, one at a time.

Twice: as somebody does who has no key, and (`signed`) as if the one who did it had listed and
signed the damaged file as it is. Then what is read either is refused, or holds the same rows.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from application.archives.faults import BadArchive
from application.archives.format import segment_name
from application.archives.manifest import FileEntry, Manifest
from infrastructure.archives.encryption import DataKey
from infrastructure.archives.segment import Written, read_segment
from infrastructure.seals.signer import signed
from tests.archive_forge import Forge
from tests.faults.hostile_archives import CASES, ENCRYPTED, a_victim, refusal_of

RESULT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "results" / "hostile_archives.json"
SEGMENT_EVENTS = 1_200
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Specimen:
    """A file as it was written: the content, and for a segment its entry."""

    name: str
    content: bytes
    entry: FileEntry | None


def specimens(forge: Forge) -> list[Specimen]:
    """A manifest, and a segment in clear and one encrypted."""
    forge.write_sealed(SEGMENT_EVENTS)
    plain = forge.events_segment(forge.events)
    forge.key = DataKey(forge.rng.randbytes(32))
    encrypted = forge.events_segment(forge.events)
    forge.key = None
    forge.take("full")
    manifest = forge.taken[0].manifest
    return [
        Specimen("manifest", manifest.encode(forge.signer), None),
        Specimen("plain segment", plain.content, plain.entry),
        Specimen("encrypted segment", encrypted.content, encrypted.entry),
    ]


def damaged(specimen: Specimen, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """One bit of each byte, and each length."""
    content = bytearray(specimen.content)
    for at, byte in enumerate(content):
        content[at] = byte ^ (1 << rng.randrange(8))
        yield f"flipped at {at}", bytes(content)
        content[at] = byte
    for length in range(len(content)):
        yield f"cut to {length}", specimen.content[:length]


def is_noticed(forge: Forge, specimen: Specimen, content: bytes) -> bool:
    """Whether a file that nobody listed so is refused."""
    try:
        if specimen.entry is None:
            manifest = forge.taken[0].manifest
            Manifest.parse(content, manifest.file_name, signed, {forge.signer.key_id})
        else:
            read_segment(content, specimen.entry, forge.keys, store_id=forge.store_id)
    except BadArchive:
        return True
    return False


def does_no_harm(forge: Forge, specimen: Specimen, content: bytes) -> bool:
    """Whether a segment that is listed as it is, is refused or holds the same rows: then it was
    damaged where nothing depends on it."""
    assert specimen.entry is not None
    listed = as_listed(specimen.entry, content)
    try:
        segment = read_segment(listed.content, listed.entry, forge.keys, store_id=forge.store_id)
    except BadArchive:
        return True
    return [bytes(row) for row in segment.rows] == [event.row for event in forge.events]


def as_listed(entry: FileEntry, content: bytes) -> Written:
    """With a digest of its own at its end, and in the manifest."""
    before = content[:-DIGEST_BYTES]
    whole = before + sha256(before).digest()
    digest = sha256(whole).hexdigest()
    name = segment_name(entry.content, entry.epoch, entry.first, entry.last, digest)
    return Written(replace(entry, name=name, size=len(whole), sha256=digest), whole, ())


def run(rng: random.Random, folder: Path, *, every: int = 1) -> tuple[Counter[str], list[str]]:
    """All of it, or each one of so many: how many of which kind, and what went unnoticed."""
    done, undetected = Counter[str](), list[str]()
    forge = Forge(folder, rng)
    for specimen in specimens(forge):
        for number, (what, content) in enumerate(damaged(specimen, rng)):
            if number % every:
                continue
            done[specimen.name] += 1
            if not is_noticed(forge, specimen, content):
                undetected.append(f"{specimen.name} {what}")
            if specimen.entry is not None:
                done[f"{specimen.name}, signed"] += 1
                if not does_no_harm(forge, specimen, content):
                    undetected.append(f"{specimen.name}, signed, {what}")
    return done, undetected


def run_by_name(rng: random.Random, folder: Path) -> tuple[int, list[str]]:
    """The list of hostile archives."""
    wrong = []
    for number, (name, case) in enumerate({**CASES, **ENCRYPTED}.items()):
        key = DataKey(rng.randbytes(32)) if name in ENCRYPTED else None
        forge = a_victim(folder / str(number), rng, key=key)
        found = refusal_of(forge, case.do(forge), case.level)
        if found not in case.faults:
            wrong.append(f"{name}: {found}")
    return len(CASES) + len(ENCRYPTED), wrong


def main() -> int:
    """Everything; 1 when anything went unnoticed or was called by another name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    told = parser.parse_args()
    rng, began = random.Random(told.seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="musterroll-hostile-") as folder:
        named, misnamed = run_by_name(rng, Path(folder))
        done, undetected = run(rng, Path(folder) / "damaged")
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": told.seed,
        "by_name": named,
        "misnamed": misnamed,
        "damaged": done.total(),
        "undetected": undetected,
        "kinds": dict(done),
        "seconds": round(time.monotonic() - began, 1),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if undetected or misnamed else 0


if __name__ == "__main__":
    sys.exit(main())
