"""Where a webhook may go: URLs as browsers read them, and the rules for addresses and ports.

URLs: what was typed, what is sent, and when two of them lead to the same place. Source:
https://url.spec.whatwg.org. Where browsers send what strict servers refuse (`|`, `^`, a stray `%`), it is
percent-encoded too. The rules are pure, and used when a URL is saved and at every connect.
"""

import ipaddress
import itertools
import logging
import re
import socket
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import idna

from calapp.config import Network
from calapp.errors import Invalid
from calapp.limits import SENT_URL_LENGTH, URL_LENGTH

PORTS = {"http": 80, "https": 443}
# What may not be in a request line as it is; a percent sign, unless two hexadecimal digits follow.
UNSAFE_IN_PATH = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f-\U0010ffff]|%(?![0-9A-Fa-f]{2})')
UNSAFE_IN_QUERY = re.compile(r"""[\x00-\x20"'<>\\^`{|}\x7f-\U0010ffff]|%(?![0-9A-Fa-f]{2})""")
ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
PLAIN = {f"%{ord(letter):02X}": letter for letter in UNRESERVED}  # what need not be escaped
DOT = frozenset((".", "%2e"))
DOTS = frozenset(("..", ".%2e", "%2e.", "%2e%2e"))
# They shape letters of some scripts and emoji; every other character that cannot be seen is a mistake.
JOINERS = "\u200c\u200d"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Mail, remote shells, databases, caches and container engines: nothing there wants a webhook.
CLOSED_PORTS = frozenset((
    22, 23, 25, 110, 143, 445, 465, 587, 993, 995,
    1433, 1521, 2375, 3306, 3389, 5432, 5900, 6379, 9200, 11211, 27017,
))  # fmt: skip
UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that was ever given out to networks
NAT64 = ipaddress.ip_network("64:ff9b::/96")
COMPATIBLE = ipaddress.ip_network("::/96")
# Names that mean this machine, whatever a name server says (RFC 6761), and those that Linux systems give it.
LOOPBACK = ("127.0.0.1", "::1")
LOOPBACK_ENDS = (".localhost", ".localhost.localdomain")
LOOPBACK_NAMES = frozenset((
    "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4",
    "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
))  # fmt: skip
# Ends of names that lead into somebody's own network, never into the public one (RFC 6762, RFC 8375, ICANN).
PRIVATE_ENDS = (".local", ".internal", ".home.arpa", ".localdomain", ".intranet", ".private", ".corp", ".lan")
# Of other networks than this; name servers may not be asked (RFC 7686, RFC 9476).
UNREACHABLE_ENDS = (".onion", ".alt")
# Said of every name that is refused: where it leads would tell a stranger about the operator's network.
BLOCKED_NAME = (
    "This name resolves to an address that is not public. "
    "The operator can allow it with WEBHOOK_ALLOWED_NETWORKS."
)
log = logging.getLogger(__name__)


class WebAddress(NamedTuple):
    """The parts of a URL in the form in which they are sent: ASCII throughout, `host` without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who receives what is sent."""
        return self.scheme, self.host.rstrip(".") or self.host, self.port

    def sent(self) -> str:
        """Return the URL that is requested."""
        return self._url(self.host)

    def key(self) -> str:
        """Return what all spellings of this URL have in common."""
        url = self._url(self.host.rstrip(".") or self.host)
        return ESCAPE.sub(lambda found: PLAIN.get(found[0].upper(), found[0].upper()), url)

    def _url(self, host: str) -> str:
        name = f"[{host}]" if ":" in host else host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{name}{port}{self.path}{'?' if self.query else ''}{self.query}"


