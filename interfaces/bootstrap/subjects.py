"""Subjects: what is personal in tasks, sealed on its way in and shown on its way out."""

from dataclasses import dataclass
from functools import partial

from application.duties import Duty
from application.erasure.disclosure import Disclosure
from application.erasure.keyring import Keyring
from application.erasure.sealing import KeySealing
from application.erasure.subjects import Subjects
from application.writer import Commands
from infrastructure.erasure_list import FileErasureList
from infrastructure.postgres.subjects import PostgresSubjectKeys
from infrastructure.security.subject_vault import SigningKeyVault
from infrastructure.settings import Settings
from interfaces.bootstrap.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """What there is for subjects."""

    keyring: Keyring
    sealing: KeySealing
    disclosure: Disclosure
    subjects: Subjects


async def open_subjects(ground: Ground, settings: Settings, vault: SigningKeyVault) -> Personal:
    """With every key destroyed that was destroyed before, whatever the database says.

    Raises ErasuresUnreadable, ErasureNotKept, DatabaseUnavailable, OSError.
    """
    store = PostgresSubjectKeys(ground.async_pool)
    keyring = Keyring(store, vault)
    erasures = FileErasureList(settings.data_dir / "erasures.ndjson")
    subjects = Subjects(keyring, vault, store, erasures, ground.clock)
    await subjects.destroy_listed()
    return Personal(
        keyring=keyring,
        sealing=KeySealing(keyring, vault),
        disclosure=Disclosure(keyring, vault),
        subjects=subjects,
    )


def duties_of(subjects: Subjects, commands: Commands) -> list[Duty]:
    """To hear of what any process erases, and to have it listed and recorded."""
    return [
        Duty("erasures", subjects.watch),
        Duty("erasures_kept", partial(subjects.keep, commands)),
    ]
