"""What a request carries is what its caller meant, or it is refused before it is sent."""

from typing import Any

import orjson
import pytest

from musterroll._request import encoded
from musterroll.errors import Invalid


@pytest.mark.parametrize("body", [float("nan"), {"a": [1, float("inf")]}, {"a": (None, -1e400)}])
def test_a_float_that_json_cannot_say_is_refused_and_no_null(body: Any) -> None:
    with pytest.raises(Invalid, match="nan or infinite") as refused:
        encoded(body)

    assert refused.value.code == "bad_json"


@pytest.mark.parametrize("body", [None, {"a": [None, 1e308, "null"], "b": {"null": True}}])
def test_null_is_sent_where_it_is_meant(body: Any) -> None:
    assert orjson.loads(encoded(body)) == body
