"""Which addresses and ports a webhook may have: pure rules, used when a URL is saved and at every connect."""

import ipaddress
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import idna

from calapp.config import Network
from calapp.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Mail, remote shells, databases, caches and container engines: nothing there wants a webhook.
CLOSED_PORTS = frozenset((
    22, 23, 25, 110, 143, 445, 465, 587, 993, 995,
    1433, 1521, 2375, 3306, 3389, 5432, 5900, 6379, 9200, 11211, 27017,
))  # fmt: skip
# The clouds' metadata services hand out credentials; they stay shut whatever the operator allows.
METADATA_NETWORKS = tuple(
    ipaddress.ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")
)
# Not global, whatever this Python's tables say: protocol assignments, 6to4 relays, documentation, site-local,
# the local NAT64 prefix.
CLOSED_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "fec0::/10", "64:ff9b:1::/48")
)
UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that was ever given out to networks
NAT64 = ipaddress.ip_network("64:ff9b::/96")
COMPATIBLE = ipaddress.ip_network("::/96")

MAX_URL = 2000


@dataclass(frozen=True)
class CheckedUrl:
    """A URL that may be saved, in the form in which it is sent to, and what to warn about."""

    url: str
    warning: str | None = None


class AddressGuard:
    """Judges the very address that is about to be connected to."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self.allowed = tuple(allowed)

    def refuses(self, ip: str, port: int) -> str | None:
        """Return why this address and port may not be connected to, in words, or None when they may."""
        if port in CLOSED_PORTS:
            return f"Port {port} belongs to another kind of service; webhooks are not sent there."
        return _judge(ip.partition("%")[0], self.allowed)


@lru_cache(maxsize=4096)
def _judge(ip: str, allowed: tuple[Network, ...]) -> str | None:
    """Judge an address and every IPv4 address that is hidden in it."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return f"{ip} is not an address."
    forms = (address, *embedded(address))
    if any(_within(form, METADATA_NETWORKS) for form in forms):
        return f"{ip} is a link-local address, where clouds keep their credentials."
    if _within(address, allowed) or any(_within(form, allowed) for form in forms[1:]):
        return None
    if any(not _is_public(form) for form in forms):
        return f"{ip} is not a public address. WEBHOOK_ALLOWED_NETWORKS opens private ones."
    return None


def embedded(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 addresses that an IPv6 address carries: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    found: list[Address] = [form for form in (address.ipv4_mapped, address.sixtofour) if form is not None]
    found.extend(address.teredo or ())
    if address in NAT64 or (address in COMPATIBLE and int(address) > 1):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or address in NAT64:
            return True  # judged by the address that it carries
        if address not in UNICAST:
            return False
    return address.is_global and not address.is_multicast and not _within(address, CLOSED_NETWORKS)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def check_url(url: str, guard: AddressGuard, *, seconds: float = 2.0) -> CheckedUrl:
    """Check a subscriber URL before it is saved; its name is looked up for at most `seconds`.

    Raises Invalid with what is wrong and what to do. A name that does not resolve is a warning, not an error.
    """
    url = url.strip(" ")
    parts = _split(url)
    host = _ascii_host(parts)
    port = _port(parts)
    url = parts._replace(netloc=_netloc(host, parts.port), fragment="").geturl()
    number = literal(host)
    found = [number] if number else resolve(host, seconds)
    reasons = [reason for ip in (found or ["1.1.1.1"]) if (reason := guard.refuses(ip, port))]
    if reasons:
        raise Invalid(reasons[0])
    return CheckedUrl(url, None if found else f"{host} does not resolve at the moment.")


def _split(url: str) -> SplitResult:
    """Split a URL; raise Invalid for what two readers could read in two ways."""
    if not url:
        raise Invalid("Please give the address that events are sent to.")
    if len(url) > MAX_URL:
        raise Invalid(f"Please give an address of at most {MAX_URL} characters.")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url) or "\\" in url:
        raise Invalid("Please give an address without spaces, backslashes and control characters.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Invalid("This is not a web address.") from None
    if parts.scheme not in {"http", "https"} or not url.lower().startswith(("http://", "https://")):
        raise Invalid("Please give an address that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise Invalid("Please leave user name and password out of the address; use an own header instead.")
    return parts


def _ascii_host(parts: SplitResult) -> str:
    """Return the host as it is looked up; raise Invalid when there is none or it cannot be a name."""
    host = parts.hostname or ""
    if not host.strip("."):
        raise Invalid("This address names no host.")
    if "%" in host:
        raise Invalid("Please leave zone ids and percent signs out of the host.")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise Invalid(f"{parts.hostname} is not a host name.") from None
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789.-_" + (":" if "[" in parts.netloc else "")
    if set(host) - set(allowed) or len(host) > 253:
        raise Invalid(f"{parts.hostname} is not a host name.")
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise Invalid("The port of this address is not a number from 1 to 65535.") from None
    if port == 0:
        raise Invalid("The port of this address is not a number from 1 to 65535.")
    return port or (443 if parts.scheme == "https" else 80)


def _netloc(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def literal(host: str) -> str | None:
    """Return the address that a host is in any form that a C library reads (0x7f.1, 017700000001, 0)."""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def resolve(name: str, seconds: float) -> list[str]:
    """Return the addresses of a name, none when it has none or the answer takes longer than `seconds`."""
    found: list[str] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(str(answer[4][0]) for answer in answers)

    # getaddrinfo has no time-out of its own; a thread that is too slow is left to end by itself.
    thread = threading.Thread(target=look_up, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread is to be had now: as with a name server that does not answer
        return []
    thread.join(seconds)
    return list(found)


def network_of(address: str) -> str:
    """Return what an address is counted as: itself; an IPv6 address's /64, all of which one person has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 64), strict=False))
        found = found.ipv4_mapped
    return str(found)
