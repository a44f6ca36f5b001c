"""CalDAV (RFC 4791): finding a person's calendars (RFC 6764), reading one, and writing single events.

A password goes to the server whose address the person entered, and to the one on which it says that the
calendars are, when both belong to one domain (iCloud's do); nowhere else, whatever a response names. Events
are read, never free-busy: some servers give an all-day event there as midnights in UTC.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urljoin

from calapp.addresses import parsed, trimmed
from calapp.calendars.fetch import (
    CalendarRequest,
    CalendarResponse,
    Reading,
    Source,
    Unreadable,
    check_status,
    leads_elsewhere,
    send,
)
from calapp.calendars.models import Credentials
from calapp.calendars.multistatus import (
    APPLE,
    CALDAV,
    CALENDARSERVER,
    DAV,
    NOT_CALDAV,
    DavResource,
    resources,
)
from calapp.errors import Invalid
from calapp.text import line

DISCOVERY_SECONDS = 30.0  # for all requests of one discovery
MOST_CALENDARS = 100  # of an account that are shown
WELL_KNOWN = "/.well-known/caldav"
SCHEMES = {"caldav": "https", "caldavs": "https", "webcal": "https", "webcals": "https"}
COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
# What is below a country's domain for everybody, so that no two names below it have one owner.
SHARED_LABELS = frozenset(
    ("ac", "co", "com", "edu", "go", "gov", "ltd", "ne", "net", "nom", "or", "org", "plc")
)
# Their CalDAV wants an app that is registered with them; .ics addresses work.
READ_ONLY = {
    ("google.com", "googleapis.com", "googleusercontent.com", "gmail.com"): "Google",
    ("outlook.com", "office.com", "office365.com", "live.com", "hotmail.com"): "Outlook.com",
}
READ_ONLY_HERE = (
    "{name} opens its CalDAV only to apps that are registered with it. Add the calendar by its secret "
    "address (.ics) instead: Calapp can read it, but not write to it."
)
REFUSED = (
    "{host} does not accept this username and password (401). Many providers want an app password here, "
    "made in the security settings of your account."
)
NO_CALENDARS = "{host} has no calendar with events for this user."
TOO_MANY = "{host} does not give all events of this calendar in one response. It has too many."

NO_EVENTS = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Calapp//Calapp//EN\r\nEND:VCALENDAR\r\n"

PRINCIPAL = f"{DAV}current-user-principal"
HOME = f"{CALDAV}calendar-home-set"
TYPE = f"{DAV}resourcetype"
NAME = f"{DAV}displayname"
COLOUR = f"{APPLE}calendar-color"
COMPONENTS = f"{CALDAV}supported-calendar-component-set"
PRIVILEGES = f"{DAV}current-user-privilege-set"
CTAG = f"{CALENDARSERVER}getctag"
SYNC_TOKEN = f"{DAV}sync-token"
ETAG = f"{DAV}getetag"
DATA = f"{CALDAV}calendar-data"
WRITING = frozenset(f"{DAV}{name}" for name in ("all", "write", "write-content", "bind"))


@dataclass(frozen=True, slots=True)
class FoundCalendar:
    """A calendar of an account; `color` is #rrggbb or empty, `version` changes with each change in it."""

    url: str
    name: str
    color: str
    writable: bool
    version: str | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as a server has it; `etag` names this state of it."""

    text: str
    etag: str


class Changed(Unreadable):
    """An event is not what it was when we last saw it: somebody changed, made or removed it."""

    def __init__(self, words: str = "It was changed in the calendar.") -> None:
        super().__init__("changed", words)


def typed_address(text: str) -> str:
    """Return the URL that a person means by an address; https unless http is written out.

    Raises Invalid with what is wrong, and Unreadable for a provider that lets only registered apps in.
    """
    text = trimmed(text)
    if not text:
        raise Invalid("Please enter the address of the CalDAV server.")
    scheme, separator, rest = text.partition("://")
    text = f"{SCHEMES.get(scheme.lower(), scheme)}://{rest}" if separator else f"https://{text}"
    place = parsed(text)
    for domains, name in READ_ONLY.items():
        if any(place.host == domain or place.host.endswith(f".{domain}") for domain in domains):
            raise Unreadable("read_only", READ_ONLY_HERE.format(name=name))
    return place.sent()


def is_same_domain(host: str, other: str) -> bool:
    """Return whether two hosts are neighbours: names of three or more labels that differ in the first.

    So caldav.icloud.com and p42-caldav.icloud.com are; example.co.uk and other.co.uk are not.
    """
    first, second = host.rstrip(".").split("."), other.rstrip(".").split(".")
    parent = first[1:]
    if len(parent) < 2 or second[1:] != parent or parent[-1].isdigit():
        return False
    return not (len(parent) == 2 and len(parent[1]) == 2 and parent[0] in SHARED_LABELS)


class DavClient:
    """Requests in the name of one account, whose password goes to the server of the `entered` URL."""

    def __init__(self, credentials: Credentials, entered: str, seconds: float | None = None) -> None:
        self.credentials = credentials
        self.entered = entered
        self.trusted = {parsed(entered).origin}
        self.unasked = False  # whether the password is sent before the server has asked for it
        self.until = time.monotonic() + seconds if seconds else None

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> CalendarResponse:
        """Send a request with the password; raise Unreadable rather than to a server that is not trusted.

        Whatever the status, judging it is the caller's.
        """
        self.check_trusted(url)
        if self.until is not None and time.monotonic() > self.until:
            host = parsed(url).host
            raise Unreadable("timeout", f"{host} did not give the calendars within {DISCOVERY_SECONDS:g} s.")
        response = send(CalendarRequest(url, method, headers or {}, body, self.credentials, self.unasked))
        if parsed(response.url).origin not in self.trusted:
            raise leads_elsewhere(url, response.url)
        if response.status == 401:
            raise Unreadable("status_401", REFUSED.format(host=parsed(response.url).host))
        return response

    def check_trusted(self, url: str) -> None:
        """Raise Unreadable unless the password may go to this URL's server."""
        if parsed(url).origin not in self.trusted:
            raise leads_elsewhere(self.entered, url)

    def trust_home(self, asked: str, home: str) -> None:
        """Let the password go to the server of a calendar home that the server asked has named."""
        here, there = parsed(asked), parsed(home)
        if there.origin in self.trusted:
            return
        encrypted = here.scheme == there.scheme == "https" and here.port == there.port
        if not encrypted or not is_same_domain(here.host, there.host):
            raise leads_elsewhere(asked, home)
        self.trusted.add(there.origin)

    def properties(self, url: str, names: Iterable[str], depth: int = 0) -> tuple[str, list[DavResource]]:
        """Ask for properties (PROPFIND) of a resource, and with depth 1 of its children, too.

        Returns the URL that answered, after redirects, and what it said; raises Unreadable.
        """
        wanted = "".join(
            f'<x:{tag} xmlns:x="{space}"/>' for space, _, tag in (n[1:].partition("}") for n in names)
        )
        body = f'<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop>{wanted}</d:prop></d:propfind>'
        return self._multistatus("PROPFIND", url, depth, body)

    def _multistatus(self, method: str, url: str, depth: int, body: str) -> tuple[str, list[DavResource]]:
        headers = {"Depth": str(depth), "Content-Type": "application/xml; charset=utf-8"}
        response = self.request(method, url, headers=headers, body=body.encode())
        host = parsed(response.url).host
        if response.status in {400, 405, 501} or 300 <= response.status < 400:
            raise Unreadable("not_caldav", NOT_CALDAV.format(host=host))
        check_status(response)
        if response.status != 207:
            raise Unreadable("not_caldav", NOT_CALDAV.format(host=host))
        return response.url, resources(response.body, host)

    def events(self, url: str, first: datetime, last: datetime) -> list[str]:
        """Return the texts of the events that touch a range of time (calendar-query); raise Unreadable."""
        asked, found = self._multistatus(
            "REPORT",
            url,
            1,
            '<?xml version="1.0"?><c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">'
            "<d:prop><d:getetag/><c:calendar-data/></d:prop>"
            '<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">'
            f'<c:time-range start="{_instant(first)}" end="{_instant(last)}"/>'
            "</c:comp-filter></c:comp-filter></c:filter></c:calendar-query>",
        )
        if any(one.status == 507 for one in found):
            raise Unreadable("too_large", TOO_MANY.format(host=parsed(asked).host))
        return [text for one in found if (text := one.text(DATA))]


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def discover(address: str, credentials: Credentials) -> list[FoundCalendar]:
    """Return an account's calendars for events, in the server's order; `address` as `typed_address` gave it.

    Waits for the network, thirty seconds at most. Raises Unreadable with the reason in words.
    """
    account = DavClient(credentials, address, DISCOVERY_SECONDS)
    start = _start(account, address)
    homes = _homes(account, *start)
    found: list[FoundCalendar] = []
    for home in homes:
        wanted = (TYPE, NAME, COLOUR, COMPONENTS, PRIVILEGES, CTAG, SYNC_TOKEN)
        asked, listed = account.properties(home, wanted, depth=1)
        found.extend(calendar for one in listed if (calendar := _calendar(account, asked, one)))
    if not found:
        raise Unreadable("no_calendars", NO_CALENDARS.format(host=parsed(address).host))
    return list({one.url: one for one in found}.values())[:MOST_CALENDARS]


