"""Which repository is meant by a URL: a folder or a bucket."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

from application.archives.faults import RepositoryUnavailable
from application.archives.ports import Repository
from domain.errors import Invalid
from infrastructure.archives.folder import FolderRepository
from infrastructure.settings import Settings

FOLDER_NAME = "backups"
"""In the data folder, unless another place is set."""
SHOWN_MAX, SHOWN_CHARACTERS_MAX = 3, 60
"""Of what lies where archives were expected."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"(?:(?!\.{1,2}/)[\w.=-]+/)*", re.ASCII)
_ENDPOINT = re.compile(r"https?://[\w.-]+(?::\d{1,5})?/?|https?://\[[0-9a-f:.]+\](?::\d{1,5})?/?")


class BadRepositoryUrl(Invalid):
    """What was given is neither a folder, nor `file:///folder`, nor `s3://bucket/prefix`."""

    code = "bad_repository_url"


@dataclass(frozen=True, slots=True)
class Bucket:
    """`prefix` is empty or ends with `/`."""

    name: str
    prefix: str


def open_repository(settings: Settings, store_id: UUID) -> Repository:
    """Where archives of a store are kept. Nothing is made or asked before it is used.

    Raises BadRepositoryUrl, RepositoryUnavailable.
    """
    place = place_of(settings)
    if isinstance(place, Path):
        return FolderRepository(place, store_id)
    # What knows S3 takes long to import, and most have a folder.
    from infrastructure.archives.s3 import S3Repository, client_of  # noqa: PLC0415

    client = client_of(_endpoint(settings), settings.backup_s3_region)
    return S3Repository(
        client, place.name, place.prefix, store_id, lock_days=settings.backup_lock_days
    )


def store_ids(settings: Settings) -> list[UUID]:
    """The stores of which there are archives. Raises BadRepositoryUrl, RepositoryUnavailable."""
    place = place_of(settings)
    names = _folder_names(place) if isinstance(place, Path) else _key_names(place, settings)
    return sorted(UUID(name) for name in names if _is_store(name))


def described(settings: Settings) -> str:
    """What lies where archives of no store were found, for a person, and what may have been meant.
    Raises BadRepositoryUrl, RepositoryUnavailable."""
    place = place_of(settings)
    if isinstance(place, Path):
        folder = place.absolute()
        try:
            return _folder_in_words(folder)
        except OSError as error:
            raise RepositoryUnavailable(f"{folder.as_uri()}: {error.strerror}.") from error
    url = f"s3://{place.name}/{place.prefix}"
    above, _, last = url.rstrip("/").rpartition("/")
    if _is_store(last):
        return f"{url} is that of a single store; name the place above it, {above}"
    return _held_in_words(url, sorted(_key_names(place, settings)))


def place_of(settings: Settings) -> Path | Bucket:
    """What `backup_store` means; nothing is looked at. Raises BadRepositoryUrl."""
    url = settings.backup_store
    if not url:
        return settings.data_dir / FOLDER_NAME
    scheme, separator, rest = url.partition("://")
    if not separator and "\0" not in url and not url.startswith(("s3:", "file:")):
        # The home of nobody who is known here is no folder.
        with suppress(RuntimeError):
            return Path(url).expanduser()
    if scheme == "file" and (path := unquote(rest)).startswith("/") and "\0" not in path:
        return Path(path)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        prefix = f"{prefix.strip('/')}/".lstrip("/")
        if _BUCKET.fullmatch(bucket) and _PREFIX.fullmatch(prefix) and len(prefix) <= 500:
            return Bucket(bucket, prefix)
    # It is not shown: somebody may have written a secret into it.
    raise BadRepositoryUrl(
        "What backup_store, --store or --restore-from names is neither a folder, nor "
        "file:///folder, nor s3://bucket/prefix (letters, digits and . _ = - in the prefix)."
    )


def _endpoint(settings: Settings) -> str | None:
    """Raises BadRepositoryUrl."""
    endpoint = settings.backup_s3_endpoint
    if endpoint and not (_ENDPOINT.fullmatch(endpoint) and _has_port(endpoint)):
        raise BadRepositoryUrl("backup_s3_endpoint is no URL of a service: http(s)://host:port.")
    return endpoint or None


def _has_port(url: str) -> bool:
    """One that there may be, where there is one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _folder_names(root: Path) -> list[str]:
    try:
        if not root.exists() and root.parent.is_dir():
            return []
        return [found.name for found in root.iterdir() if found.is_dir()]
    except OSError as error:
        raise RepositoryUnavailable(f"{root.absolute().as_uri()}: {error.strerror}.") from error


def _is_store(name: str) -> bool:
    """Whether a folder of that name is that of a store."""
    with suppress(ValueError):
        return str(UUID(name)) == name
    return False


def _folder_in_words(folder: Path) -> str:
    if not folder.exists():
        return f"{folder} does not exist"
    for inside in (folder, folder.parent):
        if _is_store(inside.name):
            return f"{folder} is of a single store; name the folder above it, {inside.parent}"
    kept = folder / FOLDER_NAME
    if kept.is_dir() and any(map(_is_store, _folder_names(kept))):
        return f"{folder} is a data folder; its archives are in {kept}"
    return _held_in_words(str(folder), sorted(found.name for found in folder.iterdir()))


def _held_in_words(place: str, names: list[str]) -> str:
    if not names:
        return f"{place} is empty"
    shown = ", ".join(ascii(name[:SHOWN_CHARACTERS_MAX]) for name in names[:SHOWN_MAX])
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return f"{place} holds {shown}{more}, and no folder that is named for a store"


def _key_names(bucket: Bucket, settings: Settings) -> Iterator[str]:
    from infrastructure.archives.s3 import client_of, translated  # noqa: PLC0415

    client = client_of(_endpoint(settings), settings.backup_s3_region)
    with translated(f"s3://{bucket.name}/{bucket.prefix}"):
        pages = client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket.name, Prefix=bucket.prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", ()):
                yield found["Prefix"][len(bucket.prefix) :].rstrip("/")
