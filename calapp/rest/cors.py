"""Cross-origin requests to the API, as Cal.com's API v2 allows them: from every site, without cookies.

A key in a header is all that opens the API, and no page of another site has one unless it was given to it. So
nothing is gained by a browser that refuses. Pages are not among these addresses.
"""

from flask import Flask, Response, request

from calapp.error_pages import is_api

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

    @app.after_request
    def allow_every_site(response: Response) -> Response:
        if is_api():
            response.headers["Access-Control-Allow-Origin"] = "*"
        return response
