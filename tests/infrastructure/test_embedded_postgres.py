"""The embedded PostgreSQL, real processes throughout: what it allows, and what it survives."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres.embedded import (
    APPLICATION_ROLE,
    OWNER_ROLE,
    EmbeddedPostgres,
    EmbeddedPostgresFailed,
)
from infrastructure.postgres.embedded_cluster import ClusterFolder
from infrastructure.postgres.embedded_keeper import LOG_BYTES_MAX
from infrastructure.postgres.embedded_processes import processes_in

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 30

RUN_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from infrastructure.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder for clusters, in memory where the machine has such a place."""
    parent = Path("/dev/shm")  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="musterroll-", dir=parent if parent.exists() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ready_made(memory: Path) -> Path:
    """A folder whose cluster is made and shut down, to copy from."""
    server = EmbeddedPostgres(memory / "ready", durable=False)
    server.start()
    server.stop()
    return memory / "ready"


@pytest.fixture
def folder(memory: Path, ready_made: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of this test's own, with a cluster in it."""
    copy = memory / request.node.name
    shutil.copytree(ready_made, copy)
    yield copy
    # An owner that a test killed had no chance to remove it.
    ClusterFolder(copy).remove_socket_folder()
    shutil.rmtree(copy)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder, durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def empty_folder(memory: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = memory / request.node.name
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def ask(url: str, query: str) -> object:
    """The one value that the query yields."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_SECONDS} s"
        time.sleep(0.01)


def answers(server: EmbeddedPostgres) -> bool:
    try:
        return ask(server.url, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def keeper_of(server: EmbeddedPostgres) -> psutil.Process:
    keeper = psutil.Process(server.pid).parent()
    assert keeper is not None
    return keeper


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# What it is


def test_a_first_start_makes_roles_and_a_database_that_answers(empty_folder: Path) -> None:
    server = EmbeddedPostgres(empty_folder, durable=True)

    server.start()

    try:
        assert ask(server.url, "SELECT current_user::text") == APPLICATION_ROLE
        assert ask(server.owner_url, "SELECT current_user::text") == OWNER_ROLE
        assert ask(server.url, "SHOW fsync") == "on"
        assert ask(server.url, "SHOW data_checksums") == "on"
        assert ask(server.url, "SHOW max_wal_size") == "256MB"
        assert ask(server.url, "SHOW checkpoint_timeout") == "2min"
        assert str(ask(server.url, "SHOW server_version")).startswith("18.")
    finally:
        server.stop()


def test_neither_role_is_a_superuser(server: EmbeddedPostgres) -> None:
    query = "SELECT rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles "

    assert ask(server.url, query + "WHERE rolname = current_user") is False
    assert ask(server.owner_url, query + "WHERE rolname = current_user") is False


def test_the_owner_may_create_databases_and_the_application_may_not(
    server: EmbeddedPostgres,
) -> None:
    with psycopg.connect(server.owner_url, autocommit=True) as owner:
        owner.execute("CREATE DATABASE cloned TEMPLATE musterroll STRATEGY FILE_COPY")

    with (
        psycopg.connect(server.url, autocommit=True) as application,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        application.execute("CREATE DATABASE mine")


def test_the_application_cannot_make_tables_and_the_owner_can(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.owner_url) as owner:
        owner.execute("CREATE TABLE facts (fact text)")

    with (
        psycopg.connect(server.url) as application,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        application.execute("CREATE TABLE mine (fact text)")


def test_the_application_works_under_time_limits(server: EmbeddedPostgres) -> None:
    assert ask(server.url, "SHOW statement_timeout") == "15s"
    assert ask(server.url, "SHOW lock_timeout") == "5s"
    assert ask(server.url, "SHOW idle_in_transaction_session_timeout") == "10s"
    assert ask(server.url, "SHOW timezone") == "UTC"


def test_nothing_listens_on_the_network(server: EmbeddedPostgres) -> None:
    connections = psutil.Process(server.pid).net_connections(kind="inet")

    assert connections == []
    assert ask(server.url, "SHOW listen_addresses") == ""


@pytest.mark.parametrize("role", [APPLICATION_ROLE, OWNER_ROLE, "musterroll_bootstrap"])
def test_nobody_is_trusted_without_the_right_password(server: EmbeddedPostgres, role: str) -> None:
    password = str(urlsplit(server.url).password)
    intruder = server.url.replace(f"{APPLICATION_ROLE}:{password}", f"{role}:guess")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(intruder, "SELECT 1")


def test_files_are_for_their_owner_alone(server: EmbeddedPostgres, folder: Path) -> None:
    private_files = [path for path in folder.iterdir() if path.is_file()]

    assert {path.name for path in private_files} >= {"passwords.json", "postgres.log"}
    assert {mode(path) for path in private_files} == {0o600}
    assert mode(folder) == mode(folder / "cluster") == 0o700
    assert mode(folder / "cluster" / "pg_hba.conf") == 0o600


@pytest.mark.parametrize("name", ["long-" * 40, "with spaces and ünïcödé, 'quotes'"])
def test_a_folder_may_have_any_name(memory: Path, ready_made: Path, name: str) -> None:
    shutil.copytree(ready_made, memory / name)
    server = EmbeddedPostgres(memory / name, durable=False)

    server.start()

    socket_folder = Path(str(conninfo_to_dict(server.url)["host"]))
    assert answers(server)
    assert mode(socket_folder) == 0o700
    server.stop()
    assert not socket_folder.exists()


# Starting and stopping


def test_stop_leaves_no_process_and_may_be_repeated(server: EmbeddedPostgres, folder: Path) -> None:
    keeper = keeper_of(server)

    server.stop()
    server.stop()

    assert processes_in(folder / "cluster") == []
    assert not keeper.is_running()
    assert server.pid is None
    assert not answers(server)


def test_start_may_be_repeated(server: EmbeddedPostgres) -> None:
    before = server.pid

    server.start()

    assert server.pid == before


def test_a_stopped_server_starts_again_with_what_was_committed(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.owner_url) as owner:
        owner.execute("CREATE TABLE facts AS SELECT 42 AS fact")

    server.stop()
    server.start()

    assert ask(server.owner_url, "SELECT fact FROM facts") == 42


def test_a_second_owner_is_told_who_the_first_is(server: EmbeddedPostgres, folder: Path) -> None:
    second = EmbeddedPostgres(folder, durable=False)

    with pytest.raises(EmbeddedPostgresFailed, match=f"Process {os.getpid()} already runs"):
        second.start()

    assert answers(server)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = EmbeddedPostgres(tmp_path / "file" / "postgres")

    with pytest.raises(EmbeddedPostgresFailed, match=r"^Cannot keep a database in [^\n]+$"):
        server.start()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").touch()
    server = EmbeddedPostgres(tmp_path)

    with pytest.raises(EmbeddedPostgresFailed, match="holds other files"):
        server.start()

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert mode(tmp_path) == 0o755


def test_a_cluster_of_another_version_is_refused_with_the_servers_words(folder: Path) -> None:
    (folder / "cluster" / "PG_VERSION").write_text("15\n")
    server = EmbeddedPostgres(folder, durable=False)

    with pytest.raises(EmbeddedPostgresFailed, match="initialized by PostgreSQL version 15"):
        server.start()

    assert processes_in(folder / "cluster") == []


def test_lost_passwords_are_replaced(folder: Path) -> None:
    (folder / "passwords.json").unlink()
    server = EmbeddedPostgres(folder, durable=False)

    server.start()

    assert answers(server)
    server.stop()


def test_the_log_is_bounded(server: EmbeddedPostgres, folder: Path) -> None:
    log = folder / "postgres.log"

    with log.open("a") as file:
        file.write("x" * LOG_BYTES_MAX + "\n")

    wait_until(lambda: log.stat().st_size < LOG_BYTES_MAX, "the log is rotated")
    assert mode(folder / "postgres.log.1") == 0o600


# What it survives


def test_a_killed_server_is_back_with_what_was_committed(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=True)
    server.start()
    with psycopg.connect(server.owner_url) as owner:
        owner.execute("CREATE TABLE facts AS SELECT 42 AS fact")
    killed = server.pid
    assert killed is not None

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: server.pid not in (killed, None) and answers(server), "it is back")
    assert ask(server.owner_url, "SELECT fact FROM facts") == 42
    server.stop()


def test_what_people_wrote_stays_out_of_the_log(server: EmbeddedPostgres, folder: Path) -> None:
    with psycopg.connect(server.owner_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE secrets (secret text PRIMARY KEY)")
        owner.execute("INSERT INTO secrets VALUES ('hunter2')")

        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute("INSERT INTO secrets VALUES ('hunter2')")

    log = (folder / "postgres.log").read_text()
    assert "duplicate key value" in log
    assert "hunter2" not in log


def test_a_killed_server_is_back_although_a_session_is_busy(server: EmbeddedPostgres) -> None:
    busy = psycopg.connect(server.url)
    backend = busy.info.backend_pid
    # A backend that is stopped cannot notice that its postmaster is gone, and holds the memory.
    os.kill(backend, signal.SIGSTOP)
    killed = server.pid
    assert killed is not None

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: server.pid not in (killed, None) and answers(server), "it is back")
    busy.close()


def test_a_server_whose_keeper_is_killed_gets_another(server: EmbeddedPostgres) -> None:
    before = server.pid
    keeper = keeper_of(server)

    keeper.kill()

    wait_until(lambda: server.pid not in (before, None) and answers(server), "it is back")


def test_stop_works_while_a_killed_keeper_is_being_replaced(
    server: EmbeddedPostgres, folder: Path
) -> None:
    keeper_of(server).kill()

    server.stop()

    assert processes_in(folder / "cluster") == []


def test_a_killed_owner_leaves_no_server_and_the_next_one_starts(folder: Path) -> None:
    owner = run_until_killed(folder)
    assert owner.stdout is not None
    postmaster = int(owner.stdout.readline())

    kill(owner)
    successor = EmbeddedPostgres(folder, durable=False)
    successor.start()

    assert successor.pid not in (postmaster, None)
    assert answers(successor)
    successor.stop()
    assert processes_in(folder / "cluster") == []


def test_a_killed_owner_needs_no_successor_for_its_server_to_end(folder: Path) -> None:
    owner = run_until_killed(folder)
    assert owner.stdout is not None
    owner.stdout.readline()
    assert processes_in(folder / "cluster") != []

    kill(owner)

    wait_until(lambda: processes_in(folder / "cluster") == [], "no process is left")


def test_a_server_orphaned_together_with_its_keeper_is_replaced(folder: Path) -> None:
    owner = run_until_killed(folder)
    assert owner.stdout is not None
    postmaster = int(owner.stdout.readline())
    keeper = psutil.Process(postmaster).parent()
    assert keeper is not None

    keeper.suspend()
    kill(owner)
    keeper.kill()
    successor = EmbeddedPostgres(folder, durable=False)
    successor.start()

    assert answers(successor)
    successor.stop()
    assert processes_in(folder / "cluster") == []


def test_a_first_start_that_is_killed_leaves_nothing_to_stumble_over(empty_folder: Path) -> None:
    owner = run_until_killed(empty_folder)
    wait_until(lambda: any(empty_folder.glob("cluster.new.*/cluster/global")), "initdb is at work")

    kill(owner)
    server = EmbeddedPostgres(empty_folder, durable=False)
    server.start()

    assert answers(server)
    server.stop()
    assert list(empty_folder.glob("cluster.new.*")) == []


def test_a_stale_claim_by_another_programs_process_id_is_overcome(folder: Path) -> None:
    # After a restart of the machine, the id of the old postmaster may be anybody's: here ours.
    claim = f"{os.getppid()}\n{folder / 'cluster'}\n0\n5432\n\n\n"
    (folder / "cluster" / "postmaster.pid").write_text(claim)
    server = EmbeddedPostgres(folder, durable=False)

    server.start()

    assert answers(server)
    server.stop()


def run_until_killed(folder: Path) -> subprocess.Popen[str]:
    """A process of its own that runs the server in folder, and prints the postmaster's id."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_KILLED, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
