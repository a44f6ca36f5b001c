"""The host's pages of schedules, dates that differ and time off."""

import datetime as dt
import re
from collections.abc import Mapping

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import TypeAdapter, ValidationError
from werkzeug.datastructures import MultiDict

from calapp import limits
from calapp.accounts.guards import current_host, require_host
from calapp.availability import schemas, service
from calapp.availability.models import Schedule
from calapp.availability.schemas import (
    DAY,
    DayHours,
    Override,
    ScheduleBody,
    TimeOffInput,
    Typed,
    Week,
    clock_text,
    range_text,
    typed_ranges,
)
from calapp.availability.service import own_schedule
from calapp.availability.slots import Range
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid
from calapp.htmx import is_htmx, page_or_fragment, redirect_to, toast
from calapp.local_time import grouped, present_name, spoken_date, zone_note
from calapp.rest.schemas import from_form
from calapp.text import whole_number

blueprint = Blueprint("availability", __name__)
blueprint.before_request(require_host)

PAGE = "/availability"
ADD = re.compile(r"add-([0-6])")
REMOVE = re.compile(r"remove-([0-6])-(\d{1,2})")
COPY = re.compile(r"copy-([0-6])")

Problems = Mapping[str, object]


def _schedule(schedule_id: int | None) -> Schedule | None:
    """Return a schedule of the host's, the default one without an id; None before there is one."""
    wanted = current_host().default_schedule_id if schedule_id is None else schedule_id
    return None if wanted is None else own_schedule(wanted)


def address_of(schedule: Schedule | None) -> str:
    """Return the path of a schedule's page."""
    return PAGE if schedule is None or schedule.is_default else f"{PAGE}/{schedule.id}"


@blueprint.get("/availability")
@blueprint.get("/availability/<int:schedule_id>")
def index(schedule_id: int | None = None) -> Response:
    """Show a schedule; without an id the default one."""
    return _page(_schedule(schedule_id))


@blueprint.post("/availability")
@blueprint.post("/availability/<int:schedule_id>")
def save(schedule_id: int | None = None) -> ResponseReturnValue:
    """Save the week; the buttons inside the form only change its rows."""
    schedule = _schedule(schedule_id)
    week = {day: typed_ranges(request.form, f"day-{day}") for day in range(7)}
    zone = request.form.get("time_zone", "")
    name = request.form.get("name", schedule.name if schedule else service.FIRST_NAME)
    action = request.form.get("action", "")
    if action:
        return _page(schedule, name=name, week=edited(week, action, request.form), zone=zone)
    try:
        given = {"name": name, "time_zone": zone, "day": list(week.values())}
        # A bad day is named as its field is: day-0 is Monday.
        wanted = from_form(Week, given, rows="day", context={"saved_zone": _zone_of(schedule)})
        with transaction() as session:
            schedule = _schedule(schedule_id) or service.default_schedule(session, current_host())
            schedule.name, schedule.time_zone = wanted.name, wanted.time_zone
            service.replace_hours(session, current_host(), wanted.day, schedule.id)
    except Invalid as error:
        return _page(schedule, name=name, week=week, zone=zone, errors=error.details), 422
    return redirect_to(address_of(schedule), "Hours saved.")


@blueprint.post("/availability/overrides")
@blueprint.post("/availability/<int:schedule_id>/overrides")
def add_override(schedule_id: int | None = None) -> ResponseReturnValue:
    """Give dates hours of their own, or make them days off; a button in the form adds a date to it."""
    schedule = _schedule(schedule_id)
    if request.form.get("action") == "add-date":
        return _page(schedule, dates=[*request.form.getlist("date"), ""][: limits.DATES_AT_ONCE])
    try:
        off = bool(request.form.get("off"))
        dates = [date for date in request.form.getlist("date") if date.strip()]
        ranges = [] if off else typed_ranges(request.form, "override")
        given = {"date": dates, "off": off, "override": ranges}
        today = service.today_of(current_host(), _zone_of(schedule))
        wanted = from_form(Override, given, context={"today": today})
        with transaction() as session:
            service.set_overrides(session, current_host(), wanted.date, wanted.override, schedule_id)
    except (Invalid, Conflict) as error:
        return _page(schedule, dates=request.form.getlist("date"), errors=error.details), 422
    saved = len(set(wanted.date))
    return redirect_to(address_of(schedule), "Date saved." if saved == 1 else f"{saved} dates saved.")


@blueprint.post("/availability/overrides/<date>/delete")
@blueprint.post("/availability/<int:schedule_id>/overrides/<date>/delete")
def remove_override(date: str, schedule_id: int | None = None) -> ResponseReturnValue:
    """Give a date its weekday's hours again."""
    schedule = _schedule(schedule_id)
    try:
        day = dt.date.fromisoformat(date)
    except ValueError:
        return redirect_to(address_of(schedule))
    with transaction() as session:
        service.remove_override(session, current_host(), day, schedule_id)
    if is_htmx():
        return toast(_page(schedule), "Date removed.")
    return redirect_to(address_of(schedule), "Date removed.")


