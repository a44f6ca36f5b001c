"""The pages of event types: the list, and the form with the rows of its questions."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from calapp.accounts.guards import current_host, require_host
from calapp.availability.service import schedules_of
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid
from calapp.event_types import service
from calapp.event_types.models import EventType
from calapp.event_types.schemas import (
    API_TYPES,
    CELL,
    DAY,
    DEFAULT_FIELDS,
    MAX_QUESTIONS,
    MOST_BUFFER,
    MOST_NOTICE,
    EventTypeBody,
)
from calapp.event_types.service import own_event_type
from calapp.htmx import is_htmx, page_or_fragment, redirect_to
from calapp.local_time import spoken_minutes
from calapp.rest.schemas import from_form

PARTS = ("label", "type", "options", "name", "required")
SPOKEN = re.compile(
    r"(?:(\d{1,5}) ?d(?:ays?)?)? ?(?:(\d{1,5}) ?h(?:ours?|rs?)?)? ?(?:(\d{1,5}) ?(?:m|mins?|minutes?)?)?",
    re.ASCII | re.IGNORECASE,
)
ACTION = re.compile(r"(remove|raise|lower)-question-(\d{1,3})")
UNITS = {"minutes": 1, "hours": 60, "days": 1440}
# Each with its unit in a field of its own, from so many minutes to so many.
DURATIONS = {
    "step": (CELL, DAY),
    "notice": (0, MOST_NOTICE),
    "buffer_before": (0, MOST_BUFFER),
    "buffer_after": (0, MOST_BUFFER),
}

Row = dict[str, Any]


@dataclass
class Editor:
    """What the form shows, and what was wrong with it."""

    values: Mapping[str, Any]
    questions: list[Row]
    errors: Mapping[str, object] = field(default_factory=dict)
    only_rows: bool = False  # sent to add, move or remove a question, not to save
    focus: int | None = None  # the question that gets the focus


def empty() -> Editor:
    """Return the form of a new event type."""
    values = {"length": 30, "notice": 2, "notice_unit": "hours", "max_days": 60, "location_kind": "none"}
    return Editor(values, [])


def of_event_type(event_type: EventType) -> Editor:
    """Return the form filled with a saved event type."""
    names = event_type.__table__.columns.keys()
    values = {name: getattr(event_type, name) for name in names if name != "questions"}
    values |= {f"hide_{name}": not getattr(event_type, f"asks_{name}") for name in DEFAULT_FIELDS}
    for name in DURATIONS:
        minutes = values[name] or 0
        fitting = (unit for unit, size in reversed(UNITS.items()) if minutes and minutes % size == 0)
        unit = next(fitting, "minutes")
        values |= {name: minutes // UNITS[unit], f"{name}_unit": unit}
    others = (spoken_minutes(length) for length in event_type.lengths if length != event_type.length)
    values["lengths"] = ", ".join(others)
    values["reminders"] = ", ".join(spoken_minutes(before) for before in event_type.reminders)
    rows = [{**one, "options": "\n".join(one.get("options", ()))} for one in event_type.questions]
    return Editor({name: "" if value is None else value for name, value in values.items()}, rows)


def of_form(form: MultiDict[str, str]) -> Editor:
    """Return the form as it was sent, with a question added, moved or removed where a button asked for it."""
    rows = [
        {part: form.get(f"question-{index}-{part}", "") for part in PARTS}
        for index in range(MAX_QUESTIONS + 1)
        if f"question-{index}-label" in form
    ]
    asked = ACTION.fullmatch(form.get("action", ""))
    if asked is None and form.get("action") != "add-question":
        return Editor(form, rows)
    place = int(asked[2]) if asked else len(rows)
    if asked is None and place < MAX_QUESTIONS:
        rows.append(dict.fromkeys(PARTS, ""))
    elif asked and place < len(rows):
        row = rows.pop(place)
        if asked[1] != "remove":
            place = max(0, place + (1 if asked[1] == "lower" else -1))
            rows.insert(place, row)
    return Editor(form, rows, only_rows=True, focus=min(place, len(rows) - 1))


# What the form calls Cal.com's kinds of places; a kind that nobody knows goes on as it is, to be refused.
PLACES = {"link": "link", "phone": "phone", "in_person": "address"}


def checked(form: Editor) -> EventTypeBody:
    """Return what the form says; raise Invalid whose details name each bad field."""
    values = form.values
    kind, place = values.get("location_kind") or "none", values.get("location", "").strip()
    if kind == "none" and place:
        kind = "in_person"  # a place that was typed is not dropped
    place_type = PLACES.get(kind, kind)
    days, others = values.get("max_days", "").strip(), _minutes(values.get("lengths", ""))
    minutes, instead = {}, {}
    for name, (least, most) in DURATIONS.items():
        number, unit = values.get(name, "").strip(), values.get(f"{name}_unit", "")
        size = UNITS.get(unit or "minutes")
        if size and re.fullmatch(r"[0-9]{1,9}", number):
            minutes[name] = str(int(number) * size)
        else:  # what cannot be read goes on as it is, to be refused
            minutes[name] = number if size or not number else f"{number} {unit}"
        if size and size > 1 and most < size:
            instead[name] = f"Please enter at most {spoken_minutes(most)}."
        elif size and size > 1:
            instead[name] = f"Please enter a number of {unit} from {-(-least // size)} to {most // size}."
    data = {
        **{name: values.get(name, "") for name in EventTypeBody.model_fields},
        **minutes,
        "disable_guests": None,
        # All lengths, the usual one among them, or nothing when there is no other.
        "lengths": [*others, *_minutes(values.get("length", ""))] if others else [],
        "reminders": _minutes(values.get("reminders", "")),
        "window": {"max_days": days} if days else None,
        "limits": {"max_per_day": values.get("max_per_day", "").strip() or None},
        "confirmation": {"disabled": values.get("requires_confirmation", "") in {"", "0"}},
        "location": [] if kind == "none" else [{"location_kind": place_type, place_type: place}],
        "questions": [
            *(_question(row) for row in form.questions),
            *({"name": name, "hidden": True} for name in DEFAULT_FIELDS if values.get(f"hide_{name}")),
        ],
    }
    data["schedule_id"] = data["schedule_id"].strip() or None
    columns = EventType.__table__.columns.keys()
    return from_form(EventTypeBody, data, fields=columns, rows="questions", instead=instead)


def _minutes(text: str) -> list[int | str]:
    """Read times such as 1 day, 1 h 30 min, 10; what cannot be read goes on as it is, to be refused."""
    found: list[int | str] = []
    for part in filter(None, (part.strip() for part in re.split("[,;\n]", text))):
        match = SPOKEN.fullmatch(part)
        days, hours, minutes = (int(number or 0) for number in match.groups()) if match else (0, 0, 0)
        found.append(days * 1440 + hours * 60 + minutes if match else part)
    return found


def _question(row: Row) -> Row:
    kind = row["type"] or "text"
    return {
        "name": row["name"] if row["name"] not in DEFAULT_FIELDS else "",
        "label": row["label"],
        "type": API_TYPES.get(kind, kind),
        "required": row["required"] not in {"", "0"},
        "options": row["options"].splitlines(),
    }


def slug_of(title: str) -> str:
    """Return the address that a title suggests: `Café at 3` gives `cafe-at-3`; nothing for other scripts."""
    plain = unicodedata.normalize("NFKD", title.lower().replace("ß", "ss"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")


blueprint = Blueprint("event_types", __name__)
blueprint.before_request(require_host)

LIST = "/event-types"


@blueprint.get("/event-types")
def index() -> Response:
    """List the host's event types."""
    host = current_host()
    found = service.of_user(db.session(), host.id)
    page = render_template(
        "event_types/index.html", host=host, event_types=found, base_url=settings().base_url
    )
    return make_response(page)


