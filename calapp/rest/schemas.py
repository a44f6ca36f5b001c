"""What all schemas share: validating forms and JSON, the words for what is wrong, instants, paging."""

import itertools
import json
import math
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

from calapp.clock import iso_milliseconds
from calapp.db import LARGEST
from calapp.errors import Invalid
from calapp.local_time import is_zone
from calapp.rest.unsupported import Table

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]  # of a field: the names and numbers that lead to it

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


# Behind an int and its limits: strict, but 20.0 is the number 20, as in JSON.
WHOLE = BeforeValidator(
    lambda value: int(value) if isinstance(value, float) and value.is_integer() else value
)
MOST = 250  # rows of one page


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


def known_zone_name(name: str) -> str:
    """Return the name of a zone as it is; raise ValueError when it is none of IANA's."""
    if not is_zone(name):
        raise ValueError("Must be an IANA time zone such as Europe/Berlin.")
    return name


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

        def name(place: Place) -> str:
            known = [str(part) for part in place if part in fields]
            in_row = len(place) > 1 and place[0] == rows
            return f"{rows}-{place[1]}" if in_row else known[-1] if known else str(place[0])

        found = problems(error, name)
        found |= {one: text for one, text in (instead or {}).items() if one in found}
        raise Invalid("Please fix the marked fields.", **found) from None


def invalid(error: ValidationError) -> Invalid:
    """Return our error for pydantic's, its fields named as in JSON (`attendee.name`, `guests.2`)."""
    found = problems(error, lambda place: ".".join(str(part)[:60] for part in place) or "body")
    found = dict(itertools.islice(found.items(), MOST_PROBLEMS))
    return Invalid(joined(found), **found)


def problems(error: ValidationError, name: Callable[[Place], str]) -> dict[str, str]:
    """Return what is wrong first with each field, as a sentence; `name` names the field of a place."""
    found: dict[str, str] = {}
    for one in error.errors(include_url=False):
        known = WORDS.get(one["type"], "").format_map(one.get("ctx", {}))
        text = known or one["msg"].removeprefix("Value error, ")
        found.setdefault(name(one["loc"]), text if text.endswith((".", "…")) else f"{text}.")
    return found


def joined(found: Mapping[str, object]) -> str:
    """Return problems as one line, since many clients show nothing but the message."""
    return " ".join(f"{field}: {text}" for field, text in found.items())


def _sensible(moment: datetime) -> datetime:
    if not 2000 <= moment.year <= 2200:
        raise ValueError("Must be a time between 2000 and 2200.")
    return moment.astimezone(UTC)


Written = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Instant = Annotated[
    AwareDatetime,
    AfterValidator(_sensible),
    PlainSerializer(iso_milliseconds, return_type=Written, when_used="json"),
]


Id = Annotated[int, Field(ge=1, le=LARGEST), WHOLE]


class ApiSchema(BaseModel):
    """A schema of the API: snake_case here, camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel)


def _defaults_in_words(schema: dict[str, Any]) -> None:
    """Say defaults in the descriptions: generators of clients make fields with a default required."""
    for one in schema.get("properties", {}).values():
        default = one.pop("default", None)
        if default not in (None, "", [], {}):
            one["description"] = f"{one.get('description', '')} Default: {json.dumps(default)}.".strip()


class RequestSchema(ApiSchema):
    """What a request's body holds: no other types than those named.

    Fields that nobody knows are ignored, those of `unsupported` are refused. Its texts come clean
    (`calapp/text.py`), but for the fields of `verbatim`, by their names on the wire.
    """

    verbatim: ClassVar[frozenset[str]] = frozenset()
    unsupported: ClassVar[Table] = {}

    model_config = ConfigDict(strict=True, json_schema_extra=_defaults_in_words)


def _without_defaults(schema: dict[str, Any]) -> None:
    for one in schema["properties"].values():
        one.pop("default", None)


class PatchSchema(RequestSchema):
    """Changes: omitted fields keep their value, whatever default the model has."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class QuerySchema(ApiSchema):
    """What a request's query holds: all text, read into the types that are named."""

    unsupported: ClassVar[Table] = {}


class ResponseSchema(ApiSchema):
    """What a response holds; made by its Python names."""

    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=False, json_schema_serialization_defaults_required=True
    )


class Paging(QuerySchema):
    """Which part of a list."""

    take: Annotated[int, Field(ge=1, le=MOST, description="Maximum number of results.")] = MOST
    skip: Annotated[int, Field(ge=0, le=10_000_000, description="Number of results to skip.")] = 0


class PageInfo(ResponseSchema):
    """Where in a list a page is."""

    total_items: int
    remaining_items: Annotated[int, Field(description="Number of results after this page.")]
    returned_items: int
    items_per_page: int
    current_page: int
    total_pages: int
    has_next_page: bool
    has_previous_page: bool


def page_info(paging: Paging, *, total: int, returned: int) -> PageInfo:
    """Return where a page is in a list of `total` rows."""
    remaining = max(0, total - paging.skip - returned)
    return PageInfo(
        total_items=total,
        remaining_items=remaining,
        returned_items=returned,
        items_per_page=paging.take,
        current_page=paging.skip // paging.take + 1,
        total_pages=math.ceil(total / paging.take),
        has_next_page=remaining > 0,
        has_previous_page=paging.skip > 0,
    )
