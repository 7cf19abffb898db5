"""Access tokens: what is issued is believed, and nothing else is."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from application.access import InvalidToken
from application.accounts.account import Account
from infrastructure.security.signing_key import SigningKey
from infrastructure.security.tokens import JwtAccessTokens

KEY = SigningKey(Ed25519PrivateKey.generate())
NOW = 1_800_000_000
ISSUER = "urn:uuid:00000000-0000-0000-0000-000000000001"
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.key_id}
ACCOUNT = Account(
    account_id=UUID(int=7),
    kind="agent",
    name="reviewer",
    tenant="acme",
    scopes=frozenset({"worker"}),
    secret_hash="",
    created_at=datetime(2026, 11, 23, tzinfo=UTC),
    agent_id=UUID(int=8),
    generation=3,
)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def tokens(clock: Callable[[], float] | None = None) -> JwtAccessTokens:
    return JwtAccessTokens(KEY, issuer=ISSUER, lifetime_seconds=900, clock=clock or Clock())


def claims(**changes: Any) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "aud": "musterroll",
        "sub": str(ACCOUNT.account_id),
        "iat": NOW,
        "exp": NOW + 900,
        "jti": "1",
        "scope": "worker",
        "tenant": "acme",
        "gen": 3,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(
    payload: dict[str, Any], *, key: Any = KEY.private, algorithm: str = "EdDSA", **header: Any
) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers=HEADER | header)


def test_what_was_issued_is_read_again() -> None:
    service = tokens()

    read = service.verify(service.issue(ACCOUNT, frozenset({"worker"})))

    assert read.account_id == ACCOUNT.account_id
    assert (read.tenant, read.generation, read.agent_id) == ("acme", 3, ACCOUNT.agent_id)
    assert read.scopes == {"worker"}
    assert read.expires_at == NOW + 900


def test_a_token_forged_like_ours_by_our_key_is_believed() -> None:
    assert tokens().verify(signed(claims())).generation == 3


def test_a_token_says_no_more_than_it_must() -> None:
    payload = jwt.decode(
        tokens().issue(ACCOUNT, frozenset({"worker"})), options={"verify_signature": False}
    )

    assert set(payload) == {*claims(), "agent_id"}


def test_a_token_ends_even_when_it_was_good_a_moment_ago() -> None:
    clock = Clock()
    service = tokens(clock)
    token = service.issue(ACCOUNT, frozenset({"worker"}))
    service.verify(token)

    clock.now += 900 + 6

    with pytest.raises(InvalidToken):
        service.verify(token)


def test_clocks_may_differ_by_a_few_seconds() -> None:
    clock = Clock()
    service = tokens(clock)
    token = service.issue(ACCOUNT, frozenset({"worker"}))

    clock.now = NOW - 4
    service.verify(token)
    clock.now = NOW + 900 + 4
    service.verify(token)


def _raw(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _mac(key: bytes) -> str:
    """A token whose signature is a keyed digest with the public key: an old trick."""
    unsigned = _raw(HEADER | {"alg": "HS256"}, claims()).rpartition(".")[0]
    digest = hmac.digest(key, unsigned.encode(), "sha256")
    return f"{unsigned}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


PEM = KEY.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RAW = KEY.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
STRANGER = Ed25519PrivateKey.generate()
BAD_TOKENS = {
    "empty": "",
    "no token": "hello",
    "two parts": "a.b",
    "not ascii": signed(claims()) + "\u00e9",
    "too long": signed(claims(jti="x" * 9_000)),
    "signed by a stranger": signed(claims(), key=STRANGER),
    "algorithm none": _raw(HEADER | {"alg": "none"}, claims()),
    "algorithm none, capitals": _raw(HEADER | {"alg": "nOnE"}, claims()),
    "HS256 with the public key as PEM": _mac(PEM),
    "HS256 with the public key as bytes": _mac(RAW),
    "another type": signed(claims(), typ="JWT"),
    "an id token": signed(claims(), typ="id+jwt"),
    "no type": _raw({"alg": "EdDSA", "kid": KEY.key_id}, claims()),
    "another key's id": signed(claims(), kid="other"),
    "an unknown crit": signed(claims(), crit=["exp"], exp=1),
    "an embedded jwk": signed(
        claims(), key=STRANGER, jwk={"kty": "OKP", "crv": "Ed25519", "x": "AA"}
    ),
    "a jku": signed(claims(), jku="https://evil.example/keys"),
    "an x5u": signed(claims(), x5u="https://evil.example/cert"),
    "another audience": signed(claims(aud="elsewhere")),
    "a list of audiences with another": signed(claims(aud=["elsewhere"])),
    "another issuer": signed(claims(iss="urn:uuid:2")),
    "expired": signed(claims(iat=NOW - 2_000, exp=NOW - 1_000)),
    "issued in the future": signed(claims(iat=NOW + 60)),
    "not yet": signed(claims(nbf=NOW + 60)),
    "an expiry that is text": signed(claims(exp="9999999999")),
    "an expiry that is infinite": _raw(HEADER, {**claims(), "exp": 1e300}),
    "a generation that is true": signed(claims(gen=True)),
    "a subject that is no id": signed(claims(sub="admin")),
    "an agent that is no id": signed(claims(agent_id="reviewer")),
    "scopes that are a number": signed(claims(scope=1)),
} | {f"without {name}": signed(claims(**{name: None})) for name in claims()}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_a_bad_token_is_refused(what: str) -> None:
    with pytest.raises(InvalidToken):
        tokens().verify(BAD_TOKENS[what])


@given(st.text(max_size=200) | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}"))
def test_whatever_is_sent_as_a_token_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(InvalidToken):
        tokens().verify(text)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_byte_of_a_token_may_be_changed(place: int, change: int) -> None:
    token = bytearray(signed(claims()).encode())
    head, payload, _ = token.decode().split(".")
    place %= len(head) + len(payload) + 1
    token[place] ^= change

    with pytest.raises(InvalidToken):
        tokens().verify(token.decode("latin-1"))
