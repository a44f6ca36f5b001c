"""The host's pages of event types."""

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue

from calapp.accounts.guards import current_host, require_host
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid
from calapp.event_types import editor, service
from calapp.event_types.editor import Editor
from calapp.event_types.forms import checked
from calapp.event_types.guards import own_event_type
from calapp.event_types.models import EventType
from calapp.htmx import page_or_fragment, redirect_to

blueprint = Blueprint("event_types", __name__)
blueprint.before_request(require_host)

LIST = "/event-types"


@blueprint.get("/event-types")
def index() -> Response:
    """List the host's event types."""
    host = current_host()
    found = service.of_user(db.session(), host.id)
    page = render_template(
        "event_types/index.html", host=host, event_types=found, base_url=settings().base_url
    )
    return make_response(page)


@blueprint.get("/event-types/new")
def new() -> Response:
    """Show the form of a new event type."""
    return _form(editor.empty())


@blueprint.post("/event-types/new")
def create() -> ResponseReturnValue:
    """Make an event type; the form comes back with the words at the fields."""
    shown = editor.of_form(request.form)
    if editor.only_rows(request.form):
        return _form(shown)
    try:
        wanted = checked(shown.values, shown.questions)
        with transaction() as session:
            service.create(session, current_host().id, wanted)
    except (Invalid, Conflict) as error:
        return _problems(shown, error), 422
    return redirect_to(LIST, "Event type saved.")


@blueprint.get("/event-types/<int:event_type_id>")
def edit(event_type_id: int) -> Response:
    """Show the form of a saved event type."""
    event_type = own_event_type(event_type_id)
    return _form(editor.of_event_type(event_type), event_type)


@blueprint.post("/event-types/<int:event_type_id>")
def update(event_type_id: int) -> ResponseReturnValue:
    """Change an event type."""
    event_type = own_event_type(event_type_id)
    shown = editor.of_form(request.form)
    if editor.only_rows(request.form):
        return _form(shown, event_type)
    try:
        wanted = checked(shown.values, shown.questions)
        with transaction() as session:
            service.update(session, event_type, wanted)
    except (Invalid, Conflict) as error:
        return _problems(shown, error, event_type), 422
    return redirect_to(LIST, "Event type saved.")


@blueprint.get("/event-types/<int:event_type_id>/delete")
def ask_delete(event_type_id: int) -> Response:
    """Ask before an event type is deleted."""
    event_type = own_event_type(event_type_id)
    return page_or_fragment("event_types/delete.html", "event_types/_delete.html", event_type=event_type)


@blueprint.post("/event-types/<int:event_type_id>/delete")
def delete(event_type_id: int) -> ResponseReturnValue:
    """Delete an event type; its bookings stay."""
    event_type = own_event_type(event_type_id)
    with transaction():
        service.delete(event_type)
    return redirect_to(LIST, "Event type deleted.")


@blueprint.post("/event-types/<int:event_type_id>/hide")
def hide(event_type_id: int) -> ResponseReturnValue:
    """Hide an event type from the host's page, or show it there."""
    event_type = own_event_type(event_type_id)
    with transaction():
        service.show(event_type, hidden=request.form.get("hidden") == "1")
    return redirect_to(LIST)


@blueprint.post("/event-types/<int:event_type_id>/move")
def move(event_type_id: int) -> ResponseReturnValue:
    """Move an event type one place up or down."""
    event_type = own_event_type(event_type_id)
    with transaction() as session:
        service.move(session, event_type, up=request.form.get("up") == "1")
    return redirect_to(LIST)


def _form(shown: Editor, event_type: EventType | None = None) -> Response:
    page = render_template(
        "event_types/edit.html",
        form=shown,
        event_type=event_type,
        host=current_host(),
        base_url=settings().base_url,
    )
    return make_response(page)


def _problems(shown: Editor, error: Invalid | Conflict, event_type: EventType | None = None) -> Response:
    shown.errors = error.details
    return _form(shown, event_type)
