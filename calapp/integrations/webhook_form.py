"""The webhook box: its fields as they were typed, what is saved, and the value that both make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from calapp.accounts.guards import current_host, require_host
from calapp.addresses import AddressGuard
from calapp.clock import now
from calapp.config import settings
from calapp.db import db, transaction
from calapp.deliveries import log as deliveries
from calapp.deliveries import resend, signing
from calapp.deliveries.formatting import pretty
from calapp.deliveries.models import State
from calapp.deliveries.outbox import encoded
from calapp.deliveries.signing import valid_secrets
from calapp.errors import AppError, Busy, Conflict, Invalid, NotFound
from calapp.event_types.service import of_user as event_types_of
from calapp.htmx import is_htmx, page_or_fragment, redirect_to, toast
from calapp.integrations import service
from calapp.integrations.ping import PingResult, PingTarget, saved_target, send_ping
from calapp.integrations.samples import preview_of, sample_envelope, variables_of
from calapp.integrations.views import list_address, list_response, webhooks_html
from calapp.text import whole_number
from calapp.urls import trimmed
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import SECRET_OVERLAP, OffReason, Settling, Webhook, overlap_until
from calapp.webhooks.schemas import HIDDEN, Header, WebhookInput, checked
from calapp.webhooks.service import merged_headers, own_webhook
from calapp.webhooks.triggers import DEFAULT, SUBSCRIBABLE, label_of

blueprint = Blueprint("webhook_form", __name__)
blueprint.before_request(require_host)

MAX_ROWS = 30  # header rows that are read at all
TRUE = frozenset(("1", "on", "true", "yes"))
# For how many seconds an old secret signs beside a new one, and how that is said.
SECRET_OVERLAPS = ((round(SECRET_OVERLAP.total_seconds()), "24 hours"), (3600, "1 hour"), (0, "not at all"))
NO_EVENT_TYPE = -1  # what cannot be read as an id is nobody's event type

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
    """A row of the host's custom headers; a saved value is not in it."""

    name: str
    value: str
    saved: bool


@dataclass(frozen=True, kw_only=True)
class Box:
    """What stands in the box, and beside its fields."""

    webhook_id: int | None = None
    subscriber_url: str = ""
    triggers: tuple[str, ...] = tuple(DEFAULT)
    active: bool = True
    secret: str = ""
    secret_overlap: str = str(SECRET_OVERLAPS[0][0])
    remove_secret: bool = False
    event_type_id: str = ""
    headers: tuple[HeaderRow, ...] = ()
    custom: bool = False
    payload_template: str = ""
    has_secret: bool = False
    overlap: bool = False  # the former secret is still valid
    action: str = "save"
    focus: str = ""  # the id of the control that gets the focus
    note: str = ""
    errors: Mapping[str, Any] = field(default_factory=dict)
    ping: PingResult | None = None

    def wanted(self) -> WebhookInput:
        """Return the webhook as it is to be saved, not yet checked."""
        secret: str | None = self.secret
        if self.has_secret and not self.secret:
            secret = "" if self.remove_secret else None
        return WebhookInput(
            subscriber_url=self.subscriber_url,
            triggers=self.triggers,
            active=self.active,
            event_type_id=_event_type_id(self.event_type_id),
            secret=secret,
            secret_overlap=self._overlap_seconds() if secret else None,
            payload_template=self.payload_template.strip() or None if self.custom else None,
            headers=tuple(_header(row) for row in self.headers if row.name or row.value),
        )

    def _overlap_seconds(self) -> int:
        known = {str(seconds): seconds for seconds, _ in SECRET_OVERLAPS}
        return known.get(self.secret_overlap, SECRET_OVERLAPS[0][0])

    @property
    def offer(self) -> str:
        """The chat service whose payload fits the URL, unless a payload of one's own is in use."""
        return "" if self.custom else offer_for(self.subscriber_url)


def offer_for(url: str) -> str:
    """Return the chat service that a URL belongs to, or nothing."""
    try:
        host = (urlsplit(trimmed(url)).hostname or "").lower()
    except ValueError:
        return ""
    names = (name for name, (hosts, _) in OFFERS.items() if any(_within(host, one) for one in hosts))
    return next(names, "")


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _header(row: HeaderRow) -> Header:
    kept = row.saved and row.value in {"", HIDDEN}
    return row.name, None if kept else row.value


