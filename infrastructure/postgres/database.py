"""The database of an installation: one of our own in the data folder, or one that others run."""

from pathlib import Path
from typing import Protocol

from infrastructure.postgres.embedded import EmbeddedPostgres


class Database(Protocol):
    """A PostgreSQL to work with, once it was started."""

    def start(self) -> None:
        """Make sure that it can be asked. Raises EmbeddedPostgresFailed."""

    def stop(self) -> None:
        """End what was started here."""

    @property
    def url(self) -> str:
        """For the application's role, which may not change history."""

    @property
    def owner_url(self) -> str:
        """For the role that owns the tables and migrates them."""


class ExternalPostgres:
    """A PostgreSQL that others run. With one URL for both roles, only the trigger guards
    history."""

    def __init__(self, url: str, owner_url: str | None) -> None:
        self.url = url
        self.owner_url = owner_url or url

    def start(self) -> None:
        """It runs already, or it does not."""

    def stop(self) -> None:
        """It goes on running."""


def database_of(data_dir: Path, url: str | None, owner_url: str | None) -> Database:
    """The one that the settings ask for, not yet started."""
    if url is None:
        return EmbeddedPostgres(data_dir / "postgres")
    return ExternalPostgres(url, owner_url)
