"""A calendar as forms and the API bring it, checked; and as the API shows it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, field_validator

from calapp.addresses import AddressGuard, check_url, trimmed
from calapp.calendars.models import CalendarKind, ExternalCalendar, WhenStale
from calapp.errors import Invalid
from calapp.limits import CALENDARS_PER_HOST
from calapp.local_time import is_zone, zone_of
from calapp.rest.schemas import (
    WHOLE,
    Instant,
    QuerySchema,
    RequestSchema,
    ResponseSchema,
    cleaned,
    from_form,
    said,
)
from calapp.text import line

MOST_HOURS = 24 * 14


class CalendarInput(RequestSchema):
    """A calendar as it is to be saved; an empty address keeps the saved one, an empty name is its host."""

    address: Annotated[str, Field(max_length=2000)] = ""
    name: Annotated[
        str,
        Field(max_length=100),
        cleaned(line),
        said("Please keep the name within 100 characters.", "string_too_long"),
    ] = ""
    blocks: bool = True
    when_stale: Annotated[WhenStale, said("Please choose one of the two.")] = WhenStale.KEEP
    stale_after: Annotated[
        int,
        Field(ge=1, le=MOST_HOURS),
        WHOLE,
        said(f"Please enter a number of hours from 1 to {MOST_HOURS}."),
    ] = 24


def checked(form: Mapping[str, str], guard: AddressGuard, *, saved: bool) -> CalendarInput:
    """Return what a form says; raise Invalid naming each bad field. A saved address may stay."""
    problems: dict[str, object] = {}
    data = {name: form.get(name, "") for name in ("name", "when_stale", "stale_after")}
    try:
        wanted = from_form(CalendarInput, data)
    except Invalid as error:
        problems |= error.details
    address = trimmed(form.get("address", ""))
    try:
        if address or not saved:
            address = calendar_url(address, guard)
    except Invalid as error:
        problems["address"] = error.message
    if problems:
        raise Invalid("Please fix the marked fields.", **problems)
    return wanted.model_copy(update={"address": address, "blocks": form.get("blocks") == "1"})


def calendar_url(text: str, guard: AddressGuard) -> str:
    """Return the address that is requested for what was typed or copied; raise Invalid.

    webcal:// is what calendar programs call https://.
    """
    text = trimmed(text)
    if not text:
        raise Invalid("Please enter the address of the calendar.")
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in {"webcal", "webcals"}:
        text = f"https://{rest}"
    try:
        return check_url(text, guard).url
    except Invalid as error:
        words = error.message.replace("Webhooks are not sent there.", "Calendars are not read there.")
        raise Invalid(words.replace(" Use a custom header instead.", "")) from None


ICS_TYPE = "ics-feed_calendar"  # as Cal.com calls it
CALDAV_TYPE = "caldav_calendar"
LONGEST_RANGE = timedelta(days=366)
LOADED = re.compile(r"calendarsToLoad\[\d{1,3}\]\[credentialId\]")


class IcsFeedBody(RequestSchema):
    """Addresses of calendars to read."""

    urls: Annotated[
        list[Annotated[str, Field(max_length=2000)]],
        Field(
            min_length=1,
            max_length=CALENDARS_PER_HOST,
            description="Addresses that end in .ics, or webcal:// ones. Each is read before it is saved.",
            examples=[["https://calendar.example.com/secret/basic.ics"]],
        ),
    ]
    read_only: Annotated[bool, Field(description="An .ics address can only be read: true, or left out.")] = (
        True
    )

    @field_validator("read_only")
    @classmethod
    def _is_read_only(cls, value: bool) -> bool:  # noqa: FBT001 (pydantic's)
        if not value:
            raise ValueError("An .ics address can only be read. Leave readOnly out, or send true.")
        return value


class IcsFeed(ResponseSchema):
    """A calendar address, as Cal.com shows the credential of one."""

    id: Annotated[int, Field(description="Of the first of the calendars.")]
    type: str = ICS_TYPE
    user_id: int
    team_id: int | None = None
    app_id: str = "ics-feed"
    invalid: Annotated[bool, Field(description="Whether it could not be read the last time.")]
    calendar_ids: list[int]


class CheckedFeed(ResponseSchema):
    """How reading a calendar goes."""

    id: int
    name: str
    last_read_at: Instant | None


class CalendarApp(ResponseSchema):
    """How a calendar is read."""

    type: Annotated[str, Field(examples=[ICS_TYPE])]
    slug: str
    title: str


class ConnectedPart(ResponseSchema):
    """A calendar of a connection; here each connection has one."""

    external_id: Annotated[str, Field(description="Its id as a text; the address is a secret.")]
    integration: str
    name: str
    primary: bool | None
    read_only: bool
    is_selected: Annotated[bool, Field(description="Whether it blocks times.")]
    credential_id: int


class ConnectedCalendar(ResponseSchema):
    """A calendar that is read."""

    integration: CalendarApp
    credential_id: Annotated[int, Field(description="The calendar's id.")]
    primary: ConnectedPart
    calendars: list[ConnectedPart]
    error: Annotated[str | None, Field(description="Why it cannot be read at the moment, for people.")]
    last_read_at: Instant | None


class CalendarsResponse(ResponseSchema):
    """The calendars of a host."""

    connected_calendars: list[ConnectedCalendar]
    destination_calendar: Annotated[None, Field(description="Always null.")] = None


class BusyTimesQuery(QuerySchema):
    """Which busy times; calendarsToLoad[0][credentialId] picks calendars by their ids."""

    date_from: Annotated[str, Field(description="A date, or an instant with its offset.")]
    date_to: Annotated[str, Field(description="A date, which is included, or an instant.")]
    time_zone: Annotated[str | None, Field(description="IANA name of the zone of the dates.")] = None
    logged_in_users_tz: Annotated[str | None, Field(description="The older name of timeZone.")] = None


class ExternalBusyTime(ResponseSchema):
    """A time that a calendar blocks."""

    start: Instant
    end: Instant
    source: Annotated[str, Field(description="The calendar's type.", examples=[ICS_TYPE])]


def type_of(calendar: ExternalCalendar) -> str:
    """Return Cal.com's word for a calendar's kind."""
    return ICS_TYPE if calendar.kind == CalendarKind.ICS else CALDAV_TYPE


def shown_connection(calendar: ExternalCalendar) -> ConnectedCalendar:
    """Return a calendar as the API shows it."""
    kind = type_of(calendar)
    part = ConnectedPart(
        external_id=str(calendar.id),
        integration=kind,
        name=calendar.name,
        primary=True,
        read_only=True,
        is_selected=calendar.blocks,
        credential_id=calendar.id,
    )
    title = "ICS feed" if calendar.kind == CalendarKind.ICS else "CalDAV"
    return ConnectedCalendar(
        integration=CalendarApp(type=kind, slug=kind.removesuffix("_calendar"), title=title),
        credential_id=calendar.id,
        primary=part,
        calendars=[part],
        error=calendar.error,
        last_read_at=calendar.last_read_at,
    )


def busy_range(query: BusyTimesQuery) -> tuple[datetime, datetime]:
    """Return the range of a query in UTC; raise Invalid naming the bad field."""
    name = query.time_zone or query.logged_in_users_tz or "UTC"
    if not is_zone(name):
        words = "This is not an IANA time zone."
        raise Invalid(words, time_zone=words)
    first = _range_end("date_from", query.date_from, name, timedelta(0))
    last = _range_end("date_to", query.date_to, name, timedelta(days=1))
    if not first < last or last - first > LONGEST_RANGE:
        words = "The end must be after the start, and at most 366 days later."
        raise Invalid(words, date_to=words)
    return first, last


def _range_end(field: str, text: str, zone: str, more: timedelta) -> datetime:
    words = "Must be a date such as 2027-01-05, or a time such as 2027-01-05T10:00:00Z."
    try:
        moment = datetime.fromisoformat(text.strip())
        if len(text.strip()) == 10:
            return (moment + more).replace(tzinfo=zone_of(zone)).astimezone(UTC)
        if not 2000 <= moment.year <= 2200:
            raise Invalid(words, **{field: words})
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone_of(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(words, **{field: words}) from None
