"""What schemas of forms and JSON bodies share: validating, and the words for what is wrong, by field."""

from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails

from calapp.errors import Invalid

Model = TypeVar("Model", bound=BaseModel)

MOST_PROBLEMS = 20  # that one response names
# pydantic's types of errors, in our words; others keep pydantic's.
WORDS = {
    "missing": "This field is required.",
    "string_type": "Must be a string.",
    "string_too_long": "Must be at most {max_length:,} characters.",
    "int_type": "Must be a whole number.",
    "int_from_float": "Must be a whole number.",
    "int_parsing": "Must be a whole number.",
    "int_parsing_size": "This number is too large.",
    "less_than_equal": "This number is too large.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
    "list_type": "Must be a list.",
    "dict_type": "Must be an object.",
    "model_type": "Must be an object.",
    "model_attributes_type": "Must be an object.",
    "timezone_aware": "Must be a time with an offset, such as 2027-01-05T10:00:00Z.",
    "datetime_type": "Must be a time such as 2027-01-05T10:00:00Z.",
    "datetime_parsing": "Must be a time such as 2027-01-05T10:00:00Z.",
    "datetime_from_date_parsing": "Must be a time such as 2027-01-05T10:00:00Z.",
}


def as_whole(value: Any) -> Any:
    """Return 20 for 20.0, which JSON takes for the same number; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(as_whole)  # behind an int and its limits: strict, but 20.0 is the number 20


def said(words: str, *kinds: str) -> WrapValidator:
    """Return what makes a field say these words, for these of pydantic's types of errors or for any."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if kinds and error.errors()[0]["type"] not in kinds:
                raise
            raise ValueError(words) from None

    return WrapValidator(validate)


def cleaned(by: Callable[[str], str]) -> BeforeValidator:
    """Return what makes a field clean its text before it is checked."""
    return BeforeValidator(lambda value: by(value) if isinstance(value, str) else value)


def from_form(
    model: type[Model],
    data: Mapping[str, Any],
    *,
    fields: Container[str] = (),
    rows: str = "",
    instead: Mapping[str, str] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Model:
    """Validate what a form brings, most of it text, by the fields' Python names; empty ones have defaults.

    Raises Invalid whose details name each bad field as the form does: by the innermost name that is one of
    its `fields`, else by the schema's; what is wrong in the third of the list `rows` by `rows-2`. `instead`
    has the words that this form says of a field, whatever is wrong with it. Validators find `context` in
    their `info`.
    """
    given = {
        name: value
        for name, value in data.items()
        if model.model_fields[name].is_required() or not (isinstance(value, str) and not value.strip())
    }
    try:
        return model.model_validate(given, strict=False, by_alias=False, by_name=True, context=context)
    except ValidationError as error:
        problems: dict[str, str] = {}
        for one in error.errors(include_url=False):
            place = one["loc"]
            known = [str(part) for part in place if part in fields]
            in_row = len(place) > 1 and place[0] == rows
            name = f"{rows}-{place[1]}" if in_row else known[-1] if known else str(place[0])
            problems.setdefault(name, (instead or {}).get(name) or words(one))
        raise Invalid("Please fix the marked fields.", **problems) from None


def invalid(error: ValidationError) -> Invalid:
    """Return our error for pydantic's, its fields named as in JSON (`attendee.name`, `guests.2`)."""
    problems = {
        ".".join(str(part)[:60] for part in one["loc"]) or "body": words(one)
        for one in error.errors(include_url=False)[:MOST_PROBLEMS]
    }
    return Invalid(joined(problems), **problems)


def words(error: ErrorDetails) -> str:
    """Return one of pydantic's errors as a sentence."""
    known = WORDS.get(error["type"], "").format_map(error.get("ctx", {}))
    text = known or error["msg"].removeprefix("Value error, ")
    return text if text.endswith((".", "…")) else f"{text}."


def joined(problems: Mapping[str, object]) -> str:
    """Return problems as one line, since many clients show nothing but the message."""
    return " ".join(f"{field}: {text}" for field, text in problems.items())
