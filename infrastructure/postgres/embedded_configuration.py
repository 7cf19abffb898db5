"""What the embedded PostgreSQL is told: its settings, who may connect, its roles."""

from dataclasses import asdict, dataclass
from pathlib import Path

DATABASE = "musterroll"
#: Owns the database and its schema and runs migrations. No superuser; may create databases.
OWNER_ROLE = "musterroll_owner"
#: What the service works as. No superuser; has what migrations grant it.
APPLICATION_ROLE = "musterroll_application"
#: The cluster's superuser: makes the roles, while no server runs, and never connects.
BOOTSTRAP_ROLE = "musterroll_bootstrap"

PORT = 5432

HBA = "# Written by Musterroll at every start.\nlocal all all scram-sha-256\n"

_SETTINGS = """\
# Written by Musterroll at every start: changes made here are lost.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
cluster_name = 'musterroll'
max_connections = 100
shared_buffers = '128MB'
jit = off
timezone = 'UTC'
datestyle = 'iso, ymd'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
log_checkpoints = off
"""

# A crash then has at most this much to redo: some 4 s at the 65 MB/s that were measured.
_DURABLE = """\
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = '256MB'
checkpoint_timeout = '2min'
"""

_NOT_DURABLE = """\
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = '1GB'
"""

# One statement a line: that is how a server in single-user mode reads.
MAKE_ROLES = f"""\
CREATE ROLE {OWNER_ROLE} LOGIN
CREATE ROLE {APPLICATION_ROLE} LOGIN
CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}
"""
# Statements and details of errors may carry what people wrote, so they stay out of the log.
_QUIET = ("log_min_error_statement = 'panic'", "log_error_verbosity = 'terse'")
_SET_ROLES = f"""\
ALTER ROLE {BOOTSTRAP_ROLE} PASSWORD '{{bootstrap}}'
ALTER ROLE {OWNER_ROLE} NOSUPERUSER CREATEDB NOCREATEROLE NOREPLICATION PASSWORD '{{owner}}'
ALTER ROLE {APPLICATION_ROLE} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION \
PASSWORD '{{application}}'
ALTER ROLE {APPLICATION_ROLE} SET statement_timeout = '15s'
ALTER ROLE {APPLICATION_ROLE} SET lock_timeout = '5s'
ALTER ROLE {APPLICATION_ROLE} SET idle_in_transaction_session_timeout = '10s'
ALTER ROLE {APPLICATION_ROLE} SET {_QUIET[0]}
ALTER ROLE {APPLICATION_ROLE} SET {_QUIET[1]}
ALTER ROLE {OWNER_ROLE} SET {_QUIET[0]}
ALTER ROLE {OWNER_ROLE} SET {_QUIET[1]}
"""
SINGLE_USER = ("--single", "-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")


@dataclass(frozen=True, slots=True)
class Passwords:
    """One a role, and the unguessable part of the socket folder's name."""

    bootstrap: str
    owner: str
    application: str
    socket: str


def settings(socket_folder: Path, *, durable: bool) -> str:
    """The whole of postgresql.conf."""
    text = _SETTINGS.format(port=PORT, socket_folder=socket_folder)
    return text + (_DURABLE if durable else _NOT_DURABLE)


def set_roles(passwords: Passwords) -> str:
    """Statements that give the roles their rights, limits and passwords; may be repeated."""
    return _SET_ROLES.format(**asdict(passwords))
