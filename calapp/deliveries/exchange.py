"""One attempt over HTTP: request and response, who carries both, and why it failed and what to do.

The reasons of a failure are those that libcurl and TLS give.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import pycurl

from calapp.tracing import Trace

MAX_HOST = 253  # characters; a URL that cannot be read may be longer
TIMEOUTS = {
    "name": "The DNS lookup of {host} took longer than {seconds:g} s. Check its name servers.",
    "connect": "{host} did not accept a connection within {seconds:g} s. Check the server and its firewall.",
    "tls": "{host} did not finish the TLS handshake within {seconds:g} s.",
    "answer": "No response within {seconds:g} s. Respond first, then do the work.",
    "body": "The response from {host} was not complete within {seconds:g} s. Send a short response.",
}
TOO_OLD = "{host} only supports old versions of TLS. Enable TLS 1.2 or newer."
# Parts of OpenSSL's and libcurl's words and what they mean; the first that is found wins.
TEXTS = (
    ("certificate has expired", "certificate_expired", "The certificate of {host} {expired}. Renew it."),
    (
        "not yet valid",
        "certificate_not_yet_valid",
        "The certificate of {host} is not valid yet. Check the server's clock.",
    ),
    (
        "self-signed certificate in",
        "certificate_unknown_issuer",
        "The certificate chain of {host} ends in an unknown issuer. Use a public certificate authority.",
    ),
    (
        "self-signed certificate",
        "certificate_self_signed",
        "The certificate of {host} is self-signed. Use one from a public certificate authority.",
    ),
    (
        "unable to get local issuer",
        "certificate_unknown_issuer",
        "The issuer of {host}'s certificate is unknown, or the server does not send the intermediate one.",
    ),
    (
        "certificate signature failure",
        "certificate_unknown_issuer",
        "The certificate of {host} is not signed by the issuer it names. Request a new one.",
    ),
    (
        "no alternative certificate subject name matches",
        "certificate_wrong_host",
        "The certificate of {host} is for another name. Add {host} to it, or use the name it is for.",
    ),
    (
        "does not match target host name",
        "certificate_wrong_host",
        "The certificate of {host} is for another name. Add {host} to it, or use the name it is for.",
    ),
    (
        "temporary failure in name resolution",
        "no_name_server",
        "The name servers of {host} are not responding. Check its DNS records.",
    ),
    ("reset by peer", "reset", "{host} reset the connection before it responded."),
    ("protocol version", "tls_too_old", TOO_OLD),
    ("unsupported protocol", "tls_too_old", TOO_OLD),
)
UNREACHABLE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ETIMEDOUT))
PLAIN = {
    pycurl.E_COULDNT_RESOLVE_HOST: (
        "no_such_name",
        "{host} has no DNS address record. Check the subscriber URL and the DNS records.",
    ),
    pycurl.E_URL_MALFORMAT: (
        "bad_url",
        "The subscriber URL is not a valid URL. Please correct it.",
    ),
    pycurl.E_LOGIN_DENIED: (
        "bad_url",
        "The subscriber URL contains a username. Remove it and use a custom header instead.",
    ),
    pycurl.E_COULDNT_CONNECT: (
        "refused",
        "{host} refused the connection. Is the server running, and is the port correct?",
    ),
    pycurl.E_SSL_CONNECT_ERROR: (
        "tls",
        "The TLS handshake with {host} failed. Does the server use HTTPS on this port?",
    ),
    pycurl.E_GOT_NOTHING: (
        "closed",
        "{host} closed the connection without a response.",
    ),
    pycurl.E_RECV_ERROR: (
        "reset",
        "{host} reset the connection before it responded.",
    ),
    pycurl.E_SEND_ERROR: (
        "reset",
        "{host} reset the connection while the request was being sent.",
    ),
    pycurl.E_WRITE_ERROR: (
        "endless",
        "{host} sent 64 KB without a final response.",
    ),
    pycurl.E_UNSUPPORTED_PROTOCOL: (
        "not_http",
        "{host} did not respond with HTTP. Is the port correct?",
    ),
    pycurl.E_FTP_WEIRD_SERVER_REPLY: (
        "not_http",
        "{host} did not respond with HTTP. Is the port correct?",
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A machine's word for the reason, and a sentence for people."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What libcurl tells of a transfer without a response; `reached` is the phase that it was in."""

    error: int
    text: str
    url: str
    reached: str  # name, connect, tls, answer, body
    seconds: float  # the whole deadline
    blocked: str | None = None  # the address guard's reason
    system: int = 0  # the system's errno of a connect
    expired: timedelta | None = None  # for how long the server's certificate has not been valid any more

    @property
    def host(self) -> str:
        """The host of the URL, as people know it."""
        try:
            return urlsplit(self.url).hostname or self.url
        except ValueError:
            return self.url


