"""What a host or a client says about an event type, checked, as one frozen value."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from calapp.errors import Invalid
from calapp.event_types.models import LocationKind
from calapp.text import clean, line

CELL = 5  # minutes; starts, lengths, steps and buffers are multiples of it
DAY = 1440  # minutes
SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
MAX_QUESTIONS = 20
MAX_OPTIONS = 50


class QuestionType(StrEnum):
    """How a question is answered."""

    TEXT = "text"
    TEXTAREA = "textarea"
    SELECT = "select"
    CHECKBOX = "checkbox"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of the booking form; `name` is its key in the payload."""

    name: str
    label: str
    type: QuestionType = QuestionType.TEXT
    required: bool = False
    options: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        """Return the question as the database keeps it."""
        return {**asdict(self), "type": self.type.value, "options": list(self.options)}


@dataclass(frozen=True, kw_only=True)
class EventTypeInput:
    """An event type as it is to be saved; times in minutes, the horizon in days."""

    title: str
    slug: str
    description: str = ""
    length: int
    step: int | None = None
    buffer_before: int = 0
    buffer_after: int = 0
    notice: int = 120
    max_days: int = 60
    max_per_day: int | None = None
    requires_confirmation: bool = False
    hidden: bool = False
    redirect_url: str | None = None
    location_kind: LocationKind = LocationKind.NONE
    location: str = ""
    questions: tuple[Question, ...] = ()


def checked(raw: Mapping[str, Any], questions: Sequence[Mapping[str, Any]] = ()) -> EventTypeInput:
    """Check every field, text or JSON; raise Invalid whose details name each bad one."""
    problems: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, read in READERS.items():
        try:
            values[name] = read(raw.get(name))
        except Invalid as error:
            problems[name] = error.message
    problem = location_problem(values.get("location_kind"), values.get("location", ""))
    if problem:
        problems.setdefault("location", problem)
    found = [_question(one, f"questions-{index}", problems) for index, one in enumerate(questions)]
    if len(questions) > MAX_QUESTIONS:
        problems["questions"] = f"Please ask at most {MAX_QUESTIONS} questions."
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return EventTypeInput(**values, questions=_named([one for one in found if one is not None]))


def _text(most: int, missing: str = "", *, lines: bool = False) -> Callable[[Any], str]:
    """Return a reader of texts: of one line, unless several `lines` may stand in it."""

    def read(value: Any) -> str:
        text = _clean(value).strip() if lines else line(_clean(value))
        if not text and missing:
            raise Invalid(missing)
        if len(text) > most:
            raise Invalid(f"Please keep this within {most:,} characters.")
        return text

    return read


def _clean(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return clean(text)


def _slug(value: Any) -> str:
    slug = _clean(value).strip().lower()
    if not SLUG.fullmatch(slug) or len(slug) > 60:
        raise Invalid("Please use letters, digits and single hyphens, at most 60 characters: quick-chat.")
    return slug


def _number(low: int, high: int, what: str, *, multiple: int = 1, empty: Any = ...) -> Callable[[Any], Any]:
    """Return a reader of whole numbers; nothing stands for `empty` where it is given."""
    words = f"Please give a number of {what} from {low} to {high:,}"
    words += f", a multiple of {multiple}." if multiple > 1 else "."

    def read(value: Any) -> Any:
        text = str(value).strip() if value is not None and not isinstance(value, bool) else ""
        if not text and empty is not ...:
            return empty
        if not re.fullmatch(r"[0-9]{1,7}", text) or not low <= int(text) <= high or int(text) % multiple:
            raise Invalid(words)
        return int(text)

    return read


def _flag(value: Any) -> bool:
    return value in {True, "1", "on", "true", "yes"}


def _redirect(value: Any) -> str | None:
    text = _clean(value).strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    except ValueError:
        fine = False
    odd = any(ord(letter) <= 32 or letter in "\"'<>\\;," for letter in text.split("?")[0])
    if not fine or odd or len(text) > 2000:
        raise Invalid("Please give an address that begins with https:// or http://.")
    return text


def _kind(value: Any) -> LocationKind:
    try:
        return LocationKind(value or LocationKind.NONE)
    except ValueError:
        raise Invalid("Please choose where the meeting takes place.") from None


def location_problem(kind: LocationKind | None, location: str) -> str:
    """Say what a kind of location misses, or nothing."""
    if kind is LocationKind.LINK and not location.startswith(("https://", "http://")):
        return "Please give the link of the meeting, beginning with https://."
    if kind is LocationKind.IN_PERSON and not location:
        return "Please say where you meet."
    return ""


READERS: dict[str, Callable[[Any], Any]] = {
    "title": _text(100, "Please give a title."),
    "slug": _slug,
    "description": _text(2000, lines=True),
    "length": _number(CELL, DAY, "minutes", multiple=CELL),
    "step": _number(CELL, DAY, "minutes", multiple=CELL, empty=None),
    "buffer_before": _number(0, DAY // 2, "minutes", multiple=CELL, empty=0),
    "buffer_after": _number(0, DAY // 2, "minutes", multiple=CELL, empty=0),
    "notice": _number(0, 30 * DAY, "minutes", empty=120),
    "max_days": _number(0, 730, "days", empty=60),
    "max_per_day": _number(1, 288, "bookings", empty=None),
    "requires_confirmation": _flag,
    "hidden": _flag,
    "redirect_url": _redirect,
    "location_kind": _kind,
    "location": _text(500),
}


def _question(raw: Mapping[str, Any], field: str, problems: dict[str, str]) -> Question | None:
    """Read one question; note what is wrong with it under `field`."""
    try:
        label = _text(200, "Please give the question.")(raw.get("label"))
        kind = QuestionType(raw.get("type") or QuestionType.TEXT)
    except Invalid as error:
        problems[field] = error.message
        return None
    except ValueError:
        problems[field] = "Please choose how it is answered."
        return None
    given = raw.get("options") or ()
    rows = given.splitlines() if isinstance(given, str) else [str(one) for one in given]
    options = tuple(dict.fromkeys(option for row in rows if (option := line(row)[:200].strip())))
    if kind is QuestionType.SELECT and not 1 <= len(options) <= MAX_OPTIONS:
        problems[field] = f"Please give the answers to choose from, one a line, at most {MAX_OPTIONS}."
        return None
    kept = options if kind is QuestionType.SELECT else ()
    name = _clean(raw.get("name"))[:60]
    return Question(name=name, label=label, type=kind, required=_flag(raw.get("required")), options=kept)


# Names of the payload's own responses, which a question must not take.
TAKEN_NAMES = ("name", "email", "notes", "guests", "start", "time_zone", "reason")


def _named(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Give each question a key of its own: the one that it has, or one made from its words."""
    taken = set(TAKEN_NAMES)
    named = []
    for question in questions:
        own = question.name if re.fullmatch(r"[a-z0-9_-]{1,60}", question.name) else ""
        base = own or re.sub(r"[^a-z0-9]+", "-", question.label.lower()).strip("-")[:40] or "question"
        name, count = base, 2
        while name in taken:
            name, count = f"{base}-{count}", count + 1
        taken.add(name)
        named.append(
            Question(
                name=name,
                label=question.label,
                type=question.type,
                required=question.required,
                options=question.options,
            )
        )
    return tuple(named)
