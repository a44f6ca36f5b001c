"""The command `flask import-calcom`: takes schedules, event types, webhooks and upcoming bookings."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import find_user
from calapp.availability import service as availability
from calapp.availability.schemas import ScheduleBody, SchedulePatch
from calapp.bookings import service as bookings
from calapp.bookings.answers import MAX_TEXT, answered
from calapp.bookings.models import Status, find
from calapp.bookings.schemas import BookingRequest
from calapp.calcom_api import CalcomAccount, CalcomApi, CalcomUnavailable, ForeignBooking, read_all
from calapp.clock import now
from calapp.db import db, transaction
from calapp.errors import AppError, Invalid
from calapp.event_types import service as event_types
from calapp.event_types.models import MAX_DAYS, EventType
from calapp.event_types.schemas import (
    DEFAULT_FIELDS,
    LOCATIONS,
    BookingField,
    EventTypeBody,
    EventTypePatch,
)
from calapp.local_time import is_zone
from calapp.privacy.commands import needs_key
from calapp.rest.schemas import RequestSchema, problems
from calapp.text import clean, printable
from calapp.webhooks import service as webhooks
from calapp.webhooks.schemas import WebhookBody

# Questions that every booking form of Cal.com has; ours asks for them, too, or has no use for them.
STANDARD = {"name", "email", "title", "location", "attendeePhoneNumber", "rescheduleReason"}
TAKEN = {
    "accepted": Status.ACCEPTED,
    "pending": Status.PENDING,
}  # bookings, by Cal.com's word for their state
UNSIGNED = "Secrets cannot be read. Enter its secret under Edit webhook; until then deliveries are unsigned."

Schema = TypeVar("Schema", bound=RequestSchema)


@dataclass
class Import:
    """One import into a host's account: what was taken, as lines to print, and the ids that were given."""

    session: Session
    host: User
    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    schedules: dict[str, int] = field(default_factory=dict)  # by their id: ours
    event_types: dict[str, EventType] = field(default_factory=dict)

    def one(self, what: str, take: Callable[[list[str]], str]) -> None:
        """Take one thing, or leave it out and say why; what it could not have of it goes into the list."""
        notes: list[str] = []
        try:
            with self.session.begin_nested():
                outcome = take(notes)
        except AppError as error:
            outcome, notes = "left out", [*notes, " ".join(map(str, error.details.values())) or error.message]
        except ValidationError as error:
            outcome, notes = "left out", [*notes, *problems(error, _outermost).values()]
        self.counts[outcome] += 1
        self.lines.append(printable(f"{what}: {outcome}"))
        self.lines += [printable(f"    {note}") for note in notes]

    def schedule(self, given: Mapping[str, Any], notes: list[str]) -> str:
        """Take a schedule; one that has its name here gets its hours."""
        name = str(given.get("name", ""))
        known = {one.name: one for one in availability.schedules_of(self.session, self.host)}
        if name in known:
            changed = _taken(SchedulePatch, {**given, "isDefault": known[name].is_default}, notes)
            availability.update_schedule(self.session, known[name], changed)
            schedule, outcome = known[name], "updated"
        else:
            wanted = _taken(ScheduleBody, {**given, "isDefault": False}, notes, needed=("name", "timeZone"))
            schedule, outcome = availability.create_schedule(self.session, self.host, wanted), "created"
        if given.get("isDefault") is True:
            availability.make_default(self.session, schedule)
        self.session.flush()
        self.schedules[str(given.get("id"))] = schedule.id
        return outcome

    def event_type(self, given: Mapping[str, Any], notes: list[str]) -> str:
        """Take an event type; one that has its address here is changed."""
        body = self._event_type_body(given, notes)
        known = {one.slug: one for one in event_types.of_user(self.session, self.host.id)}
        found = known.get(str(given.get("slug", "")).lower())
        if found is not None:
            event_types.update(self.session, found, _taken(EventTypePatch, body, notes))
        else:
            wanted = _taken(EventTypeBody, body, notes, needed=("title", "slug", "lengthInMinutes"))
            found = event_types.create(self.session, self.host.id, wanted)
        self.event_types[str(given.get("id"))] = found
        return "updated" if str(given.get("slug", "")).lower() in known else "created"

    def _event_type_body(self, given: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
        named = given.get("scheduleId")
        body = {**given, "scheduleId": None if named is None else self.schedules.get(str(named))}
        offered = [
            {name: value for name, value in one.items() if value is not None}
            for one in _list(given, "locations")
        ]
        places = [one for one in offered if one.get("type") in LOCATIONS]
        for one in offered:
            if one not in places[:1]:
                kind = one.get("integration") or one.get("type")
                notes.append(f"locations: {kind} was left out. Set the place under Edit event type.")
        body["locations"] = places[:1]
        body["bookingFields"] = list(_questions(_list(given, "bookingFields"), notes))
        body |= _rules(given, notes)
        if body.get("disableGuests") is False:
            del body["disableGuests"]  # the question itself may be hidden
        return {name: value for name, value in body.items() if value is not None or name == "scheduleId"}

    def webhook(self, given: Mapping[str, Any], of: object, problem: str, notes: list[str]) -> str:
        """Take a webhook without its secret; one with its URL stays as it is."""
        if problem:
            notes.append(problem)
            return "left out"
        event_type = None if of is None else self.event_types.get(str(of))
        if of is not None and event_type is None:
            notes.append("Its event type was left out.")
            return "left out"
        event_type_id = event_type.id if event_type else None
        there = webhooks.of_user(self.session, self.host.id, event_type_id)
        if any(one.subscriber_url == given.get("subscriberUrl") for one in there):
            return "already here"
        body = _taken(
            WebhookBody,
            {
                "subscriberUrl": given.get("subscriberUrl"),
                "triggers": given.get("triggers"),
                "active": given.get("active", True),
                "payloadTemplate": given.get("payloadTemplate") or None,
            },
            notes,
            needed=("subscriberUrl", "triggers"),
        )
        webhooks.create(self.session, self.host.id, body, event_type_id=event_type_id)
        notes.append(UNSIGNED)
        return "created"

    def booking(self, read: Mapping[str, Any], user_id: object, notes: list[str]) -> str:
        """Take a booking with its uid; no webhook and nobody by email hears of it."""
        given = ForeignBooking.model_validate(read)
        named = given.event_type_id
        event_type = None if named is None else self.event_types.get(str(named))
        if find(self.session, given.uid) is not None:
            return "already here"
        if given.hosts and all(one.id != user_id for one in given.hosts):
            notes.append("Somebody else is its host.")
            return "left out"
        if event_type is None:
            notes.append("Its event type was left out.")
            return "left out"
        if given.end <= now() or given.status not in TAKEN:
            notes.append("It is over." if given.status in TAKEN else f"It is {given.status}.")
            return "left out"
        visitor, *others = given.attendees
        zone = visitor.time_zone if is_zone(visitor.time_zone) else self.host.time_zone
        body = {
            "start": given.start.replace(second=0, microsecond=0),
            "lengthInMinutes": max(1, round((given.end - given.start) / timedelta(minutes=1))),
            "attendee": {"name": visitor.name or visitor.email, "email": visitor.email, "timeZone": zone},
            "guests": list(dict.fromkeys([*given.guests, *(one.email for one in others)])),
            "metadata": {name: value for name, value in given.metadata.items() if value not in (None, "")},
        }
        request = _taken(BookingRequest, body, notes, needed=("start", "lengthInMinutes", "attendee"))
        request.attendee.phone_number = visitor.phone_number
        answers = given.booking_fields_responses
        try:
            request.booking_fields_responses = dict(answered(answers, event_type, zone))
        except Invalid as error:
            notes += [f"The answer to {name} was left out. {text}" for name, text in error.details.items()]
            request.booking_fields_responses = {
                name: clean(value)[:MAX_TEXT]
                for name, value in answers.items()
                if name not in error.details and isinstance(value, str)
            }
        location = given.location
        if location and location.startswith("integrations:"):
            notes.append(f"location: {location} was left out. Its link is not part of the booking.")
            location = None
        bookings.take_over(
            self.session,
            event_type,
            request,
            uid=given.uid,
            title=given.title,
            status=TAKEN[given.status],
            location=location,
        )
        return "created"


LIMITS_LEFT_OUT = ("week", "month", "year")


def _rules(given: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the booking window, the limit and the confirmation policy as they can be here."""
    body: dict[str, Any] = {}
    if isinstance(window := given.get("bookingWindow"), dict):
        days = window.get("type") == "calendarDays"
        body["bookingWindow"] = {"value": window.get("value")} if days else None
        if not (days or window.get("disabled")):
            notes.append(f"bookingWindow: {window.get('type')} was left out, {MAX_DAYS} days are offered.")
    if isinstance(limits := given.get("bookingLimitsCount"), dict):
        body["bookingLimitsCount"] = {"day": limits.get("day")} if limits.get("day") else None
        notes += [f"bookingLimitsCount: {one} was left out." for one in limits if one in LIMITS_LEFT_OUT]
    if isinstance(policy := given.get("confirmationPolicy"), dict):
        asks = not policy.get("disabled")
        body["confirmationPolicy"] = {"type": "always", "disabled": not asks}
        if asks and policy.get("type") != "always":
            notes.append("confirmationPolicy: every booking needs to be confirmed here.")
    return body


def _list(given: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = given.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _questions(given: Sequence[Mapping[str, Any]], notes: list[str]) -> Iterator[dict[str, Any]]:
    """Give the questions that the booking form here can ask."""
    for one in given:
        slug = str(one.get("slug") or one.get("type") or "")
        if slug in DEFAULT_FIELDS:
            if one.get("hidden"):
                yield {"type": "textarea", "slug": slug, "hidden": True}
            continue
        if slug in STANDARD:
            continue
        kept = {name: one[name] for name in ("type", "slug", "label", "required", "options") if one.get(name)}
        try:
            BookingField.model_validate(kept)
        except ValidationError as error:
            problem = next(iter(problems(error, _outermost).values()))
            notes.append(f"bookingFields: “{one.get('label') or slug}” was left out. {problem}")
        else:
            yield kept


def _taken(
    schema: type[Schema], given: Mapping[str, Any], notes: list[str], needed: Sequence[str] = ()
) -> Schema:
    """Read what a schema knows; a field that cannot be read is left out and noted, unless it is needed."""
    names = {info.alias or name for name, info in schema.model_fields.items()}
    body = {name: value for name, value in given.items() if name in names}
    outer = [name for name in schema.unsupported if "." not in name and "[" not in name]
    nothing: tuple[object, ...] = (None, False, [], {}, {"disabled": True})
    lost = [name for name in outer if given.get(name) not in (*schema.unsupported[name], *nothing)]
    notes += [f"{name} was left out: not supported." for name in lost]
    while True:
        try:
            return schema.model_validate(body, strict=False)
        except ValidationError as error:
            found = problems(error, _outermost)
            left = [name for name in found if name in body and name not in needed]
            if not left or any(name in needed for name in found):
                raise
            for name in left:
                del body[name]
                notes.append(f"{name} was left out. {found[name]}")


def _outermost(place: tuple[int | str, ...]) -> str:
    return str(place[0]) if place else ""


def check_urls(found: CalcomAccount) -> list[tuple[Mapping[str, Any], object, str]]:
    """Return the webhooks with what is wrong with their URLs, or nothing; looks their hosts' names up."""
    checked = []
    for given, of in found.webhooks:
        problem = ""
        try:
            webhooks.checked_url(str(given.get("subscriberUrl") or ""))
        except Invalid as error:
            problem = str(error.details["subscriber_url"])
        checked.append((given, of, problem))
    return checked


def take_all(
    session: Session,
    host: User,
    found: CalcomAccount,
    checked: Sequence[tuple[Mapping[str, Any], object, str]],
) -> Import:
    """Take what was read, each thing whole or not at all, in the transaction that is open."""
    made = Import(session, host)
    for one in found.schedules:
        made.one(f"Schedule “{one.get('name')}”", partial(made.schedule, one))
    for one in found.event_types:
        made.one(f"Event type /{host.username}/{one.get('slug')}", partial(made.event_type, one))
    for given, of, problem in checked:
        made.one(f"Webhook {given.get('subscriberUrl')}", partial(made.webhook, given, of, problem))
    for one in found.bookings:
        made.one(f"Booking {one.get('uid')} on {one.get('start')}", partial(made.booking, one, found.user_id))
    return made


def _server(_context: click.Context, _option: click.Parameter, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise click.BadParameter("Must be a URL such as https://api.cal.com.")
    return value


def _host(session: Session, name: str | None) -> User:
    """Return the host of this name, or the only one."""
    if name is not None:
        user = find_user(session, name)
        if user is None or user.closed_at is not None:
            raise click.ClickException(f"There is no user {name}.")
        return user
    users = session.scalars(select(User).where(User.closed_at.is_(None)).limit(2)).all()
    if len(users) != 1:
        raise click.ClickException("Please say for whom: --user NAME (flask create-user makes one).")
    return users[0]


@click.command("import-calcom")
@click.option(
    "--key", required=True, envvar="CALCOM_KEY", help="A Cal.com API key, cal_live_…; or set CALCOM_KEY."
)
@click.option(
    "--server", default="https://api.cal.com", callback=_server, help="URL of the API, https://api.cal.com."
)
@click.option("--user", "name", help="Username here. Default: the only user.")
@click.option("--dry-run", is_flag=True, help="Only print what would be taken.")
@with_appcontext
@needs_key
def import_calcom(key: str, server: str, name: str | None, dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Take over schedules, event types, webhooks and upcoming bookings from Cal.com.

    Can be run again: what has the same name, address or uid here is updated or kept, never doubled. Nobody
    gets an email and no webhook an event because of it. Nothing is changed at Cal.com.
    """
    api = CalcomApi(server, key)
    host_id = _host(db.session(), name).id
    try:
        found = read_all(api)
    except CalcomUnavailable as error:
        raise click.ClickException(str(error)) from None
    checked = check_urls(found)
    with transaction() as session:
        host = session.get_one(User, host_id)
        made = take_all(session, host, found, checked)
        click.echo(f"From {api.address} ({printable(found.name)}) to {host.username}:")
        if dry_run:
            session.rollback()
    for line in made.lines:
        click.echo(line)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(made.counts.items()))
    click.echo(summary or "There was nothing to take.")
    if dry_run:
        click.echo("Dry run: nothing was saved.")