def _event_type_id(text: str) -> int | None:
    if not text:
        return None
    number = whole_number(text, digits=9)
    return NO_EVENT_TYPE if number is None else number


def box_of(webhook: Webhook) -> Box:
    """Fill the box with what is saved."""
    return Box(
        webhook_id=webhook.id,
        subscriber_url=webhook.subscriber_url,
        triggers=tuple(webhook.triggers),
        active=webhook.active,
        event_type_id=str(webhook.event_type_id or ""),
        headers=tuple(HeaderRow(name, "", saved=True) for name in webhook.header_names),
        custom=webhook.payload_template is not None,
        payload_template=webhook.payload_template or "",
        has_secret=webhook.has_secret,
        overlap=overlap_until(webhook) is not None,
    )


def read_box(form: MultiDict[str, str], webhook: Webhook | None) -> Box:
    """Fill the box with what was typed."""
    switches = form.getlist("active")
    template = form.get("payload_template", "")
    return Box(
        webhook_id=webhook.id if webhook else None,
        subscriber_url=trimmed(form.get("subscriber_url", "")),
        triggers=tuple(dict.fromkeys(form.getlist("triggers"))),
        # A box that is not ticked sends nothing, so the form sends a 0 before it; a client that sends
        # neither wants what a new webhook has.
        active=switches[-1].lower() in TRUE if switches else True,
        secret=trimmed(form.get("secret", "")),
        secret_overlap=form.get("secret_overlap_seconds", Box.secret_overlap),
        remove_secret="remove_secret" in form,
        event_type_id=form.get("event_type_id", "").strip(),
        headers=_rows(form, webhook),
        custom=form.get("payload", "custom" if template.strip() else "default") == "custom",
        payload_template=template.replace("\r\n", "\n"),
        has_secret=bool(webhook and webhook.has_secret),
        overlap=bool(webhook and overlap_until(webhook)),
        action=form.get("action", "save"),
    )


def _rows(form: MultiDict[str, str], webhook: Webhook | None) -> tuple[HeaderRow, ...]:
    saved = {name.lower() for name in webhook.header_names} if webhook else set()
    pairs = zip_longest(
        form.getlist("header_name")[:MAX_ROWS], form.getlist("header_value")[:MAX_ROWS], fillvalue=""
    )
    return tuple(
        HeaderRow(trimmed(name), trimmed(value), trimmed(name).lower() in saved) for name, value in pairs
    )


def acted(box: Box) -> Box:
    """Do what a button of the box does besides saving; the other fields stay as they were typed."""
    if box.action == "generate":
        return replace(box, secret=signing.new_secret(), remove_secret=False, focus="field-secret")
    if box.action == "add-header":
        rows = (*box.headers, HeaderRow("", "", saved=False))
        return replace(box, headers=rows, focus=f"header-name-{len(rows)}")
    if box.action.startswith("remove-header-"):
        number = box.action.removeprefix("remove-header-")
        rows = tuple(row for index, row in enumerate(box.headers, 1) if str(index) != number)
        return replace(box, headers=rows, focus="add-header")
    if box.action == "offer" and (name := offer_for(box.subscriber_url)):
        return replace(box, custom=True, payload_template=OFFERS[name][1], focus="field-payload_template")
    return box


def target_of(wanted: WebhookInput, webhook: Webhook | None) -> PingTarget:
    """Return where a ping goes: what was typed, with what is saved where a field was left as it is."""
    saved = webhook.sealed_headers if webhook else []
    secrets = [wanted.secret] if wanted.secret else []
    if wanted.secret is None and webhook:
        secrets = valid_secrets(webhook, now())
    headers: Sequence[Sequence[str]] = merged_headers(saved, wanted.headers)
    return PingTarget(wanted.subscriber_url, secrets, headers, wanted.payload_template)


WEBHOOK = "/integrations/webhooks/<int:webhook_id>"


def box_page(box: Box, status: int = 200) -> Response:
    """Show the box: as a fragment for the dialog, else as a page."""
    sample = _sample()
    response = page_or_fragment(
        "integrations/box.html",
        "integrations/_box.html",
        box=box,
        triggers=_triggers(box),
        event_type_choices=_scopes(box),
        overlaps=SECRET_OVERLAPS,
        variables=variables_of(sample),
        default_payload=pretty(encoded(sample)),
        preview=preview_of(box.payload_template, sample) if box.payload_template else None,
    )
    response.status_code = status
    return response


