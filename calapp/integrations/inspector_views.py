"""The built-in inspector: what it got, newest first, and how it answers."""

from collections.abc import Mapping

from flask import Response, make_response, render_template, request, url_for

from calapp.accounts.guards import current_host
from calapp.db import db, transaction
from calapp.deliveries import words
from calapp.htmx import is_htmx, redirect_to
from calapp.integrations import service
from calapp.integrations.blueprint import blueprint
from calapp.integrations.models import Inspector
from calapp.webhooks.triggers import Trigger

PAUSES = (1, 1, 2, 2, 3, 3, 5, 5, 5, 10, 10, 20, 30)  # seconds between looks, ever slower while nothing comes


def _number(text: str | None, otherwise: int = 0) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else otherwise


@blueprint.get("/integrations/inspector")
def inspector() -> str:
    """Show what the inspector got."""
    host = current_host()
    if db.session().get(Inspector, host.id) is None:
        with transaction() as session:
            service.inspector_for(session, host.id)
    found = service.inspector_for(db.session(), host.id)
    return _page(found, {"fail_next": found.fail_next, "delay_seconds": found.delay_seconds}, {})


def _page(found: Inspector, answers: Mapping[str, object], errors: Mapping[str, str]) -> str:
    return render_template(
        "integrations/inspector.html",
        inspector=found,
        answers=answers,
        errors=errors,
        url=service.inspector_url(found),
        listening=service.leading_to(db.session(), found),
        **_requests(0, 0),
    )


def _requests(after: int, look: int) -> dict[str, object]:
    requests = service.received(db.session(), current_host().id, after)
    return {
        "requests": requests,
        "after": after,
        "newest": requests[0].id if requests else after,
        "look": look,
        "pause": PAUSES[min(look, len(PAUSES) - 1)],
        "words": words,
        "zone": current_host().time_zone,
        "Trigger": Trigger,
        "metadata_in": service.metadata_in,
    }


@blueprint.get("/integrations/inspector/requests")
def inspector_requests() -> Response:
    """Show what came after a request; while nothing comes the page looks ever more slowly."""
    if not is_htmx():
        return redirect_to(url_for(".inspector"))
    after, look = _number(request.args.get("after")), min(_number(request.args.get("look")), 1000)
    found = _requests(after, look + 1)
    if found["requests"]:
        found |= {"look": 0, "pause": PAUSES[0]}
    inspector = db.session().get(Inspector, current_host().id)
    return make_response(
        render_template("integrations/_inspector_news.html", first=after == 0, inspector=inspector, **found)
    )


@blueprint.post("/integrations/inspector")
def set_inspector() -> Response:
    """Say how the inspector answers from now on."""
    typed = {name: request.form.get(name, "").strip() for name in service.HIGHEST}
    errors = {name: problem for name, text in typed.items() if (problem := _problem(name, text))}
    with transaction() as session:
        found = service.inspector_for(session, current_host().id)
        if not errors:
            service.set_answers(found, **{name: _number(text) for name, text in typed.items()})
    if errors:
        return make_response(_page(found, typed, errors), 422)
    return redirect_to(url_for(".inspector"), "Saved.")


def _problem(name: str, text: str) -> str:
    highest = service.HIGHEST[name]
    good = not text or _number(text, highest + 1) <= highest
    return "" if good else f"Please give a whole number from 0 to {highest:,}."


@blueprint.post("/integrations/inspector/clear")
def clear_inspector() -> Response:
    """Forget what the inspector got."""
    with transaction() as session:
        service.clear_received(session, current_host().id)
    return redirect_to(url_for(".inspector"), "Cleared.")
