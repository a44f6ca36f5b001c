"""URLs as browsers read them: what was typed, what is sent, and when two of them lead to the same place.

Source: https://url.spec.whatwg.org. Where browsers send what strict servers refuse (`|`, `^`, a stray `%`),
it is percent-encoded too.
"""

import ipaddress
import re
import socket
import unicodedata
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import idna

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
