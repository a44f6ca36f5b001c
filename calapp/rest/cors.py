"""The API's addresses: other sites may ask them, as Cal.com's API v2 allows it, and no page is at one.

A key in a header is all that opens the API, and no page of another site has one unless it was given to it. So
nothing is gained by a browser that refuses.
"""

from contextlib import suppress

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Rule

from calapp.error_pages import API, is_api

METHODS = ("GET", "POST", "PATCH", "DELETE")

HEADERS = {
    "Access-Control-Allow-Methods": "GET, PATCH, DELETE, HEAD, POST, PUT, OPTIONS",
    "Access-Control-Allow-Headers": (
        "x-cal-client-id, x-cal-secret-key, x-cal-platform-embed, cal-api-version, "
        "Accept, Authorization, Content-Type, Idempotency-Key, Origin, traceparent, tracestate"
    ),
    "Access-Control-Max-Age": "86400",  # seconds
}


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
