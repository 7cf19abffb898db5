"""Where a webhook may post to: rules for URLs and for the addresses that they lead to.

Whoever may make a webhook chooses an address that the service then connects to. Without these rules
that would reach what only the service can reach: its own machine, its network, the metadata of its
cloud. (OWASP, Server-Side Request Forgery Prevention; the networks are those of the IANA registries
of special-purpose addresses.)
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from application.webhooks.webhook import BadTarget

URL_LENGTH_MAX = 2_000
HOST_LENGTH_MAX = 253
URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%#]+", re.ASCII)
LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME = re.compile(rf"{LABEL}(\.{LABEL})*", re.ASCII)
NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def _networks(*texts: str) -> Networks:
    return tuple(ipaddress.ip_network(text) for text in texts)


GLOBAL_V6 = ipaddress.ip_network("2000::/3")
"""The only addresses of IPv6 that are given out. So mapped, compatible and translated (NAT64) forms
of IPv4 are outside of it, as are link-local and multicast."""
PRIVATE = _networks(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fc00::/7"),
)
"""Where only the setting lets a webhook post to."""
NEVER = _networks(
    # Unspecified, link-local with the metadata of clouds, multicast, reserved, broadcast.
    *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    # Protocol assignments, documentation, 6to4 relays, benchmarks.
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    # Teredo and its like, documentation, 6to4: these lead on to addresses of IPv4.
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    # The metadata of clouds that stand in private networks (Amazon, Alibaba, Oracle).
    *("fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32"),
)


def require_url(url: str, *, private: bool) -> None:
    """Whether a webhook may have this URL, as far as it tells by itself. Raises BadTarget.

    `private`: http and private addresses are allowed too. What a name leads to is checked whenever
    it is connected to, since it can lead elsewhere the next time.
    """
    parts = _parts(url)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise BadTarget("it has to begin with https://")
    if "@" in parts.netloc:
        raise BadTarget("it holds credentials")
    if "#" in url:
        raise BadTarget("it holds a fragment")
    _require_port(parts)
    _require_host(parts.hostname or "", private=private, bracketed="[" in parts.netloc)


def origin_of(url: str) -> str:
    """Scheme, host and port: what may be told of a URL whose path or query may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def fault_of_address(text: str, *, private: bool) -> str | None:
    """Why nothing may be sent to an address; None when it may."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "no address"
    if any(address in network for network in NEVER):
        return "an address that leads nowhere public"
    if any(address in network for network in PRIVATE):
        return None if private else "a private address"
    if address.version == 6 and address not in GLOBAL_V6:
        return "an address that leads nowhere public"
    return None


def _parts(url: str) -> SplitResult:
    if len(url) > URL_LENGTH_MAX:
        raise BadTarget(f"it is longer than {URL_LENGTH_MAX} characters")
    if not URL_CHARACTERS.fullmatch(url):
        raise BadTarget("it holds a character that a URL cannot have")
    try:
        return urlsplit(url)
    except ValueError:
        raise BadTarget("it cannot be read") from None


def _require_port(parts: SplitResult) -> None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise BadTarget("its port is none from 1 to 65535")


def _require_host(host: str, *, private: bool, bracketed: bool) -> None:
    if bracketed or NUMBER.fullmatch(host.rpartition(".")[2]):
        # Other spellings of an address (127.1, 0x7f000001) are read by nobody alike.
        fault = _literal_fault(host, private=private)
        if fault:
            raise BadTarget(f"its host is {fault}")
        return
    if len(host) > HOST_LENGTH_MAX or not NAME.fullmatch(host):
        raise BadTarget("its host is no name")
    if not private and (host == "localhost" or host.endswith(".localhost")):
        raise BadTarget("its host is this machine")


def _literal_fault(host: str, *, private: bool) -> str | None:
    try:
        canonical = str(ipaddress.ip_address(host))
    except ValueError:
        return "no address in its usual spelling"
    if "%" in host or (":" not in host and canonical != host):
        return "no address in its usual spelling"
    return fault_of_address(host, private=private)
