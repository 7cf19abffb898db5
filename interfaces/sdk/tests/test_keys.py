from uuid import UUID

from musterroll._keys import new_key
from musterroll._request import as_it_is, command

NOON = 1_785_412_800_000_000_000  # in nanoseconds
MILLISECOND = 1_000_000


def test_a_key_is_a_uuid_that_tells_when_it_was_made() -> None:
    key = UUID(new_key(lambda: NOON))

    assert (key.version, key.variant) == (7, "specified in RFC 4122")
    assert key.int >> 80 == NOON // MILLISECOND


def test_keys_sort_by_their_moments_and_no_two_are_the_same() -> None:
    moments = [NOON, NOON + 250, NOON + MILLISECOND - 1, NOON + MILLISECOND, NOON + 10**15]

    keys = [new_key(lambda moment=moment: moment) for moment in moments]  # type: ignore[misc]

    assert keys == sorted(keys)
    assert new_key(lambda: NOON) != new_key(lambda: NOON)


def test_a_command_has_such_a_key_unless_it_is_given_one() -> None:
    assert UUID(command("/v1/tasks", as_it_is).headers["Idempotency-Key"]).version == 7
    assert command("/", as_it_is, idempotency_key="mine").headers["Idempotency-Key"] == "mine"
