"""The integrations page: the list of webhooks, notices, the calendar feed and API keys; the first steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, make_response, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from calapp.accounts import service as accounts
from calapp.accounts.guards import current_host, require_host
from calapp.accounts.models import Scope
from calapp.availability.service import hours_of
from calapp.broker import refusal, workers_alive
from calapp.calendars.service import of_host
from calapp.calendars.views import card_context
from calapp.config import settings
from calapp.db import database_now, db, transaction
from calapp.deliveries.formatting import held
from calapp.deliveries.health import FailingWebhooks, failing_of
from calapp.deliveries.log import counts, health_of
from calapp.deliveries.models import Delivery, Notice, State
from calapp.errors import LimitReached, NotFound
from calapp.event_types.service import of_user, visible
from calapp.htmx import asked_from, dialog_done, is_htmx, named_by, page_or_fragment, redirect_to
from calapp.integrations import links, service
from calapp.integrations.models import FORGOTTEN_SECRETS, Inspector
from calapp.integrations.service import inspector_url
from calapp.local_time import to_the_second
from calapp.text import line, whole_number
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import Trigger, Webhook, label_of

blueprint = Blueprint("integrations", __name__)
blueprint.before_request(require_host)


PER_PAGE = 25
STATES: dict[str, Callable[[Webhook], bool]] = {
    "on": lambda webhook: webhook.active,
    "off": lambda webhook: not webhook.active,
    "failing": lambda webhook: webhook.failing or webhook.failures > 0 or webhook.refused_events != "",
}


@dataclass(frozen=True)
class WebhookList:
    """A page of a host's webhooks, those that fail first, then the newest.

    An empty `find` or `state` lets everything through.
    """

    rows: Sequence[Webhook]
    find: str
    state: str
    page: int
    total: int  # of the host
    found: int  # of those that match
    pages: int

    @property
    def long(self) -> bool:
        """Whether the list is long enough to search in."""
        return self.total > PER_PAGE

    def query(self, page: int) -> str:
        """Return the query of an address that shows another page of the same."""
        given = {"find": self.find, "state": self.state, "page": page if page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})


def shown_webhooks() -> WebhookList:
    """Return the page of webhooks that the address asks for, or the last one where there are fewer.

    htmx names the page's own address. What cannot be read in it lets everything through.
    """
    given = dict(parse_qsl(named_by("HX-Current-URL").query)) if is_htmx() else request.args.to_dict()
    find, state = given.get("find", "").strip()[:200], given.get("state", "")
    everything = webhooks.of_user(db.session(), current_host().id)
    found = []
    for webhook in sorted(everything, key=lambda one: (one.failing, one.id), reverse=True):
        scope = webhook.event_type.title if webhook.event_type else ""
        if find.lower() in f"{webhook.name or ''} {webhook.subscriber_url} {scope}".lower() and (
            state not in STATES or STATES[state](webhook)
        ):
            found.append(webhook)
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(whole_number(given.get("page", ""), digits=5) or 1, pages)
    return WebhookList(
        rows=found[(page - 1) * PER_PAGE : page * PER_PAGE],
        find=find,
        state=state if state in STATES else "",
        page=page,
        total=len(everything),
        found=len(found),
        pages=pages,
    )


SHOWN = 20


@dataclass(frozen=True)
class ShownNotice:
    """A notice with its webhook as it is now, and how many of its events are parked."""

    notice: Notice
    webhook: Webhook
    parked: int


def current_notices(session: Session, user_id: int) -> list[ShownNotice]:
    """Return the notices that are still true and not dismissed, newest first, one of a kind per webhook.

    A notice of a template ends when its events were resent, a warning when the webhook works again, and the
    notice that one is off when it is switched on.
    """
    last = func.max(Notice.id).label("id")
    template_failed = exists().where(Delivery.webhook_id == Webhook.id, Delivery.template_failed)
    still = or_(
        Notice.kind.in_(("expired", FORGOTTEN_SECRETS)),
        (Notice.kind == "warning") & Webhook.active & (Notice.created_at >= Webhook.failing_since),
        (Notice.kind == "template") & template_failed,
        (Notice.kind == "switched_off") & ~Webhook.active,
    )
    newest = (
        select(last)
        .join(Webhook, Webhook.id == Notice.webhook_id)
        .where(Notice.user_id == user_id, Webhook.deleted_at.is_(None), still)
        .group_by(Notice.webhook_id, Notice.kind)
    )
    query = (
        select(Notice, Webhook)
        .join(Webhook, Webhook.id == Notice.webhook_id)
        .where(Notice.id.in_(newest), Notice.dismissed_at.is_(None))
        .order_by(Notice.id.desc())
        .limit(SHOWN)
    )
    rows = session.execute(query).all()
    parked = counts(session, {webhook.id for _, webhook in rows}, State.PARKED)
    return [ShownNotice(notice, webhook, parked.get(webhook.id, 0)) for notice, webhook in rows]


def list_context() -> dict[str, object]:
    session, host, listing = db.session(), current_host(), shown_webhooks()
    inspector = session.get(Inspector, host.id)
    return {
        "listing": listing,
        "webhooks": listing.rows,
        "parked": counts(session, [webhook.id for webhook in listing.rows], State.PARKED),
        "Trigger": Trigger,
        "label_of": label_of,
        "inspector_url": inspector_url(inspector) if inspector else None,
        "zone": host.time_zone,
        "held": held,
        "to_the_second": to_the_second,
    }


def webhooks_html(**extra: object) -> str:
    """Render the list of webhooks as a fragment."""
    return render_template("integrations/_webhooks.html", **list_context(), **extra)


def list_response(toast: str, *, focus: str = "new-webhook") -> Response:
    """Close the dialog and show the whole list again; where there is no dialog, lead back to it."""
    home = url_for("integrations.index")
    if not asked_from(home):
        return redirect_to(f"{home}#webhooks", toast)
    return dialog_done(webhooks_html(), target="#webhooks", focus=focus, toast=toast)


SCOPES = (
    (Scope.READ, "Read", "View bookings, event types, webhooks and deliveries"),
    (Scope.WRITE, "Write", "Change them, and read the secrets of webhooks created with this key"),
    (Scope.READ_SECRETS, "Read secrets", "Read the secrets of all webhooks"),
)


@blueprint.get("/integrations")
def index() -> str:
    host, session, base_url = current_host(), db.session(), settings().base_url
    event_types = visible(session, host.id)
    # Without a script that loads them, the figures of the webhooks are asked for by ?health=1.
    asked_for = [one.id for one in shown_webhooks().rows] if "health" in request.args else []
    return render_template(
        "integrations/index.html",
        trouble="valkey" if refusal() != "" else "" if workers_alive() else "worker",
        embedded=not settings().redis_url,
        notices=current_notices(session, host.id),
        checklist=service.checklist(session, host),
        event_types=event_types,
        base_url=base_url,
        feed_url=feed_url(),
        keys=accounts.api_keys(session, host.id),
        link_keys=accounts.link_keys(session, host.id),
        **links.context(),
        health=health_of(session, asked_for) if asked_for else None,
        **card_context(host),
        **list_context(),
    )


def feed_url() -> str | None:
    """Return the address of the host's calendar feed; None when it works but cannot be shown any more."""
    token = current_host().calendar_token
    return f"{settings().base_url}/calendar/{token}.ics" if token else None


