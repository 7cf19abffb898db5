"""The worker: handlers on one side, the service on the other."""

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Self, TypeVar

from musterroll import _retry
from musterroll._connection import Credentials
from musterroll._worker.enlist import Enlisted, enlist
from musterroll._worker.handlers import Handler
from musterroll._worker.shift import Shift
from musterroll.client import AsyncClient
from musterroll.errors import Invalid, Unauthorized, Unavailable

H = TypeVar("H", bound=Handler)
log = logging.getLogger("musterroll")

# One try; a heartbeat must not wait for a silent connection as long as a lease lasts.
TIMEOUT_SECONDS = 10.0
# What no patience mends.
NO_SERVICE = frozenset({"service_not_found", "service_not_running"})


class Worker:
    """Does tasks of the kinds that it has handlers for, until it is stopped.

    `handlers` maps a kind to its handler. Attributes that may be set until it runs: `capabilities`
    (None: the kinds of its handlers), `slots` (tasks at once), `labels` (None: as they are),
    `grace_seconds` (how long a stopping worker waits for what runs).
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str,
        capabilities: Sequence[str] | None = None,
        slots: int = 1,
        labels: Mapping[str, str] | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        grace_seconds: float = 30.0,
    ) -> None:
        """Nothing is read or sent before it runs; see the README for what is found by itself."""
        self.name = name
        self.capabilities = capabilities
        self.slots = slots
        self.labels = labels
        self.grace_seconds = grace_seconds
        self._url = url
        self._credentials = Credentials(
            client_id=client_id, client_secret=client_secret, username=username, password=password
        )
        self.handlers: dict[str, Handler] = {}
        self._agent_id: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def agent_id(self) -> str | None:
        """The agent that this worker is; None until it has enlisted."""
        return self._agent_id

    def task(self, kind: str) -> Callable[[H], H]:
        """Make a function the handler of a kind. It is returned unchanged.

        Raises ValueError when the kind has a handler.
        """

        def register(handler: H) -> H:
            if kind in self.handlers:
                raise ValueError(f"{kind!r} has a handler already: {self.handlers[kind]!r}")
            self.handlers[kind] = handler
            return handler

        return register

    def connect_to(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
    ) -> Self:
        """Set where the service is, or who asks, or both; what is not given stays as it was."""
        credentials = Credentials(
            client_id=client_id,
            client_secret=client_secret,
            username=username,
            password=password,
            token=token,
        )
        self._url = url or self._url
        self._credentials = credentials or self._credentials
        return self

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; a second signal does not wait for running tasks.

        Without logging of your own, warnings and news go to stderr, a line each. Raises as `serve`
        does.
        """
        _log_tersely()
        asyncio.run(self._run())

    async def serve(self) -> None:
        """Work on this event loop until `stop`. While the service is away, it waits and goes on.

        Raises Invalid without a handler, Unavailable when no service is found at all, and
        Unauthorized, Forbidden, NotFound or Conflict when this worker may not work (any more).
        """
        if not self.handlers:
            raise Invalid(f"worker {self.name} has no handler", code="no_handler")
        self._loop = asyncio.get_running_loop()
        try:
            enlisted = await self._unless_stopped()
            if enlisted is not None:
                await self._work(enlisted)
        finally:
            self._loop = None
            self._agent_id = None
            # An event belongs to the loop that waited for it; the next run may have another.
            self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    def stop(self, *, hurry: bool = False) -> None:
        """Lease no more, let running tasks end (for `grace_seconds`; with `hurry` not at all), and
        give back the rest. From any thread; returns at once."""
        loop = self._loop
        if loop is None or loop is _running_loop():
            self._request_stop(hurry=hurry)
        else:
            loop.call_soon_threadsafe(lambda: self._request_stop(hurry=hurry))

    def _request_stop(self, *, hurry: bool) -> None:
        self._stop.set()
        if hurry:
            self._hurry.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            # Only the main thread may be told of signals, and not every system can tell a loop.
            if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.add_signal_handler(number, self._on_signal)
                    stack.callback(loop.remove_signal_handler, number)
            await self.serve()

    def _on_signal(self) -> None:
        again = self._stop.is_set()
        log.info("stopping now" if again else "stopping; a second signal does not wait")
        self.stop(hurry=again)

    async def _unless_stopped(self) -> Enlisted | None:
        """Enlist, however long the service is away; None when told to stop meanwhile."""
        enlisting = asyncio.create_task(self._enlist(), name="musterroll enlist")
        stopping = asyncio.create_task(self._stop.wait(), name="musterroll stop")
        try:
            await asyncio.wait([enlisting, stopping], return_when=asyncio.FIRST_COMPLETED)
            return enlisting.result() if enlisting.done() else None
        finally:
            enlisting.cancel()
            stopping.cancel()
            await asyncio.gather(enlisting, stopping, return_exceptions=True)

    async def _enlist(self) -> Enlisted:
        failures = 0
        async with self._client(self._url, self._credentials) as client:
            while True:
                try:
                    return await enlist(
                        client,
                        name=self.name,
                        capabilities=self._offered(),
                        slots=self.slots,
                        labels=self.labels,
                    )
                except Unavailable as error:
                    if error.code in NO_SERVICE:
                        raise
                    failures += 1
                    log.warning("worker %s waits: %s", self.name, error)
                    await asyncio.sleep(_retry.pause(failures))

    async def _work(self, enlisted: Enlisted) -> None:
        self._agent_id = enlisted.agent_id
        log.info("worker %s is agent %s at %s", self.name, enlisted.agent_id, enlisted.url)
        async with self._client(enlisted.url, enlisted.credentials) as client:
            shift = Shift(
                client,
                enlisted.agent_id,
                handlers=self.handlers,
                slots=self.slots,
                grace_seconds=self.grace_seconds,
                stop=self._stop,
                hurry=self._hurry,
            )
            try:
                await shift.work()
            except Unauthorized as error:
                raise Unauthorized(
                    f"agent {self.name} may not work any more ({error}): was it retired, or did "
                    "another worker take its name?",
                    code=error.code,
                    status=error.status,
                    request_id=error.request_id,
                ) from error
        log.info("worker %s has stopped", self.name)

    def _offered(self) -> list[str]:
        return sorted(self.handlers) if self.capabilities is None else list(self.capabilities)

    def _client(self, url: str | None, credentials: Credentials) -> AsyncClient:
        return AsyncClient(
            url,
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
            username=credentials.username,
            password=credentials.password,
            token=credentials.token,
            timeout_seconds=TIMEOUT_SECONDS,
        )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _log_tersely() -> None:
    if log.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
