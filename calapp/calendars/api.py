"""The API of a host's calendars, in Cal.com's shape; CalDAV accounts are added on the pages alone."""

import time

from flask import request

from calapp.accounts.guards import READ, WRITE, current_host
from calapp.addresses import AddressGuard
from calapp.calendars import service
from calapp.calendars.fetch import Unreadable
from calapp.calendars.models import CalendarKind
from calapp.calendars.reading import ReadOutcome
from calapp.calendars.schemas import (
    LOADED,
    BusyTimesQuery,
    CalendarInput,
    CalendarsResponse,
    CheckedFeed,
    ConnectedCalendar,
    ExternalBusyTime,
    IcsFeed,
    IcsFeedBody,
    busy_range,
    calendar_url,
    shown_connection,
    type_of,
)
from calapp.calendars.service import own_calendar
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid, NotFound
from calapp.rest.routes import Api
from calapp.text import whole_number

blueprint = Api("calendars_api", tag="Calendars")

READ_WITHIN = 30.0  # seconds for all addresses of a request; the last may take its own time on top


@blueprint.operation("GET", "/v2/calendars", access=READ, response=CalendarsResponse)
def index() -> CalendarsResponse:
    """List the calendars that are read for you."""
    found = service.of_host(db.session(), current_host().id)
    return CalendarsResponse(connected_calendars=[shown_connection(one) for one in found])


@blueprint.operation(
    "POST",
    "/v2/calendars/ics-feed/save",
    access=WRITE,
    response=IcsFeed,
    status=201,
    body=IcsFeedBody,
    errors=(409, 503),
)
def save_feed(body: IcsFeedBody) -> IcsFeed:
    """Add calendars by their addresses, all or none; each is read first, and what is wrong is said."""
    db.session().rollback()  # names are looked up now: no read may stay open meanwhile
    guard = AddressGuard(settings().webhook_allowed_networks)
    until = time.monotonic() + READ_WITHIN
    outcomes: dict[str, ReadOutcome] = {}
    for place, text in enumerate(body.urls):
        try:
            url = calendar_url(text, guard)
            if url not in outcomes:
                outcomes[url] = service.first_reading(current_host(), url, until=until)
        except (Unreadable, Invalid) as error:
            words = str(error.args[0])
            raise Invalid(words, **{f"urls.{place}": words}) from None
    with transaction() as session:
        host_id = current_host().id
        saved = [
            service.create(session, host_id, CalendarInput(address=url), outcome).id
            for url, outcome in outcomes.items()
        ]
    return IcsFeed(id=saved[0], user_id=host_id, invalid=False, calendar_ids=saved)


@blueprint.operation(
    "GET", "/v2/calendars/ics-feed/check", access=READ, response=list[CheckedFeed], errors=(404, 409)
)
def check_feed() -> list[CheckedFeed]:
    """Check the addresses: 404 when there is none, 409 when one could not be read the last time."""
    found = [one for one in service.of_host(db.session(), current_host().id) if one.kind == CalendarKind.ICS]
    if not found:
        raise NotFound("No calendar address has been added.")
    for one in found:
        if one.error is not None:
            raise Conflict(f"The calendar “{one.name}” cannot be read: {one.error}")
    return [CheckedFeed(id=one.id, name=one.name, last_read_at=one.last_read_at) for one in found]


@blueprint.operation(
    "GET",
    "/v2/calendars/busy-times",
    access=READ,
    response=list[ExternalBusyTime],
    query=BusyTimesQuery,
    errors=(404,),
)
def busy_times(query: BusyTimesQuery) -> list[ExternalBusyTime]:
    """List what your calendars block, from the copies at hand.

    calendarsToLoad[0][credentialId]=1 picks a calendar by its id, and so on; else all that block times.
    """
    first, last = busy_range(query)
    named = [value for name, value in request.args.items() if LOADED.fullmatch(name)]
    if named:
        calendars = [own_calendar(whole_number(one, digits=9) or 0) for one in dict.fromkeys(named)]
    else:
        calendars = [one for one in service.of_host(db.session(), current_host().id) if one.blocks]
    return [
        ExternalBusyTime(start=max(one.start, first), end=min(one.end, last), source=type_of(calendar))
        for calendar in calendars
        for one in service.times_between(db.session(), [calendar.id], first, last)
        if one.end > first
    ]


@blueprint.operation(
    "DELETE", "/v2/calendars/<int:calendar_id>", access=WRITE, response=ConnectedCalendar, errors=(404,)
)
def delete(calendar_id: int) -> ConnectedCalendar:
    """Remove a calendar; what it blocks can be booked immediately."""
    with transaction() as session:
        calendar = own_calendar(calendar_id)
        gone = shown_connection(calendar)
        service.remove(session, calendar)
    return gone
