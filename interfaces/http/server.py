"""The server: binds the address, serves until told to stop, and tells where it is to be found."""

import asyncio
import ipaddress
import logging
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors import Unavailable
from interfaces import interpreter
from interfaces.http.app import create_app
from interfaces.http.live.conversation import MESSAGE_BYTES_MAX, PING_SECONDS, PONG_SECONDS_MAX
from interfaces.http.live.protocol import LiveProtocol
from interfaces.http.ports import ControlPlane, ServerSettings
from interfaces.http.protocol import GuardedProtocol
from interfaces.http.service_file import keep_service_file, remove_service_file

KEEP_ALIVE_SECONDS = 30
STOP_SECONDS_MAX = 10
ANEW_SECONDS_MAX, ANEW_PAUSE_SECONDS = 60, 0.25
"""How long a process that takes another's place tries to start, while the database is away."""
UNREAD_MILLISECONDS_MAX = 30_000
"""How long a client may leave an answer unread before the kernel ends the connection."""
OPEN_FILES_WANTED = 65_536
PRIVATE_NETWORKS = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
]
"""Where the proxy may stand whose word about the client's address is taken."""


class AddressInUse(OSError):
    """Something else listens there already."""


class UnsafeAddress(ValueError):
    """Others could reach it, and nothing would encrypt what they send."""


def serve(process: ControlPlane, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is called with the url once it answers.

    When the store was restored, the process is ended and another takes its place, on the same
    socket: who connects meanwhile waits. Raises AddressInUse, UnsafeAddress, OSError, and what the
    process's `start` raises.
    """
    settings = process.settings
    listener = bind(settings.host, settings.port, behind_proxy=settings.behind_proxy)
    _allow_many_open_files()
    # What uvicorn would log is logged by the envelope, or raised from here.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    url = _url_of(settings.host, listener)
    try:
        anew_seconds = 0.0
        while _serve_epoch(process, listener, url, on_ready, anew_seconds):
            on_ready, anew_seconds = None, ANEW_SECONDS_MAX
            process = process.anew()
    finally:
        listener.close()
        remove_service_file(settings.data_dir)


def _serve_epoch(
    process: ControlPlane,
    listener: socket.socket,
    url: str,
    on_ready: Callable[[str], None] | None,
    anew_seconds: float,
) -> bool:
    """Whether it ended because its epoch did, and nobody wants the service to stop. For so many
    seconds it is tried again to start it."""
    deadline = time.monotonic() + anew_seconds
    while True:
        app = create_app(process)
        server = _Server(app, process.settings, url, on_ready, ended=process.epoch_ended)
        try:
            # The server closes what it is given; the socket itself stays, and those who wait there.
            server.run(sockets=[listener.dup()])
        except SystemExit:
            # uvicorn ends the process when the application does not start; we say why instead.
            failure = app.state.failure
            if not isinstance(failure, Unavailable) or time.monotonic() >= deadline:
                raise failure from None
            time.sleep(ANEW_PAUSE_SECONDS)
            process = process.anew()
            continue
        return process.epoch_ended.is_set() and not server.told_to_stop


def bind(host: str, port: int, *, behind_proxy: bool) -> socket.socket:
    """A socket at the address, not listening yet. Raises AddressInUse, UnsafeAddress, OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if not behind_proxy and not ipaddress.ip_address(address[0]).is_loopback:
        raise UnsafeAddress(
            f"{host} can be reached by others, without TLS: put a proxy in front, "
            "and say --behind-proxy."
        )
    # Named in full, since asyncio turns Nagle's algorithm off only for a socket that says TCP; the
    # head and the body of an answer are two writes, and the second would wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections inherit it. uvicorn would wait for a reader that never reads.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS_MAX)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if isinstance(error, PermissionError):
            raise
        raise AddressInUse(
            f"Nothing can listen on {host}:{port} ({error.strerror}): is a service running "
            "there already? --port takes another port."
        ) from error
    return listener


class BehindProxy:
    """Gives the application the client's address where the peer is the proxy.

    One hop is trusted: the address is the last entry of X-Forwarded-For, which the proxy appended;
    what stands before it is the client's to invent. Without an address there, it is the peer's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if peer and _is_private(peer[0]):
            lists = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            last = b"".join(lists[-1:]).rpartition(b",")[2].strip()
            with suppress(ValueError):
                scope["client"] = (str(ipaddress.ip_address(last.decode("latin-1"))), 0)
        await self._app(scope, receive, send)


def _is_private(host: str) -> bool:
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        # A peer over IPv4 of a listener at [::].
        address = address.ipv4_mapped
    return any(address in network for network in PRIVATE_NETWORKS)


class _Server(uvicorn.Server):
    """uvicorn's, which says when it is ready, ends long polls, and does not die of its signals."""

    def __init__(
        self,
        app: Starlette,
        settings: ServerSettings,
        url: str,
        on_ready: Callable[[str], None] | None,
        *,
        ended: asyncio.Event,
    ) -> None:
        super().__init__(_configuration(app, settings))
        self.told_to_stop = False
        self._ended = ended
        self._watching: asyncio.Task[None] | None = None
        self._app = app
        self._settings = settings
        self._url = url
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._watching = asyncio.create_task(self._end_with_epoch())
        interpreter.settle()
        keep_service_file(self._settings, self._url)
        if self._on_ready is not None:
            self._on_ready(self._url)

    async def _end_with_epoch(self) -> None:
        await self._ended.wait()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.told_to_stop = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self._app.state.stopping.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # uvicorn raises them again at the end, and the process would die instead of returning.
        signals = (signal.SIGINT, signal.SIGTERM)
        former = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _configuration(app: Starlette, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        BehindProxy(app) if settings.behind_proxy else app,
        loop="uvloop",
        http=GuardedProtocol,
        ws=LiveProtocol,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS_MAX,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
    )


def _url_of(host: str, listener: socket.socket) -> str:
    """Where a program on this machine finds it."""
    address = ipaddress.ip_address(listener.getsockname()[0])
    if address.is_unspecified:
        host = "::1" if address.version == 6 else "127.0.0.1"
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def _allow_many_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