def trimmed(text: str) -> str:
    """Return a text without white space and invisible characters of any kind at its ends."""
    start, end = 0, len(text)
    while start < end and _is_blank(text[start]):
        start += 1
    while end > start and _is_blank(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_blank(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) == "Cf"


@lru_cache(maxsize=4096)
def parsed(url: str) -> WebAddress:
    """Return the parts of a URL in the form in which they are sent; raise Invalid with what is wrong."""
    parts = _split(url)
    found = WebAddress(
        parts.scheme,
        _ascii_host(parts),
        _port(parts),
        _without_dots(UNSAFE_IN_PATH.sub(_escaped, parts.path)),
        UNSAFE_IN_QUERY.sub(_escaped, parts.query),
    )
    if len(found.sent()) > SENT_URL_LENGTH:
        raise Invalid(f"The URL can have up to {SENT_URL_LENGTH:,} characters after percent-encoding.")
    return found


@lru_cache(maxsize=4096)
def sent_form(url: str) -> str:
    """Return the URL that is requested for a saved one: always ASCII, also when it cannot be read."""
    try:
        return parsed(url).sent()
    except Invalid:  # saved by an older version
        return UNSAFE_IN_PATH.sub(_escaped, url)


@lru_cache(maxsize=4096)
def key_of(url: str) -> str:
    """Return what all spellings of a saved URL have in common."""
    try:
        return parsed(url).key()
    except Invalid:
        return url


def same_origin(one: str, other: str) -> bool:
    """Return whether two saved URLs lead to the same scheme, host and port."""
    try:
        return parsed(one).origin == parsed(other).origin
    except Invalid:
        return one == other


def _split(url: str) -> SplitResult:
    """Split a URL; raise Invalid for what two readers could read in two ways."""
    if not url:
        raise Invalid("Please enter the URL that events are sent to.")
    if len(url) > URL_LENGTH:
        raise Invalid(f"The URL can have up to {URL_LENGTH:,} characters.")
    _refuse_hidden(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Invalid("This is not a valid URL.") from None
    if parts.scheme not in PORTS or not url.lower().startswith(("http://", "https://")):
        raise Invalid("Please enter a URL that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise Invalid("The URL must not contain a username or password. Use a custom header instead.")
    return parts


def _refuse_hidden(url: str) -> None:
    for letter in url:
        kind = unicodedata.category(letter)
        if letter == "\\" or kind in {"Cc", "Cs"}:
            raise Invalid("The URL must not contain backslashes or control characters.")
        if kind in {"Zs", "Zl", "Zp", "Cf"} and letter not in f" {JOINERS}":
            raise Invalid(f"The URL contains an invisible character (U+{ord(letter):04X}). Please remove it.")


def _ascii_host(parts: SplitResult) -> str:
    """Return the host as it is looked up; raise Invalid when there is none or it cannot be a name."""
    host = parts.hostname or ""
    if not host.strip("."):
        raise Invalid("The URL has no host name.")
    if "%" in host:
        raise Invalid("The host must not contain zone IDs or percent signs.")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise Invalid(f"{parts.hostname} is not a valid host name.") from None
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789.-_" + (":" if "[" in parts.netloc else "")
    if set(host) - set(allowed) or len(host) > 253:
        raise Invalid(f"{parts.hostname} is not a valid host name.")
    return literal(host) or host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise Invalid("The port must be a number from 1 to 65535.")
    return port or PORTS[parts.scheme]


def literal(host: str) -> str | None:
    """Return the address that a host is in any form that a C library reads (0x7f.1, 017700000001, 0)."""
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def _without_dots(path: str) -> str:
    """Resolve `.` and `..`, also where they are written %2e."""
    kept: list[str] = []
    segments = path.split("/")[1:] or [""]
    for segment in segments:
        if segment.lower() in DOTS:
            del kept[-1:]
        elif segment.lower() not in DOT:
            kept.append(segment)
    if segments[-1].lower() in DOT | DOTS:
        kept.append("")
    return "/" + "/".join(kept)


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))


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


@dataclass(frozen=True)
class CheckedUrl:
    """A URL that may be saved, as it was typed, and what to warn about."""

    url: str
    warning: str | None = None


class AddressGuard:
    """Judges the very address that is about to be connected to."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self.allowed = tuple(allowed)

    def refuses(self, ip: str, port: int) -> str | None:
        """Return why this address and port may not be connected to, in words, or None when they may."""
        if port in CLOSED_PORTS:
            return f"Port {port} belongs to another kind of service. Webhooks are not sent there."
        return _judge(ip.partition("%")[0], self.allowed)


@lru_cache(maxsize=4096)
def _judge(ip: str, allowed: tuple[Network, ...]) -> str | None:
    """Judge an address and every IPv4 address that is hidden in it."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return f"{ip} is not an address."
    forms = (address, *embedded(address))
    if _within(forms, METADATA_NETWORKS):
        return f"{ip} is a link-local address, where cloud providers expose credentials."
    if _within(forms, allowed):
        return None
    for form in forms:
        if isinstance(form, ipaddress.IPv6Address) and (form.ipv4_mapped is not None or form in NAT64):
            continue  # judged by the address that it carries
        unicast = isinstance(form, ipaddress.IPv4Address) or form in UNICAST
        closed = form.is_multicast or _within((form,), CLOSED_NETWORKS)
        if not (unicast and form.is_global) or closed:
            return f"{ip} is not a public address. The operator can allow it with WEBHOOK_ALLOWED_NETWORKS."
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


def _within(addresses: Sequence[Address], networks: Sequence[Network]) -> bool:
    """Return whether one of these addresses is in one of these networks."""
    pairs = itertools.product(addresses, networks)
    return any(address.version == network.version and address in network for address, network in pairs)


def is_loopback_name(name: str) -> bool:
    """Return whether a name means this machine, whatever a name server says."""
    name = name.rstrip(".").lower()
    return name in LOOPBACK_NAMES or name.endswith(LOOPBACK_ENDS)


def is_unreachable_name(name: str) -> bool:
    """Return whether a name belongs to another network than this, so that no name server may be asked."""
    return name.rstrip(".").lower().endswith(UNREACHABLE_ENDS)


def check_url(url: str, guard: AddressGuard, *, seconds: float = 2.0) -> CheckedUrl:
    """Check a subscriber URL before it is saved; its name is looked up for at most `seconds`.

    Raises Invalid with what is wrong and what to do. A name that does not resolve is a warning, not an error.
    """
    url = trimmed(url)
    place = parsed(url)
    number = literal(place.host)
    found = [number] if number else _addresses(place.host, guard, place.port, seconds)
    for ip in found or ["1.1.1.1"]:
        reason = guard.refuses(ip, place.port)
        if reason is not None and (number or place.port in CLOSED_PORTS):
            raise Invalid(reason)
        if reason is not None:
            log.info("A name is refused: %s", reason, extra={"said": {"name": place.host}})
            raise Invalid(BLOCKED_NAME)
    return CheckedUrl(url, None if found else f"{place.host} does not resolve at the moment.")


def _addresses(name: str, guard: AddressGuard, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name that are to be judged; raise Invalid for one that needs no look-up."""
    if is_unreachable_name(name):
        raise Invalid(
            f"Names that end in .{name.rstrip('.').rpartition('.')[2]} cannot be reached from here."
        )
    if is_loopback_name(name):
        # One of the two is enough: whoever allows 127.0.0.0/8 need not think of ::1.
        open_ones = [ip for ip in LOOPBACK if guard.refuses(ip, port) is None]
        return open_ones or list(LOOPBACK)
    if name.rstrip(".").endswith(PRIVATE_ENDS) and not guard.allowed:
        raise Invalid(BLOCKED_NAME)
    return resolve(name, seconds)


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
