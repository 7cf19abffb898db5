"""`muster up` as a process: how it says that it is ready, how it stops, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

MUSTER = (sys.executable, "-m", "interfaces.cli.main")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MUSTERROLL_"):
            monkeypatch.delenv(name)


@contextmanager
def started(data_dir: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A service, and the lines that it printed when it was ready."""
    words = [*MUSTER, "up", "--port", "0", "--data-dir", str(data_dir), *flags]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        lines = []
        for line in up.stdout:
            lines.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        try:
            yield up, lines
        finally:
            if up.poll() is None:
                up.kill()


def refused(flags: Sequence[str], **environment: str) -> str:
    """The one line with which a service is refused."""
    done = subprocess.run(
        [*MUSTER, "up", *flags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_stops_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path / "data") as (up, lines):
        service = json.loads((tmp_path / "data" / "service.json").read_text())
        up.send_signal(number)
        code = up.wait()

    assert code == 0
    assert lines[0] == f"Musterroll is ready at {service['url']}"
    assert str(tmp_path / "data" / "admin-password") in "\n".join(lines)
    assert not (tmp_path / "data" / "service.json").exists()


def test_other_commands_find_it_by_themselves(tmp_path: Path) -> None:
    with started(tmp_path / "data"):
        done = subprocess.run(
            [*MUSTER, "task", "submit", "count"],
            env={**os.environ, "MUSTERROLL_DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            check=True,
        )

    assert len(done.stdout.strip()) == 36


def test_a_child_ends_with_the_parent_that_holds_its_input(tmp_path: Path) -> None:
    with started(tmp_path / "data", "--until-stdin-closes") as (up, _):
        assert up.stdin is not None
        up.stdin.close()
        code = up.wait()

    assert code == 0


def test_a_port_or_a_folder_that_is_taken_is_refused_in_one_line(tmp_path: Path) -> None:
    with started(tmp_path / "data"):
        service = json.loads((tmp_path / "data" / "service.json").read_text())
        port = service["url"].rpartition(":")[2]
        taken_port = refused(["--port", port, "--data-dir", str(tmp_path / "other")])
        taken_folder = refused(["--port", "0", "--data-dir", str(tmp_path / "data")])

    assert port in taken_port
    assert "--port" in taken_port
    assert str(tmp_path / "data") in taken_folder


def test_a_database_that_does_not_answer_is_refused_in_one_line(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/nothing"

    said = refused(["--port", "0", "--data-dir", str(tmp_path), "--database-url", url])

    assert "database" in said


def test_an_address_that_others_can_reach_is_refused_in_one_line(tmp_path: Path) -> None:
    everywhere = "0.0.0.0"  # noqa: S104 - it is refused

    said = refused(["--host", everywhere, "--port", "0", "--data-dir", str(tmp_path)])

    assert "--behind-proxy" in said


def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    said = refused(["--data-dir", str(tmp_path)], MUSTERROLL_LEASE_SECONDS="soon")

    assert "lease_seconds" in said


def test_only_pages_of_the_origins_that_are_named_may_connect(tmp_path: Path) -> None:
    origins = ("https://a.example", "https://b.example:8443")
    flags = [word for origin in origins for word in ("--allowed-origin", origin)]
    with started(tmp_path / "data", *flags):
        service = json.loads((tmp_path / "data" / "service.json").read_text())
        url = f"{service['url'].replace('http', 'ws', 1)}/ws/v1/events"

        for origin in origins:
            with connect(url, origin=Origin(origin), proxy=None) as connection:
                connection.ping().wait(20)
        elsewhere = Origin("https://c.example")
        with pytest.raises(InvalidStatus, match="403"), connect(url, origin=elsewhere, proxy=None):
            pass


@pytest.mark.parametrize("origin", ["*", "null", "https://a.example/app"])
def test_what_is_no_origin_is_refused_in_one_line(tmp_path: Path, origin: str) -> None:
    said = refused(["--data-dir", str(tmp_path), "--allowed-origin", origin])

    assert "allowed_origins" in said
    assert "https://example.org" in said


def test_the_doctor_finds_a_machine_without_a_service_able_to_run_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MUSTER, "doctor", "--json"],
        env={**os.environ, "MUSTERROLL_DATA_DIR": str(tmp_path), "MUSTERROLL_PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    levels = {row["subject"]: row["level"] for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout
    assert levels["service"] == "warn"
    assert levels["port"] == levels["python"] == levels["data folder"] == "ok"


def test_the_doctor_fails_on_settings_that_make_no_sense(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MUSTER, "doctor"],
        env={**os.environ, "MUSTERROLL_DATA_DIR": str(tmp_path), "MUSTERROLL_PORT": "high"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "fail  settings" in done.stdout
    assert "port" in done.stdout
