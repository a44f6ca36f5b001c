"""A server of calendars on loopback, and calendars that are read from it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from calapp.accounts.models import User
from calapp.calendars import service
from calapp.calendars.fetch import Source
from calapp.calendars.models import CalendarKind, ExternalCalendar
from calapp.calendars.reading import read
from calapp.calendars.schemas import CalendarInput
from calapp.db import transaction
from tests.calendars.dav_servers import DavServer, Digest, digest, radicale, xandikos
from tests.receiver import Receiver, answer

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONDAY = TODAY + timedelta(days=21 - TODAY.weekday())  # at least two weeks ahead, and within the horizon
TYPE = "Content-Type: text/calendar; charset=utf-8"


def event(start: datetime, minutes: int = 60, *lines: str, uid: str = "one") -> str:
    """Return an event in UTC."""
    end = start + timedelta(minutes=minutes)
    told = [f"UID:{uid}", f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}", *lines]
    return "\r\n".join(["BEGIN:VEVENT", *told, "END:VEVENT", ""])


def calendar(*events: str) -> bytes:
    """Return the text of a calendar."""
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{''.join(events)}END:VCALENDAR\r\n".encode()


def served(*events: str, headers: Sequence[str] = ()) -> bytes:
    """Return a server's response with a calendar."""
    return answer("200 OK", calendar(*events), TYPE, *headers)


@pytest.fixture
def server() -> Iterator[Receiver]:
    """A server that gives a calendar with an hour on a Monday, 9:00 UTC."""
    with Receiver(served(event(MONDAY.replace(hour=9)))) as receiver:
        yield receiver


def add(user: User, address: str, **chosen: object) -> ExternalCalendar:
    """Read an address and save it as a calendar of a host."""
    wanted = CalendarInput(name="Work").model_copy(update={"address": address, **chosen})
    with transaction() as session:
        first, last = service.range_of(session, user.id)
        viewer = service.viewer_of(session, user)
    outcome = read(Source(CalendarKind.ICS, address, None, first, last), viewer)
    with transaction() as session:
        return service.create(session, user.id, wanted, outcome)


@pytest.fixture
def work(rick: User, server: Receiver, app: object) -> ExternalCalendar:
    """Rick's calendar on that server."""
    return add(rick, server.url("/work.ics"))


@pytest.fixture(scope="session")
def radicale_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with radicale(tmp_path_factory.mktemp("radicale")) as server:
        yield server


@pytest.fixture(scope="session")
def xandikos_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with xandikos(tmp_path_factory.mktemp("xandikos")) as server:
        yield server


@pytest.fixture(scope="session")
def digest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DavServer, Digest]]:
    with digest(tmp_path_factory.mktemp("digest")) as server:
        yield server
