"""What a visitor says when booking or moving, checked, as one frozen value."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from email_validator import EmailNotValidError, validate_email

from calapp.accounts.zones import is_zone
from calapp.bookings.identity import mailbox_of
from calapp.bookings.metadata import Metadata
from calapp.bookings.web_addresses import has_web_address
from calapp.errors import Invalid
from calapp.text import clean, line, spaced

MAX_NAME = 200
MAX_TEXT = 5000  # characters of notes, reasons and long answers
MAX_GUESTS = 20
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.0+)?Z")

Answer = str | bool


@dataclass(frozen=True, kw_only=True)
class BookingRequest:
    """A booking as the visitor asks for it; `attempt` is the form's token against a double click.

    `address` is the internet address that a visitor acts from; None for the host and the host's programs.
    """

    start: datetime
    name: str
    email: str
    time_zone: str
    notes: str = ""
    guests: tuple[str, ...] = ()
    metadata: Metadata = Metadata()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    attempt: str | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class MoveRequest:
    """A reschedule as either side asks for it; `by` is an e-mail address, `address` as in BookingRequest.

    `time_zone` is where the visitor is by now; None leaves it as it was.
    """

    start: datetime
    by: str
    by_host: bool = False
    time_zone: str | None = None
    reason: str = ""
    metadata: Metadata = Metadata()
    attempt: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class RawBooking:
    """The same as it came, all text: from a form, or from JSON."""

    start: str
    name: str
    email: str
    time_zone: str
    notes: str
    guests: Sequence[str]
    answers: Mapping[str, Any]
    metadata: Metadata
    attempt: str | None
    address: str | None


def checked(raw: RawBooking, questions: Sequence[Mapping[str, Any]], *, prefix: str = "") -> BookingRequest:
    """Check every field; raise Invalid whose details name each bad one, a question's after `prefix`."""
    problems: dict[str, str] = {}
    start = _taken(problems, "start", instant, raw.start)
    name = _taken(problems, "name", _name, raw.name)
    email = _taken(problems, "email", email_address, raw.email)
    zone = _taken(problems, "time_zone", zone_name, raw.time_zone)
    notes = _taken(problems, "notes", long_text, raw.notes)
    guests = _taken(problems, "guests", guest_list, raw.guests)
    answers = {
        question["name"]: _taken(
            problems, prefix + question["name"], _answer, question, raw.answers.get(question["name"])
        )
        for question in questions
    }
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return BookingRequest(
        start=start,
        name=name,
        email=email,
        time_zone=zone,
        notes=notes,
        guests=tuple(guest for guest in guests if mailbox_of(guest) != mailbox_of(email)),
        metadata=raw.metadata,
        answers=answers,
        attempt=(raw.attempt or "")[:64] or None,
        address=raw.address,
    )


def checked_move(*, start: str, reason: str, time_zone: str = "", **known: Any) -> MoveRequest:
    """Check what either side types when moving; raise Invalid whose details name each bad field.

    `known` are the other fields of MoveRequest; an unknown zone counts as none.
    """
    problems: dict[str, str] = {}
    moment = _taken(problems, "start", instant, start)
    text = _taken(problems, "reason", long_text, reason)
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    zone = time_zone if is_zone(time_zone) else None
    return MoveRequest(start=moment, reason=text, time_zone=zone, **known)


def _taken(problems: dict[str, str], name: str, read: Any, *values: Any) -> Any:
    """Read one value, or note what is wrong with it."""
    try:
        return read(*values)
    except Invalid as error:
        problems[name] = error.message
    return None


def instant(text: str) -> datetime:
    """Read YYYY-MM-DDTHH:MM:SSZ from 2000 to 2200; raise Invalid for anything else."""
    try:
        moment = datetime.fromisoformat(text[:19]) if INSTANT.fullmatch(text) else None
    except ValueError:
        moment = None  # such as the 30th of February
    # At the ends of the calendar, adding a day or changing the zone overflows.
    if moment is None or not 2000 <= moment.year <= 2200:
        raise Invalid("Please choose a time.")
    return moment.replace(tzinfo=UTC)


def _name(text: str) -> str:
    name = spaced(text)
    if not any(letter.isprintable() and not letter.isspace() for letter in name):
        raise Invalid("Please give your name.")
    if len(name) > MAX_NAME:
        raise Invalid(f"Please keep the name within {MAX_NAME} characters.")
    if has_web_address(name):
        raise Invalid("Please give your name without a web address.")
    return name


def email_address(text: str) -> str:
    """Return a normal e-mail address; raise Invalid for what is none."""
    try:
        return validate_email(clean(text).strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise Invalid("Please give an e-mail address such as name@example.com.") from None


def zone_name(text: str) -> str:
    """Return a time zone's name; raise Invalid for what is none."""
    if not is_zone(text):
        raise Invalid("Please choose a time zone from the list.")
    return text


def long_text(text: str) -> str:
    """Return a text of several lines; raise Invalid when it is too long."""
    text = clean(text).strip()
    if len(text) > MAX_TEXT:
        raise Invalid(f"Please keep this within {MAX_TEXT:,} characters.")
    return text


def guest_list(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the guests' addresses, each mailbox once; raise Invalid for a bad one or over twenty."""
    parts = [part for text in texts for part in re.split(r"[\s,;]+", text) if part]
    if len(parts) > MAX_GUESTS:
        raise Invalid(f"Please invite at most {MAX_GUESTS} guests.")
    found: dict[str, str] = {}
    for part in parts:
        try:
            address = email_address(part)
        except Invalid:
            raise Invalid(f"“{part[:60]}” is not an e-mail address.") from None
        found.setdefault(mailbox_of(address), address)
    return tuple(found.values())


def _answer(question: Mapping[str, Any], given: Any) -> Answer:
    """Read the answer to a custom question."""
    if question["type"] == "checkbox":
        ticked = given in {True, "on", "true", "yes", "1"}
        if question["required"] and not ticked:
            raise Invalid("Please tick this.")
        return ticked
    text = long_text(given if isinstance(given, str) else "")
    if question["required"] and not text:
        raise Invalid("Please answer this.")
    if question["type"] == "select" and text and text not in question["options"]:
        raise Invalid("Please choose one of the answers.")
    if question["type"] == "text" and ("\n" in text or len(text) > 500):
        raise Invalid("Please answer in one line of at most 500 characters.")
    return line(text) if question["type"] == "text" else text