def _joined(asked: str, href: str) -> str:
    """Return the URL that a href in the response of another means; raise Unreadable when it is none."""
    try:
        return parsed(urljoin(asked, href)).sent()
    except (Invalid, ValueError):
        raise Unreadable("not_caldav", NOT_CALDAV.format(host=parsed(asked).host)) from None


def _start(account: DavClient, address: str) -> tuple[str, DavResource]:
    """Find a resource that says who the user is, at the address, at its well-known one, or at the root.

    Raises the reason for the place that was most likely meant.
    """
    place = parsed(address)
    well_known, root = urljoin(address, WELL_KNOWN), urljoin(address, "/")
    places = [well_known, root] if place.path == "/" else [address, well_known, root]
    reasons: list[Unreadable] = []
    for url in places:
        try:
            asked, found = account.properties(url, (PRINCIPAL, HOME, TYPE))
            if not account.unasked and any(one.has(PRINCIPAL, f"{DAV}unauthenticated") for one in found):
                account.unasked = True  # it also speaks to strangers, so it is told who we are before it asks
                asked, found = account.properties(url, (PRINCIPAL, HOME, TYPE))
        except Unreadable as error:
            if error.code not in {"status_404", "status_410", "status_403", "not_caldav", "other_host"}:
                raise
            reasons.append(error)
            continue
        useful = [one for one in found if one.href_in(PRINCIPAL) or one.href_in(HOME) or _is_calendar(one)]
        if useful:
            return asked, useful[0]
        reasons.append(Unreadable("not_caldav", NOT_CALDAV.format(host=place.host)))
    telling = [one for one in reasons if one.code != "status_404"]
    raise telling[0] if telling else Unreadable("not_caldav", NOT_CALDAV.format(host=place.host))


