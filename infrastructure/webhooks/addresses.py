"""What names lead to, checked: only what may be posted to is ever connected to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult

from application.webhooks.courier import AT_ONCE_OF_TENANT_MAX
from application.webhooks.target import fault_of_address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as text. Raises OSError."""
LOOKUPS_AT_ONCE_MAX = 2 * AT_ONCE_OF_TENANT_MAX
"""More than one tenant can have under way, so that its dead names hold up no others."""


class AddressRefused(OSError):
    """The name leads to an address, or the URL holds one, that nothing may be sent to."""


class SystemResolver:
    """Asks the operating system, on threads of its own: names that nobody answers for must not
    take the threads that everything else needs."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE_MAX, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Each address once, in the order of the system. Raises OSError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _look_up, host, port)

    def close(self) -> None:
        """Wait for no lookup that is under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Hands on the addresses of a name when all of them may be connected to, and none otherwise.

    A name with both kinds is a trap. What is handed on is what is connected to: nobody asks again.
    """

    def __init__(self, resolve: Resolve, *, private: bool) -> None:
        self._resolve = resolve
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressRefused, OSError."""
        addresses = await self._resolve(host, port)
        for address in addresses:
            _require(address, "its name leads to {}", private=self._private)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


def checked_socket(private: bool) -> SocketFactoryType:
    """Makes sockets for addresses that may be connected to, and for no others.

    The last gate, past which nothing gets: addresses in URLs are never resolved.
    """

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        _require(str(address[0]), "it is {}", private=private)
        return socket.socket(family, kind, protocol)

    return make


def _require(address: str, fault_text: str, *, private: bool) -> None:
    fault = fault_of_address(address, private=private)
    if fault:
        raise AddressRefused(fault_text.format(fault))


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
