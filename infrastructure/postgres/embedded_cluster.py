"""The files of an embedded PostgreSQL: its folder, settings, passwords, roles and socket.

<folder>/                0700
    cluster/             PostgreSQL's own files; appears whole, roles and database included
    cluster.new.*/       a half-made cluster: its maker was killed; removed at the next start
    passwords.json       0600
    owner.lock           held by the process that runs the server
    keeper.lock          held by its keeper, until no process of PostgreSQL is left
    postgres.log, .log.1 the server's log, at most some 8 MiB together
    socket/              the socket, where the path is short enough for one
"""

import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from infrastructure.postgres.embedded_configuration import (
    BOOTSTRAP_ROLE,
    DATABASE,
    HBA,
    MAKE_ROLES,
    PORT,
    SINGLE_USER,
    Passwords,
    set_roles,
    settings,
)
from infrastructure.postgres.embedded_errors import EmbeddedPostgresFailed
from infrastructure.postgres.embedded_programs import PostgresPrograms

# sockaddr_un holds 108 bytes with its final zero; the name stands behind the folder.
SOCKET_PATH_BYTES_MAX = 107
SOCKET_NAME = f".s.PGSQL.{PORT}"


class ClusterFolder:
    """The folder of one embedded PostgreSQL; makes and finds everything in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.cluster = self.folder / "cluster"
        self.log_file = self.folder / "postgres.log"
        self.owner_lock = self.folder / "owner.lock"
        self.keeper_lock = self.folder / "keeper.lock"
        self._passwords_file = self.folder / "passwords.json"
        self._roles_set = self.folder / "roles.sha256"

    def make(self) -> None:
        """Make the folder, for us alone.

        Raises OSError, or EmbeddedPostgresFailed when it holds something that is not ours.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.log_file.exists() and any(self.folder.iterdir()):
            raise EmbeddedPostgresFailed(
                f"{self.folder} holds other files: PostgreSQL needs a folder of its own"
            )
        self.folder.chmod(0o700)
        self.log_file.touch(mode=0o600)

    def prepare(self, programs: PostgresPrograms, *, durable: bool) -> None:
        """Bring the cluster and its settings to where a server can start. No server may run.

        Raises OSError, or EmbeddedPostgresFailed when a program of PostgreSQL complains.
        """
        for half_made in self.folder.glob("cluster.new.*"):
            shutil.rmtree(half_made)
        roles = set_roles(self.passwords())
        fingerprint = sha256(roles.encode()).hexdigest()
        if not self.cluster.exists():
            self._make_cluster(programs, roles, durable=durable)
        elif not self._roles_set.exists() or self._roles_set.read_text() != fingerprint:
            programs.run("postgres", *SINGLE_USER, "-D", str(self.cluster), DATABASE, text=roles)
        _write_private(self._roles_set, fingerprint)
        self._write_settings(programs, durable=durable)

    def passwords(self) -> Passwords:
        """The passwords; made at random on first use."""
        if not self._passwords_file.exists():
            made = Passwords(*(secrets.token_urlsafe(24) for _ in range(4)))
            _write_private(self._passwords_file, json.dumps(asdict(made)))
        return Passwords(**json.loads(self._passwords_file.read_text()))

    def url(self, role: str, password: str, *, database: str = DATABASE) -> str:
        """A libpq URL for the socket."""
        host = quote(str(self.socket_folder()), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={host}&port={PORT}"

    def socket_folder(self) -> Path:
        """Where the socket is: in our folder, or where its path is too long or needs quoting, in
        a short private folder elsewhere, under a name that nobody can guess and so occupy."""
        own = self.folder / "socket"
        fits = len(os.fsencode(own / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX
        if fits and re.fullmatch(r"[A-Za-z0-9_./-]+", str(own)):
            return own
        secret = f"{self.passwords().socket} {self.folder}"
        return _runtime_folder() / f"musterroll-{sha256(secret.encode()).hexdigest()[:24]}"

    def log_tail(self, *, after_byte: int = 0, lines_max: int = 12) -> str:
        """The last lines of the server's log."""
        with self.log_file.open("rb") as log:
            log.seek(after_byte)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-lines_max:])

    def log_bytes(self) -> int:
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def make_socket_folder(self, owner: int) -> None:
        """Make it, mode 0700. Raises EmbeddedPostgresFailed when somebody else holds its name."""
        folder = self.socket_folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner):
            raise EmbeddedPostgresFailed(f"The socket folder {folder} is not ours: remove it")
        folder.chmod(0o700)
        _give(folder, owner)

    def remove_socket_folder(self) -> None:
        """Remove it; call only when no server runs."""
        shutil.rmtree(self.socket_folder(), ignore_errors=True)

    def _make_cluster(self, programs: PostgresPrograms, roles: str, *, durable: bool) -> None:
        """Make it beside its place and rename it, so that a cluster is whole or absent."""
        half_made = Path(tempfile.mkdtemp(prefix="cluster.new.", dir=self.folder))
        _give(half_made, programs.owner)
        try:
            cluster = half_made / "cluster"
            self._initialise(cluster, programs, durable=durable)
            sql = MAKE_ROLES + roles
            programs.run("postgres", *SINGLE_USER, "-D", str(cluster), "postgres", text=sql)
            cluster.rename(self.cluster)
            _sync(self.folder)
        finally:
            shutil.rmtree(half_made, ignore_errors=True)

    def _initialise(self, cluster: Path, programs: PostgresPrograms, *, durable: bool) -> None:
        password_file = cluster.with_name("password")
        _write_private(password_file, self.passwords().bootstrap)
        _give(password_file, programs.owner)
        programs.run(
            "initdb",
            f"--pgdata={cluster}",
            f"--username={BOOTSTRAP_ROLE}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        )

    def _write_settings(self, programs: PostgresPrograms, *, durable: bool) -> None:
        text = settings(self.socket_folder(), durable=durable)
        for name, content in {"postgresql.conf": text, "pg_hba.conf": HBA}.items():
            _write_private(self.cluster / name, content)
            _give(self.cluster / name, programs.owner)


def _runtime_folder() -> Path:
    """XDG_RUNTIME_DIR where it is ours and short, else /tmp."""
    named = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    short = len(os.fsencode(named)) <= 48
    if short and named.is_absolute() and named.is_dir() and named.stat().st_uid == os.geteuid():
        return named
    return Path("/tmp")  # noqa: S108  (the folder below has an unguessable name, mode 0700)


def _write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _sync(folder: Path) -> None:
    """Make what was renamed in the folder survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give(path: Path, owner: int) -> None:
    if path.stat().st_uid != owner:
        os.chown(path, owner, -1)
