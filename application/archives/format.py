"""The names and limits of the format (infrastructure/archives/README.md), the same for whoever
writes and whoever reads."""

import re
from datetime import UTC, datetime
from typing import Literal, get_args
from uuid import UUID

ArchiveType = Literal["full", "incremental", "synthetic"]
History = Literal["events", "requests", "heads"]
Table = Literal["accounts", "webhooks", "webhook_letters", "subject_keys", "seal_keys"]
Content = Literal[History, Table]
"""What the rows of a segment are."""
TYPES: tuple[ArchiveType, ...] = get_args(ArchiveType)
CONTENTS: tuple[Content, ...] = (*get_args(History), *get_args(Table))
HISTORY: tuple[History, ...] = get_args(History)
"""What only grows: spread over a chain. The others are whole in every archive."""

SEGMENT_ROWS_MAX = 10_000
SEGMENT_BYTES = 8 * 2**20
"""A segment ends before it holds more than this, if it holds more than one row."""
PLAIN_BYTES_MAX = 16 * 2**20
"""Of a body before compression."""
HEADER_BYTES_MAX = 64 * 1024
FILE_BYTES_MAX = PLAIN_BYTES_MAX + 2**20
"""Of a segment: what does not compress, its header, and what encryption adds."""
MANIFEST_BYTES_MAX = 16 * 2**20
FILES_MAX = 50_000
KEY_BYTES_MAX = 64 * 1024
"""Of a wrapped data key."""
NUMBER_MAX, EPOCH_MAX = 2**63 - 1, 2**31 - 1

SEGMENTS, MANIFESTS, KEYS = "segments", "manifests", "keys"
LATEST = "LATEST"

_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SEGMENT_NAME = re.compile(
    rf"segments/({'|'.join(CONTENTS)})-(\d{{10}})-(\d{{20}})-(\d{{20}})-([0-9a-f]{{16}})\.seg",
    re.ASCII,
)
MANIFEST_NAME = re.compile(
    rf"manifests/(\d{{10}})-(\d{{20}})-(\d{{8}}T\d{{6}}Z)-({'|'.join(TYPES)})-({_ID})\.json",
    re.ASCII,
)
KEY_NAME = re.compile(r"keys/([0-9a-f]{32})\.age", re.ASCII)


def segment_name(content: str, epoch: int, first: int, last: int, sha256: str) -> str:
    """`sha256` is that of the whole file, in hexadecimal."""
    return f"{SEGMENTS}/{content}-{epoch:010}-{first:020}-{last:020}-{sha256[:16]}.seg"


def manifest_name(epoch: int, last: int, taken_at: datetime, kind: str, archive_id: UUID) -> str:
    """Names rise as archives are taken."""
    time = taken_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{MANIFESTS}/{epoch:010}-{last:020}-{time}-{kind}-{archive_id}.json"


def key_name(key_id: str) -> str:
    """Where a data key is, wrapped."""
    return f"{KEYS}/{key_id}.age"


def is_name(name: str) -> bool:
    """Whether a file may be of this name; no such name leads out of its repository."""
    named = (SEGMENT_NAME, MANIFEST_NAME, KEY_NAME)
    return name == LATEST or any(one.fullmatch(name) for one in named)


def time_text(at: datetime) -> str:
    """RFC 3339, UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def time_from(text: str) -> datetime:
    """Raises ValueError."""
    return datetime.fromisoformat(text)
