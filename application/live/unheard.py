"""What a slow reader has not heard yet of what is never in the log, combined within a bound."""

from collections.abc import Iterator, Mapping

from application.live.channel import Channel
from application.ports import Json

TEXT_MAX = 64 * 1024
"""How many characters of all outputs together are kept for one reader."""


class Unheard:
    """The latest figures, and outputs run together; of what does not fit the oldest is left out."""

    def __init__(self) -> None:
        self._latest: dict[Channel, Mapping[str, Json]] = {}
        self._characters = 0

    def add(self, channel: Channel, message: Mapping[str, Json]) -> None:
        """Combine a message with what is here of its channel."""
        former = self._latest.get(channel)
        if channel.family == "output":
            self._characters += len(message["text"])
            if former is not None:
                message = self._combined(former, message)
        self._latest[channel] = message
        while self._characters > TEXT_MAX:
            self._leave_out()

    def messages(self) -> Iterator[tuple[Channel, Mapping[str, Json]]]:
        """What there is, one message a channel."""
        yield from self._latest.items()

    def _combined(
        self, former: Mapping[str, Json], message: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        """Two pieces of an output as one; the text of a former attempt is left out."""
        text, dropped = former["text"], former["dropped"] + message["dropped"]
        if former["attempt"] != message["attempt"]:
            self._characters -= len(text)
            text, dropped = "", dropped + len(text)
        return {**message, "text": text + message["text"], "dropped": dropped}

    def _leave_out(self) -> None:
        """Of the longest output, the older half."""
        texts = {c: m["text"] for c, m in self._latest.items() if c.family == "output"}
        channel = max(texts, key=lambda one: len(texts[one]))
        message, kept = self._latest[channel], len(texts[channel]) // 2
        dropped = len(texts[channel]) - kept
        self._latest[channel] = {
            **message,
            "text": texts[channel][dropped:],
            "dropped": message["dropped"] + dropped,
        }
        self._characters -= dropped
