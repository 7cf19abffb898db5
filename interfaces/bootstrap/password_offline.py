"""Another password for who lost theirs, given by whoever has the machine and the database."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psycopg

from application.access import Foreign
from application.accounts.administration import ADMINISTRATOR, Accounts, new_password
from domain.errors import Conflict, NotFound
from infrastructure.postgres.accounts import PostgresAccounts
from infrastructure.postgres.database import Database, database_of
from infrastructure.postgres.embedded_errors import FolderInUse
from infrastructure.postgres.leader_lock import PostgresLeaderLock
from infrastructure.postgres.log import store_in
from infrastructure.postgres.pool import make_async_pool, session_of
from infrastructure.security import first_password
from infrastructure.security.passwords import Argon2Hasher
from infrastructure.settings import Settings


class NoStore(NotFound):
    """Nothing was ever started there, or nothing restored."""

    code = "no_store"


class NoSuchUser(NotFound):
    """Nobody signs in under this name, or nobody does any more."""

    code = "no_such_user"


class ServiceRuns(Conflict):
    """A service works on this store: it is to be asked, or to be stopped."""

    code = "service_runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordReset:
    """Whose password is another one now. `password` is the one that was made and is kept nowhere
    else; None where it was given, or is in `file`."""

    username: str
    tenant: str
    password: str | None
    file: Path | None


def reset_password(settings: Settings, username: str, password: str | None) -> PasswordReset:
    """Start the database where it is ours, and give the user the password; their tokens stop
    working. Without one: for `admin` that of the settings, else one is made. What is made for
    `admin` is in the file of the first password before the account has it; where another is
    given, the file goes. Whatever is refused has changed nothing.

    Raises NoStore, NoSuchUser, ServiceRuns, Invalid (the password), EmbeddedPostgresFailed,
    DatabaseUnavailable, OSError.
    """
    url, owner = settings.database_url, settings.database_owner_url
    if url is None and not (settings.data_dir / "postgres").is_dir():
        raise NoStore(f"There is no store in {settings.data_dir}: name its folder with --data-dir.")
    database = database_of(
        settings.data_dir,
        url.get_secret_value() if url else None,
        owner.get_secret_value() if owner else None,
    )
    try:
        database.start()
        return _reset(settings, database, username, password)
    except FolderInUse as error:
        raise _service_runs() from error
    finally:
        database.stop()


def _reset(
    settings: Settings, database: Database, username: str, password: str | None
) -> PasswordReset:
    # Whoever serves has a leader; while we are it, none does anything.
    lock = PostgresLeaderLock(database.url)
    try:
        if not lock.acquire():
            raise _service_runs()
        epoch = store_in(database.url).epoch
        return asyncio.run(_reset_in(settings, database.url, epoch, username, password))
    except psycopg.errors.UndefinedTable as error:
        raise NoStore("There is no store in this database: `muster up` makes one.") from error
    finally:
        lock.release()


async def _reset_in(
    settings: Settings, url: str, epoch: int, username: str, password: str | None
) -> PasswordReset:
    is_first = username == ADMINISTRATOR
    if password is None and is_first and settings.admin_password:
        password = settings.admin_password.get_secret_value()
    secret = password or new_password()
    session = session_of(epoch=epoch)
    async with make_async_pool(url, connections_max=1, session=session) as pool:
        store = PostgresAccounts(pool)
        if await store.by_username(username) is None:
            raise NoSuchUser(f"Nobody signs in as {username!r} here.")
        if is_first and password is None:
            first_password.replace_first_password(settings.data_dir, secret)
        try:
            account = await Accounts(store, Argon2Hasher()).reset(username, secret)
        except Foreign as error:
            raise NoSuchUser(f"Nobody signs in as {username!r} here.") from error
    if is_first and password is not None:
        first_password.forget_first_password(settings.data_dir)
    file = settings.data_dir / first_password.FILE_NAME
    kept = is_first and password is None
    return PasswordReset(
        username=account.name,
        tenant=account.tenant,
        password=None if kept or password else secret,
        file=file if kept else None,
    )


def _service_runs() -> ServiceRuns:
    return ServiceRuns(
        "A service works on this store: stop it first, or let an administrator say "
        "`muster user rotate USER_ID`."
    )
