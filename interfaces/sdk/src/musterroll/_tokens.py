"""Access tokens: fetched once for all who need one, and renewed before they expire."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from musterroll._connection import Connection
from musterroll._conversation import Conversation, Reply, Send, Sleep
from musterroll._decode import decode
from musterroll._request import Request, of
from musterroll.errors import Invalid, MusterrollError
from musterroll.models import AccessToken

# A token is renewed when a fifth of its life, at most this much, is left.
RENEWAL_SECONDS_MAX = 60.0
LIFE_SECONDS_DEFAULT = 60.0
POLL_SECONDS = 0.02

Insist = Callable[[Send], Conversation[Reply]]


@dataclass(frozen=True, slots=True)
class _Kept:
    text: str
    renew_at: float


@dataclass(slots=True)
class _Fetch:
    """A token that is being fetched, for all who need it meanwhile."""

    done: bool = False
    kept: _Kept | None = None
    error: MusterrollError | None = None


class Tokens:
    """The tokens of one client."""

    def __init__(self, connection: Connection, insist: Insist) -> None:
        self._connection = connection
        self._insist = insist
        self._kept: _Kept | None = None
        self._fetch: _Fetch | None = None
        self._lock = threading.Lock()

    def bearer(self) -> Conversation[str]:
        """A token that is good for now. Raises Unauthorized or Unavailable."""
        credentials = self._connection.credentials
        if credentials.token:
            return credentials.token
        while True:
            kept = self._kept
            if kept is not None and time.monotonic() < kept.renew_at:
                return kept.text
            fetch, is_mine = self._share_fetch()
            if is_mine:
                yield from self._carry_out(fetch)
            while not fetch.done:
                yield Sleep(POLL_SECONDS)
            if fetch.error is not None:
                raise fetch.error
            if fetch.kept is not None:
                return fetch.kept.text

    @property
    def renewal_seconds(self) -> float:
        """How long until the token will be replaced by a new one."""
        kept = self._kept
        return 0.0 if kept is None else max(0.0, kept.renew_at - time.monotonic())

    def discard(self, text: str) -> bool:
        """Forget a token that was refused; whether there may be another one."""
        if self._connection.credentials.token:
            return False
        with self._lock:
            if self._kept is not None and self._kept.text == text:
                self._kept = None
        return True

    def ask(self, scopes: Sequence[str] | None = None) -> Conversation[AccessToken]:
        """A new token, for some or all scopes.

        Raises Unauthorized, Unavailable, or Invalid for scopes that these credentials do not have.
        """
        credentials, url = self._connection.credentials, self._connection.url
        if credentials.token:
            if scopes:
                raise Invalid("a ready token cannot be narrowed", code="ready_token")
            return AccessToken(access_token=credentials.token)
        form = credentials.form(url)
        if scopes:
            form["scope"] = " ".join(scopes)
        request = Request(
            method="POST",
            path="/v1/oauth/token",
            parse=of(AccessToken),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            content=urlencode(form).encode(),
        )
        reply = yield from self._insist(Send(request, {}))
        if reply.status >= 300:
            raise reply.refusal()
        return decode(AccessToken, reply.decoded())

    def _share_fetch(self) -> tuple[_Fetch, bool]:
        with self._lock:
            fetch = self._fetch
            if fetch is not None and not fetch.done:
                return fetch, False
            self._fetch = _Fetch()
            return self._fetch, True

    def _carry_out(self, fetch: _Fetch) -> Conversation[None]:
        asked_at = time.monotonic()
        try:
            token = yield from self.ask()
            life = token.expires_in or LIFE_SECONDS_DEFAULT
            renew_at = asked_at + life - min(life / 5, RENEWAL_SECONDS_MAX)
            self._kept = fetch.kept = _Kept(token.access_token, renew_at)
        except MusterrollError as error:
            fetch.error = error
        finally:
            fetch.done = True
