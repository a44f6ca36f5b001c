"""The embed card of the integrations page: choose what is shown and how, copy the code, and see it."""

import json
from dataclasses import dataclass
from string import Template
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from calapp.accounts.guards import current_host, require_host
from calapp.config import settings
from calapp.db import db
from calapp.event_types.models import EventType
from calapp.event_types.service import of_user
from calapp.htmx import is_htmx, page_or_fragment

blueprint = Blueprint("embed_card", __name__)
blueprint.before_request(require_host)

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
