"""The host's page of weekly hours and dates that differ."""

import datetime as dt
import re

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import TypeAdapter, ValidationError
from werkzeug.datastructures import MultiDict

from calapp.accounts.guards import current_host, require_host
from calapp.accounts.schemas import grouped
from calapp.availability import schemas, service
from calapp.availability.schemas import (
    DAY,
    DayHours,
    Typed,
    checked_override,
    checked_week,
    clock_text,
    range_text,
    typed_week,
)
from calapp.availability.slots import Hours, Range
from calapp.db import db, transaction
from calapp.errors import Invalid, LimitReached
from calapp.htmx import redirect_to
from calapp.local_time import zone_note
from calapp.text import whole_number

blueprint = Blueprint("availability", __name__)
blueprint.before_request(require_host)

PAGE = "/availability"
ADD = re.compile(r"add-([0-6])")
REMOVE = re.compile(r"remove-([0-6])-(\d{1,2})")
COPY = re.compile(r"copy-([0-6])")


@blueprint.get("/availability")
def index() -> Response:
    """Show the host's hours."""
    hours = service.hours_of(db.session(), current_host())
    return _page(_saved_week(hours), hours.zone)


@blueprint.post("/availability")
def save() -> ResponseReturnValue:
    """Save the week; the buttons inside the form only change its rows."""
    week, zone = typed_week(request.form), request.form.get("time_zone", "")
    action = request.form.get("action", "")
    if action:
        return _page(edited(week, action, request.form), zone)
    try:
        wanted = checked_week(zone, week, saved_zone=current_host().time_zone)
        with transaction() as session:
            host = current_host()
            host.time_zone = zone
            service.replace_hours(session, host, wanted.day)
    except Invalid as error:
        return _page(week, zone, errors=error.details), 422
    return redirect_to(PAGE, "Hours saved.")


@blueprint.post("/availability/overrides")
def add_override() -> ResponseReturnValue:
    """Give a date hours of its own, or make it a day off."""
    try:
        wanted = checked_override(request.form, service.today_of(current_host()))
        with transaction() as session:
            service.set_override(session, current_host(), wanted.date, wanted.override)
    except (Invalid, LimitReached) as error:
        hours = service.hours_of(db.session(), current_host())
        return _page(_saved_week(hours), hours.zone, errors=error.details), 422
    return redirect_to(PAGE, "Date saved.")


@blueprint.post("/availability/overrides/<date>/delete")
def remove_override(date: str) -> ResponseReturnValue:
    """Give a date its weekday's hours again."""
    try:
        day = dt.date.fromisoformat(date)
    except ValueError:
        return redirect_to(PAGE)
    with transaction() as session:
        service.remove_override(session, current_host(), day)
    return redirect_to(PAGE, "Date removed.")


def _saved_week(hours: Hours) -> dict[int, list[Typed]]:
    return {day: [range_text(one) for one in hours.weekly.get(day, ())] for day in range(7)}


def edited(week: dict[int, list[Typed]], action: str, form: MultiDict[str, str]) -> dict[int, list[Typed]]:
    """Return the week after a button of the form: a range added or removed, or a day copied to others."""
    if match := ADD.fullmatch(action):
        week[int(match[1])].append(_suggested(week[int(match[1])]))
    if match := REMOVE.fullmatch(action):
        week[int(match[1])] = [pair for at, pair in enumerate(week[int(match[1])]) if at != int(match[2])]
    if match := COPY.fullmatch(action):
        day = int(match[1])
        for to in form.getlist(f"copy-{day}-to"):
            if (other := whole_number(to)) is not None and other < 7:
                week[other] = list(week[day])
    return week


def _suggested(pairs: list[Typed]) -> Typed:
    """Return what a new range begins with: 9 to 17, or the hour after the day's last one."""
    try:
        ranges = TypeAdapter(DayHours).validate_python(pairs)
    except ValidationError:
        return ("", "")
    end = max((one.end_minute for one in ranges), default=0)
    new = Range(end + 60, end + 120) if ranges else schemas.NEW_RANGE
    return ("", "") if new.end_minute > DAY else range_text(new)


def _page(week: dict[int, list[Typed]], zone: str, *, errors: dict[str, object] | None = None) -> Response:
    host = current_host()
    overrides, today = service.overrides_of(db.session(), host), service.today_of(host)
    page = render_template(
        "availability/index.html",
        week=week,
        weekdays=schemas.WEEKDAYS,
        zone=zone,
        zone_note=zone_note(host.time_zone),
        zones=grouped(zone),
        overrides={date: ranges for date, ranges in overrides.items() if date >= today},
        today=today,
        errors=errors or {},
        clock_text=clock_text,
    )
    return make_response(page)