@blueprint.route("/availability/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Ask for a schedule's name, and make it with office hours in the host's zone."""
    errors: Problems = {}
    if request.method == "POST":
        data = {"name": request.form.get("name", ""), "time_zone": current_host().time_zone}
        try:
            wanted = from_form(ScheduleBody, data, context={"saved_zone": data["time_zone"]})
            with transaction() as session:
                made = service.create_schedule(session, current_host(), wanted)
        except (Invalid, Conflict) as error:
            errors = error.details
        else:
            return redirect_to(f"{PAGE}/{made.id}", "Schedule created.")
    return _asked("new", errors)


@blueprint.post("/availability/<int:schedule_id>/default")
def make_default(schedule_id: int) -> ResponseReturnValue:
    """Make a schedule the default one."""
    with transaction() as session:
        schedule = own_schedule(schedule_id)
        service.make_default(session, schedule)
    return redirect_to(PAGE, f"{schedule.name} is your default schedule now.")


@blueprint.route("/availability/<int:schedule_id>/delete", methods=["GET", "POST"])
def delete(schedule_id: int) -> ResponseReturnValue:
    """Ask before a schedule is deleted, and delete it."""
    schedule = own_schedule(schedule_id)
    if request.method != "POST":
        return _asked("delete", {}, schedule=schedule)
    try:
        with transaction() as session:
            service.delete_schedule(session, own_schedule(schedule_id))
    except Conflict as error:
        return redirect_to(PAGE, error.message, "bad")
    return redirect_to(PAGE, "Schedule deleted.")


def _asked(name: str, errors: Problems, **context: object) -> ResponseReturnValue:
    page, fragment = f"availability/{name}.html", f"availability/_{name}.html"
    titles = service.titles_by_schedule(db.session(), current_host())
    response = page_or_fragment(page, fragment, errors=errors, titles=titles, **context)
    return (response, 422) if errors else response


@blueprint.post("/availability/time-off")
def add_time_off() -> ResponseReturnValue:
    """Give the host time off, from a day to another."""
    host = current_host()
    try:
        given = {name: request.form.get(name, "").strip() for name in TimeOffInput.model_fields}
        given["last_day"] = given["last_day"] or given["first_day"]
        wanted = from_form(TimeOffInput, given, context={"today": service.today_of(host)})
        with transaction() as session:
            made = service.add_time_off(session, host, wanted)
    except (Invalid, Conflict) as error:
        return _page(_schedule(None), errors=error.details), 422
    days = spoken_date(made.first_day)
    if made.last_day != made.first_day:
        days += f" to {spoken_date(made.last_day)}"
    return redirect_to(f"{PAGE}#time-off", f"Time off saved: {days}.")


@blueprint.post("/availability/time-off/<int:time_off_id>/delete")
def remove_time_off(time_off_id: int) -> ResponseReturnValue:
    """Take time off back."""
    with transaction() as session:
        service.remove_time_off(session, current_host(), time_off_id)
    if is_htmx():
        return toast(_page(_schedule(None)), "Time off removed.")
    return redirect_to(f"{PAGE}#time-off", "Time off removed.")


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


def _zone_of(schedule: Schedule | None) -> str:
    return schedule.time_zone if schedule else current_host().time_zone


def _page(
    schedule: Schedule | None,
    *,
    name: str | None = None,
    week: dict[int, list[Typed]] | None = None,
    zone: str | None = None,
    dates: list[str] | None = None,
    errors: Problems | None = None,
) -> Response:
    """Render the page of a schedule, with what was typed where it was not saved."""
    session, host = db.session(), current_host()
    hours = service.hours_of(session, host, schedule.id if schedule else None)
    today = service.today_of(host, hours.zone)
    saved = {day: [range_text(one) for one in hours.weekly.get(day, ())] for day in range(7)}
    shown = present_name(hours.zone if zone is None else zone)
    page = render_template(
        "availability/index.html",
        schedule=schedule,
        is_default=schedule is None or schedule.is_default,
        schedules=service.schedules_of(session, host),
        titles=service.titles_by_schedule(session, host),
        address=address_of(schedule),
        name=(schedule.name if schedule else service.FIRST_NAME) if name is None else name,
        week=saved if week is None else week,
        weekdays=schemas.WEEKDAYS,
        zone=shown,
        zone_note=zone_note(hours.zone),
        zones=grouped(shown),
        overrides={date: ranges for date, ranges in hours.overrides.items() if date >= today},
        dates=dates or [""],
        time_off=service.time_off_of(session, host),
        today=today,
        errors=errors or {},
        clock_text=clock_text,
    )
    return make_response(page)
