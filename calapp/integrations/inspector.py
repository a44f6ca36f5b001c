"""The built-in test receiver, its page, and what needs no sign-in since the address itself is the secret."""

import time
from collections.abc import Mapping

from flask import Blueprint, Response, make_response, render_template, request, url_for
from markupsafe import escape
from sqlalchemy import delete

from calapp.accounts.guards import current_host, require_host
from calapp.bookings.calendar import feed
from calapp.config import WEB_THREADS, settings
from calapp.db import db, transaction
from calapp.deliveries import formatting
from calapp.deliveries.feed import Places
from calapp.htmx import is_htmx, redirect_to
from calapp.incoming import csrf
from calapp.integrations import service
from calapp.integrations.models import Inspector, InspectorRequest
from calapp.integrations.service import Incoming, RequestFilter
from calapp.limits import COPIED_BYTES, INSPECTED_BODY_BYTES, INSPECTED_HEADER_BYTES
from calapp.text import clean, whole_number
from calapp.webhooks.models import Trigger, label_of

blueprint = Blueprint("inspector", __name__)
blueprint.before_request(require_host)

hooks = Blueprint("hooks", __name__)

# A slow response holds a thread of the web server; without a place it is sent immediately.
slow = Places(most=max(1, WEB_THREADS // 4), most_per_host=2, limit="slow responses of the inspector")


@hooks.post("/hooks/in/<token>")
@csrf.exempt  # type: ignore[untyped-decorator]  # Flask-WTF has no types
def receive(token: str) -> Response:
    """Receive what a webhook sends to the built-in inspector, and respond as its host has set."""
    incoming = Incoming(list(request.headers.items()), request.get_data())
    with transaction() as session:
        wanted = service.receive(session, token, incoming)
    if wanted.delay:
        with slow.taken(wanted.host_id) as free:
            time.sleep(wanted.delay if free else 0)
    response = Response("" if wanted.status in {204, 304} else wanted.body, wanted.status)
    response.mimetype = "text/plain"
    if wanted.retry_after is not None:
        response.headers["Retry-After"] = str(wanted.retry_after)
    return response


@hooks.get("/calendar/<token>.ics")
def calendar(token: str) -> Response:
    """Serve a host's bookings to calendar programs."""
    user, bookings, changed = service.feed_of(db.session(), token)
    response = make_response(feed(user, bookings, settings().base_url))
    response.headers["Content-Type"] = "text/calendar; charset=utf-8"
    response.headers["Content-Disposition"] = 'inline; filename="bookings.ics"'
    response.headers["Cache-Control"] = "private, no-cache"
    response.last_modified = changed
    response.add_etag()
    response.make_conditional(request)
    return response


PAUSES = (1, 1, 2, 2, 3, 3, 5, 5, 5, 10, 10, 20, 30)  # seconds between looks, ever slower while nothing comes


@blueprint.get("/integrations/inspector")
def inspector() -> str:
    host = current_host()
    if db.session().get(Inspector, host.id) is None:
        with transaction() as session:
            service.ensure_inspector(session, host.id)
    found = db.session().get_one(Inspector, host.id)
    return _page(found, {name: getattr(found, name) for name in (*service.RANGES, "body")}, {})


def _page(found: Inspector, chosen: Mapping[str, object], errors: Mapping[str, str]) -> str:
    return render_template(
        "integrations/inspector.html",
        inspector=found,
        chosen=chosen,
        errors=errors,
        url=service.inspector_url(found),
        listening=service.leading_to(db.session(), found),
        **_requests(0, 0),
    )


def _requests(after: int, look: int) -> dict[str, object]:
    wanted = _read_filter()
    requests = service.received(db.session(), current_host().id, wanted, after)
    return {
        "wanted": wanted,
        "requests": requests,
        "after": after,
        "newest": requests[0].id if requests else after,
        "look": look,
        "pause": PAUSES[min(look, len(PAUSES) - 1)],
        "words": formatting,
        "zone": current_host().time_zone,
        "Trigger": Trigger,
        "label_of": label_of,
        "metadata_in": service.metadata_in,
        "details_of": _details,
    }


def _read_filter() -> RequestFilter:
    """Read the filter of an address; what cannot be read lets everything through."""
    given = request.args
    trigger, result, signature = (given.get(name, "") for name in ("trigger", "result", "signature"))
    return RequestFilter(
        trigger=trigger if trigger in {str(one) for one in Trigger} else "",
        result=result if result in {"ok", "failed"} else "",
        signature=signature if signature in {"good", "bad", "none"} else "",
        text=given.get("text", "").strip()[:200],
    )


def _details(found: InspectorRequest) -> dict[str, object]:
    """Return what is shown of a request, bounded also where an earlier version has kept all of it."""
    body, headers = service.pretty(found.body), []
    left = INSPECTED_HEADER_BYTES + 100  # the line that says what was not kept
    for name, value in found.headers:
        left -= len(name.encode()) + len(value.encode())
        if left >= 0:
            headers.append((name, value))
    shown = min(found.full_size, INSPECTED_BODY_BYTES)
    copied = found.body if len(escape(found.body).encode()) <= COPIED_BYTES else None
    return {"headers": headers, "body": body, "shown": shown, "size": found.full_size, "copied": copied}


@blueprint.get("/integrations/inspector/requests/<int:request_id>")
def inspector_request(request_id: int) -> str:
    """Show a request's headers and body: within its line of the list, or on a page of its own."""
    found = service.request_of(db.session(), current_host().id, request_id)
    name = "_request_details" if is_htmx() else "request"
    shown = {"label_of": label_of, "words": formatting, "zone": current_host().time_zone}
    return render_template(f"integrations/{name}.html", request=found, details=_details(found), **shown)


@blueprint.get("/integrations/inspector/requests")
def inspector_requests() -> Response:
    """Show the requests after a given one; while there are none, the page looks ever more slowly."""
    if not is_htmx():
        return redirect_to(url_for(".inspector"))
    after = whole_number(request.args.get("after", "")) or 0
    look = whole_number(request.args.get("look", ""), digits=3) or 0
    found = _requests(after, look + 1)
    if found["requests"]:
        found |= {"look": 0, "pause": PAUSES[0]}
    inspector = db.session().get(Inspector, current_host().id)
    return make_response(
        render_template("integrations/_inspector_news.html", first=after == 0, inspector=inspector, **found)
    )


@blueprint.post("/integrations/inspector")
def set_inspector() -> Response:
    """Set how the inspector responds from now on."""
    typed = {name: request.form.get(name, "").strip() for name in service.RANGES}
    typed["body"] = clean(request.form.get("body", ""))
    errors, values = {}, {}
    for name, (least, most, default) in service.RANGES.items():
        number = whole_number(typed[name]) if typed[name] else default
        if typed[name] and (number is None or not least <= number <= most):
            errors[name] = f"Please enter a whole number from {least:,} to {most:,}."
        values[name] = number
    if len(typed["body"]) > service.MOST_BODY:
        errors["body"] = f"Please enter up to {service.MOST_BODY:,} characters."
    with transaction() as session:
        found = service.ensure_inspector(session, current_host().id)
        if not errors:
            for name, value in (*values.items(), ("body", typed["body"])):
                setattr(found, name, value)
    if errors:
        return make_response(_page(found, typed, errors), 422)
    return redirect_to(url_for(".inspector"), "Saved.")


@blueprint.post("/integrations/inspector/clear")
def clear_inspector() -> Response:
    """Delete all requests that the inspector has received."""
    with transaction() as session:
        session.execute(delete(InspectorRequest).where(InspectorRequest.user_id == current_host().id))
    return redirect_to(url_for(".inspector"), "Cleared.")
