"""What is known of a request on its way, by the names under which it stands in the ASGI scope."""

from starlette.types import Scope

TEMPLATE = "musterroll.template"
"""The path as declared, for the request log, the metrics and the audit trail."""
REQUEST_ID = "musterroll.request_id"
CLAIMS = "musterroll.claims"
"""What its token says, once that was found genuine."""
CALLER = "musterroll.caller"
"""The principal, once it is known."""
ACCOUNT = "musterroll.account"
"""The username or the client id that somebody signs in with."""
ABOUT = "musterroll.about"
"""What it turned out to be about, beside the ids in its path: texts by name."""
ENTRY = "musterroll.entry"
"""The position at which the audit trail tells of it."""


def concerns(scope: Scope, **about: object) -> None:
    """Tell the audit trail what a request is about: ids and names, never a secret."""
    scope.setdefault(ABOUT, {}).update({name: str(value) for name, value in about.items()})
