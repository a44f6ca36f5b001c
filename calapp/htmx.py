"""A page or its fragment, and the headers that go with it."""

import json
from urllib.parse import SplitResult, urlsplit

from flask import Response, flash, make_response, redirect, render_template, request


def is_htmx() -> bool:
    """Return whether htmx asks for a fragment; a boosted link and Back want the whole page."""
    headers = request.headers
    whole_page = "HX-Boosted" in headers or "HX-History-Restore-Request" in headers
    return headers.get("HX-Request") == "true" and not whole_page


def named_by(header: str) -> SplitResult:
    """Return the parts of the address that a header names, such as Referer; empty when it cannot be read."""
    try:
        return urlsplit(request.headers.get(header, ""))
    except ValueError:
        return urlsplit("")


def asked_from(address: str) -> bool:
    """Return whether htmx asks for a fragment of the page at this path.

    A form of the dialog can stand on a page of its own, too; then there is nothing to put a fragment into.
    """
    return is_htmx() and (
        "HX-Current-URL" not in request.headers or named_by("HX-Current-URL").path == address
    )


def page_or_fragment(page: str, fragment: str, /, **context: object) -> Response:
    """Render the fragment for htmx, else the page that includes it."""
    # error_pages adds Vary and no-store to every HTML response: Back must not show a bare fragment.
    return make_response(render_template(fragment if is_htmx() else page, **context))


def dialog_done(html: str, *, target: str, focus: str = "", toast: str = "") -> Response:
    """Close the dialog, put the whole list in place of `target`, and show a toast.

    `focus` is the id of what gets the focus when the control that opened the dialog is gone. For htmx only:
    without it respond with `redirect_to`. A toast never repeats a URL.
    """
    response = make_response(html)
    response.headers["HX-Retarget"] = target
    response.headers["HX-Reswap"] = "outerHTML"
    return trigger(response, **{"close-dialog": {}, "focus": {"id": focus}, **_toast(toast, "good")})


def page_done(page: Response, text: str, tone: str = "good") -> Response:
    """Close the dialog, if one is open, and put the content of a whole page in place; for htmx only."""
    page.headers["HX-Retarget"] = page.headers["HX-Reselect"] = "#content"
    page.headers["HX-Reswap"] = "outerHTML"
    return trigger(page, **{"close-dialog": {}, "focus": {"id": "content"}, **_toast(text, tone)})


def toast(response: Response, text: str, tone: str = "good") -> Response:
    """Show a sentence when this response arrives by htmx; `tone` is good or bad."""
    return trigger(response, **_toast(text, tone))


def redirect_to(address: str, text: str = "", tone: str = "good") -> Response:
    """Lead to another page after a POST: 303, or HX-Redirect for htmx; `text` is shown there as a toast."""
    if text:
        flash(text, tone)
    if not is_htmx():
        return make_response(redirect(address, 303))
    response = Response(status=204)
    response.headers["HX-Redirect"] = address
    return response


def _toast(text: str, tone: str) -> dict[str, object]:
    return {"toast": {"text": text, "tone": tone}} if text else {}


def sign_in_here(text: str, status: int = 401) -> Response:
    """Let the page ask for the password and send its request again; where it cannot, it shows `text`."""
    response = Response(status=status)
    response.headers["HX-Reswap"] = "none"
    return trigger(response, **{"sign-in": {"text": text}})


def trigger(response: Response, **events: object) -> Response:
    """Add events to HX-Trigger; JSON keeps the header ASCII whatever the text says."""
    earlier = json.loads(response.headers.get("HX-Trigger", "{}"))
    response.headers["HX-Trigger"] = json.dumps({**earlier, **events})
    return response
