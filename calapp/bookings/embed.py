"""Booking pages in a frame on another site: what keeps them there, and what they tell the page around them.

The addresses are those of the pages with `/embed` at the end, and the query is Cal.com's; so are the names
and the data of the events (https://cal.com/help/embedding/embed-events). The script is static/embed-frame.js.
"""

from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Blueprint, Response, g, has_request_context, request

from calapp import static_files
from calapp.bookings.models import Booking, Status
from calapp.clock import iso_milliseconds

blueprint = Blueprint("embed", __name__)

# What a link says about its frame, and the clock that was chosen in it, which go along with every click.
FIELDS = ("embed", "embedType", "layout", "theme", "ui.color-scheme", "tf")
LONGEST = 100  # characters of one of them
COLOR_SCHEMES = ("light", "dark", "light dark", "dark light")
SCRIPT_SECONDS = 600  # how long a browser keeps the script of other sites
# What a booking page is opened after, as its query says, and the events that the page around it gets.
DONE = {
    "booked": ("bookingSuccessfulV2", "bookingSuccessful"),
    "moved": ("rescheduleBookingSuccessfulV2", "rescheduleBookingSuccessful"),
    "cancelled": ("bookingCancelled",),
}


@dataclass(frozen=True)
class Embed:
    """How a page is framed, and the events that it tells the page around it once it is shown."""

    fields: tuple[tuple[str, str], ...]
    prerendering: bool = False  # loaded before it is wanted; its prefill comes when it is
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def _field(self, name: str) -> str:
        return dict(self.fields).get(name, "")

    @property
    def namespace(self) -> str:
        """The name that the page around gave this frame; often empty."""
        return self._field("embed")

    @property
    def theme(self) -> str:
        """Light or dark; empty for the visitor's own choice."""
        return self._field("theme") if self._field("theme") in {"light", "dark"} else ""

    @property
    def color_scheme(self) -> str:
        """The color-scheme of the page around; a frame with another one is not transparent."""
        given = self._field("ui.color-scheme")
        return given if given in COLOR_SCHEMES else "normal"

    @property
    def kind(self) -> str:
        """Inline, modal or whatever else the link says."""
        return self._field("embedType")


def current() -> Embed | None:
    """Return how this page is framed; None for a page by itself."""
    if not has_request_context():
        return None
    if "embed" not in g:
        rule, endpoint = request.url_rule, request.endpoint or ""
        framed = request.path if rule is None else rule.rule if endpoint.startswith("bookings.") else ""
        g.embed = _read() if framed.endswith("/embed") else None
    found: Embed | None = g.embed
    return found


def _read() -> Embed:
    given = ((name, request.values.get(name)) for name in FIELDS)
    fields = tuple((name, value[:LONGEST]) for name, value in given if value is not None)
    return Embed(fields, prerendering=request.args.get("prerender") == "true")


def leave() -> None:
    """Show this page as one by itself, whatever its address looks like."""
    g.embed = None


def path_of(path: str) -> str:
    """Return the path of a visitor's page: that of the embedded one when this page is embedded."""
    return f"{path}/embed" if current() else path


def url_of(path: str, done: str = "") -> str:
    """Return the address of a visitor's page that is as this one is; `done` is a key of DONE."""
    embed = current()
    if embed is None:
        return path
    query = urlencode([*embed.fields, *([("done", done)] if done else [])])
    return f"{path}/embed?{query}" if query else f"{path}/embed"


def tell(booking: Booking) -> None:
    """Tell the page around this one what has just been done with a booking, where its address says so."""
    embed, done = current(), request.args.get("done", "")
    if embed is None:
        return
    short, long = _short(booking), _long(booking)
    if done == "cancelled":
        long |= {"booking": short | {"cancellationReason": booking.cancellation_reason or ""}}
    for name in DONE.get(done, ()):
        embed.events.append((name, short if name.endswith("V2") else long))


def _short(booking: Booking) -> dict[str, object]:
    """Return a booking as the events whose names end with V2 have it."""
    video = {"videoCallUrl": booking.meeting_url} if booking.meeting_url else {}
    return {
        "uid": booking.uid,
        "title": booking.title,
        "startTime": iso_milliseconds(booking.starts_at),
        "endTime": iso_milliseconds(booking.ends_at),
        "eventTypeId": booking.event_type_id,
        "status": booking.status.upper(),
        "paymentRequired": False,
        "isRecurring": False,
        **video,
    }


def _long(booking: Booking) -> dict[str, object]:
    """Return a booking as the older events have it, without the email addresses of who comes."""
    host, kind = booking.host, booking.event_type
    return {
        "booking": _short(booking),
        "eventType": {"id": kind.id, "slug": kind.slug, "title": kind.title, "length": kind.length},
        "date": iso_milliseconds(booking.starts_at),
        "duration": int((booking.ends_at - booking.starts_at).total_seconds() // 60),
        "organizer": {"name": host.name, "email": host.email, "timeZone": host.time_zone},
        "confirmed": booking.status == Status.ACCEPTED,
    }


@blueprint.get("/embed/embed.js")
def script() -> Response:
    """Give the script that other sites load."""
    response = static_files.give("embed.js", kept=f"public, max-age={SCRIPT_SECONDS}")
    response.headers["Access-Control-Allow-Origin"] = "*"  # a site may load it with an integrity hash
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@blueprint.after_app_request
def let_frame(response: Response) -> Response:
    """Let every site frame an embedded page, errors too, so that the page around it learns of them."""
    if current():
        g.frameable = True
        response.headers["X-Robots-Tag"] = "noindex"
    return response


@blueprint.app_context_processor
def known_to_templates() -> dict[str, object]:
    return {"embed": current(), "visitor_url": url_of}