def of_trouble(trouble: Trouble) -> Failure:
    """Say why there is no response."""
    code, words = _reason(trouble)
    expired = "has expired"
    if trouble.expired is not None:  # in the largest whole unit
        expired = "expired just now"
        for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
            if number := int(trouble.expired.total_seconds() // length):
                expired = f"expired {number:,} {unit}{'s' if number > 1 else ''} ago"
                break
    words = words.format(host=trouble.host[:MAX_HOST], seconds=trouble.seconds, expired=expired)
    return Failure(code, words.encode("utf-8", "replace").decode().replace("\0", ""))


def _reason(trouble: Trouble) -> tuple[str, str]:
    if trouble.blocked:
        return "blocked_address", trouble.blocked.replace("{", "(").replace("}", ")")
    if trouble.error == pycurl.E_OPERATION_TIMEDOUT:
        return f"timeout_{trouble.reached}", TIMEOUTS[trouble.reached]
    text = trouble.text.lower()
    for part, code, words in TEXTS:
        if part in text:
            return code, words
    code, words = "transfer", f"Could not connect to {{host}}: {os.strerror(trouble.system)}."
    if trouble.system in UNREACHABLE:
        code, words = (
            "unreachable",
            "{host} cannot be reached from here. Is its address correct, and is it running?",
        )
    elif trouble.system in (0, errno.ECONNREFUSED):
        detail = trouble.text.replace("{", "(").replace("}", ")") or f"libcurl error {trouble.error}"
        code = "certificate" if trouble.error == pycurl.E_PEER_FAILED_VERIFICATION else "transfer"
        code, words = PLAIN.get(trouble.error, (code, f"The request to {{host}} failed: {detail}."))
    return code, words


def of_status(status: int, location: str | None = None) -> Failure | None:
    """Say why a response with this status is not a success, or None when it is one."""
    if 200 <= status < 300:
        return None
    if status in {301, 302, 303, 307, 308}:
        target = f" to {location[:200]}" if location else ""
        return Failure(
            "redirect",
            f"The server redirects{target}. Redirects are never followed: use the final address.",
        )
    if status == HTTPStatus.GONE:
        return Failure("gone", "The server responded with 410 Gone: it wants no more events.")
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    return Failure("status", f"The server responded with {phrase}. {_status_cure(status)}")


def _status_cure(status: int) -> str:
    if status in {401, 403}:
        return "Does it need a custom header, such as Authorization?"
    if status in {404, 405}:
        return "Is the path of the subscriber URL correct, and does it accept POST?"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "It asks us to slow down."
    if status >= 500:
        return "Its log should say why."
    return "Any status from 200 to 299 counts as received."


class WebhookRequest(NamedTuple):
    """One attempt of a delivery, ready to be sent: the exact bytes and headers; `number` counts attempts."""

    delivery_id: int
    claim: str
    webhook_id: int
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    number: int
    trace: Trace | None = None  # with the span of this attempt


class Timings(NamedTuple):
    """Milliseconds, each phase alone; `first_byte` is the wait between request and response."""

    name: float
    connect: float
    tls: float
    first_byte: float
    total: float


class WebhookResponse(NamedTuple):
    """What became of a request; `failure` is None when the receiver took it, `retry_after` is in seconds."""

    request: WebhookRequest
    at: datetime
    status: int | None
    failure: Failure | None
    timings: Timings
    headers: str
    body: str
    retry_after: int | None


class WakeSource(Protocol):
    """What wakes who waits in a poll: a socket, and who reads it."""

    def fileno(self) -> int:
        """Return the file descriptor to be watched."""

    def woken(self) -> bool:
        """Take what has come; return whether there was a wake."""

    def ask(self) -> None:
        """Ask for a sign of life; raise RedisError when the one before was not answered."""


class Transport(Protocol):
    """What carries requests side by side: `client.Sender`, or the receivers of a simulation."""

    def busy(self) -> bool:
        """Return whether anything is in flight, or has come back and is not taken yet."""

    def expects(self, seconds: float) -> bool:
        """Return whether anything is out that was sent within the last so many seconds."""

    def held(self) -> set[int]:
        """Return the ids of the deliveries that are in flight, or have come back and are not taken yet."""

    def in_flight(self) -> Mapping[int, Sequence[float]]:
        """Return, for each webhook, the ages in seconds of its transfers that are out."""

    def start(self, requests: Sequence[WebhookRequest]) -> bool:
        """Send requests off; return whether any was given."""

    def responses(self, wait: float) -> list[WebhookResponse]:
        """Return the responses that have come, at most `wait` seconds later; a wake ends the wait."""

    def listen(self, wakes: WakeSource | None) -> None:
        """Have these wakes end a wait; None: nothing any more."""

    def wake(self) -> None:
        """End the wait, from any thread."""

    def was_woken(self) -> bool:
        """Return whether it was woken since this was last asked."""

    def rest(self, seconds: float) -> None:
        """Wait for a wake, up to that many seconds."""

    def close(self) -> None:
        """Break off what is out."""