@blueprint.get("/event-types/new")
def new() -> Response:
    """Show the form of a new event type."""
    return _form(empty())


@blueprint.post("/event-types/new")
def create() -> ResponseReturnValue:
    """Make an event type; the form comes back with the words at the fields."""
    shown = of_form(request.form)
    if shown.only_rows:
        return _form(shown)
    if not request.form.get("slug", "").strip():  # what the script does while the title is typed
        shown.values = {**request.form, "slug": slug_of(request.form.get("title", ""))}
    try:
        wanted = checked(shown)
        with transaction() as session:
            service.create(session, current_host().id, wanted)
    except (Invalid, Conflict) as error:
        return _problems(shown, error), 422
    return redirect_to(LIST, "Event type saved.")


@blueprint.get("/event-types/<int:event_type_id>")
def edit(event_type_id: int) -> Response:
    """Show the form of a saved event type."""
    event_type = own_event_type(event_type_id)
    return _form(of_event_type(event_type), event_type)


@blueprint.post("/event-types/<int:event_type_id>")
def update(event_type_id: int) -> ResponseReturnValue:
    """Change an event type."""
    event_type = own_event_type(event_type_id)
    shown = of_form(request.form)
    if shown.only_rows:
        return _form(shown, event_type)
    try:
        wanted = checked(shown)
        with transaction() as session:
            service.update(session, event_type, wanted)
    except (Invalid, Conflict) as error:
        return _problems(shown, error, event_type), 422
    return redirect_to(LIST, "Event type saved.")


@blueprint.get("/event-types/<int:event_type_id>/delete")
def ask_delete(event_type_id: int) -> Response:
    """Ask before an event type is deleted."""
    event_type = own_event_type(event_type_id)
    return page_or_fragment("event_types/delete.html", "event_types/_delete.html", event_type=event_type)


@blueprint.post("/event-types/<int:event_type_id>/delete")
def delete(event_type_id: int) -> ResponseReturnValue:
    """Delete an event type; its bookings stay."""
    event_type = own_event_type(event_type_id)
    with transaction():
        service.delete(event_type)
    return redirect_to(LIST, "Event type deleted.")


@blueprint.post("/event-types/<int:event_type_id>/hide")
def hide(event_type_id: int) -> ResponseReturnValue:
    """Hide an event type from the host's page, or show it there."""
    event_type = own_event_type(event_type_id)
    with transaction():
        event_type.hidden = request.form.get("hidden") == "1"
    return index() if is_htmx() else redirect_to(LIST)


@blueprint.post("/event-types/<int:event_type_id>/move")
def move(event_type_id: int) -> ResponseReturnValue:
    """Move an event type one place up or down."""
    event_type = own_event_type(event_type_id)
    with transaction() as session:
        service.move(session, event_type, up=request.form.get("up") == "1")
    return index() if is_htmx() else redirect_to(LIST)


def _form(shown: Editor, event_type: EventType | None = None) -> Response:
    page = render_template(
        "event_types/edit.html",
        form=shown,
        event_type=event_type,
        host=current_host(),
        schedules=schedules_of(db.session(), current_host()),
        base_url=settings().base_url,
    )
    return make_response(page)


def _problems(shown: Editor, error: Invalid | Conflict, event_type: EventType | None = None) -> Response:
    shown.errors = error.details
    return _form(shown, event_type)
