"""Why a try failed, in words with the cure, from libcurl's and TLS's own reasons."""

import errno
import os
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

import pycurl


@dataclass(frozen=True, slots=True)
class Failure:
    """A machine's word for the reason, and a sentence for people."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What libcurl tells of a transfer without an answer; `reached` is the phase that it was in."""

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


MAX_HOST = 253  # characters; a URL that cannot be read may be longer

TIMEOUTS = {
    "name": "The name {host} could not be looked up within {seconds:g} s. Its name servers are slow or away.",
    "connect": "{host} did not accept a connection within {seconds:g} s. Is it up, its firewall open?",
    "tls": "{host} did not finish the TLS handshake within {seconds:g} s.",
    "answer": "No answer within {seconds:g} s. Answer first and do the work afterwards.",
    "body": "The answer of {host} was not complete within {seconds:g} s. Send a short answer.",
}

TOO_OLD = "{host} speaks only old versions of TLS. Switch TLS 1.2 or newer on."

# Parts of OpenSSL's and libcurl's words and what they mean; the first that is found wins.
TEXTS = (
    ("certificate has expired", "certificate_expired", "The certificate of {host} {expired}. Renew it."),
    (
        "not yet valid",
        "certificate_not_yet_valid",
        "The certificate of {host} is not valid yet. Check the server's clock, or wait until it is.",
    ),
    (
        "self-signed certificate in",
        "certificate_unknown_issuer",
        "The certificate of {host} ends in an unknown issuer. Use a public certificate authority.",
    ),
    (
        "self-signed certificate",
        "certificate_self_signed",
        "The certificate of {host} is self-signed. Use one of a public certificate authority.",
    ),
    (
        "unable to get local issuer",
        "certificate_unknown_issuer",
        "The certificate of {host} is of an unknown issuer, or the server leaves out the intermediate one.",
    ),
    (
        "certificate signature failure",
        "certificate_unknown_issuer",
        "The certificate of {host} is not signed by the issuer that it names. Ask for a new one.",
    ),
    (
        "no alternative certificate subject name matches",
        "certificate_wrong_host",
        "The certificate at {host} is for another name. Put {host} into it, or use the name that it has.",
    ),
    (
        "does not match target host name",
        "certificate_wrong_host",
        "The certificate at {host} is for another name. Put {host} into it, or use the name that it has.",
    ),
    (
        "temporary failure in name resolution",
        "no_name_server",
        "The name servers of {host} give no answer at the moment. Check the name's DNS entry.",
    ),
    ("reset by peer", "reset", "{host} broke the connection off before it answered."),
    ("protocol version", "tls_too_old", TOO_OLD),
    ("unsupported protocol", "tls_too_old", TOO_OLD),
)

UNREACHABLE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ETIMEDOUT))

PLAIN = {
    pycurl.E_COULDNT_RESOLVE_HOST: (
        "no_such_name",
        "There is no address for the name {host}. Check the subscriber URL and the name's DNS entry.",
    ),
    pycurl.E_URL_MALFORMAT: (
        "bad_url",
        "The subscriber URL cannot be read as an address. Correct it.",
    ),
    pycurl.E_LOGIN_DENIED: (
        "bad_url",
        "The subscriber URL carries a user name. Leave it out and use an own header instead.",
    ),
    pycurl.E_COULDNT_CONNECT: (
        "refused",
        "{host} refused the connection. Is the server running, and is the port right?",
    ),
    pycurl.E_SSL_CONNECT_ERROR: (
        "tls",
        "The TLS handshake with {host} failed. Does the server speak https on this port?",
    ),
    pycurl.E_GOT_NOTHING: (
        "closed",
        "{host} closed the connection without an answer.",
    ),
    pycurl.E_RECV_ERROR: (
        "reset",
        "{host} broke the connection off before it answered.",
    ),
    pycurl.E_SEND_ERROR: (
        "reset",
        "{host} broke the connection off while the request was being sent.",
    ),
    pycurl.E_WRITE_ERROR: (
        "endless",
        "{host} sent 64 KB and still no final answer.",
    ),
    pycurl.E_UNSUPPORTED_PROTOCOL: (
        "not_http",
        "{host} did not answer in HTTP. Is this the right port?",
    ),
    pycurl.E_FTP_WEIRD_SERVER_REPLY: (
        "not_http",
        "{host} did not answer in HTTP. Is this the right port?",
    ),
}


def of_trouble(trouble: Trouble) -> Failure:
    """Say why there is no answer."""
    code, words = _reason(trouble)
    expired = "has expired" if trouble.expired is None else f"expired {_ago(trouble.expired)}"
    words = words.format(host=trouble.host[:MAX_HOST], seconds=trouble.seconds, expired=expired)
    return Failure(code, words.encode("utf-8", "replace").decode().replace("\0", ""))


def _ago(passed: timedelta) -> str:
    """Say how long ago something was, in the largest whole unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        number = int(passed.total_seconds() // length)
        if number:
            return f"{number:,} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


def _reason(trouble: Trouble) -> tuple[str, str]:
    if trouble.blocked:
        return "blocked_address", trouble.blocked.replace("{", "(").replace("}", ")")
    if trouble.error == pycurl.E_OPERATION_TIMEDOUT:
        return f"timeout_{trouble.reached}", TIMEOUTS[trouble.reached]
    text = trouble.text.lower()
    for part, code, words in TEXTS:
        if part in text:
            return code, words
    code, words = "transfer", f"No connection to {{host}} could be made: {os.strerror(trouble.system)}."
    if trouble.system in UNREACHABLE:
        code, words = (
            "unreachable",
            "There is no way to {host} from here. Is its address right, and is it up?",
        )
    elif trouble.system in (0, errno.ECONNREFUSED):
        detail = trouble.text.replace("{", "(").replace("}", ")") or f"libcurl error {trouble.error}"
        code = "certificate" if trouble.error == pycurl.E_PEER_FAILED_VERIFICATION else "transfer"
        code, words = PLAIN.get(trouble.error, (code, f"The request to {{host}} failed: {detail}."))
    return code, words


def of_status(status: int, location: str | None = None) -> Failure | None:
    """Say why an answer with this status is not a success, or None when it is one."""
    if 200 <= status < 300:
        return None
    if status in {301, 302, 303, 307, 308}:
        target = f" to {location[:200]}" if location else ""
        return Failure(
            "redirect",
            f"The server redirects{target}. Redirects are never followed: use the final address.",
        )
    if status == HTTPStatus.GONE:
        return Failure("gone", "The server answered 410 Gone: it wants no more events.")
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    return Failure("status", f"The server answered {phrase}. {_status_cure(status)}")


def _status_cure(status: int) -> str:
    if status in {401, 403}:
        return "Does it want an own header, such as Authorization?"
    if status in {404, 405}:
        return "Is the path of the subscriber URL right, and does it take POST?"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "It asks us to slow down."
    if status >= 500:
        return "Its own log says why."
    return "Any answer from 200 to 299 counts as received."
