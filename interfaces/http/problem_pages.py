"""What each problem means, and what to do about it: the page behind its `type`."""

import inspect
from html import escape

from domain.errors import ControlPlaneError
from interfaces.http.errors import STATUSES, TITLES, status_of
from interfaces.http.failures import every_kind
from interfaces.http.pages import as_text, page

ADVICE = {
    400: "Send the request in the form that the documents show.",
    401: "Get a token from POST /v1/oauth/token, and send it as `Authorization: Bearer`.",
    403: "Ask an administrator for the scope, or sign in as somebody who has it.",
    404: "Check the path and the id. What belongs to others looks as if it were not there.",
    405: "The header Allow lists the methods that this path has.",
    408: "Send the body without long pauses.",
    409: "Read the task or agent again, then decide what to do.",
    410: "The log was restored from a backup: read from its start, without a cursor.",
    412: "Somebody changed it since you read it: read it again, then decide.",
    413: "Send less at once.",
    415: "Send JSON (for a token: a form), in UTF-8 and without a Content-Encoding.",
    422: "Change the request; repeating it as it is will not help.",
    426: "Open a WebSocket; /docs/events tells what is said over it.",
    429: "Wait as long as the header Retry-After says.",
    500: "Tell whoever runs the service the request id. Repeating a request under its key is safe.",
    503: "Repeat the request, under the same Idempotency-Key, after what Retry-After says.",
}
ADVICE_FOR = {
    "archive_job_running": "Wait until it has ended: GET /v1/backups/jobs/{job_id} tells when.",
    "archive_locked": "Wait until the lock of the store is over; nobody can lift it before.",
    "archive_not_ready": "Take one that GET /v1/backups?status=verified lists.",
    "bad_archive": "Do not restore it. `fault` says what is wrong, `file` and `byte` where: take "
    "another one, and a full backup now.",
    "beyond_archive": "Restore to `nearest`, or take a newer backup.",
    "nothing_to_undo": "Nothing was put aside, or it was for longer than it is kept: restore a "
    "backup instead.",
    "disk_full": "Make room on the disk of the service (temporary files, data) or of PostgreSQL.",
    "repository_full": "Make room where backups are kept: `muster backup expire` does.",
    "repository_unavailable": "Look at the setting `backup_store`, and at what it names.",
    "agent_exists": "Take another name, or use the agent whose id is in `agent_id`.",
    "idempotency_key_reused": "Draw a new key for every new request; keep it for repetitions.",
    "invalid_client": "Check the client id and the secret; it may have been rotated.",
    "invalid_grant": "Check the username and the password.",
    "last_administrator": "Add another administrator first.",
    "head_not_found": "Take the size of a head that GET /v1/audit/heads lists.",
    "not_sealed_yet": "Wait some seconds, until the event is sealed, and ask again.",
    "seals_incomplete": "Tell whoever runs the service: `muster audit verify` says what is wrong.",
    "on_standby": "Repeat the request: another process is taking over.",
    "bad_stretch": "Let the range end at `nearest` or later.",
    "range_too_large": "Let the range end at `nearest`, then ask for the rest.",
    "read_model_behind": "Repeat the query: the read model is catching up with your cursor.",
    "subject_erased": "Do not submit it: whom it is about has been erased.",
    "subject_locked": "Put the signing key back that the service had when the task was submitted.",
    "stale_attempt": "Stop working on it: the task is somebody else's now, or has ended.",
    "replay_ended": "Open another replay of the same stretch.",
    "too_many_exports": "Wait until one of them has come to its end.",
    "too_many_replays": "Remove a replay that nobody listens to any more.",
    "too_many_webhooks": "Remove a webhook that nobody needs any more.",
    "unknown_policy": "Take one of those that `policies` lists.",
}


def problem_page(code: str) -> str | None:
    """The page of a code; None for one that there is not."""
    kinds = [kind for kind in every_kind() if kind.code == code and _has_status(kind)]
    if not kinds:
        return None
    status = status_of(kinds[0])
    meanings = "".join(f"<p>{as_text(_meaning(kind))}</p>" for kind in dict.fromkeys(kinds))
    advice = ADVICE_FOR.get(code, ADVICE[status])
    content = (
        f"<h1><code>{escape(code)}</code></h1>{meanings}"
        f"<p>It comes with status {status}, {TITLES[status].lower()}.</p>"
        f'<h2>What to do</h2><p>{as_text(advice)}</p><p><a href="/docs">The API</a></p>'
    )
    return page(code, content)


def _meaning(kind: type[ControlPlaneError]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _has_status(kind: type[ControlPlaneError]) -> bool:
    return any(issubclass(kind, ours) for ours, _ in STATUSES)
