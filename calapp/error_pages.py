"""What went wrong, translated once into a page, a toast or the API's JSON; every response's headers.

Other sites may ask the API's addresses, as Cal.com's API v2 allows it (CORS), and no page is at one. A key in
a header is all that opens the API, and no page of another site has one unless it was given to it. So nothing
is gained by a browser that refuses.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Flask, Response, current_app, g, jsonify, make_response, render_template, request, url_for
from flask_limiter.errors import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from gunicorn.http.errors import ParseException
from markupsafe import escape
from sqlalchemy.exc import DataError, OperationalError
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import IntegerConverter, Rule
from werkzeug.wrappers import Response as AnyResponse

from calapp import errors, limits
from calapp.clock import iso_milliseconds, now
from calapp.db import LARGEST
from calapp.htmx import is_htmx, named_by, redirect_to, sign_in_here, toast
from calapp.incoming import log_breach

API = "/v2"
STATUSES: dict[type[errors.AppError], int] = {
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.SignedOut: 401,
    errors.Invalid: 422,
    errors.LinkRefused: 400,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooMany: 429,
    errors.Busy: 503,
    errors.KeyDoesNotFit: 503,
}
TITLES = {
    400: "That did not work",
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "That has changed",
    410: "No longer available",
    413: "Too large",
    415: "Unsupported format",
    422: "Please check your entries",
    429: "One moment, please",
    500: "Something went wrong",
    503: "One moment, please",
}
SENTENCES = {
    400: "The server could not understand this request.",
    404: errors.NotFound.__doc__,
    405: "This address does not support this request.",
    413: "The request is too large.",
    415: "Please send JSON, with the header Content-Type: application/json.",
    500: "This error is on our side and was logged. Nothing was saved. Please try again.",
}
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal_error",
    503: "busy",
}
STALE_PAGE = "Your session has expired. Please reload the page and try again; nothing was saved."
# A strict subset of what the header's grammar allows, so that an address cannot add a directive of its own.
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
METHODS = ("GET", "POST", "PATCH", "DELETE")
TOO_LARGE = "22003"  # how PostgreSQL says numeric_value_out_of_range; its driver is loaded where it is used
HEADERS = {
    "Access-Control-Allow-Methods": "GET, PATCH, DELETE, HEAD, POST, PUT, OPTIONS",
    "Access-Control-Allow-Headers": (
        "x-cal-client-id, x-cal-secret-key, x-cal-platform-embed, cal-api-version, "
        "Accept, Authorization, Content-Type, Idempotency-Key, Origin, traceparent, tracestate"
    ),
    "Access-Control-Max-Age": "86400",  # seconds
}


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """What to tell: the status, a word for programs, a sentence for people."""

    status: int
    code: str
    message: str
    details: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Number(IntegerConverter):
    """The number in an address; one beyond what a column holds stands for the largest, which nothing has.

    Were it no address at all, other methods of it would be answered with 405.
    """

    def to_python(self, value: str) -> int:
        """Read the digits."""
        return min(int(value), LARGEST) if len(value) <= len(str(LARGEST)) else LARGEST


def register_error_pages(app: Flask) -> None:
    """Turn every error of this app into a response, and put the security headers on every response."""
    app.url_map.converters["int"] = Number
    app.register_error_handler(errors.AppError, app_error)
    app.register_error_handler(HTTPException, http_error)
    app.after_request(_add_headers)
    app.add_template_filter(fitting)

    @app.errorhandler(OperationalError)
    def database_away(error: OperationalError) -> AnyResponse:
        app.logger.warning("The database did not respond: %s", error.orig)
        return app_error(errors.Busy())

    @app.errorhandler(DataError)
    def beyond_a_column(error: DataError) -> AnyResponse:
        if getattr(error.orig, "sqlstate", None) != TOO_LARGE:
            raise error  # other bad data is our fault
        return app_error(errors.NotFound())  # no id is as large as what PostgreSQL was asked for

    @app.errorhandler(ParseException)
    def bad_chunks(_error: ParseException) -> AnyResponse:
        return http_error(BadRequest())  # Transfer-Encoding: chunked, and no such chunks


def fitting(value: object, limit: str) -> object:
    """Return what was typed, cut where it takes more bytes, escaped, than a limit of limits.py.

    250 KB of quotes would make a page of more than a megabyte. That it is too long is said at its field.
    """
    most: int = getattr(limits, limit)
    if not isinstance(value, str) or len(value) * 5 <= most or len(str(escape(value)).encode()) <= most:
        return value
    return value[: most // 5]  # a character has at most five bytes, escaped or not


SECRETS = frozenset(("uid", "token"))  # parts of an address that let whoever knows them in


def is_api() -> bool:
    """Return whether this request is one of the API's."""
    return request.path == API or request.path.startswith(f"{API}/")


