"""The card of calendars on the integrations page, and the box in which one is added or changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, render_template, request, url_for
from sqlalchemy.orm import Session

from calapp.accounts.guards import current_host, require_host
from calapp.accounts.models import User
from calapp.addresses import AddressGuard
from calapp.calendars import service
from calapp.calendars.accounts import shown_accounts
from calapp.calendars.fetch import Unreadable
from calapp.calendars.models import CalendarKind, ExternalCalendar
from calapp.calendars.schemas import CalendarInput, checked
from calapp.calendars.service import LEASE, own_calendar
from calapp.clock import now
from calapp.config import settings
from calapp.db import database_now, db, transaction
from calapp.errors import AppError, Busy, Conflict, Invalid
from calapp.htmx import asked_from, dialog_done, is_htmx, page_or_fragment, redirect_to, toast
from calapp.local_time import to_the_second, zone_of
from calapp.text import whole_number

blueprint = Blueprint("calendars", __name__)
blueprint.before_request(require_host)

CALENDAR = "/integrations/calendars/<int:calendar_id>"
DAY_MINUTES = 1440
KINDS = {CalendarKind.ICS: "Address (.ics)", CalendarKind.CALDAV: "CalDAV"}
SLOWEST_POLL = 30  # seconds


@dataclass(frozen=True)
class WeekDay:
    """A day of the week picture: bars from and to minutes of the day's clock, and their sum in words."""

    label: str
    bars: Sequence[tuple[int, int]]
    words: str


@dataclass(frozen=True)
class ShownCalendar:
    """A calendar as its row shows it."""

    row: ExternalCalendar
    kind: str
    reading: bool  # now, or as soon as there is a worker
    week: Sequence[WeekDay]


def week_of(session: Session, calendar: ExternalCalendar, zone_name: str) -> list[WeekDay]:
    """Return what a calendar blocks on each of seven days from today on, by the host's clock."""
    zone = zone_of(zone_name)
    today = now().astimezone(zone).date()
    days = [today + timedelta(days=number) for number in range(8)]
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in days]
    times = service.times_between(session, [calendar.id], starts[0], starts[-1]) if calendar.blocks else []
    found = []
    for day, first, last in zip(days, starts, starts[1:], strict=False):
        parts = [(max(one.start, first), min(one.end, last)) for one in times]
        parts = [(start, end) for start, end in parts if start < end]
        minutes = round(sum((end - start).total_seconds() for start, end in parts) / 60)
        clock = [(start.astimezone(zone), end.astimezone(zone)) for start, end in parts]
        bars = [
            (
                start.hour * 60 + start.minute,
                DAY_MINUTES if end.date() != day else end.hour * 60 + end.minute,
            )
            for start, end in clock
        ]
        words = f"{minutes // 60} h {minutes % 60:02} min" if minutes else "free"
        found.append(WeekDay(f"{day:%a}", bars, words))
    return found


def card_context(host: User, polls: int = 0) -> dict[str, object]:
    """Return what the card of calendars shows; `polls` is how often it has asked for news by itself."""
    session = db.session()
    at = database_now(session)
    shown = [
        ShownCalendar(
            row=one,
            kind=KINDS[CalendarKind(one.kind)],
            reading=one.blocks
            and (
                one.due_at <= at or (one.attempted_at is not None and one.due_at == one.attempted_at + LEASE)
            ),
            week=week_of(session, one, host.time_zone),
        )
        for one in service.of_host(session, host.id)
    ]
    reading = any(one.reading for one in shown)
    return {
        "calendars": shown,
        "accounts": shown_accounts(session, host.id),
        "calendars_poll": polls + 1 if reading else 0,
        "poll_seconds": min(1 + polls, SLOWEST_POLL),
        "when": lambda moment: to_the_second(moment, host.time_zone),
    }


def card_html(polls: int = 0) -> str:
    """Render the card as a fragment."""
    return render_template("calendars/_card.html", **card_context(current_host(), polls))


def card_response(words: str, *, focus: str = "new-calendar") -> Response:
    """Close the dialog and show the card again; where there is no dialog, lead back to it."""
    home = url_for("integrations.index")
    if not asked_from(home):
        return redirect_to(f"{home}#calendars", words)
    return dialog_done(card_html(), target="#calendars", focus=focus, toast=words)


