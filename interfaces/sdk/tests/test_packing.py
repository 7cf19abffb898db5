from musterroll._packing import BYTES_MAX, envelope, packs


def test_nothing_makes_no_pack() -> None:
    assert list(packs([])) == []


def test_a_pack_holds_at_most_a_thousand_items() -> None:
    assert [len(pack) for pack in packs(b"1" for _ in range(2_001))] == [1_000, 1_000, 1]


def test_a_pack_stays_within_its_bytes_and_keeps_the_order() -> None:
    items = [bytes([65 + n]) * 300_000 for n in range(5)]

    made = list(packs(items))

    assert [len(pack) for pack in made] == [3, 2]
    assert [item for pack in made for item in pack] == items


def test_a_giant_goes_alone() -> None:
    giant = b"x" * (BYTES_MAX + 1)

    assert list(packs([b"1", giant, b"2"])) == [[b"1"], [giant], [b"2"]]


def test_an_envelope_is_json() -> None:
    assert envelope("tasks", [b"1", b"{}"]) == b'{"tasks":[1,{}]}'
