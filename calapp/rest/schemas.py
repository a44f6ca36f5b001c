"""What all schemas of the API share: their names, instants, paging."""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from calapp.clock import iso_milliseconds
from calapp.db import LARGEST
from calapp.rest.unsupported import Table
from calapp.rest.validation import WHOLE

MOST = 250  # rows of one page


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