def _triggers(box: Box) -> list[tuple[str, str]]:
    """Return the triggers to choose from with their labels; a saved one that is no longer offered stays."""
    saved = own_webhook(box.webhook_id).triggers if box.webhook_id else []
    return [(name, label_of(name)) for name in dict.fromkeys((*map(str, SUBSCRIBABLE), *saved))]


def _scopes(box: Box) -> list[tuple[int | str, str]]:
    """Return the event types to choose from; one that was deleted stays the choice of a webhook of it."""
    found = event_types_of(db.session(), current_host().id)
    saved = own_webhook(box.webhook_id).event_type if box.webhook_id else None
    gone = [(saved.id, f"{saved.title} (deleted)")] if saved is not None and saved not in found else []
    return [("", "All event types"), *((one.id, one.title) for one in found), *gone]


def _sample() -> dict[str, object]:
    return sample_envelope(current_host(), settings().base_url, "BOOKING_CREATED")


def _checked(wanted: WebhookInput, webhook_id: int | None = None) -> WebhookInput:
    saved = own_webhook(webhook_id).triggers if webhook_id else ()
    db.session().rollback()  # a name is looked up now: no read may stay open meanwhile
    return checked(wanted, AddressGuard(settings().webhook_allowed_networks), saved)


def _with_errors(box: Box, error: AppError) -> Response:
    errors = error.details or {"subscriber_url": error.message}
    return box_page(replace(box, errors=errors), 409 if isinstance(error, Conflict) else 422)


def _saved_words(words: str, wanted: WebhookInput) -> str:
    """Return a toast, which never repeats a URL."""
    return f"{words}, but its host’s name does not resolve at the moment." if wanted.warning else f"{words}."


@blueprint.get("/integrations/webhooks/new")
def new_webhook() -> Response:
    """Show an empty box."""
    return box_page(Box(focus="field-subscriber_url"))


@blueprint.post("/integrations/webhooks/new")
def create_webhook() -> Response:
    """Make a webhook, or do what another button of the box says."""
    box = read_box(request.form, None)
    if box.action != "save":
        return box_page(acted(box))
    try:
        wanted = _checked(box.wanted())
        with transaction() as session:
            webhooks.create(session, current_host().id, wanted)
    except (Invalid, Conflict) as error:
        return _with_errors(box, error)
    return list_response(_saved_words("Webhook created", wanted))


@blueprint.post("/integrations/webhooks/inspector")
def create_inspector_webhook() -> Response:
    """Make a webhook that leads to the built-in inspector."""
    with transaction() as session:
        service.add_inspector_webhook(session, current_host().id)
    return redirect_to(
        url_for("inspector.inspector"), "The inspector listens. Book a meeting and watch it arrive."
    )


@blueprint.get(f"{WEBHOOK}/edit")
def edit_webhook(webhook_id: int) -> Response:
    """Show the box filled in."""
    return box_page(replace(box_of(own_webhook(webhook_id)), focus="field-subscriber_url"))


@blueprint.post(f"{WEBHOOK}/edit")
def update_webhook(webhook_id: int) -> Response:
    """Change a webhook, or do what another button of the box says."""
    box = read_box(request.form, own_webhook(webhook_id))
    if box.action == "only-new-secret":
        with transaction():
            webhooks.use_only_new_secret(own_webhook(webhook_id))
        note = "From now on only the new secret signs."
        return box_page(replace(box, overlap=False, note=note, focus="box-note"))
    if box.action != "save":
        return box_page(acted(box))
    try:
        wanted = _checked(box.wanted(), webhook_id)
        with transaction() as session:
            webhooks.update(session, own_webhook(webhook_id), wanted)
    except (Invalid, Conflict) as error:
        return _with_errors(box, error)
    return list_response(_saved_words("Webhook saved", wanted), focus=f"edit-{webhook_id}")


