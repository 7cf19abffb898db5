"""What a job on archives has at hand. Nothing is opened before it is asked for."""

from collections.abc import Collection
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from application.archives.ports import Repository
    from application.seals.ports import Signer
    from infrastructure.archives.checking import Effort
    from infrastructure.settings import Settings

KEY_FILE_NAME = "seal-key.pem"


class JobContext:
    """Made of what the service told: `job_settings` in interfaces/bootstrap/archives.py.

    `database_url` is for the application's role, `owner_url` for the one that owns the tables; both
    are None on an empty machine, where there is no store yet.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self.opened = ExitStack()
        self.database_url: str | None = told["database_url"]
        self.owner_url: str | None = told["owner_url"]

    @cached_property
    def settings(self) -> "Settings":
        """Those of the service. Reading them takes a quarter of a second the first time."""
        from infrastructure.settings import Settings  # noqa: PLC0415

        return Settings(**self._told["settings"])

    @property
    def effort(self) -> "Effort":
        """How hard it is looked at what archives hold."""
        from infrastructure.archives.checking import Effort  # noqa: PLC0415

        return Effort(processes=self.settings.backup_processes)

    @property
    def seal_key_file(self) -> Path:
        """Where the key is that seals the log and signs archives."""
        settings = self._told["settings"]
        named = settings["seal_key_file"]
        return Path(named) if named else Path(settings["data_dir"]) / KEY_FILE_NAME

    def repository(self, store_id: UUID) -> "Repository":
        """Where archives of a store are kept. Raises RepositoryUnavailable."""
        from infrastructure.archives.stores import open_repository  # noqa: PLC0415

        return open_repository(self.settings, store_id)

    def signer(self) -> "Signer":
        """Of archives; it signs the heads of the log too. Raises UnsafeKey, OSError."""
        from infrastructure.seals.signer import Ed25519Signer  # noqa: PLC0415
        from infrastructure.security import signing_key  # noqa: PLC0415

        return Ed25519Signer(signing_key.load_or_make(self.seal_key_file))

    @property
    def trusted_keys(self) -> Collection[str] | None:
        """The ids of keys that may have signed an archive: those of the log's seals, and our own.
        None on an empty machine without a key of its own, where nobody is known yet."""
        named: list[str] | None = self._told["trusted_keys"]
        return None if named is None else frozenset(named)

    def close(self) -> None:
        """Whatever was opened on the way."""
        self.opened.close()
