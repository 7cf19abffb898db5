"""Whether a service runs and lets us in, or could be started."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg

from interfaces.cli.checks_backups import check_backups
from interfaces.cli.finding import Finding, fail, ok, warn
from interfaces.cli.session import Session
from musterroll import Client, MusterrollError
from musterroll.errors import Unavailable

if TYPE_CHECKING:
    from interfaces.bootstrap import Settings

POSTGRES_VERSION_MIN = 15
CONNECT_SECONDS = 5
CLOCK_SKEW_SECONDS_MAX = 5


def check_service(session: Session, settings: "Settings") -> Iterator[Finding]:
    """A service that answers is asked how it is; else, whether one could be started here."""
    with session.connect(retry_seconds=0) as client:
        try:
            url = client.url
        except Unavailable as error:
            yield warn("service", _absence(error), "start one: muster up; or name one: --url URL")
            yield _port(settings.host, settings.port)
            yield _database(settings)
            return
        except MusterrollError as error:
            yield fail("service", str(error), "correct --url or MUSTERROLL_URL")
            return
        yield from _answers(client, url)


def _absence(error: Unavailable) -> str:
    return "none runs here" if error.code == "service_not_found" else str(error)


def _answers(client: Client, url: str) -> Iterator[Finding]:
    try:
        client.health()
    except MusterrollError as error:
        yield fail("service", str(error), f"start it again, or look into what runs at {url}")
        return
    yield ok("service", f"answers at {url}")
    try:
        readiness = client.ready()
    except MusterrollError as error:
        yield fail("database", f"the service is not ready: {error}", "see the service's log")
    else:
        yield ok("database", "the service reads it, and is ready")
        yield from check_backups(readiness)
    yield from _tokens(client)


def _tokens(client: Client) -> Iterator[Finding]:
    try:
        token = client.token()
    except MusterrollError as error:
        advice = "give --username and --password, --client-id and --client-secret, or --token"
        yield fail("sign-in", str(error), advice)
        return
    yield ok("sign-in", "the credentials work")
    skew = time.time() - _issued_at(token)
    if abs(skew) > CLOCK_SKEW_SECONDS_MAX:
        yield warn("clocks", f"this clock and the service's differ by {skew:.0f} s", "set them")


def _issued_at(token: str) -> float:
    """When a token says that it was issued; now, where it does not say."""
    try:
        claims = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        return float(json.loads(decoded)["iat"])
    except (IndexError, KeyError, ValueError, TypeError):
        return time.time()


def _port(host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = "stop what uses it, or choose another: muster up --port 0"
            return fail("port", f"{host}:{port} cannot be had ({error.strerror})", advice)
    return ok("port", f"{host}:{port} is free")


def _database(settings: "Settings") -> Finding:
    if settings.database_url is None:
        return ok("database", f"embedded, in {settings.data_dir}: it starts with `muster up`")
    advice = "correct MUSTERROLL_DATABASE_URL"
    try:
        with psycopg.connect(
            settings.database_url.get_secret_value(), connect_timeout=CONNECT_SECONDS
        ) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        return fail("database", " ".join(str(error).split()), advice)
    if version < POSTGRES_VERSION_MIN:
        return fail("database", f"PostgreSQL {version} is too old", "use version 15 or later")
    return ok("database", f"PostgreSQL {version} answers")
