"""Places where backups are kept, as a command line names them, and what can be wrong with that."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from interfaces.cli.backup_jobs import NoBackup
from interfaces.cli.backup_words import moment, number, size
from interfaces.cli.failures import Failure, Misuse

StoreId = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Of what is kept there, this store, where there are several."),
]


def place_at(option: str, url: str) -> str:
    """As the service takes it: a folder from the root on. Raises Misuse for nothing at all."""
    if not url.strip():
        raise Misuse(f"{option} wants a folder, file:///folder or s3://bucket/prefix.")
    if "://" in url or url.startswith(("s3:", "file:")):
        return url
    # ~nobody is refused by whoever looks there.
    with suppress(RuntimeError):
        return str(Path(url).expanduser().absolute())
    return url


def id_given(option: str, text: str | None) -> UUID | None:
    """Raises Misuse for what is no id."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise Misuse(f"{option} is no id: {(text or '')[:40]!r}.") from None


@contextmanager
def telling_what_is_there(url: str) -> Iterator[None]:
    """Where it is not clear which store is meant, those that are there are listed, each with the
    words that choose it. Raises Misuse, NoBackup."""
    from domain.errors import ControlPlaneError  # noqa: PLC0415 - the service's parts

    try:
        yield
    except ControlPlaneError as error:
        kind = _KINDS.get(error.code)
        if kind is None:
            raise
        for store in getattr(error, "stores", ()):
            sys.stderr.write(f"  --store-id {store['store_id']}  {_in_words(store)}\n")
        said = error.message.replace(" there", f" in {url}", 1)
        raise kind(said) from error


_KINDS: Mapping[str, type[Failure]] = {
    "bad_repository_url": Misuse,
    "nothing_kept": NoBackup,
    "store_unclear": Misuse,
}


def _in_words(store: Mapping[str, Any]) -> str:
    if not store["archives"]:
        return "no backup that can be read"
    backups = "backup" if store["archives"] == 1 else "backups"
    return (
        f"{number(store['archives'])} {backups} of {size(store['bytes'])}, the newest up to "
        f"position {number(store['position'])}, {moment(store['taken_at'])}"
    )
