"""The form of an event type as it is shown: texts by field name, and the rows of its questions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from calapp.event_types.forms import MAX_QUESTIONS
from calapp.event_types.models import EventType

PARTS = ("label", "type", "options", "name", "required")
REMOVE = re.compile(r"remove-question-(\d{1,3})")

Row = dict[str, Any]


@dataclass
class Editor:
    """What the form shows, and what was wrong with it."""

    values: Mapping[str, Any]
    questions: list[Row]
    errors: Mapping[str, object] = field(default_factory=dict)


def empty() -> Editor:
    """Return the form of a new event type."""
    return Editor({"length": 30, "notice": 120, "max_days": 60, "location_kind": "none"}, [])


def of_event_type(event_type: EventType) -> Editor:
    """Return the form filled with a saved event type."""
    names = event_type.__table__.columns.keys()
    values = {name: getattr(event_type, name) for name in names if name != "questions"}
    rows = [{**one, "options": "\n".join(one.get("options", ()))} for one in event_type.questions]
    return Editor({name: "" if value is None else value for name, value in values.items()}, rows)


def of_form(form: MultiDict[str, str]) -> Editor:
    """Return the form as it was sent, with a question added or removed where a button asked for it."""
    rows = [
        {part: form.get(f"question-{index}-{part}", "") for part in PARTS}
        for index in range(MAX_QUESTIONS + 1)
        if f"question-{index}-label" in form
    ]
    action = form.get("action", "")
    removed = REMOVE.fullmatch(action)
    if removed and int(removed[1]) < len(rows):
        rows.pop(int(removed[1]))
    if action == "add-question" and len(rows) < MAX_QUESTIONS:
        rows.append(dict.fromkeys(PARTS, ""))
    return Editor(form, rows)


def only_rows(form: MultiDict[str, str]) -> bool:
    """Say whether the form was sent to add or remove a question, not to save."""
    action = form.get("action", "")
    return action == "add-question" or REMOVE.fullmatch(action) is not None
