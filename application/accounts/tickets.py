"""One-time tickets: a browser cannot send a header when it opens a WebSocket, and a token has no
place in a URL."""

from typing import Protocol
from uuid import UUID

from application.accounts.account import Claims


class Tickets(Protocol):
    """Makes tickets, and takes each back once, in whichever process of the installation."""

    lifetime_seconds: int

    def issue(self, claims: Claims) -> str:
        """A ticket for whoever bears a token with these claims, with the rights and the end of
        that token."""

    async def redeem(self, ticket: str) -> Claims:
        """The claims it was issued for: `expires_at` is the end of the token, not of the ticket.

        Whether they were revoked meanwhile, the principals know. Raises InvalidToken (forged, too
        old, or used before) and DatabaseUnavailable; after the latter the ticket may be spent.
        """


class SpentTickets(Protocol):
    """Remembers which tickets were used, longer than any of them is good."""

    async def spend(self, ticket_id: UUID, ends_at: int) -> bool:
        """Whether it is used for the first time. `ends_at`: when it is good no longer, in seconds
        since 1970. Raises DatabaseUnavailable.
        """
