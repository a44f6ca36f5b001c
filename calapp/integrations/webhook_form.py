"""The webhook box: what is saved or typed, and what its buttons do; and the switch of a webhook."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from calapp.accounts.guards import current_host, require_host
from calapp.addresses import trimmed
from calapp.config import settings
from calapp.db import db, transaction
from calapp.deliveries import log as deliveries
from calapp.deliveries import resend, signing
from calapp.deliveries.formatting import pretty
from calapp.deliveries.models import State
from calapp.deliveries.outbox import encoded
from calapp.error_pages import ErrorResponse, respond
from calapp.errors import AppError, Busy, Conflict, Invalid, NotFound, WebhookDeleted
from calapp.event_types.service import of_user as event_types_of
from calapp.htmx import is_htmx, named_by, page_or_fragment, redirect_to, toast
from calapp.integrations import service
from calapp.integrations.ping import Pinged, saved_target, send_ping, typed_target
from calapp.integrations.samples import (
    Preview,
    Sample,
    last_booking,
    ping_envelope,
    preview_of,
    sample_envelope,
    variables_of,
)
from calapp.integrations.views import list_response, webhooks_html
from calapp.rest.schemas import from_form
from calapp.text import whole_number
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import (
    DEFAULT,
    SUBSCRIBABLE,
    OffReason,
    ParkedDecision,
    Webhook,
    label_of,
    overlap_until,
)
from calapp.webhooks.schemas import MOST_OVERLAP, WebhookForm
from calapp.webhooks.service import own_webhook

blueprint = Blueprint("webhook_form", __name__)
blueprint.before_request(require_host)

MAX_ROWS = 30  # header rows that are read at all
TRUE = frozenset(("1", "on", "true", "yes"))
# For how many seconds an old secret signs beside a new one, and how that is said.
SECRET_OVERLAPS = ((MOST_OVERLAP, "24 hours"), (3600, "1 hour"), (0, "not at all"))

# Chat services take only messages in their own form.
OFFERS = {
    "Discord": (
        ("discord.com", "discordapp.com"),
        '{\n  "content": "{{triggerEvent}}: {{title}}, {{startTime}}"\n}',
    ),
    "Slack": (("hooks.slack.com",), '{\n  "text": "{{triggerEvent}}: {{title}}, {{startTime}}"\n}'),
}


@dataclass(frozen=True)
class HeaderRow:
    """A row of the custom headers; a saved value is not in it."""

    name: str
    value: str
    saved: bool


@dataclass(frozen=True, kw_only=True)
class Box:
    """The box: its fields as they are shown, by the names of the form, and what is beside them."""

    fields: Mapping[str, Any]
    webhook_id: int | None = None
    focus: str = ""  # the id of the control that gets the focus
    note: str = ""
    errors: Mapping[str, Any] = field(default_factory=dict)
    ping: Pinged | None = None
    sample: Sample = Sample.INVENTED


def saved_fields(webhook: Webhook | None) -> dict[str, Any]:
    """Return the fields of the box as they are saved, without what is secret; or those of a new webhook."""
    beside = {
        "secret": "",
        "secret_overlap_seconds": MOST_OVERLAP,
        "remove_secret": False,
        "headers": [HeaderRow(name, "", saved=True) for name in webhook.header_names] if webhook else [],
        "custom": webhook is not None and webhook.payload_template is not None,
        "version": "",
    }
    new = {"subscriber_url": "", "triggers": DEFAULT}
    plain = {
        name: getattr(webhook, name) if webhook else new.get(name, one.default)
        for name, one in WebhookForm.model_fields.items()
        if name not in beside
    }
    return {name: "" if value is None else value for name, value in plain.items()} | beside


def typed_fields(form: MultiDict[str, str], webhook: Webhook | None) -> dict[str, Any]:
    """Return the fields of the box as they were typed."""
    saved = {name.lower() for name in webhook.header_names} if webhook else set()
    names, values = form.getlist("header_name")[:MAX_ROWS], form.getlist("header_value")[:MAX_ROWS]
    rows = [(trimmed(name), trimmed(value)) for name, value in zip_longest(names, values, fillvalue="")]
    switches = form.getlist("active")
    template = form.get("payload_template", "").replace("\r\n", "\n")
    return {name: trimmed(form.get(name, "")) for name in WebhookForm.model_fields} | {
        "triggers": list(dict.fromkeys(form.getlist("triggers"))),
        # A box that is not ticked sends nothing, so the form sends a 0 before it; a client that sends
        # neither wants what a new webhook has.
        "active": switches[-1].lower() in TRUE if switches else True,
        "headers": [HeaderRow(name, value, name.lower() in saved) for name, value in rows],
        "payload_template": template,
        "custom": form.get("payload", "custom" if template.strip() else "default") == "custom",
        "remove_secret": "remove_secret" in form,
    }


def checked(fields: Mapping[str, Any], webhook: Webhook | None) -> tuple[WebhookForm, str | None]:
    """Return what was typed as it is to be saved, and a warning about its address.

    Looks the host's name up, with no transaction open. Raises Invalid naming each bad field.
    """
    given = {name: fields[name] for name in WebhookForm.model_fields} | {
        "payload_template": fields["payload_template"].strip() if fields["custom"] else "",
        "secret_overlap_seconds": fields["secret_overlap_seconds"] if fields["secret"] else "",
        "headers": [
            {"name": row.name, "value": row.value or (None if row.saved else "")}
            for row in fields["headers"]
            if row.name or row.value
        ],
    }
    body = from_form(WebhookForm, given, context={"saved_triggers": webhook.triggers if webhook else ()})
    if fields["remove_secret"] and not fields["secret"]:
        body.secret = ""
    found = webhooks.checked_url(body.subscriber_url)
    body.subscriber_url = found.url
    return body, found.warning


def acted(box: Box, action: str) -> Box:
    """Do what a button of the box does besides saving; the other fields stay as they were typed."""
    fields, rows = dict(box.fields), box.fields["headers"]
    if action == "generate":
        fields |= {"secret": signing.new_secret(), "remove_secret": False}
        return replace(box, fields=fields, focus="field-secret")
    if action == "add-header":
        fields["headers"] = [*rows, HeaderRow("", "", saved=False)]
        return replace(box, fields=fields, focus=f"header-name-{len(rows) + 1}")
    if action.startswith("remove-header-"):
        number = action.removeprefix("remove-header-")
        fields["headers"] = [row for index, row in enumerate(rows, 1) if str(index) != number]
        return replace(box, fields=fields, focus="add-header")
    if action == "offer" and (name := offer_for(fields["subscriber_url"])):
        fields |= {"custom": True, "payload_template": OFFERS[name][1]}
        return replace(box, fields=fields, focus="field-payload_template")
    return box


def offer_for(url: str) -> str:
    """Return the chat service that a URL belongs to, or nothing."""
    try:
        host = (urlsplit(trimmed(url)).hostname or "").lower()
    except ValueError:
        return ""
    for name, (domains, _) in OFFERS.items():
        if any(host == domain or host.endswith(f".{domain}") for domain in domains):
            return name
    return ""


def box_page(box: Box, status: int = 200) -> Response:
    """Show the box: as a fragment for the dialog, else as a page."""
    webhook = own_webhook(box.webhook_id) if box.webhook_id else None
    choices = event_types_of(db.session(), current_host().id)
    scopes = [("", "All event types"), *((one.id, one.title) for one in choices)]
    if webhook and webhook.event_type and webhook.event_type not in choices:
        scopes.append((webhook.event_type.id, f"{webhook.event_type.title} (deleted)"))
    triggers = dict.fromkeys((*map(str, SUBSCRIBABLE), *(webhook.triggers if webhook else ())))
    sample, last = _sample(), _last()
    response = page_or_fragment(
        "integrations/box.html",
        "integrations/_box.html",
        box=box,
        fields=box.fields,
        webhook=webhook,
        overlap=webhook is not None and overlap_until(webhook) is not None,
        triggers=[(name, label_of(name)) for name in triggers],
        event_type_choices=scopes,
        overlaps=SECRET_OVERLAPS,
        offer="" if box.fields["custom"] else offer_for(box.fields["subscriber_url"]),
        variables=variables_of(sample),
        default_payload=pretty(encoded(sample)),
        last=last,
        **_previews(box.fields["payload_template"], last),
    )
    response.status_code = status
    return response


def _sample() -> dict[str, object]:
    return sample_envelope(current_host(), settings().base_url, "BOOKING_CREATED")


def _with_errors(box: Box, error: AppError) -> Response:
    errors = error.details or {"subscriber_url": error.message}
    return box_page(replace(box, errors=errors), 409 if isinstance(error, Conflict) else 422)


def _saved_words(words: str, warning: str | None) -> str:
    """Return a toast, which never repeats a URL."""
    return f"{words}, but its host name does not resolve at the moment." if warning else f"{words}."


WEBHOOK = "/integrations/webhooks/<int:webhook_id>"


@blueprint.get("/integrations/webhooks/new")
def new_webhook() -> Response:
    """Show an empty box."""
    return box_page(Box(fields=saved_fields(None), focus="field-subscriber_url"))


@blueprint.post("/integrations/webhooks/new")
def create_webhook() -> Response:
    """Make a webhook, or do what another button of the box says."""
    box = Box(fields=typed_fields(request.form, None))
    action = request.form.get("action", "save")
    if action != "save":
        return box_page(acted(box, action))
    try:
        body, warning = checked(box.fields, None)
        with transaction() as session:
            webhooks.create(session, current_host().id, body, event_type_id=body.event_type_id)
    except (Invalid, Conflict) as error:
        return _with_errors(box, error)
    return list_response(_saved_words("Webhook created", warning))


@blueprint.post("/integrations/webhooks/inspector")
def create_inspector_webhook() -> Response:
    """Make a webhook that leads to the built-in inspector."""
    with transaction() as session:
        service.add_inspector_webhook(session, current_host().id)
    words = "The inspector is listening. Book a meeting and watch the event arrive."
    return redirect_to(url_for("inspector.inspector"), words)


@blueprint.errorhandler(WebhookDeleted)
def show_fresh_list(error: WebhookDeleted) -> Response:
    """Say that a webhook is gone, deleted in another tab, say, and show those that there are."""
    if is_htmx():
        return list_response(error.message)
    return make_response(respond(ErrorResponse(status=404, code=error.code, message=error.message)))


@blueprint.get(f"{WEBHOOK}/edit")
def edit_webhook(webhook_id: int) -> Response:
    """Show the box filled in."""
    fields = saved_fields(own_webhook(webhook_id))
    return box_page(Box(fields=fields, webhook_id=webhook_id, focus="field-subscriber_url"))


@blueprint.post(f"{WEBHOOK}/edit")
def update_webhook(webhook_id: int) -> Response:
    """Change a webhook, or do what another button of the box says."""
    webhook = own_webhook(webhook_id)
    box = Box(fields=typed_fields(request.form, webhook), webhook_id=webhook_id)
    action = request.form.get("action", "save")
    if action == "only-new-secret":
        with transaction() as session:
            webhook = own_webhook(webhook_id)
            before = webhooks.noted(webhook)
            webhooks.use_only_new_secret(webhook)
            webhooks.note_change(session, webhook, before)
        return box_page(replace(box, note="Only the new secret is used from now on.", focus="box-note"))
    if action != "save":
        return box_page(acted(box, action))
    try:
        body, warning = checked(box.fields, webhook)
        with transaction() as session:
            webhooks.update(session, own_webhook(webhook_id), body, body.event_type_id)
    except (Invalid, Conflict) as error:
        return _with_errors(box, error)
    return list_response(_saved_words("Webhook saved", warning), focus=f"edit-{webhook_id}")


@blueprint.get(f"{WEBHOOK}/delete")
def ask_delete(webhook_id: int) -> Response:
    """Ask before a webhook is deleted, and say what is lost."""
    webhook, session = own_webhook(webhook_id), db.session()
    lost = sum(
        deliveries.counts(session, [webhook.id], state).get(webhook.id, 0)
        for state in (State.WAITING, State.PARKED)
    )
    return page_or_fragment(
        "integrations/delete.html",
        "integrations/_delete.html",
        webhook=webhook,
        lost=lost,
        kept_days=settings().retention_days,
    )


@blueprint.post(f"{WEBHOOK}/delete")
def delete_webhook(webhook_id: int) -> Response:
    """Delete a webhook."""
    with transaction():
        webhooks.delete(own_webhook(webhook_id))
    return list_response("Webhook deleted.")


@blueprint.post(f"{WEBHOOK}/toggle")
def toggle_webhook(webhook_id: int) -> Response:
    """Switch a webhook on or off; `active` says which, so that a second click changes nothing."""
    wanted = request.form.get("active")
    with transaction():
        webhook = own_webhook(webhook_id)
        on = not webhook.active if wanted is None else wanted.lower() in TRUE
        if on:
            webhooks.switch_on(webhook)
        elif webhook.active:
            webhooks.switch_off(webhook, OffReason.HOST)
    ask = on and webhook.parked_decision is None and _parked(webhook_id) > 0
    if ask and not is_htmx():
        return redirect_to(url_for(".ask_parked", webhook_id=webhook_id))
    words = (
        "Webhook switched on."
        if on
        else "Webhook switched off. Its events are parked until you switch it on."
    )
    if not is_htmx():
        home, left = url_for("integrations.index"), named_by("Referer")
        query = f"?{left.query}" if left.query and left.path == home else ""  # the list as it was shown
        return redirect_to(f"{home}{query}#webhooks", words)
    return toast(Response(webhooks_html(ask_parked=webhook_id if ask else None)), words)


@blueprint.get(f"{WEBHOOK}/toggle")
@blueprint.get(f"{WEBHOOK}/parked")
def ask_parked(webhook_id: int) -> Response:
    """Ask what becomes of the events that were parked while a webhook was off."""
    webhook = own_webhook(webhook_id)
    return page_or_fragment(
        "integrations/parked.html", "integrations/_parked.html", webhook=webhook, parked=_parked(webhook_id)
    )


@blueprint.post(f"{WEBHOOK}/parked")
def decide_parked(webhook_id: int) -> Response:
    """Send what is parked, in order, or discard it; after the first step the worker continues."""
    total = _parked(webhook_id)
    choice = resend.read_choice(request.form.get("parked", ""))
    with transaction() as session:
        resend.decide(session, own_webhook(webhook_id), choice)
    with transaction() as session:
        taken = resend.continue_decision(session, webhook_id)
    return list_response(_decided_words(choice, taken, total), focus=f"switch-{webhook_id}")


def _parked(webhook_id: int) -> int:
    webhook_id = own_webhook(webhook_id).id
    return deliveries.counts(db.session(), [webhook_id], State.PARKED).get(webhook_id, 0)


def _decided_words(choice: ParkedDecision | None, taken: int, total: int) -> str:
    if choice is None:
        return "Stopped. The remaining events stay parked."
    if not total:
        return "There are no parked events."
    done = "queued" if choice == ParkedDecision.RELEASE else "discarded"
    if taken >= total:
        return f"1 event {done}." if taken == 1 else f"{taken:,} events {done}."
    return f"{taken:,} events {done}, {total - taken:,} to go."


@blueprint.post(f"{WEBHOOK}/ping")
def ping_webhook(webhook_id: int) -> Response:
    """Send a ping to a webhook as it is saved."""
    webhook, sample = own_webhook(webhook_id), read_sample(request.form)
    url, target = webhook.subscriber_url, saved_target(webhook)
    envelope = ping_envelope(db.session(), current_host(), settings().base_url, sample)
    has_last = last_booking(db.session(), current_host().id) is not None
    db.session().rollback()  # nothing may stay open while the network is awaited
    result = send_ping(target, envelope)
    return page_or_fragment(
        "integrations/pinged.html",
        "integrations/_pinged.html",
        url=url,
        result=result,
        webhook_id=webhook_id,
        sample=sample,
        has_last=has_last,
        title=str(envelope["payload"].get("title", "")),
    )


def read_sample(form: Mapping[str, str]) -> Sample:
    """Read which booking a ping carries: the invented one, unless the last is asked for."""
    last = form.get("sample") == Sample.LAST_BOOKING
    return Sample.LAST_BOOKING if last else Sample.INVENTED


@blueprint.post("/integrations/webhooks/ping")
def ping_box() -> Response:
    """Send a ping with what is in the box, saved or not."""
    number = whole_number(request.form.get("webhook_id", ""))
    webhook = own_webhook(number) if number is not None else None
    box = Box(fields=typed_fields(request.form, webhook), webhook_id=number)
    # A ping needs no triggers and no scope.
    draft = dict(box.fields) | {"event_type_id": ""}
    draft["triggers"] = draft["triggers"] or list(DEFAULT)
    box = replace(box, sample=read_sample(request.form))
    try:
        envelope = ping_envelope(db.session(), current_host(), settings().base_url, box.sample)
        body, _ = checked(draft, webhook)
        target = typed_target(body, webhook)
        db.session().rollback()  # nothing may stay open while the network is awaited
        result = send_ping(target, envelope)
    except (Invalid, Conflict, Busy) as error:
        return _with_errors(box, error)
    return box_page(replace(box, ping=result, focus="ping-result"))


@blueprint.post("/integrations/webhooks/preview")
def preview() -> Response:
    """Show what a custom payload makes of a sample event."""
    text = request.form.get("payload_template", "").replace("\r\n", "\n")
    if not is_htmx():
        raise NotFound
    return Response(render_template("integrations/_preview.html", **_previews(text, _last())))


def _last() -> dict[str, Any] | None:
    return last_booking(db.session(), current_host().id)


def _previews(text: str, last: Mapping[str, Any] | None) -> dict[str, Preview | None]:
    """Return what a template makes of a sample event and, beside it, of the host's last booking."""
    return {
        "preview": preview_of(text, _sample()) if text else None,
        "last_preview": preview_of(text, last) if text and last else None,
    }


@blueprint.post("/integrations/webhooks/offer")
def offer() -> Response:
    """Offer the payload that fits the URL, for chat services."""
    if not is_htmx():
        raise NotFound
    custom = request.form.get("payload") == "custom"
    name = "" if custom else offer_for(request.form.get("subscriber_url", ""))
    return Response(render_template("integrations/_offer.html", offer=name))
