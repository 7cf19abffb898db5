"""A whole service in this process, listening on a real socket."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx
import uvicorn
from pydantic import SecretStr

from infrastructure.settings import Settings
from interfaces.bootstrap import ControlPlaneProcess, build
from interfaces.http.app import create_app
from interfaces.http.live.protocol import LiveProtocol
from interfaces.http.server import bind
from tests.conftest import Database

PASSWORD = "correct horse battery"
START_SECONDS_MAX = 30


class Service:
    """Started in a thread with an event loop of its own; stopped at the end of the with
    statement."""

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        *,
        ws: type[asyncio.Protocol] | Literal["websockets-sansio", "wsproto"] = LiveProtocol,
        **settings: Any,
    ) -> None:
        self.process: ControlPlaneProcess = build(
            Settings(
                data_dir=data_dir,
                database_url=SecretStr(database.url),
                database_owner_url=SecretStr(database.owner_url),
                admin_password=SecretStr(PASSWORD),
                **({"log_level": "error"} | settings),
            )
        )
        self._socket = bind("127.0.0.1", 0, behind_proxy=False)
        self._socket.listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.ws = ws
        self._stopping = threading.Event()
        self._make_server()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        with httpx.Client(base_url=self.url, timeout=START_SECONDS_MAX) as client:
            # The socket listens already, so the first answer comes when the service has started.
            client.get("/healthz").raise_for_status()
            while client.get("/readyz").status_code != 200:
                assert self._thread.is_alive(), "the service did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # As our own server does it: what does not end by itself, ends now.
        self._stopping.set()
        self._server.should_exit = True
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._app.state.stopping.set)
        self._thread.join()
        self._socket.close()

    def client(self, username: str = "admin", password: str = PASSWORD) -> httpx.Client:
        """An HTTP client signed in as a user."""
        form = {"grant_type": "password", "username": username, "password": password}
        return self._signed_in(form)

    def machine(self, client_id: str, client_secret: str) -> httpx.Client:
        """An HTTP client signed in as a program or agent."""
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        return self._signed_in(form)

    def _signed_in(self, form: dict[str, str]) -> httpx.Client:
        answer = httpx.post(f"{self.url}/v1/oauth/token", data=form).raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(
            base_url=self.url, timeout=40, headers={"Authorization": f"Bearer {token}"}
        )

    def _make_server(self) -> None:
        self._app = app = create_app(self.process)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, ws=self.ws, log_level="error", access_log=False, server_header=False
            )
        )

    def _run(self) -> None:
        # As our own server does it: a process whose epoch has ended is followed by another.
        asyncio.run(self._serve())
        while self.process.epoch_ended.is_set() and not self._stopping.is_set():
            self.process = self.process.anew()
            self._make_server()
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        ending = asyncio.create_task(self._end_with_epoch())
        await self._server.serve(sockets=[self._socket.dup()])
        ending.cancel()

    async def _end_with_epoch(self) -> None:
        await self.process.epoch_ended.wait()
        self._app.state.stopping.set()
        self._server.should_exit = True
