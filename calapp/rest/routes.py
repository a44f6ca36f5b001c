"""A request read into the model that describes it; what is wrong is named with its field."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from inspect import getdoc
from typing import Any, Literal, TypeVar, get_args

from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json
from werkzeug.exceptions import UnsupportedMediaType

from calapp.errors import Conflict, Invalid
from calapp.incoming import client_network, csrf, limiter
from calapp.rest.access import KNOWN_KEY, Access, bearer_token
from calapp.rest.schemas import QuerySchema, RequestSchema, ResponseSchema, invalid, joined
from calapp.rest.unsupported import refuse_unsupported
from calapp.text import clean, clean_tree, is_storable

AnyBody = TypeVar("AnyBody", bound=RequestSchema)
AnyQuery = TypeVar("AnyQuery", bound=QuerySchema)

HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")  # of a character that JSON escapes in two


def read_body(model: type[AnyBody]) -> AnyBody:
    """Read the request's JSON; an empty body counts as {}.

    Raises Invalid whose details name each bad field, and HTTP's 413 and 415.
    """
    data = request.get_data()
    if data and not request.is_json:
        raise UnsupportedMediaType
    tree = _parsed(data or b"{}")
    kept = {name: value for name, value in tree.items() if name in model.verbatim}
    for path in _unstorable(kept, ""):
        problem = "The text contains a character that cannot be stored."
        raise Invalid(problem, **{path: problem})
    tree = {clean(name): value if name in kept else clean_tree(value) for name, value in tree.items()}
    refuse_unsupported(model, model.unsupported, tree)
    try:
        return model.model_validate_json(to_json(_without_nulls(model, tree)))
    except ValidationError as error:
        raise invalid(error) from None


def read_query(model: type[AnyQuery]) -> AnyQuery:
    """Read the request's query; raise Invalid whose details name each bad field.

    Of a repeated field the first counts; a list's values may be repeated, separated by commas, or named
    `field[]`, as axios and PHP do.
    """
    refuse_unsupported(model, model.unsupported, request.args)
    given: dict[str, Any] = {}
    for field in model.model_fields.values():
        name = field.alias or ""
        kinds = {getattr(one, "__origin__", one) for one in (field.annotation, *get_args(field.annotation))}
        values = request.args.getlist(name)
        if list in kinds:
            values += request.args.getlist(f"{name}[]")
            values = [part for value in values for part in value.split(",")]
        if values:
            given[name] = values if list in kinds else values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None


def _parsed(data: bytes) -> dict[str, Any]:
    """Return a JSON object; raise Invalid for what is none.

    Half of a character may be in it, as JavaScript writes a text that was cut in two.
    """
    try:
        tree = from_json(HALF.sub(rb"\\u0020", data), allow_inf_nan=False)
        if HALF.search(data):
            tree = json.loads(data)  # with the same bounds as any other, which were checked above
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from None
    if not isinstance(tree, dict):
        raise Invalid("The body must be a JSON object.")
    return tree


def _without_nulls(model: type[RequestSchema], tree: dict[str, Any]) -> dict[str, Any]:
    """Leave out nulls where there is a default that is none: to Cal.com's API they mean the same."""
    defaults = {
        field.alias: field.default for field in model.model_fields.values() if not field.is_required()
    }
    return {
        name: value
        for name, value in tree.items()
        if value is not None or defaults.get(name, ...) in (None, ...)
    }


def _unstorable(tree: Any, path: str) -> Iterator[str]:
    """Return the paths of texts that no database can hold, keys included."""
    if isinstance(tree, str) and not is_storable(tree):
        yield path
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        here = f"{path}.{key}" if path else str(key)
        if not is_storable(here):
            yield path or "body"
        yield from _unstorable(value, here)


@contextmanager
def fields_named(model: type[RequestSchema] | None) -> Iterator[None]:
    """Let errors of the services name their fields as the wire does."""
    try:
        yield
    except (Invalid, Conflict) as error:
        if not error.details:
            raise
        names = names_on_wire(model) if model else {}
        details = {
            names.get(name) or (name if "." in name else to_camel(name)): words
            for name, words in error.details.items()
        }
        message = joined(details) if isinstance(error, Invalid) else error.message
        raise type(error)(message, **details) from error


