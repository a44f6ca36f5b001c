"""The answers to an event type's questions, read and checked by the type of each."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from calapp.errors import Invalid
from calapp.event_types.models import SEVERAL, EventType
from calapp.local_time import regions
from calapp.text import clean, line

MAX_TEXT = 5000  # characters of notes, reasons and long answers
MAX_LINE = 500  # characters of an answer in one line
NUMBER = re.compile(r"[-+]?\d{1,15}(\.\d{1,9})?", re.ASCII)
NOTES = {"name": "notes", "type": "textarea", "required": False}  # the question that every form asks
MAX_PHONE = 40  # characters of a number as it is typed
HOW = "Please enter a phone number with its country code, such as +49 30 901820."
NO_NOTES = "This event type does not ask for notes."
NO_GUESTS = "This event type does not take guests."

Answer = str | bool | int | float | list[str]


def read_email(text: str) -> str:
    """Return an email address in its normal form; raise ValueError with the words for what is none."""
    try:
        return validate_email(clean(text).strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise ValueError("Please enter an email address such as name@example.com.") from None


def read_phone(text: str, zone: str) -> str:
    """Return a phone number as every phone takes it (E.164), such as +4930901820.

    Raises ValueError with the words for what is none. A number without a + is one of the country of the time
    zone, and must be in use there. One with it need only be as long as its country's numbers are: numbering
    plans change, and who types a + means it.
    """
    national = not text.strip().startswith("+")
    try:
        number = phonenumbers.parse(text[: MAX_PHONE + 1], regions().get(zone) if national else None)
    except NumberParseException:
        raise ValueError(HOW) from None
    fitting = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if len(text) > MAX_PHONE or not fitting or (national and not phonenumbers.is_valid_number(number)):
        raise ValueError(HOW)
    if number.extension:
        raise ValueError("Please enter the phone number without an extension.")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def answered(
    given: Mapping[str, Any], event_type: EventType, zone: str, *, prefix: str = ""
) -> dict[str, Answer]:
    """Return the answers to an event type's questions, by name, and the notes.

    `zone` is the visitor's time zone. Raises Invalid whose details name each bad field, a question's after
    `prefix`.
    """
    found: dict[str, Answer] = {}
    problems: dict[str, str] = {}
    for question in (NOTES, *event_type.questions):
        name = question["name"]
        try:
            found[name] = _answer(question, given.get(name), zone)
        except ValueError as error:
            problems[name if question is NOTES else prefix + name] = str(error)
    if found.get("notes") and not event_type.asks_notes:
        problems["notes"] = NO_NOTES
    if problems:
        raise Invalid("Please fix the marked fields.", **problems)
    return found


def _answer(question: Mapping[str, Any], given: object, zone: str) -> Answer:
    """Read an answer: a form brings text, JSON also numbers, lists, true and false."""
    kind, required = question["type"], question["required"]
    if kind in SEVERAL:
        return _choices(question, given if isinstance(given, list) else [given])
    if isinstance(given, list):
        given = ", ".join(str(one) for one in given)
    text = str(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else ""
    if kind == "checkbox":
        ticked = given is True or text in {"on", "true", "yes", "1"}
        if required and not ticked:
            raise ValueError("Please check this box.")
        return ticked
    text = clean(text).strip()
    if len(text) > MAX_TEXT:
        raise ValueError(f"Must be at most {MAX_TEXT:,} characters.")
    if required and not text:
        raise ValueError("Please answer this question.")
    return _of_text(question, text, zone) if text else ""


def _of_text(question: Mapping[str, Any], text: str, zone: str) -> Answer:
    """Check a text by the type of its question."""
    match question["type"]:
        case "phone":
            return read_phone(text, zone)
        case "email":
            return read_email(text)
        case "number":
            if not NUMBER.fullmatch(text):
                raise ValueError("Please enter a number, such as 3 or 2.5.")
            return float(text) if "." in text else int(text)
        case "select" | "radio" if text not in question["options"]:
            raise ValueError("Please choose one of the options.")
        case "text":
            if "\n" in text or len(text) > MAX_LINE:
                raise ValueError(f"Please answer in one line of up to {MAX_LINE} characters.")
            return line(text)
    return text


def _choices(question: Mapping[str, Any], given: Sequence[object]) -> Answer:
    chosen = [clean(one).strip() for one in given if isinstance(one, str) and one.strip()]
    if any(one not in question["options"] for one in chosen):
        raise ValueError("Please choose from the options.")
    if question["required"] and not chosen:
        raise ValueError("Please choose at least one of the options.")
    return [option for option in question["options"] if option in chosen]


def phone_of(event_type: EventType, given: str | None, zone: str, field: str) -> str | None:
    """Return the visitor's phone number as it is kept, None without one; raise Invalid at `field`.

    It is needed for a meeting by phone to which the host calls.
    """
    text = clean(given or "").strip()
    problem = ""
    if text:
        try:
            return read_phone(text, zone)
        except ValueError as error:
            problem = str(error)
    elif event_type.asks_phone:
        problem = "Please enter the phone number to call you at."
    if problem:
        raise Invalid(problem, **{field: problem})
    return None


def check_guests(event_type: EventType, guests: Sequence[str]) -> None:
    """Raise Invalid for guests of an event type that takes none."""
    if guests and not event_type.asks_guests:
        raise Invalid(NO_GUESTS, guests=NO_GUESTS)


def spoken_answer(value: Answer) -> str:
    """Return an answer as people read it; nothing for a question that was not answered."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return ", ".join(value) if isinstance(value, list) else str(value)