@blueprint.get(f"{WEBHOOK}/delete")
def ask_delete(webhook_id: int) -> Response:
    """Ask before a webhook is deleted, and say what is lost."""
    webhook, session = own_webhook(webhook_id), db.session()
    lost = sum(
        deliveries.counts(session, [webhook.id], state).get(webhook.id, 0)
        for state in (State.WAITING, State.PARKED)
    )
    return page_or_fragment(
        "integrations/delete.html", "integrations/_delete.html", webhook=webhook, lost=lost
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
    with transaction():
        webhook = own_webhook(webhook_id)
        on = _switched(webhook)
    ask = on and webhook.settling is None and _parked(webhook_id) > 0
    if ask and not is_htmx():
        return redirect_to(url_for(".ask_parked", webhook_id=webhook_id))
    words = "Webhook switched on." if on else "Webhook switched off. Its events are parked meanwhile."
    if not is_htmx():
        return redirect_to(list_address(), words)
    return toast(Response(webhooks_html(ask_parked=webhook_id if ask else None)), words)


def _switched(webhook: Webhook) -> bool:
    wanted = request.form.get("active")
    on = not webhook.active if wanted is None else wanted.lower() in {"1", "on", "true", "yes"}
    if on:
        webhooks.switch_on(webhook)
    elif webhook.active:
        webhooks.switch_off(webhook, OffReason.HOST)
    return on


@blueprint.get(f"{WEBHOOK}/toggle")
@blueprint.get(f"{WEBHOOK}/parked")
def ask_parked(webhook_id: int) -> Response:
    """Ask what becomes of the events that were parked while a webhook was off."""
    webhook = own_webhook(webhook_id)
    return page_or_fragment(
        "integrations/parked.html", "integrations/_parked.html", webhook=webhook, parked=_parked(webhook_id)
    )


@blueprint.post(f"{WEBHOOK}/parked")
def settle_parked(webhook_id: int) -> Response:
    """Send what is parked, in order, or discard it; after the first step the worker continues."""
    total = _parked(webhook_id)
    choice = resend.read_choice(request.form.get("parked", ""))
    with transaction() as session:
        resend.decide(session, own_webhook(webhook_id), choice)
    with transaction() as session:
        taken = resend.continue_decision(session, webhook_id)
    return list_response(_settled_words(choice, taken, total), focus=f"switch-{webhook_id}")


def _parked(webhook_id: int) -> int:
    webhook_id = own_webhook(webhook_id).id
    return deliveries.counts(db.session(), [webhook_id], State.PARKED).get(webhook_id, 0)


def _settled_words(choice: Settling | None, taken: int, total: int) -> str:
    if choice is None:
        return "Stopped. What is left stays parked."
    if not total:
        return "No events are parked any more."
    done = "queued" if choice == Settling.SEND else "discarded"
    if taken >= total:
        return f"1 event {done}." if taken == 1 else f"{taken:,} events {done}."
    return f"{taken:,} events {done}, {total - taken:,} more will follow."


@blueprint.post(f"{WEBHOOK}/ping")
def ping_webhook(webhook_id: int) -> Response:
    """Send a ping to a webhook as it is saved."""
    webhook = own_webhook(webhook_id)
    target = saved_target(webhook)
    url, envelope = webhook.subscriber_url, sample_envelope(current_host(), settings().base_url)
    db.session().rollback()  # nothing may stay open while the network is awaited
    result = send_ping(target, envelope)
    return page_or_fragment(
        "integrations/pinged.html", "integrations/_pinged.html", url=url, result=result, webhook_id=webhook_id
    )


@blueprint.post("/integrations/webhooks/ping")
def ping_box() -> Response:
    """Send a ping with what stands in the box, saved or not."""
    number = whole_number(request.form.get("webhook_id", ""))
    webhook = own_webhook(number) if number is not None else None
    box = read_box(request.form, webhook)
    # What a ping needs is the address; which triggers are chosen, it does not care.
    draft = replace(box.wanted(), triggers=box.triggers or ("BOOKING_CREATED",))
    target, envelope = target_of(draft, webhook), sample_envelope(current_host(), settings().base_url)
    try:
        wanted = _checked(draft, number)
        result = send_ping(replace(target, url=wanted.subscriber_url), envelope)
    except (Invalid, Busy) as error:
        return _with_errors(box, error)
    return box_page(replace(box, ping=result, focus="ping-result"))


@blueprint.post("/integrations/webhooks/preview")
def preview() -> Response:
    """Show what a payload of one's own makes of a sample event."""
    text = request.form.get("payload_template", "").replace("\r\n", "\n")
    if not is_htmx():
        raise NotFound
    return Response(render_template("integrations/_preview.html", preview=preview_of(text, _sample())))


@blueprint.post("/integrations/webhooks/offer")
def offer() -> Response:
    """Offer the payload that fits the URL, for chat services."""
    if not is_htmx():
        raise NotFound
    custom = request.form.get("payload") == "custom"
    name = "" if custom else offer_for(request.form.get("subscriber_url", ""))
    return Response(render_template("integrations/_offer.html", offer=name))