def app_error(error: errors.AppError) -> AnyResponse:
    """Respond to an error of this app."""
    if isinstance(error, errors.SignedOut) and not is_api():
        if is_htmx():
            return sign_in_here(STALE_PAGE)
        return redirect_to(f"{url_for('accounts.login')}?{urlencode({'next': page_of_request()})}")
    status = next(number for kind, number in STATUSES.items() if isinstance(error, kind))
    if isinstance(error, errors.Invalid) and is_api():
        status = 400
    headers, message = {}, error.message
    if isinstance(error, errors.SlotTaken) and is_api():
        message = f"{message} ({error.theirs})"
    if isinstance(error, errors.TooMany | errors.Busy):
        headers["Retry-After"] = str(getattr(error, "retry_after", 2))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    details = {name: value for name, value in error.details.items() if value is not None}
    return respond(
        ErrorResponse(status=status, code=error.code, message=message, details=details, headers=headers)
    )


def http_error(error: HTTPException) -> AnyResponse:
    """Respond to an error of HTTP."""
    if isinstance(error, RateLimitExceeded):
        log_breach()
    if error.response is not None:  # a page's own words, with its form kept
        return error.response  # type: ignore[return-value]
    if isinstance(error, RateLimitExceeded):
        return app_error(errors.TooMany(retry_after=error.limit.limit.get_expiry()))
    status = error.code or 500
    message = SENTENCES.get(status) or TITLES.get(status) or error.name
    if isinstance(error, CSRFError):
        if is_htmx() and not is_api():
            return sign_in_here(STALE_PAGE, status)
        message = STALE_PAGE
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    code = CODES.get(status, "error")
    return respond(ErrorResponse(status=status, code=code, message=message, headers=headers))


def respond(error: ErrorResponse) -> AnyResponse:
    """Show an error in the form that was asked for."""
    # The sentence, and those of the fields.
    message = " ".join([error.message, *(text for text in error.details.values() if isinstance(text, str))])
    if is_api():
        body = {"code": error.code, "message": error.message, "details": error.details}
        asked = request.full_path.removesuffix("?")
        response = jsonify(status="error", timestamp=iso_milliseconds(now()), path=asked, error=body)
    elif is_htmx():
        # The page stays as it is, so that nothing typed is lost; a toast says what happened.
        response = toast(make_response(render_template("_error.html", message=message)), message, "bad")
        response.headers["HX-Reswap"] = "none"
    else:
        title = TITLES.get(error.status, "That did not work")
        response = make_response(
            render_template("error.html", title=title, message=message, status=error.status)
        )
    response.status_code = error.status
    response.headers.update(error.headers)
    return response


def page_of_request() -> str:
    """Return the page on which this happened, which for a POST is the one that it came from."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?")
    parts = named_by("Referer")
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _add_headers(response: AnyResponse) -> AnyResponse:
    headers = response.headers
    headers["Content-Security-Policy"] = _policy()
    headers["X-Content-Type-Options"] = "nosniff"
    if not g.get("frameable"):
        headers["X-Frame-Options"] = "SAMEORIGIN"
    headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    if response.mimetype == "text/html":
        response.vary.add("HX-Request")
        headers["Cache-Control"] = "no-store"
    secret = bool(SECRETS & (request.view_args or {}).keys())
    if secret:
        headers["Referrer-Policy"] = "same-origin"  # a form's token is checked against it over https
    if secret or (is_api() and response.mimetype != "text/html"):
        headers["X-Robots-Tag"] = "noindex"
        headers.setdefault("Cache-Control", "no-store")
    return response


def _policy() -> str:
    """Return the Content-Security-Policy; a view may set g.frameable and g.form_action_origin."""
    ancestors = "*" if g.get("frameable") else "'self'"
    origin = g.get("form_action_origin") or ""
    action = f"'self' {origin}" if ORIGIN.fullmatch(origin) else "'self'"
    return (
        f"default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action {action}; "
        f"frame-ancestors {ancestors}"
    )


def prepare_cors(app: Flask) -> None:
    """Let every site call the API of this app; before the limits, so that asking first costs nothing."""

    @app.before_request
    def answer_preflight() -> Response | None:
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204, headers=HEADERS) if preflight and is_api() else None

    @app.before_request
    def refuse_pages() -> None:
        """Keep pages at any two parts, /<user>/<slug>, away from the API's addresses."""
        if not is_api() or request.url_rule is None or _of_api(request.url_rule):
            return
        adapter = current_app.create_url_adapter(request)
        allowed = []
        for method in METHODS:
            with suppress(HTTPException):
                if adapter and _of_api(adapter.match(method=method, return_rule=True)[0]):
                    allowed.append(method)
        raise MethodNotAllowed(valid_methods=allowed) if allowed else NotFound

    @app.after_request
    def allow_every_site(response: Response) -> Response:
        if is_api():
            response.headers["Access-Control-Allow-Origin"] = "*"
        return response


def _of_api(rule: Rule) -> bool:
    return rule.rule.startswith(API)
