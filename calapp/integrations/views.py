"""The blueprint that the pages of this package share; nobody passes who is not signed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from calapp.accounts import service as accounts
from calapp.accounts.guards import current_host, require_host
from calapp.accounts.models import Scope
from calapp.broker import alive, workers_alive
from calapp.config import settings
from calapp.db import database_now, db, transaction
from calapp.deliveries.formatting import held
from calapp.deliveries.log import Health, health_of
from calapp.deliveries.models import Delivery, Notice, State
from calapp.deliveries.resend import counts
from calapp.errors import LimitReached, NotFound
from calapp.event_types.service import visible
from calapp.htmx import asked_from, dialog_done, is_htmx, named_by, page_or_fragment, redirect_to
from calapp.integrations import service
from calapp.integrations.models import Inspector
from calapp.integrations.service import inspector_url
from calapp.text import line, whole_number
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import Webhook
from calapp.webhooks.triggers import Trigger

blueprint = Blueprint("integrations", __name__)
blueprint.before_request(require_host)


PER_PAGE = 25
STATES = {
    "on": lambda webhook: webhook.active,
    "off": lambda webhook: not webhook.active,
    "failing": lambda webhook: webhook.failures > 0 or webhook.refused_events != "",
}


@dataclass(frozen=True)
class Wanted:
    """What the list shows: an empty field lets everything through."""

    find: str = ""
    state: str = ""
    page: int = 1

    def query(self, page: int) -> str:
        """Return the query of an address that shows another page of the same."""
        given = {"find": self.find, "state": self.state, "page": page if page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})

    def lets_through(self, webhook: Webhook) -> bool:
        """Return whether a webhook is among what is wanted."""
        scope = webhook.event_type.title if webhook.event_type else ""
        found = self.find.lower() in f"{webhook.subscriber_url} {scope}".lower()
        return found and (not self.state or STATES[self.state](webhook))


@dataclass(frozen=True)
class Listing:
    """A page of a host's webhooks, newest first."""

    rows: Sequence[Webhook]
    wanted: Wanted
    total: int  # of the host
    found: int  # of what is wanted
    pages: int

    @property
    def long(self) -> bool:
        """Whether there are so many that a person wants to look for one."""
        return self.total > PER_PAGE


def read_wanted(given: Mapping[str, str]) -> Wanted:
    """Read what is wanted from an address; what cannot be read lets everything through."""
    state, page = given.get("state", ""), given.get("page", "")
    number = whole_number(page, digits=5) or 1
    return Wanted(given.get("find", "").strip()[:200], state if state in STATES else "", number)


def listing_of(webhooks: Sequence[Webhook], wanted: Wanted) -> Listing:
    """Choose the page that is wanted, or the last one where there are not so many."""
    found = [webhook for webhook in reversed(webhooks) if wanted.lets_through(webhook)]
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(wanted.page, pages)
    rows = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    return Listing(rows, Wanted(wanted.find, wanted.state, page), len(webhooks), len(found), pages)


SHOWN = 20
FORGOTTEN_SECRETS = "secrets_forgotten"  # by `flask forget-secrets`


@dataclass(frozen=True)
class Told:
    """A notice with its webhook as it stands now, and how many of its events are parked."""

    notice: Notice
    webhook: Webhook
    parked: int


def standing(session: Session, user_id: int) -> list[Told]:
    """Return what a host is told and has not dismissed, newest first, of each webhook the last word.

    A notice of a template ends when what it failed was resent.
    A warning ends when the webhook answers again, and the notice that one is off when it is switched on.
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
    return [Told(notice, webhook, parked.get(webhook.id, 0)) for notice, webhook in rows]


def dismiss_notice(session: Session, user_id: int, notice_id: int) -> None:
    """Put a notice away; raise NotFound when it is not this host's."""
    notice = session.get(Notice, notice_id)
    if notice is None or notice.user_id != user_id:
        raise NotFound
    notice.dismissed_at = notice.dismissed_at or database_now(session)


def shown_webhooks() -> Listing:
    """Return the page of webhooks that the address asks for; htmx says which page it stands on."""
    given = request.args.to_dict()
    if is_htmx():
        given = dict(parse_qsl(named_by("HX-Current-URL").query))
    return listing_of(webhooks.of_user(db.session(), current_host().id), read_wanted(given))


def list_address() -> str:
    """Return the address of the list of webhooks, as the page that was left showed it."""
    left = named_by("Referer")
    query = f"?{left.query}" if left.query and left.path == url_for("integrations.index") else ""
    return f"{url_for('integrations.index')}{query}#webhooks"


def list_context() -> dict[str, object]:
    """Return what the list of webhooks shows."""
    session, host, listing = db.session(), current_host(), shown_webhooks()
    inspector = session.get(Inspector, host.id)
    return {
        "listing": listing,
        "webhooks": listing.rows,
        "parked": counts(session, [webhook.id for webhook in listing.rows], State.PARKED),
        "Trigger": Trigger,
        "inspector_url": inspector_url(inspector) if inspector else None,
        "zone": host.time_zone,
        "held": held,
    }


