"""Server-sent events, as WHATWG HTML has them (section 9.2)."""

import pytest

from musterroll._sse import Message, Parser, TooLong


def messages(*chunks: bytes) -> list[Message]:
    parser = Parser(bytes_max=1_000)
    return [message for chunk in chunks for message in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("chunks", "data"),
    [
        ([b"data: a\n\ndata: b\n\n"], ["a", "b"]),
        ([b"data: a\r\n\r\n"], ["a"]),
        ([b"data: a\r", b"\n\r", b"\ndata:b\r\rx"], ["a", "b"]),
        ([b"data: \xc3", b"\xa4\n\n"], ["ä"]),
        ([b"data: a\xe2\x80\xa8b\n\n"], ["a\u2028b"]),
        ([b"data: a\ndata: b\n\n"], ["a\nb"]),
        ([b"data\n\n"], [""]),
        ([b": nothing\n\n", b"event: x\n\n", b"retry: 5\n\n"], []),
        ([b"data: half"], []),
        ([b"data: half\n"], []),
        ([], []),
    ],
)
def test_messages_end_with_an_empty_line_in_any_spelling(
    chunks: list[bytes], data: list[str]
) -> None:
    assert [message.data for message in messages(*chunks)] == data


def test_a_message_is_found_however_it_is_cut() -> None:
    stream = b"id: 1:7\r\nevent: task.completed\r\ndata: {\r\ndata: }\r\n\r\n"
    whole = Message("{\n}", "task.completed", "1:7")

    for cut in range(len(stream)):
        assert messages(stream[:cut], stream[cut:]) == [whole]
    assert messages(*(stream[n : n + 1] for n in range(len(stream)))) == [whole]


def test_an_id_holds_until_another_one_comes_and_a_name_does_not() -> None:
    found = messages(b"id: 1\nevent: a\ndata: x\n\ndata: y\n\nid: 2\ndata: z\n\nid: 3\0\ndata:\n\n")

    assert [(message.event, message.id) for message in found] == [
        ("a", "1"),
        ("message", "1"),
        ("message", "2"),
        ("message", "2"),
    ]


def test_the_rest_is_there_for_who_wants_half_a_message() -> None:
    parser = Parser(bytes_max=100)

    assert parser.feed(b"data: a\ndata: b\r") == []
    assert parser.rest() == [Message("a\nb")]
    assert parser.rest() == []


@pytest.mark.parametrize("chunk", [b"x" * 6, b"data:\n"])
def test_a_message_without_end_is_not_kept(chunk: bytes) -> None:
    with pytest.raises(TooLong, match="a message has over 1000 bytes"):
        messages(*[chunk] * 500)
