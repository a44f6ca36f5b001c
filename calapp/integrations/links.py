"""What a host puts into another site: signed links with their keys and their API, and the embed code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from string import Template
from typing import Annotated
from urllib.parse import urlencode

from flask import Blueprint, Response, render_template, request, url_for
from pydantic import Field, field_validator

from calapp import limits
from calapp.accounts import service as accounts
from calapp.accounts.guards import WRITE, current_host, require_host
from calapp.bookings.metadata import MAX_KEYS, signed_link
from calapp.bookings.schemas import JsonMetadata
from calapp.clock import now
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid
from calapp.event_types.models import EventType
from calapp.event_types.service import of_user, own_event_type
from calapp.htmx import asked_from, dialog_done, is_htmx, page_or_fragment, redirect_to
from calapp.incoming import limiter
from calapp.rest.routes import Api, key_counted
from calapp.rest.schemas import Id, Instant, RequestSchema, ResponseSchema, from_form

blueprint = Blueprint("links", __name__)
blueprint.before_request(require_host)
routes = Api("links_api", tag="Links")

VALID_FOR = {  # hours
    "": "No expiry",
    "1": "1 hour",
    "24": "1 day",
    "168": "7 days",
    "720": "30 days",
    "2160": "90 days",
}
Rows = Sequence[tuple[str, str]]
KINDS = {
    "inline": "In the page",
    "popup": "Pop-up, opened by a button",
    "floating": "Floating button",
    "frame": "Plain frame, without a script",
}
THEMES = {"auto": "The visitor's", "light": "Light", "dark": "Dark"}
CLOCKS = {"auto": "The visitor's", "12": "12 hours", "24": "24 hours"}
BUTTON = "Book a meeting"
SCRIPT = '<script async src="$origin/embed/embed.js"></script>'
QUEUE = "window.Cal = window.Cal || function () { (Cal.q = Cal.q || []).push(arguments); };"
CODE = {
    "inline": f"""<div id="calapp-booking"></div>
<script>
  {QUEUE}
  Cal("inline", $inline);
</script>
{SCRIPT}""",
    "popup": f"""<button type="button" data-cal-link="$link"$attribute>{BUTTON}</button>
{SCRIPT}""",
    "floating": f"""<script>
  {QUEUE}
  Cal("floatingButton", $floating);
