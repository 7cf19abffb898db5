"""A real service in a process of its own, as `muster up` starts it, and real workers beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

READY_SECONDS_MAX = 60
ROOT = Path(__file__).parents[2]


class ServiceProcess:
    """`muster up` on a data folder; it can be killed and started again on the same one."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self._settings = {f"MUSTERROLL_{name.upper()}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data_dir.with_suffix(".log")
        self._token: tuple[str, float] | None = None
        self._port = "0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens; the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What a command or worker needs to find it."""
        return {**os.environ, "MUSTERROLL_DATA_DIR": str(self.data_dir)}

    @property
    def output(self) -> str:
        """Everything that it wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "interfaces.cli.main", "up", "--port", self._port],
                env={**self.environment, **self._settings},
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def client(self) -> httpx.Client:
        """An HTTP client signed in as the administrator."""
        password = (self.data_dir / "admin-password").read_text(encoding="utf-8").strip()
        form = {"grant_type": "password", "username": "admin", "password": password}
        answer = httpx.post(f"{self.url}/v1/oauth/token", data=form).raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(
            base_url=self.url, timeout=40, headers={"Authorization": f"Bearer {token}"}
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"the service ended: {self.output}"
            if self._answers():
                return
            time.sleep(0.05)
        raise AssertionError(f"the service was not ready in time: {self.output}")

    def _answers(self) -> bool:
        try:
            found: Mapping[str, Any] = json.loads((self.data_dir / "service.json").read_text())
            if found["pid"] != self._process.pid:  # type: ignore[union-attr]
                return False
            self._port = found["url"].rpartition(":")[2]
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except (OSError, ValueError, httpx.HTTPError):
            return False
