"""Hashes of secrets."""

import asyncio
import time

import pytest

from application.accounts.account import TooBusy
from infrastructure.security import passwords
from infrastructure.security.passwords import Argon2Hasher


def test_a_secret_is_known_again_and_another_is_not() -> None:
    async def story() -> None:
        hasher = Argon2Hasher()
        kept = await hasher.hash("correct horse")

        assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await hasher.verify(kept, "correct horse")
        assert not await hasher.verify(kept, "battery staple")
        assert await hasher.hash("correct horse") != kept

    asyncio.run(story())


@pytest.mark.parametrize("kept", ["", "no hash", "$argon2id$v=19$m=19456,t=2,p=1$x$y"])
def test_a_hash_that_is_none_matches_nothing(kept: str) -> None:
    async def story() -> bool:
        return await Argon2Hasher().verify(kept, "secret")

    assert asyncio.run(story()) is False


def test_nobody_takes_as_long_as_somebody() -> None:
    async def story() -> tuple[float, float]:
        hasher = Argon2Hasher()
        kept = await hasher.hash("correct horse")
        return await timed(hasher, kept), await timed(hasher, None)

    async def timed(hasher: Argon2Hasher, kept: str | None) -> float:
        took = []
        for _ in range(7):
            began = time.perf_counter()
            await hasher.verify(kept, "wrong")
            took.append(time.perf_counter() - began)
        return min(took)

    somebody, nobody = asyncio.run(story())

    assert nobody == pytest.approx(somebody, rel=0.5)


def test_the_loop_goes_on_while_secrets_are_hashed() -> None:
    async def story() -> int:
        hasher = Argon2Hasher()
        hashing = asyncio.gather(*(hasher.hash("secret") for _ in range(6)))
        turns = 0
        while not hashing.done():
            await asyncio.sleep(0.001)
            turns += 1
        await hashing
        return turns

    assert asyncio.run(story()) >= 6


def test_those_that_are_too_many_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING_MAX", 3)

    async def story() -> list[object]:
        hasher = Argon2Hasher(memory_kib=64, passes=1)
        return await asyncio.gather(
            *(hasher.hash("secret") for _ in range(5)), return_exceptions=True
        )

    outcomes = asyncio.run(story())

    assert [type(outcome) for outcome in outcomes] == [str, str, str, TooBusy, TooBusy]
