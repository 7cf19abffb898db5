"""What keeps its key nowhere is remembered for a while, so that the key stands for one request."""

from dataclasses import replace

import pytest

from application.accounts import key_guard
from application.accounts.key_guard import KeyGuard
from application.commands import RequestKey
from domain.errors import IdempotencyKeyReused
from tests.given import a_key


def another_under(key: RequestKey) -> RequestKey:
    return replace(key, fingerprint=b"another")


def use(guard: KeyGuard, key: RequestKey) -> None:
    with guard.only(key):
        pass


def test_another_request_under_a_key_is_refused_while_and_after_the_first_is_done() -> None:
    guard, key = KeyGuard(), a_key()

    with guard.only(key), pytest.raises(IdempotencyKeyReused):
        use(guard, another_under(key))

    with pytest.raises(IdempotencyKeyReused):
        use(guard, another_under(key))


def test_the_same_request_is_let_through_again() -> None:
    guard, key = KeyGuard(), a_key()

    with guard.only(key):
        use(guard, key)
    use(guard, key)


def test_a_request_that_failed_leaves_its_key_free() -> None:
    guard, key = KeyGuard(), a_key()

    with pytest.raises(ZeroDivisionError), guard.only(key):
        raise ZeroDivisionError

    use(guard, another_under(key))


def test_a_refused_request_does_not_free_the_key_of_the_first() -> None:
    guard, key = KeyGuard(), a_key()
    use(guard, key)

    for _ in range(2):
        with pytest.raises(IdempotencyKeyReused):
            use(guard, another_under(key))


def test_the_oldest_keys_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_guard, "RECENT_MAX", 3)
    guard, keys = KeyGuard(), [a_key() for _ in range(4)]

    for key in keys:
        use(guard, key)

    use(guard, another_under(keys[0]))
    with pytest.raises(IdempotencyKeyReused):
        use(guard, another_under(keys[-1]))
