"""Hashes of passwords and secrets: argon2id, off the event loop, and not too many at once."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from application.accounts.account import TooBusy

ResultT = TypeVar("ResultT")

AT_ONCE_MAX = 2
"""Each takes 19 MiB and some 40 ms of a core; a flood of sign-ins must leave the others to the
service.
"""
WAITING_MAX = 256


class Argon2Hasher:
    """The SecretHasher, with the parameters that OWASP's Password Storage Cheat Sheet names
    first."""

    def __init__(self, *, memory_kib: int = 19 * 1024, passes: int = 2) -> None:
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._nobody = self._argon2.hash("the secret of nobody")
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._waiting = 0

    async def hash(self, secret: str) -> str:
        """Raises TooBusy."""
        return await self._off_loop(lambda: self._argon2.hash(secret))

    async def verify(self, secret_hash: str | None, secret: str) -> bool:
        """Whether the secret is the one. Without a hash: False, after the same time. Raises
        TooBusy."""
        matches = await self._off_loop(lambda: self._matches(secret_hash or self._nobody, secret))
        return matches and secret_hash is not None

    def _matches(self, secret_hash: str, secret: str) -> bool:
        try:
            return self._argon2.verify(secret_hash, secret)
        except (VerificationError, InvalidHashError):
            return False

    async def _off_loop(self, work: Callable[[], ResultT]) -> ResultT:
        if self._waiting >= WAITING_MAX:
            raise TooBusy
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
