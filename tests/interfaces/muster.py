"""`muster` as a test uses it: run in this process against a service, and read what it says."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from interfaces.cli.main import run
from musterroll import Task, Worker
from tests.interfaces.service import PASSWORD, Service


@dataclass(frozen=True)
class Said:
    """What one command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        """Its output, one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Muster:
    """The command line, signed in as the administrator of a service."""

    def __init__(
        self,
        service: Service,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._service = service
        self._capsys = capsys
        monkeypatch.setenv("MUSTERROLL_URL", service.url)
        monkeypatch.setenv("MUSTERROLL_USERNAME", "admin")
        monkeypatch.setenv("MUSTERROLL_PASSWORD", PASSWORD)

    def __call__(self, *arguments: str) -> Said:
        """Run a command line, whatever comes of it."""
        code = run(arguments)
        out, err = self._capsys.readouterr()
        return Said(code, out, err)

    def done(self, *arguments: str) -> Said:
        """Run a command line that must succeed."""
        said = self(*arguments)
        assert said.code == 0, said.err
        return said

    @contextmanager
    def worker(self, kind: str, handler: Callable[[Task], Any]) -> Iterator[None]:
        """An agent that does this kind of task while the block runs."""
        worker = Worker(self._service.url, name=f"{kind}-agent", grace_seconds=1)
        worker.connect_to(username="admin", password=PASSWORD)
        worker.task(kind)(handler)
        thread = threading.Thread(target=lambda: asyncio.run(worker.serve()))
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join()