@blueprint.app_context_processor
def failing_webhooks() -> dict[str, Callable[[], FailingWebhooks]]:
    """Let every page of a host say how many webhooks are failing."""
    return {"failing_webhooks": lambda: failing_of(db.session(), current_host().id)}


@blueprint.get("/integrations/webhooks/failing")
def failing() -> Response:
    """Show how many webhooks are failing, on the page that asks again while some are."""
    if not is_htmx():
        return redirect_to(url_for(".index") + "#webhooks")
    return Response(render_template("integrations/_failing_news.html"))


@blueprint.get("/integrations/webhooks/health")
def health() -> Response:
    """Show how all webhooks did in the last 24 hours, in one fragment."""
    if not is_htmx():
        return redirect_to(url_for(".index", health=1) + "#webhooks")
    shown = shown_webhooks().rows
    found = health_of(db.session(), [webhook.id for webhook in shown])
    return Response(render_template("integrations/_health.html", webhooks=shown, health=found))


@blueprint.post("/integrations/notices/<int:notice_id>/dismiss")
def dismiss(notice_id: int) -> Response:
    with transaction() as session:
        notice = session.get(Notice, notice_id)
        if notice is None or notice.user_id != current_host().id:
            raise NotFound
        notice.dismissed_at = notice.dismissed_at or database_now(session)
    return redirect_to(url_for(".index"))


