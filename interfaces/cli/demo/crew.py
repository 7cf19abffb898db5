"""The demo's processes: a service and its agents, started, stopped, and none left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from interfaces.cli.failures import Failure

AGENT_STOP_SECONDS_MAX = 3.0
SERVICE_STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
LOG_LINES_SHOWN = 5

# Short, so that a dead agent's work is seen to move within the minute that the demo takes.
SERVICE_SETTINGS = {
    "MUSTERROLL_LEASE_SECONDS": "5",
    "MUSTERROLL_HEARTBEAT_SECONDS": "1",
    "MUSTERROLL_OFFLINE_SECONDS": "3",
    "MUSTERROLL_LOG_LEVEL": "warning",
}


class ProcessEnded(Failure):
    """A process of the demo ended though nobody asked it to."""


@dataclass(slots=True)
class Process:
    """A process of the demo, and where its output goes."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def require_alive(self) -> None:
        """Raises ProcessEnded with what it said last."""
        code = self.popen.poll()
        if code is None:
            return
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        lines = self.log.read_text(errors="replace").split("\n")
        said = " | ".join(line for line in lines[-LOG_LINES_SHOWN:] if line.strip())
        raise ProcessEnded(f"{self.name} ended {how}{f', saying: {said}' if said else ''}.")


class Crew:
    """The service and the agents of one demo, in a folder of their own.

    Every child reads its standard input from us and ends with it, so that even a demo that is
    killed outright leaves no process behind. With `keep` they are on their own.
    """

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.agents: dict[str, Process] = {}
        self.service: Process | None = None
        self.url = ""
        self.password_file = self.data_dir / "admin-password"
        self._keep = keep

    def start_service(self) -> None:
        """Start it; `find_service` tells when it is ready. Raises OSError."""
        words = ["interfaces.cli.main", "up", "--port", "0", "--data-dir", str(self.data_dir)]
        if not self._keep:
            words.append("--until-stdin-closes")
        self.service = self._start("the service", words)

    def start_agent(self, name: str) -> None:
        """Start an agent's process. It waits for its orders. Raises OSError."""
        self.agents[name] = self._start(name, ["interfaces.cli.demo.agents", name])

    def find_service(self) -> bool:
        """Whether the service is ready; then `url` and `password_file` say how to speak to it.

        Raises ProcessEnded.
        """
        self.require_service()
        with suppress(FileNotFoundError, json.JSONDecodeError):
            found = json.loads((self.data_dir / "service.json").read_bytes())
            self.url = found["url"]
            self.password_file = self.data_dir / found["password_file"]
            return True
        return False

    def require_service(self) -> None:
        """Raises ProcessEnded with what the service said last, when it is gone."""
        assert self.service is not None
        self.service.require_alive()

    def fallen(self) -> list[tuple[str, int]]:
        """Agents that somebody killed since the last time, and by which signal (negative).

        Raises ProcessEnded for one that gave up by itself.
        """
        found = []
        for name, process in list(self.agents.items()):
            code = process.popen.poll()
            if code is not None and code >= 0:
                process.require_alive()
            elif code is not None:
                del self.agents[name]
                found.append((name, code))
        return found

    def order(self, name: str, orders: Mapping[str, Any]) -> None:
        """Tell an agent where the service is and who it is, where no other user can read it."""
        stdin = _stdin_of(self.agents[name])
        stdin.write(json.dumps({**orders, "keep": self._keep}).encode() + b"\n")
        stdin.flush()

    def pause(self, name: str) -> None:
        """Stop an agent where it is; it notices nothing, and nothing more is heard of it."""
        self.agents[name].popen.send_signal(signal.SIGSTOP)

    def unpause(self, name: str) -> None:
        """Let a paused agent go on."""
        self.agents[name].popen.send_signal(signal.SIGCONT)

    def kill(self, name: str) -> int:
        """End an agent with no chance to say goodbye, and answer its process id."""
        popen = self.agents.pop(name).popen
        popen.kill()
        popen.wait()
        _stdin_close(popen)
        return popen.pid

    def process_ids(self) -> list[int]:
        """Of everything that runs, the service first."""
        running = [self.service, *self.agents.values()]
        return [process.popen.pid for process in running if process is not None]

    def stop(self) -> None:
        """End every process, and remove the folder. Takes at most half a minute."""
        for process in self.agents.values():
            process.popen.send_signal(signal.SIGCONT)
            process.popen.terminate()
        deadline = time.monotonic() + AGENT_STOP_SECONDS_MAX
        for process in self.agents.values():
            _end(process.popen, deadline)
        if self.service is not None:
            self.service.popen.terminate()
            _end(self.service.popen, time.monotonic() + SERVICE_STOP_SECONDS_MAX)
        _clear(self.folder)

    def _start(self, name: str, words: list[str]) -> Process:
        log = self.folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output,
                cwd=self.folder,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is ours to answer.
            )
        return Process(name, popen, log)


def _environment() -> dict[str, str]:
    """Ours, without what would send the demo to another service or another database."""
    plain = {name: value for name, value in os.environ.items() if "MUSTERROLL" not in name}
    here = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, [here, plain.get("PYTHONPATH")]))
    return {**plain, **SERVICE_SETTINGS, "PYTHONPATH": path}


def _stdin_of(process: Process) -> IO[bytes]:
    stdin = process.popen.stdin
    assert stdin is not None
    return stdin


def _stdin_close(popen: subprocess.Popen[bytes]) -> None:
    if popen.stdin is not None:
        with suppress(BrokenPipeError):
            popen.stdin.close()


def _end(popen: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        popen.wait(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
    _stdin_close(popen)


def _clear(folder: Path) -> None:
    """Remove the folder, when nothing works in it any more.

    PostgreSQL ends by itself after a service that was killed; removing its files before it did
    would leave it running.
    """
    deadline = time.monotonic() + SERVICE_STOP_SECONDS_MAX
    while (left := _working_in(folder)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=POLL_SECONDS)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _working_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found
