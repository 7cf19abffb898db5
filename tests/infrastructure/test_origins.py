"""Origins whose pages may connect: which there are, how they are spelled, and where they stand."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infrastructure.origins import origin_from
from infrastructure.settings import Settings
from tests.randomly import repeatably


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("MUSTERROLL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.ORG", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://127.0.0.1:08000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
        ("http://my_container:3000", "http://my_container:3000"),
    ],
)
def test_an_origin_is_kept_as_a_browser_spells_it(text: str, origin: str) -> None:
    assert origin_from(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "example.org",
        "//example.org",
        "https://",
        "https://*.example.org",
        "https://example.org/",
        "https://example.org/app",
        "https://example.org?x",
        "https://example.org#x",
        "https://user@example.org",
        "https://example.org:",
        "https://example.org:0",
        "https://example.org:65536",
        "https://example.org:١",  # noqa: RUF001 - a digit, but not of a port
        "https://münchen.example",
        "https://\N{KELVIN SIGN}.example",
        "https://example.org https://example.com",
        " https://example.org",
        "https://example.org\n",
        "https://.example.org",
        "https://-example.org",
        "http://[::1",
        "ws://example.org",
        "file://",
        "https://" + "a" * 300,
    ],
)
def test_what_no_page_can_have_as_its_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an origin is a scheme and a host"):
        origin_from(text)


@repeatably
@given(text=st.text())
def test_whatever_is_taken_is_taken_again_as_it_is(text: str) -> None:
    try:
        origin = origin_from(f"https://{text}")
    except ValueError:
        return

    assert origin_from(origin) == origin


@pytest.mark.parametrize(
    "text",
    ["https://a.org, HTTP://b.org:8080", '["https://a.org", "http://b.org:8080"]'],
)
def test_the_environment_names_several(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MUSTERROLL_ALLOWED_ORIGINS", text)

    assert Settings().allowed_origins == ("https://a.org", "http://b.org:8080")


@pytest.mark.parametrize(
    "value", [["https://a.org", "https://b.org"], "https://a.org,https://b.org"]
)
def test_the_file_names_several(tmp_path: Path, value: list[str] | str) -> None:
    (tmp_path / "musterroll.toml").write_text(f"allowed_origins = {json.dumps(value)}\n")

    assert Settings().allowed_origins == ("https://a.org", "https://b.org")


def test_no_other_origin_is_allowed_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().allowed_origins == ()

    monkeypatch.setenv("MUSTERROLL_ALLOWED_ORIGINS", "")

    assert Settings().allowed_origins == ()


@pytest.mark.parametrize("text", ["*", "https://a.org, null", "[", '{"a": 1}', "[5]"])
def test_a_setting_that_names_no_origins_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MUSTERROLL_ALLOWED_ORIGINS", text)

    with pytest.raises(ValidationError):
        Settings()