def _homes(account: DavClient, asked: str, start: DavResource) -> list[str]:
    """Return the URLs of the collections that a user's calendars are in; raise Unreadable."""
    if not start.href_in(HOME) and start.href_in(PRINCIPAL):
        principal = _joined(asked, start.href_in(PRINCIPAL)[0])
        named, found = account.properties(principal, (HOME,))
        with_home = [one for one in found if one.href_in(HOME)]
        if with_home:
            asked, start = named, with_home[0]
    homes = [_joined(asked, href) for href in start.href_in(HOME)]
    if not homes and _is_calendar(start):
        return [asked]
    if not homes:
        raise Unreadable("no_calendars", NO_CALENDARS.format(host=parsed(asked).host))
    for home in homes:
        account.trust_home(asked, home)
    return homes


def _is_calendar(resource: DavResource) -> bool:
    return resource.has(TYPE, f"{CALDAV}calendar")


def _calendar(account: DavClient, asked: str, resource: DavResource) -> FoundCalendar | None:
    """Return a child of a calendar home as a calendar, None when it is none or on another server."""
    if not _is_calendar(resource):
        return None
    components = resource.properties.get(COMPONENTS)
    kinds = {one.get("name") for one in components} if components is not None else set()
    if kinds and "VEVENT" not in kinds:
        return None
    try:
        url = _joined(asked, resource.href)
        account.check_trusted(url)
    except Unreadable:
        return None
    color = COLOR.match(resource.text(COLOUR))
    privileges = resource.properties.get(PRIVILEGES)
    return FoundCalendar(
        url=url,
        name=line(resource.text(NAME))[:100] or line(url.rstrip("/").rpartition("/")[2])[:100],
        color=color[0].lower() if color else "",
        # A server that does not say what may be done is asked when there is something to write.
        writable=privileges is None or any(one.tag in WRITING for one in privileges.iter()),
        version=_version(resource),
    )


