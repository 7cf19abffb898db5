"""A stream in plain code: server-sent events, read as they are asked for."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol, TypeVar

from musterroll._live.frames import RESYNC_REASONS, Item, Moved, frame_of, item_of, resync
from musterroll._live.patience import Patience
from musterroll._live.wanted import Place, Wanted
from musterroll._request import Plan, Request, as_it_is
from musterroll._session import Session
from musterroll._sse import Parser, TooLong
from musterroll._transport.blocking import BlockingTransport, Incoming
from musterroll.errors import MusterrollError, Unauthorized, Unavailable
from musterroll.models import Event

T = TypeVar("T")

PATH = "/v1/stream"
# A comment comes every 15 s; who does not hear two of them hears nobody.
SILENCE_SECONDS_MAX = 40.0
MESSAGE_BYTES_MAX = 4 * 1024 * 1024


class Owner(Protocol):
    """A client, as far as a stream needs it."""

    _session: Session

    def _opened(self) -> BlockingTransport: ...

    def _run(self, plan: Plan[T]) -> T: ...


@dataclass(slots=True)
class _Connection:
    incoming: Incoming
    token: str
    parser: Parser


class Reading:
    """Reads what is wanted, in the thread that asks for it, until it is stopped, the client is
    closed, or the service refuses for good. What is not asked for is not read: TCP does the rest.
    """

    def __init__(self, owner: Owner, wanted: Wanted) -> None:
        self._transport = owner._opened()
        self._session = owner._session
        self._wanted = wanted
        self._place = Place()
        self._patience = Patience(owner._session.retry_seconds)
        self._items: deque[Item] = deque()
        self._connection: _Connection | None = None
        self._stopping = threading.Event()
        self._end: MusterrollError | None = None

    def begin(self) -> None:
        """Connect, and wait for the first word: nothing that happens from now on is missed.
        Raises what `take` raises."""
        if not self._items and self._connection is None:
            self._read_more()

    def take(self) -> Item:
        """The next item. Raises StopIteration when it was stopped, else a MusterrollError: the
        same again and again, so that no end of it is taken for another."""
        while not self._items:
            self._read_more()
        return self._items.popleft()

    def stop(self) -> None:
        """From any thread; who waits in `take` returns."""
        self._stopping.set()
        connection = self._connection
        if connection is not None:
            connection.incoming.close()

    @property
    def _is_stopped(self) -> bool:
        return self._stopping.is_set() or self._transport.closed

    def _read_more(self) -> None:
        """Read until there is an item."""
        if self._end is not None:
            raise self._end
        try:
            while not self._items:
                if self._is_stopped:
                    raise StopIteration
                try:
                    self._read_once()
                except Unavailable as error:
                    self._hang_up()
                    if not self._is_stopped:
                        self._stopping.wait(self._patience.pause(error))
        except MusterrollError as error:
            self._hang_up()
            self._end = error
            raise

    def _read_once(self) -> None:
        """Take in what comes next. Raises Unavailable where another connection may do better."""
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        chunk = connection.incoming.read()
        if not chunk:
            # Half a message is none. Its like comes over the next connection.
            raise Unavailable("the stream has ended", code="connection_ended")
        try:
            messages = connection.parser.feed(chunk)
        except TooLong as error:
            raise Unavailable(str(error), code="unexpected_answer") from error
        for message in messages:
            item = item_of(frame_of(message))
            if item is not None:
                self._keep(item)

    def _keep(self, item: Item) -> None:
        match item:
            case Event(id=cursor):
                if not self._place.move(cursor):
                    return
                self._patience.progressed()
            case Moved(cursor=cursor):
                self._place.move(cursor)
        self._items.append(item)

    def _connect(self) -> _Connection:
        """Ask for the stream; a token that was refused is replaced once."""
        renewed = False
        while True:
            token = self._transport.converse(self._session.bearer())
            try:
                incoming = self._transport.open(self._request(token), SILENCE_SECONDS_MAX)
            except Unauthorized:
                if renewed or not self._session.discard(token):
                    raise
                renewed = True
            except MusterrollError as error:
                if error.code not in RESYNC_REASONS:
                    raise
                raise resync(error.code, error.extra.get("cursor")) from error
            else:
                self._patience.reached()
                return _Connection(incoming, token, Parser(bytes_max=MESSAGE_BYTES_MAX))

    def _request(self, token: str) -> Request[object]:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
        query = {
            "channels": ",".join(self._wanted.channels),
            "after": self._wanted.after,
            "type": list(self._wanted.types),
            "label": [f"{key}:{value}" for key, value in self._wanted.labels.items()],
        }
        if self._place.cursor is not None:
            query["after"] = headers["Last-Event-ID"] = self._place.cursor
        given = {name: value for name, value in query.items() if value}
        return Request(method="GET", path=PATH, parse=as_it_is, query=given, headers=headers)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.incoming.close()
