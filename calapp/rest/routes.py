"""A route of the API: who may use it, what goes in, what comes out; declared once, checked and documented."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from inspect import getdoc
from typing import Any, Literal

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from calapp.rate_limits import client_network, csrf, limiter
from calapp.rest.reading import fields_named, read_body, read_query
from calapp.rest.wire import Answer, Body, Query

BY_KEY = "300/minute"
BY_ADDRESS = "600/minute"
Method = Literal["GET", "POST", "PATCH", "DELETE"]
Limit = Callable[[Callable[..., Any]], Any]


@dataclass(frozen=True)
class Access:
    """Who may use a route: `check` raises SignedOut or NotAllowed for others; `words` say it."""

    check: Callable[[], None]
    key_needed: bool
    words: str


@dataclass(frozen=True)
class Page:
    """A part of a list, and where it stands."""

    items: Sequence[Any]
    pagination: Answer


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A route as it is declared; `answer` is any type that pydantic knows."""

    method: Method
    path: str  # as Flask writes it
    name: str
    tag: str
    doc: str
    access: Access
    answer: Any
    status: int
    pagination: type[Answer] | None
    body: type[Body] | None
    query: type[Query] | None
    errors: tuple[int, ...]

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What writes the answer's data."""
        return TypeAdapter(self.answer)

    @cached_property
    def page_adapter(self) -> TypeAdapter[Any]:
        """What writes the answer's pagination."""
        return TypeAdapter(self.pagination or Answer)

    def answered(self, value: Any) -> Response:
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
        answer: Any,
        status: int = 200,
        pagination: type[Answer] | None = None,
        body: type[Body] | None = None,
        query: type[Query] | None = None,
        errors: tuple[int, ...] = (),
        limits: tuple[Limit, ...] = (),
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a function as a route; `errors` are statuses besides those that every route may answer."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            declared = Operation(
                method=method,
                path=path,
                name=f"{self.name.removesuffix('_api')}_{function.__name__}",
                tag=self.tag,
                doc=getdoc(function) or "",
                access=access,
                answer=answer,
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
            return declared.answered(function(**given))

    return view


def bearer_token() -> str:
    """Return the token that the request carries (RFC 6750), or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _key() -> str:
    return hashlib.sha256(bearer_token().encode()).hexdigest()[:32]


by_key = limiter.shared_limit(
    lambda: BY_KEY, "api-key", key_func=_key, exempt_when=lambda: not bearer_token()
)
by_address = limiter.shared_limit(lambda: BY_ADDRESS, "api", key_func=client_network)