</script>
{SCRIPT}""",
    "frame": f'<iframe src="$origin/$link/embed$query" title="{BUTTON}" width="100%" height="720"></iframe>',
}


class LinkRequest(RequestSchema):
    """What a signed link is to contain."""

    event_type_id: Id
    metadata: JsonMetadata = {}
    expires_at: Annotated[
        Instant | None, Field(description="Until when it is valid, to the second; null: no expiry.")
    ] = None

    @field_validator("expires_at")
    @classmethod
    def _is_to_come(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment <= now():
            raise ValueError("Must be in the future.")
        return moment


class LinkResponse(ResponseSchema):
    """A signed link."""

    url: str


@routes.operation(
    "POST",
    "/v2/links",
    access=WRITE,
    response=LinkResponse,
    status=201,
    body=LinkRequest,
    limits=(limiter.limit("60/minute", key_func=key_counted),),
)
def create_link(body: LinkRequest) -> LinkResponse:
    """Create a signed booking link, whose metadata is verified as long as nobody changes it.

    Nothing is stored. A key can create 60 links per minute; for more, your own server can create the same
    links with a link key, without a request. See the webhook guide.
    """
    return LinkResponse(url=_url(own_event_type(body.event_type_id), body))


def _url(event_type: EventType, wanted: LinkRequest) -> str:
    """Return the signed link; raise Invalid when no server would take it."""
    exp = str(int(wanted.expires_at.timestamp())) if wanted.expires_at else ""
    with transaction() as session:  # the first link makes the link key
        url = settings().base_url + signed_link(session, event_type, wanted.metadata, exp)
    if len(url) > limits.LINK_LENGTH:
        raise Invalid(metadata=f"The link would have more than {limits.LINK_LENGTH:,} characters.")
    return url


@blueprint.get("/event-types/<int:event_type_id>/link")
def ask_link(event_type_id: int) -> Response:
    """Show the box that makes a signed link."""
    return _box(own_event_type(event_type_id), [("", "")])


@blueprint.post("/event-types/<int:event_type_id>/link")
def make_link(event_type_id: int) -> Response:
    """Make a signed link, or add an entry to the box."""
    event_type, form = own_event_type(event_type_id), request.form
    rows = list(zip(form.getlist("metadata_key"), form.getlist("metadata_value"), strict=False))[:MAX_KEYS]
    if form.get("action") == "add-entry":
        return _box(event_type, [*rows, ("", "")][:MAX_KEYS], focus=len(rows))
    try:
        url = _url(event_type, _wanted(event_type, rows))
    except Invalid as error:
        return _box(event_type, rows, errors=error.details)
    return page_or_fragment(
        "integrations/link_made.html", "integrations/_link_made.html", event_type=event_type, url=url
    )


def _wanted(event_type: EventType, rows: Rows) -> LinkRequest:
    """Return what the box says; raise Invalid with the words at `metadata` or `valid_for`."""
    filled = [(key.strip(), value) for key, value in rows if key.strip() or value.strip()]
    if len(dict(filled)) < len(filled):
        raise Invalid(metadata="Each key can be used once.")
    hours = request.form.get("valid_for", "")
    if hours not in VALID_FOR:
        raise Invalid(valid_for="Please choose one of the options.")
    given = {
        "event_type_id": event_type.id,
        "metadata": dict(filled),
        "expires_at": now() + timedelta(hours=int(hours)) if hours else None,
    }
    return from_form(LinkRequest, given)


def _box(
    event_type: EventType, rows: Rows, *, errors: Mapping[str, object] | None = None, focus: int = 0
) -> Response:
    response = page_or_fragment(
        "integrations/link.html",
        "integrations/_link.html",
        event_type=event_type,
        rows=rows or [("", "")],
        room=len(rows) < MAX_KEYS,
        choices=list(VALID_FOR.items()),
        chosen=request.form.get("valid_for", ""),
        errors=errors or {},
        focus=focus,
    )
    response.status_code = 422 if errors else 200
    return response


@blueprint.get("/integrations/link-keys/new")
def ask_link_key() -> Response:
    """Ask before a link key is made, which replaces the current one."""
    keys = accounts.link_keys(db.session(), current_host().id)
    return page_or_fragment("integrations/link_key.html", "integrations/_link_key.html", keys=keys)


@blueprint.post("/integrations/link-keys/new")
def create_link_key() -> Response:
    """Make a link key and show it this once."""
    host = current_host()
    try:
        with transaction() as session:
            _, plain = accounts.create_link_key(session, host.id)
    except Conflict as error:
        return redirect_to(url_for("integrations.index") + "#link-keys", error.message, "bad")
    return page_or_fragment(
        "integrations/link_key_made.html",
        "integrations/_link_key_made.html",
        plain=plain,
        link_keys=accounts.link_keys(db.session(), host.id),
    )


@blueprint.get("/integrations/link-keys/<int:key_id>/end")
def ask_end_link_key(key_id: int) -> Response:
    """Ask before a link key is ended."""
    found = [one for one in accounts.link_keys(db.session(), current_host().id) if one.id == key_id]
    if not found:
        return redirect_to(url_for("integrations.index") + "#link-keys", "This link key has ended already.")
    return page_or_fragment("integrations/end_link_key.html", "integrations/_end_link_key.html", key=found[0])


@blueprint.post("/integrations/link-keys/<int:key_id>/end")
def end_link_key(key_id: int) -> Response:
    """End a link key."""
    host, text = current_host(), "Link key ended."
    with transaction() as session:
        accounts.end_link_key(session, host.id, key_id)
    if not asked_from(url_for("integrations.index")):
        return redirect_to(url_for("integrations.index") + "#link-keys", text)
    keys = accounts.link_keys(db.session(), host.id)
    html = render_template("integrations/_link_keys.html", link_keys=keys)
    return dialog_done(html, target="#link-keys", focus="new-link-key", toast=text)


@dataclass(frozen=True)
class EmbedCard:
    """What the card shows: the choices, what is chosen, and the code for it."""

    event_types: list[EventType]
    link: str  # username/slug, or the username alone
    slug: str
    kind: str
    theme: str
    clock: str

    @property
    def choices(self) -> list[tuple[str, str]]:
        """The event types of the select box: slug and title."""
        return [(one.slug, f"{one.title} (hidden)" if one.hidden else one.title) for one in self.event_types]

    @property
    def query(self) -> str:
        """The query of an address that shows the same choice."""
        chosen = {"kind": self.kind, "theme": self.theme, "tf": self.clock}
        return urlencode({"event_type": self.slug, **chosen})

    @property
    def config(self) -> dict[str, str]:
        """What the link gets beside its path; nothing for the visitor's own theme and clock."""
        chosen = {"theme": self.theme, "tf": self.clock}
        return {name: value for name, value in chosen.items() if value != "auto"}

    @property
    def code(self) -> str:
        """The HTML that shows the booking page on another site."""
        more = {"config": self.config} if self.config else {}
        inline = {"elementOrSelector": "#calapp-booking", "calLink": self.link, **more}
        floating = {"calLink": self.link, "buttonText": BUTTON, **more}
        values = {
            "inline": json.dumps(inline),
            "floating": json.dumps(floating),
            "link": self.link,
            "attribute": f" data-cal-config='{json.dumps(self.config)}'" if self.config else "",
            "query": f"?{urlencode(self.config)}" if self.config else "",
            "origin": settings().base_url,
        }
        return Template(CODE[self.kind]).substitute(values)


def card() -> EmbedCard:
    """Read what is chosen from the address; what cannot be read counts as the first choice."""
    host, given = current_host(), request.args
    event_types = of_user(db.session(), host.id)
    slug = given.get("event_type", event_types[0].slug if event_types else "")
    known = slug in {one.slug for one in event_types}
    kind, theme, clock = (given.get(name, "") for name in ("kind", "theme", "tf"))
    return EmbedCard(
        event_types=event_types,
        link=f"{host.username}/{slug}" if known else host.username,
        slug=slug if known else "",
        kind=kind if kind in KINDS else "inline",
        theme=theme if theme in THEMES else "auto",
        clock=clock if clock in CLOCKS else "auto",
    )


@blueprint.get("/integrations/embed")
def show() -> Response:
    """Show the card with a preview, or the card alone where it was changed."""
    return page_or_fragment(
        "integrations/embed.html", "integrations/_embed.html", **context(), preview=not is_htmx()
    )


def context() -> dict[str, object]:
    """Return what the card's template needs."""
    return {"card": card(), "kinds": KINDS, "themes": THEMES, "clocks": CLOCKS}
