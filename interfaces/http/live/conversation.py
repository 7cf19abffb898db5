"""A conversation over the WebSocket: who asks, what they listen to, and what they are told."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from starlette.types import Scope

from application.access import InvalidToken, Principal, Unauthenticated
from application.accounts.account import Claims
from application.cursor import CursorAhead
from application.live.channel import BadChannel, Channel
from application.live.ports import Ending
from application.live.room import STALLED_SECONDS, Stalled, room_in
from application.live.stream import Order, Stream
from application.ports import Json
from domain.errors import ControlPlaneError, EpochEnded, Forbidden, Invalid, NotFound, Unavailable
from interfaces.http.audit import record_listening, record_refusal
from interfaces.http.live.formats import WEBSOCKET
from interfaces.http.live.sessions import Session, Sessions
from interfaces.http.live.sinks import UNSENT_BYTES_MAX, ConnectionSink
from interfaces.http.live.snapshots import Snapshot
from interfaces.http.ports import ControlPlane
from interfaces.http.schemas.live import (
    CHANNELS_MAX,
    Auth,
    MessageRefused,
    Ping,
    Subscribe,
    Unsubscribe,
    client_message,
)
from interfaces.http.scope import CALLER

MESSAGE_BYTES_MAX = 64 * 1024
MESSAGES_A_SECOND_MAX = 100
PING_SECONDS, PONG_SECONDS_MAX = 25.0, 10.0
AUTH_SECONDS_MAX = 10.0
WRONG_TOKENS_MAX = 3
WAITING_MAX = 16

CODES: tuple[tuple[type[ControlPlaneError], str], ...] = (
    (Unauthenticated, "unauthorized"),
    (Forbidden, "forbidden"),
    (NotFound, "not_found"),
    (BadChannel, "bad_channel"),
    (Unavailable, "unavailable"),
)
"""What a refusal is called in an error frame, where that is not its own code."""


class TooMuch(Invalid):
    """More than a connection may do."""

    code = "limit"


class Conversation:
    """Everything that is said over one connection, from its beginning to its end."""

    def __init__(
        self, process: ControlPlane, sessions: Sessions, sink: ConnectionSink, scope: Scope
    ) -> None:
        """`scope` is that of the handshake, for the audit trail."""
        self._process = process
        self._scope = scope
        self._sessions = sessions
        self._sink = sink
        self._principal: Principal | None = None
        self._session: Session | None = None
        self._stream: Stream | None = None
        self._wrong_tokens = 0
        self._second = 0.0
        self._messages = 0
        self._deadline: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(
            AUTH_SECONDS_MAX, sink.close, Ending.NOT_SIGNED_IN
        )

    @property
    def signed_in(self) -> bool:
        """Whether it is known who asks."""
        return self._principal is not None

    def close(self) -> None:
        """It is over."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def welcome(self, principal: Principal, claims: Claims, message_id: str | None = None) -> None:
        """They are who they say; a later word for it has to be of the same account."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._session is not None:
            self._session.close()
        self._session = self._sessions.open(claims, expiring=self._expiring, ended=self._ended)
        self._principal = self._scope[CALLER] = principal
        if self._stream is None:
            self._stream = Stream(self._process.hub, self._sink, principal.tenant)
            self._sink.on_congestion(self._stream.congested)
        hello = {
            "type": "hello",
            "epoch": self._process.epoch,
            "store_id": self._process.store_id,
            "cursor": self._process.hub.cursor(self._process.hub.position),
            "subject": principal.subject,
            "expires_at": datetime.fromtimestamp(claims.expires_at, UTC),
            "ping_seconds": PING_SECONDS,
            "limits": {
                "message_bytes": MESSAGE_BYTES_MAX,
                "messages_per_second": MESSAGES_A_SECOND_MAX,
                "channels": CHANNELS_MAX,
                "unsent_bytes": UNSENT_BYTES_MAX,
                "unread_seconds": int(STALLED_SECONDS),
            },
        }
        self._say(hello, message_id)

    async def hear(self, text: str | None) -> None:
        """Answer one message; a text frame holds text, and a binary one none."""
        message_id = None
        if text is not None and len(text) > MESSAGE_BYTES_MAX:
            # Our own server lets none of these through.
            self._sink.close(Ending.TOO_LARGE)
            return
        try:
            self._count()
            message = client_message(text if text is not None else "")
            message_id = message.id
            match message:
                case Auth():
                    await self._authenticate(message)
                case Subscribe():
                    await self._subscribe(message)
                case Unsubscribe():
                    self._unsubscribe(message)
                case Ping():
                    cursor = self._process.hub.cursor(self._present_stream().position)
                    self._say({"type": "pong", "cursor": cursor}, message.id)
        except MessageRefused as error:
            self._refuse(error, error.message_id)
        except ControlPlaneError as error:
            self._refuse(error, message_id)

    async def ready(self) -> None:
        """Wait until what is unsent allows another answer; who never reads is sent away."""
        try:
            await room_in(self._sink)
        except Stalled:
            self._sink.close(Ending.TOO_SLOW)

    async def _authenticate(self, message: Auth) -> None:
        try:
            claims = self._process.tokens.verify(message.token)
            principal = await self._process.accounts.principals.of(claims)
            self._require_same_account(claims)
            self._require_what_is_held(principal)
        except InvalidToken as error:
            self._refuse(error, message.id)
            self._wrong_tokens += 1
            if self._wrong_tokens >= WRONG_TOKENS_MAX:
                self._sink.close(Ending.WRONG_TOKENS)
            return
        self.welcome(principal, claims, message.id)

    async def _subscribe(self, message: Subscribe) -> None:
        stream, principal = self._present_stream(), self._principal
        assert principal is not None, "who has a stream is known"
        if stream.waiting >= WAITING_MAX:
            raise TooMuch(f"At most {WAITING_MAX} subscriptions may wait for their history.")
        gate = self._process.gate
        subscriptions = await gate.subscriptions(
            principal, message.channels, types=message.types, labels=message.labels
        )
        if len(stream.channels.union(one.channel for one in subscriptions)) > CHANNELS_MAX:
            raise TooMuch(f"At most {CHANNELS_MAX} channels at a time.")
        snapshot = None
        if message.snapshot:
            snapshot = Snapshot(self._process, principal.tenant, subscriptions)
        try:
            after = await (
                snapshot.begin() if snapshot else self._process.gate.place(message.after)
            )
        except (EpochEnded, CursorAhead) as error:
            self._resync(error, message.id)
            return
        await record_listening(self._process, self._scope, principal, subscriptions)
        names = [str(one.channel) for one in subscriptions]
        begin = partial(self._begin, names, after, snapshot, message.id)
        caught_up = partial(self._caught_up, names, message.id)
        stream.subscribe(Order(subscriptions, after, begin, caught_up))

    async def _begin(
        self, names: list[str], after: int, snapshot: Snapshot | None, message_id: str | None
    ) -> bool:
        cursor = self._cursor(after)
        self._say({"type": "subscribed", "channels": names, "cursor": cursor}, message_id)
        if snapshot is None:
            return True
        try:
            async for page in snapshot.pages():
                await self.ready()
                self._say({"type": "snapshot", "cursor": cursor, **page}, message_id)
        except ControlPlaneError as error:
            self._refuse(error, message_id)
            return False
        return True

    def _caught_up(self, names: list[str], message_id: str | None, position: int) -> None:
        cursor = self._cursor(position)
        self._say({"type": "caught_up", "channels": names, "cursor": cursor}, message_id)

    def _unsubscribe(self, message: Unsubscribe) -> None:
        stream = self._present_stream()
        channels = [Channel.parse(text) for text in message.channels]
        stream.unsubscribe(frozenset(channels))
        names = [str(channel) for channel in channels]
        content = {"type": "unsubscribed", "channels": names}
        self._say({**content, "cursor": self._cursor(stream.position)}, message.id)

    def _require_same_account(self, claims: Claims) -> None:
        if self._session and self._session.claims.account_id != claims.account_id:
            raise InvalidToken

    def _require_what_is_held(self, principal: Principal) -> None:
        """A newer token has to cover what is subscribed to. Raises InsufficientScope."""
        for channel in self._stream.channels if self._stream else ():
            channel.require(principal)

    def _present_stream(self) -> Stream:
        if self._stream is None:
            raise Unauthenticated("Say who you are: the first message is auth.")
        return self._stream

    def _expiring(self) -> None:
        assert self._session is not None, "it is this session that ends"
        expires_at = datetime.fromtimestamp(self._session.claims.expires_at, UTC)
        self._say({"type": "auth_expiring", "expires_at": expires_at})

    def _ended(self) -> None:
        self._sink.close(Ending.TOKEN_ENDED)

    def _count(self) -> None:
        second = asyncio.get_running_loop().time() // 1
        if second != self._second:
            self._second, self._messages = second, 0
        self._messages += 1
        if self._messages > MESSAGES_A_SECOND_MAX:
            raise TooMuch(f"At most {MESSAGES_A_SECOND_MAX} messages a second.")

    def _resync(self, error: EpochEnded | CursorAhead, message_id: str | None) -> None:
        cursor = self._cursor(self._process.hub.position)
        content = {"type": "resync", "reason": error.code, "cursor": cursor}
        self._say({**content, "message": error.message}, message_id)

    def _refuse(self, error: ControlPlaneError, message_id: str | None) -> None:
        record_refusal(self._process, self._scope, error)
        code = next((name for kind, name in CODES if isinstance(error, kind)), error.code)
        self._say({"type": "error", "code": code, "message": error.message}, message_id)

    def _say(self, content: Mapping[str, Json], message_id: str | None = None) -> None:
        answered = {} if message_id is None else {"id": message_id}
        self._sink.write(WEBSOCKET.message({**content, **answered}))

    def _cursor(self, position: int) -> str:
        return self._process.hub.cursor(position)