@blueprint.post("/integrations/checklist")
def finish_checklist() -> Response:
    with transaction() as session:
        service.finish_checklist(session, current_host().id)
    return redirect_to(url_for(".index"))


@blueprint.get("/integrations/calendar/renew")
def ask_renew() -> Response:
    """Ask before the calendar feed gets a new address."""
    return page_or_fragment("integrations/renew.html", "integrations/_renew.html")


@blueprint.post("/integrations/calendar/renew")
def renew() -> Response:
    with transaction() as session:
        accounts.renew_calendar_token(session, current_host().id)
    text = "The feed has a new address. Please subscribe to it in your calendar."
    if not asked_from(url_for(".index")):
        return redirect_to(url_for(".index") + "#calendar", text)
    html = render_template("integrations/_calendar.html", feed_url=feed_url())
    return dialog_done(html, target="#calendar", focus="renew-calendar", toast=text)


@blueprint.get("/integrations/api-keys/new")
def new_key() -> Response:
    return _key_form(name="", chosen=[Scope.READ, Scope.WRITE], errors={})


def _key_form(*, name: str, chosen: list[str], errors: Mapping[str, object]) -> Response:
    response = page_or_fragment(
        "integrations/key.html",
        "integrations/_key.html",
        name=name,
        chosen=chosen,
        errors=errors,
        scopes=SCOPES,
    )
    response.status_code = 422 if errors else 200
    return response


@blueprint.post("/integrations/api-keys/new")
def create_key() -> Response:
    """Make an API key and show it this once."""
    name, chosen = line(request.form.get("name", "")), request.form.getlist("scopes")
    errors = {}
    if not name or len(name) > 100:
        errors["name"] = "Please enter a name of up to 100 characters."
    if not chosen or not set(chosen) <= {str(scope) for scope in Scope}:
        errors["scopes"] = "Please choose what the key may do."
    if errors:
        return _key_form(name=name, chosen=chosen, errors=errors)
    try:
        with transaction() as session:
            key, plain = accounts.create_api_key(session, current_host(), name, chosen)
            name = key.name
    except LimitReached as error:
        return _key_form(name=name, chosen=chosen, errors=error.details)
    keys = accounts.api_keys(db.session(), current_host().id)
    return page_or_fragment(
        "integrations/key_made.html", "integrations/_key_made.html", name=name, plain=plain, keys=keys
    )


@blueprint.get("/integrations/api-keys/<int:key_id>/revoke")
def ask_revoke(key_id: int) -> Response:
    """Ask before an API key is revoked."""
    keys = accounts.api_keys(db.session(), current_host().id)
    key = next((one for one in keys if one.id == key_id), None)
    if key is None:
        return redirect_to(url_for(".index") + "#api-keys", "This key is already revoked.")
    return page_or_fragment("integrations/revoke.html", "integrations/_revoke.html", key=key)


@blueprint.post("/integrations/api-keys/<int:key_id>/revoke")
def revoke(key_id: int) -> Response:
    with transaction() as session:
        accounts.revoke_api_key(session, current_host().id, key_id)
    if not asked_from(url_for(".index")):
        return redirect_to(url_for(".index") + "#api-keys", "API key revoked.")
    keys = accounts.api_keys(db.session(), current_host().id)
    html = render_template("integrations/_keys.html", keys=keys, zone=current_host().time_zone)
    return dialog_done(Markup(html), target="#api-keys", focus="new-key", toast="API key revoked.")  # noqa: S704


@blueprint.get("/integrations/first-steps")
def first_steps() -> Response:
    """Show the host's link, and how to connect a calendar and a webhook."""
    session, host = db.session(), current_host()
    shown = [one for one in of_user(session, host.id) if not one.hidden]
    page = render_template(
        "integrations/first_steps.html",
        host=host,
        base_url=settings().base_url,
        event_type=next(iter(shown), None),
        zone=hours_of(session, host).zone,
        has_calendar=bool(of_host(session, host.id)),
        has_webhook=webhooks.count(session, host.id, None) > 0,
    )
    return make_response(page)