def _version(resource: DavResource) -> str | None:
    """Return what changes with each change in a calendar: its sync-token or CTag, None without either."""
    token, ctag = resource.text(SYNC_TOKEN), resource.text(CTAG)
    if token:
        return f"sync-token {token}"
    return f"ctag {ctag}" if ctag else None


def read_caldav(source: Source) -> Reading:
    """Read the events of a calendar in its source's range, unless its version is that of the last reading.

    Raises Unreadable.
    """
    if source.credentials is None:
        raise Unreadable("status_401", REFUSED.format(host=parsed(source.address).host))
    account = DavClient(source.credentials, source.address)
    _, found = account.properties(source.address, (TYPE, CTAG, SYNC_TOKEN))
    calendars = [one for one in found if _is_calendar(one)]
    if not calendars:
        raise Unreadable("not_caldav", NOT_CALDAV.format(host=parsed(source.address).host))
    version = _version(calendars[0])
    if version is not None and version == source.sync_token:
        return Reading(None, sync_token=version)
    texts = account.events(source.address, source.first, source.last)
    return Reading("\n".join(texts or [NO_EVENTS]).encode(), sync_token=version)


def event_url(calendar: str, name: str) -> str:
    """Return the URL of an event in a calendar."""
    return f"{calendar.rstrip('/')}/{quote(name, safe='')}.ics"


def get_event(account: DavClient, url: str) -> StoredEvent | None:
    """Return an event as the server has it, None when there is none; raise Unreadable."""
    response = account.request("GET", url, headers={"Accept": "text/calendar"})
    if response.status in {404, 410}:
        return None
    check_status(response)
    return StoredEvent(response.body.decode("utf-8", "replace"), response.headers.get("etag", ""))


def put_event(account: DavClient, url: str, text: str, etag: str | None) -> str:
    """Write an event over the state that `etag` names, or as a new one when it is None; return its new ETag.

    Raises Changed when the server has another state, Unreadable for all else.
    """
    condition = {"If-None-Match": "*"} if etag is None else {"If-Match": etag}
    headers = {"Content-Type": "text/calendar; charset=utf-8", **condition}
    response = account.request("PUT", url, headers=headers, body=text.encode())
    if response.status == 412:
        raise Changed
    check_status(response)
    if response.headers.get("etag"):
        return response.headers["etag"]
    # A server that stores it in other words does not give an ETag with the response (RFC 4791, 5.3.4).
    _, found = account.properties(url, (ETAG,))
    return found[0].text(ETAG) if found else ""


def delete_event(account: DavClient, url: str, etag: str) -> None:
    """Remove an event in the state that `etag` names; one that is gone already is fine.

    Raises Changed when the server has another state, Unreadable for all else.
    """
    response = account.request("DELETE", url, headers={"If-Match": etag})
    if response.status in {404, 410}:
        return
    if response.status == 412:
        raise Changed
    check_status(response)
