"""The codes with which a WebSocket is closed (RFC 6455, 7.4; those from 4000 on are ours)."""

from application.live.ports import Ending

CLOSE_CODES = {
    Ending.TOO_SLOW: 4008,
    Ending.FAILED: 1011,
    Ending.TOKEN_ENDED: 4401,
    Ending.WRONG_TOKENS: 4401,
    Ending.NOT_SIGNED_IN: 4401,
    Ending.TOO_LARGE: 1009,
}