@lru_cache
def names_on_wire(model: type[BaseModel]) -> dict[str, str]:
    """Return Python name → name on the wire (attendee.name) of a model's fields and those inside them."""
    found: dict[str, str] = {}
    inner: dict[str, str] = {}
    for name, field in model.model_fields.items():
        found[name] = alias = field.alias or name
        for one in (field.annotation, *get_args(field.annotation)):
            if isinstance(one, type) and issubclass(one, BaseModel):
                inner |= {key: f"{alias}.{path}" for key, path in names_on_wire(one).items()}
    return inner | found


BY_KEY = "300/minute"
BY_ADDRESS = "600/minute"
Method = Literal["GET", "POST", "PATCH", "DELETE"]
Limit = Callable[[Callable[..., Any]], Any]


@dataclass(frozen=True)
class Page:
    """A part of a list, and where it is."""

    items: Any  # a sequence, or what takes its place
    pagination: ResponseSchema


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A route as it is declared; `response` is any type that pydantic knows."""

    method: Method
    path: str  # as Flask writes it
    name: str
    tag: str
    doc: str
    access: Access
    response: Any
    status: int
    pagination: type[ResponseSchema] | None
    body: type[RequestSchema] | None
    query: type[QuerySchema] | None
    errors: tuple[int, ...]

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What writes the response's data."""
        return TypeAdapter(self.response)

    @cached_property
    def page_adapter(self) -> TypeAdapter[Any]:
        """What writes the response's pagination."""
        return TypeAdapter(self.pagination or ResponseSchema)

    def respond(self, value: Any) -> Response:
        """Wrap what a function returned in the envelope."""
        end = b"}"
        if isinstance(value, Page):
            end = b',"pagination":' + self.page_adapter.dump_json(value.pagination, by_alias=True) + b"}"
            value = value.items
        data = self.adapter.dump_json(value, by_alias=True)
        response = Response(b'{"status":"success","data":' + data + end, self.status)
        response.mimetype = "application/json"
        response.headers["Cache-Control"] = "no-store"
        return response


class Api(Blueprint):
    """The routes of one package; no session counts here and no form's token is asked for, keys alone do."""

    def __init__(self, name: str, *, tag: str) -> None:
        super().__init__(name, __name__)
        self.tag = tag
        self.operations: list[Operation] = []
        csrf.exempt(self)

    def operation(
        self,
        method: Method,
        path: str,
        *,
        access: Access,
        response: Any,
        status: int = 200,
        pagination: type[ResponseSchema] | None = None,
        body: type[RequestSchema] | None = None,
        query: type[QuerySchema] | None = None,
        errors: tuple[int, ...] = (),
        limits: tuple[Limit, ...] = (),
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a function as a route; `errors` are statuses besides those that every route may return."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            declared = Operation(
                method=method,
                path=path,
                name=f"{self.name.removesuffix('_api')}_{function.__name__}",
                tag=self.tag,
                doc=getdoc(function) or "",
                access=access,
                response=response,
                status=status,
                pagination=pagination,
                body=body,
                query=query,
                errors=errors,
            )
            self.operations.append(declared)
            view = _view(declared, function)
            together: tuple[Limit, ...] = (*limits, by_address, by_key)
            for limit in together:
                view = limit(view)
            self.add_url_rule(path, function.__name__, view, methods=[method], strict_slashes=False)
            return function

        return declare


def _view(declared: Operation, function: Callable[..., Any]) -> Callable[..., Response]:
    @wraps(function)
    def view(**given: Any) -> Response:
        declared.access.check()
        with fields_named(declared.body):
            if declared.query:
                given["query"] = read_query(declared.query)
            if declared.body:
                given["body"] = read_body(declared.body)
            return declared.respond(function(**given))

    return view


def key_counted() -> str:
    """Return what the requests of a key are counted under."""
    return hashlib.sha256(bearer_token().encode()).hexdigest()[:32]


by_key = limiter.shared_limit(
    lambda: BY_KEY,
    "api-key",
    key_func=key_counted,
    # A made-up key would bring a counter of its own.
    exempt_when=lambda: not bearer_token() or not current_app.extensions[KNOWN_KEY](),
)
by_address = limiter.shared_limit(lambda: BY_ADDRESS, "api", key_func=client_network)
