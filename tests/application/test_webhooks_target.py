"""Where a webhook may post to: the rules for URLs and addresses."""

import ipaddress
import random

import pytest

from application.webhooks.target import fault_of_address, origin_of, require_url
from application.webhooks.webhook import BadTarget

PUBLIC = ["93.184.216.34", "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::200e"]
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "::1", "fc00::1", "fd12:3456::1"),
]
NEVER = [
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    *("0.1.2.3", "169.254.169.254", "169.254.0.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7"),
    *("203.0.113.9", "192.88.99.1", "100.100.100.200", "::", "fe80::1", "fe80::1%eth0", "ff02::1"),
    *("fec0::1", "fd00:ec2::254", "2001:db8::1", "2001::1", "3fff::1", "100::1"),
    # IPv4 in disguise: mapped, compatible, NAT64 (both prefixes), 6to4, Teredo.
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "not an address", ""),
]
GOOD = [
    "https://example.org",
    "https://example.org/",
    "https://EXAMPLE.org:8443/a/b?c=d&e=%20f",
    "https://xn--bcher-kva.example/hook",
    "https://93.184.216.34/hook",
    "https://[2606:4700:4700::1111]:444/hook",
    "https://a_b.example.org/~x/(1)/@me?u=a@b",
]
BAD = {
    "http://example.org/": "https",
    "ftp://example.org/": "https",
    "//example.org/": "https",
    "example.org": "https",
    "javascript:alert(1)": "https",
    "": "character",
    "https://": "host",
    "https:///path": "host",
    "https://user@example.org/": "credentials",
    "https://user:secret@example.org/": "credentials",
    "https://example.org/#part": "fragment",
    "https://example.org:0/": "port",
    "https://example.org:/": "port",
    "https://example.org:65536/": "port",
    "https://example.org:x/": "port",
    "https://example.org/a b": "character",
    "https://example.org/\n": "character",
    "https://example.org\\@127.0.0.1/": "character",
    "https://exämple.org/": "character",
    "https://example..org/": "host",
    "https://.example.org/": "host",
    "https://example.org./": "host",
    "https://-a.example/": "host",
    "https://" + "a" * 64 + ".org/": "host",
    "https://" + ".".join(["a" * 60] * 5) + "/": "host",
    "https://localhost/": "machine",
    "https://a.localhost/": "machine",
    "https://127.0.0.1/": "private",
    "https://[::1]/": "private",
    "https://[::ffff:127.0.0.1]/": "nowhere public",
    "https://[fe80::1%25eth0]/": "usual spelling",
    "https://127.1/": "usual spelling",
    "https://2130706433/": "usual spelling",
    "https://0x7f.0.0.1/": "usual spelling",
    "https://0x7f000001/": "usual spelling",
    "https://0177.0.0.1/": "usual spelling",
    "https://169.254.169.254/latest/meta-data": "nowhere public",
    "https://[::1/": "cannot be read",
    "https://example.org/" + "a" * 2_000: "longer",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_public_https_url_is_a_target(url: str) -> None:
    require_url(url, private=False)


@pytest.mark.parametrize(("url", "why"), BAD.items())
def test_what_is_no_target_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(BadTarget, match=why):
        require_url(url, private=False)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "http://localhost/", "http://10.0.0.1/", "http://[::1]:1/"]
)
def test_the_setting_lets_private_ones_in(url: str) -> None:
    require_url(url, private=True)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://0.0.0.0/", "http://[fd00:ec2::254]/", "ftp://a/"]
)
def test_the_setting_does_not_let_in_what_is_never_a_target(url: str) -> None:
    with pytest.raises(BadTarget):
        require_url(url, private=True)


def test_addresses_are_public_private_or_never_good() -> None:
    assert {text: fault_of_address(text, private=False) for text in PUBLIC} == dict.fromkeys(PUBLIC)
    assert {text: fault_of_address(text, private=True) for text in PRIVATE} == dict.fromkeys(
        PRIVATE
    )
    assert all(fault_of_address(text, private=False) for text in PRIVATE + NEVER)
    assert all(fault_of_address(text, private=True) for text in NEVER)


def test_no_address_passes_that_python_takes_for_anything_but_global(rng: random.Random) -> None:
    """Python's own list is older and shorter; whatever it refuses, we must refuse."""
    for _ in range(20_000):
        four = ipaddress.IPv4Address(rng.getrandbits(32))
        # Mostly from the part that is given out, where the exceptions lie.
        six = ipaddress.IPv6Address(rng.getrandbits(128) & ~(7 << 125) | 1 << 125)
        for address in (four, six):
            if not address.is_global or address.is_multicast:
                assert fault_of_address(str(address), private=False), address


def test_an_origin_tells_no_path_and_no_query() -> None:
    assert origin_of("https://example.org:8443/a?token=b") == "https://example.org:8443"