def webhooks_html(**extra: object) -> str:
    """Render the list of webhooks as a fragment."""
    return render_template("integrations/_webhooks.html", **list_context(), **extra)


def list_answer(toast: str, *, focus: str = "new-webhook") -> Response:
    """Close the dialog and show the whole list anew; where there is no dialog lead back to it."""
    home = url_for("integrations.index")
    if not asked_from(home):
        return redirect_to(f"{home}#webhooks", toast)
    return dialog_done(webhooks_html(), target="#webhooks", focus=focus, toast=toast)


def embed_snippet(username: str, slug: str) -> str:
    """Return the HTML that shows a booking page on another site."""
    address = f"{settings().base_url}/{username}/{slug}"
    return f'<iframe src="{address}" title="Book a meeting" width="100%" height="720"></iframe>'


SCOPES = (
    (Scope.READ, "Read", "See bookings, event types, webhooks and deliveries"),
    (Scope.WRITE, "Write", "Change them, and read the secrets of the webhooks that this key made"),
    (Scope.READ_SECRETS, "Read secrets", "Read the secrets of all webhooks"),
)


@blueprint.get("/integrations")
def index() -> str:
    """Show the integrations page."""
    host, session = current_host(), db.session()
    event_types = visible(session, host.id)
    return render_template(
        "integrations/index.html",
        **_trouble(),
        notices=standing(session, host.id),
        checklist=service.checklist(session, host),
        event_types=event_types,
        base_url=settings().base_url,
        feed_url=feed_url(),
        keys=accounts.api_keys(session, host.id),
        snippets=[(one, embed_snippet(host.username, one.slug)) for one in event_types[:20]],
        health=_health_asked_for(),
        **list_context(),
    )


def _health_asked_for() -> dict[int, Health] | None:
    """Return how the webhooks on the page did, for who has no script that loads it."""
    shown = shown_webhooks().rows if "health" in request.args else []
    return health_of(db.session(), [one.id for one in shown]) if shown else None


def _trouble() -> dict[str, object]:
    """Name what keeps webhooks from being delivered: valkey (and whether it is ours), worker, or nothing."""
    trouble = "valkey" if not alive() else "" if workers_alive() else "worker"
    return {"trouble": trouble, "embedded": not settings().redis_url}


def feed_url() -> str | None:
    """Return the address of the host's calendar feed; None when it works but cannot be shown any more."""
    token = current_host().calendar_token
    return f"{settings().base_url}/calendar/{token}.ics" if token else None


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
    """Put a notice away."""
    with transaction() as session:
        dismiss_notice(session, current_host().id, notice_id)
    return redirect_to(url_for(".index"))


@blueprint.post("/integrations/checklist")
def finish_checklist() -> Response:
    """Put the checklist away."""
    with transaction() as session:
        service.finish_checklist(session, current_host().id)
    return redirect_to(url_for(".index"))


@blueprint.get("/integrations/calendar/renew")
def ask_renew() -> Response:
    """Ask before the calendar feed gets a new address."""
    return page_or_fragment("integrations/renew.html", "integrations/_renew.html")


@blueprint.post("/integrations/calendar/renew")
def renew() -> Response:
    """Give the calendar feed a new address."""
    with transaction() as session:
        accounts.renew_calendar_token(session, current_host().id)
    text = "The feed has a new address. Subscribe to it in your calendar."
    if not asked_from(url_for(".index")):
        return redirect_to(url_for(".index") + "#calendar", text)
    html = render_template("integrations/_calendar.html", feed_url=feed_url())
    return dialog_done(html, target="#calendar", focus="renew-calendar", toast=text)


@blueprint.get("/integrations/api-keys/new")
def new_key() -> Response:
    """Show the form for an API key."""
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
    if errors := _key_errors(name, chosen):
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


def _key_errors(name: str, chosen: list[str]) -> dict[str, str]:
    errors = {}
    if not name or len(name) > 100:
        errors["name"] = "Please give the key a name of at most 100 characters."
    if not chosen or not set(chosen) <= {str(scope) for scope in Scope}:
        errors["scopes"] = "Please choose what the key may do."
    return errors


@blueprint.get("/integrations/api-keys/<int:key_id>/revoke")
def ask_revoke(key_id: int) -> Response:
    """Ask before an API key is revoked."""
    keys = accounts.api_keys(db.session(), current_host().id)
    key = next((one for one in keys if one.id == key_id), None)
    if key is None:
        return redirect_to(url_for(".index") + "#api-keys", "This key is revoked already.")
    return page_or_fragment("integrations/revoke.html", "integrations/_revoke.html", key=key)


@blueprint.post("/integrations/api-keys/<int:key_id>/revoke")
def revoke(key_id: int) -> Response:
    """Revoke an API key."""
    with transaction() as session:
        accounts.revoke_api_key(session, current_host().id, key_id)
    if not asked_from(url_for(".index")):
        return redirect_to(url_for(".index") + "#api-keys", "API key revoked.")
    keys = accounts.api_keys(db.session(), current_host().id)
    html = render_template("integrations/_keys.html", keys=keys, zone=current_host().time_zone)
    return dialog_done(Markup(html), target="#api-keys", focus="new-key", toast="API key revoked.")  # noqa: S704
