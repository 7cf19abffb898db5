"""Where the service is and who asks: arguments, then the environment, then the local service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from musterroll.errors import Invalid, Unauthorized, Unavailable

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One of: a client id and secret, a username and password, a ready token."""

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return bool(self.token or self.client_id or self.username)

    def form(self, url: str) -> dict[str, str]:
        """The form that fetches a token at url (RFC 6749). Raises Unauthorized when there are no
        credentials, or half of them is missing."""
        if not self:
            raise Unauthorized(
                f"no credentials for {url}: set MUSTERROLL_CLIENT_ID and "
                "MUSTERROLL_CLIENT_SECRET, or MUSTERROLL_USERNAME and MUSTERROLL_PASSWORD",
                code="no_credentials",
            )
        if self.client_id:
            return {
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "client_secret": _half(self.client_secret, "client_secret", "client_id"),
            }
        return {
            "grant_type": "password",
            "username": self.username or "",
            "password": _half(self.password, "password", "username"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A service's address, without a slash at the end, and the credentials for it."""

    url: str
    credentials: Credentials

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.url)


def resolve(
    url: str | None,
    credentials: Credentials,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """Find the service. Without credentials, it can only be asked how it is.

    Raises Invalid for a malformed url, Unavailable when no service is found or the local one has
    stopped, and Unauthorized when the local one's password cannot be read.
    """
    url = url or environment.get("MUSTERROLL_URL") or None
    credentials = credentials or _from_environment(environment)
    if url and credentials:
        return Connection(url=_checked(url), credentials=credentials)
    folder = data_folder(environment)
    service = _read_service(folder)
    if url is None:
        if service is None:
            raise Unavailable(
                f"no service found: start one with `muster up`, or set MUSTERROLL_URL "
                f"(looked for {folder / 'service.json'})",
                code="service_not_found",
            )
        _assert_running(service)
    elif service is None or not _same_place(url, service["url"]):
        return Connection(url=_checked(url), credentials=credentials)
    return Connection(
        url=_checked(url or service["url"]),
        credentials=credentials or _of_service(service, folder, environment),
    )


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def data_folder(environment: Mapping[str, str]) -> Path:
    """Where a local service keeps its files."""
    if folder := environment.get("MUSTERROLL_DATA_DIR"):
        return Path(folder).expanduser()
    if home := environment.get("XDG_DATA_HOME"):
        return Path(home) / "musterroll"
    return Path.home() / ".local" / "share" / "musterroll"


def _from_environment(environment: Mapping[str, str]) -> Credentials:
    if client_id := environment.get("MUSTERROLL_CLIENT_ID"):
        secret = environment.get("MUSTERROLL_CLIENT_SECRET")
        return Credentials(client_id=client_id, client_secret=secret)
    if username := environment.get("MUSTERROLL_USERNAME"):
        return Credentials(username=username, password=environment.get("MUSTERROLL_PASSWORD"))
    return Credentials(token=environment.get("MUSTERROLL_TOKEN") or None)


def _read_service(folder: Path) -> dict[str, Any] | None:
    try:
        service = orjson.loads((folder / "service.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return service if isinstance(service, dict) and isinstance(service.get("url"), str) else None


def _assert_running(service: Mapping[str, Any]) -> None:
    pid = service.get("pid")
    if not isinstance(pid, int) or os.name != "posix":
        return
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        raise Unavailable(
            f"the service at {service['url']} is not running (process {pid} is gone): "
            "start it with `muster up`",
            code="service_not_running",
        ) from None
    except PermissionError:
        return  # it runs, as another user


def _of_service(
    service: Mapping[str, Any], folder: Path, environment: Mapping[str, str]
) -> Credentials:
    username = str(service.get("username") or "admin")
    name = service.get("password_file")
    if name is None:
        password = environment.get("MUSTERROLL_ADMIN_PASSWORD")
        if not password:
            raise Unauthorized(
                f"the service at {service['url']} took its password from "
                "MUSTERROLL_ADMIN_PASSWORD: set it here too, or give other credentials",
                code="no_credentials",
            )
        return Credentials(username=username, password=password)
    try:
        return Credentials(username=username, password=(folder / name).read_text().strip())
    except OSError as error:
        raise Unauthorized(
            f"cannot read the service's password: {error}", code="no_credentials"
        ) from error


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid(
            f"{url!r} is not the address of a service: write http://host:port", code="invalid_url"
        )
    return url.rstrip("/")


def _same_place(one: str, other: str) -> bool:
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname in LOOPBACK else parts.hostname
    return parts.scheme, host, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _half(value: str | None, name: str, other: str) -> str:
    if not value:
        raise Unauthorized(f"{name} is missing beside {other}", code="no_credentials")
    return value