@blueprint.get("/integrations/calendars")
def card() -> Response:
    """Show the card alone, for a page that waits for news of it."""
    if not is_htmx():
        return redirect_to(f"{url_for('integrations.index')}#calendars")
    return Response(card_html(min(whole_number(request.args.get("poll", ""), digits=4) or 0, 1000)))


@blueprint.get("/integrations/calendars/new")
def new() -> Response:
    """Show an empty box."""
    return _box(CalendarInput())


@blueprint.post("/integrations/calendars/new")
def create() -> Response:
    """Save a calendar after its first good reading; what cannot be read is said at the field."""
    try:
        wanted = _checked()
        outcome = service.first_reading(current_host(), wanted.address)
        with transaction() as session:
            calendar = service.create(session, current_host().id, wanted, outcome)
            calendar_id = calendar.id
    except (Invalid, Conflict, Busy, Unreadable) as error:
        return _with_errors(error)
    return card_response("Calendar added.", focus=f"edit-calendar-{calendar_id}")


@blueprint.get(f"{CALENDAR}/edit")
def edit(calendar_id: int) -> Response:
    """Show the box filled in, but for the address, which is never shown again."""
    calendar = own_calendar(calendar_id)
    return _box(service.chosen(calendar), calendar)


@blueprint.post(f"{CALENDAR}/edit")
def update(calendar_id: int) -> Response:
    """Change a calendar; another address is saved after its first good reading."""
    calendar = own_calendar(calendar_id)
    try:
        wanted = _checked(calendar)
        outcome = None
        if wanted.address:
            outcome = service.first_reading(current_host(), wanted.address, calendar_id)
        with transaction() as session:
            service.update(session, own_calendar(calendar_id), wanted, outcome)
    except (Invalid, Conflict, Busy, Unreadable) as error:
        return _with_errors(error, own_calendar(calendar_id))
    return card_response("Calendar saved.", focus=f"edit-calendar-{calendar_id}")


@blueprint.get(f"{CALENDAR}/remove")
def ask_remove(calendar_id: int) -> Response:
    """Ask before a calendar is removed."""
    calendar = own_calendar(calendar_id)
    return page_or_fragment("calendars/remove.html", "calendars/_remove.html", calendar=calendar)


@blueprint.post(f"{CALENDAR}/remove")
def remove(calendar_id: int) -> Response:
    """Remove a calendar with its copy."""
    with transaction() as session:
        service.remove(session, own_calendar(calendar_id))
    return card_response("Calendar removed.")


@blueprint.post(f"{CALENDAR}/read")
def read_now(calendar_id: int) -> Response:
    """Have a calendar read as soon as there is a worker."""
    with transaction() as session:
        service.read_soon(session, own_calendar(calendar_id))
    if not is_htmx():
        return redirect_to(f"{url_for('integrations.index')}#calendars", "The calendar is being read.")
    return toast(Response(card_html()), "The calendar is being read.")


@blueprint.post(f"{CALENDAR}/dismiss")
def dismiss(calendar_id: int) -> Response:
    """Put the notice of a calendar that cannot be read away, until it fails again."""
    with transaction() as session:
        calendar = own_calendar(calendar_id)
        calendar.dismissed_at = calendar.dismissed_at or database_now(session)
    return redirect_to(url_for("integrations.index"))


def _checked(saved: ExternalCalendar | None = None) -> CalendarInput:
    is_saved = saved is not None
    db.session().rollback()  # a name is looked up now: no read may stay open meanwhile
    guard = AddressGuard(settings().webhook_allowed_networks)
    return checked(request.form, guard, saved=is_saved)


def _with_errors(error: AppError | Unreadable, calendar: ExternalCalendar | None = None) -> Response:
    """Show the box again with what was typed."""
    form = request.form
    typed = {name: form.get(name, "") for name in ("address", "name", "when_stale", "stale_after")}
    shown = typed | {"blocks": form.get("blocks") == "1"}
    errors: Mapping[str, object] = {"address": str(error.args[0])}
    if isinstance(error, AppError) and error.details:
        errors = error.details
    response = _box(shown, calendar, errors)
    response.status_code = 409 if isinstance(error, Conflict) else 422
    return response


def _box(
    shown: CalendarInput | Mapping[str, object],
    calendar: ExternalCalendar | None = None,
    errors: Mapping[str, object] | None = None,
) -> Response:
    return page_or_fragment(
        "calendars/box.html", "calendars/_box.html", shown=shown, calendar=calendar, errors=errors or {}
    )
