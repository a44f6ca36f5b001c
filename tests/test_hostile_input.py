"""What strangers, hosts and receivers write is text on every page, whoever looks at it."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.models import Attendee, Booking
from calapp.db import transaction
from calapp.deliveries.models import Attempt, Delivery, Event, Notice
from calapp.event_types.models import EventType
from calapp.integrations.models import InspectorRequest
from calapp.mail import Email
from calapp.webhooks.models import Webhook
from tests.bookings.conftest import book, monday  # noqa: F401 (fixtures)
from tests.conftest import signed_in
from tests.test_access import World, of, settings, world  # noqa: F401 (fixtures)

EVIL = "\"'><img src=x onerror=alert(1)></textarea></script><script>alert(1)</script>{{7*7}}"
ESCAPED = re.compile(r"&lt;img src=x onerror=alert\(1\)&gt;")
SCRIPT_URL = "javascript:alert(1)"

# Columns that hold what people or receivers wrote; all of them are planted with markup.
PLANTED = {
    User: ("name",),
    EventType: ("title", "description", "location"),
    Webhook: ("subscriber_url", "payload_template", "sealed_headers"),
    Booking: ("title", "location", "notes", "answers", "link_metadata", "metadata_left_out"),
    Attendee: ("name", "email"),
    Event: ("body", "search"),
    Delivery: ("reason",),
    Attempt: ("failure", "response_headers", "response_body"),
    Notice: ("text", "details"),
    InspectorRequest: ("sealed_headers", "body"),
    Email: ("subject", "body", "recipient", "error"),
}
REASONS = ("rescheduling_reason", "cancellation_reason", "rejection_reason")


class Page(HTMLParser):
    """Collects what a browser would run: scripts without a file, handlers, script addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "script" and "src" not in named:
            self.found.append("script")
        for name, value in attrs:
            if name.startswith(("on", "hx-on")):
                self.found.append(f"{tag} {name}")
            if name in {"href", "src", "action", "formaction"} and _is_script(value or ""):
                self.found.append(f"{tag} {name}={value}")
        if named.get("src") == "x":
            self.found.append("img")


def _is_script(value: str) -> bool:
    return re.sub(r"[\x00-\x20]", "", value).lower().startswith(("javascript:", "data:text", "vbscript:"))


def planted(name: str) -> object:
    if name == "sealed_headers":
        return [[EVIL, EVIL]]
    if name == "metadata_left_out":
        return [EVIL]
    if name == "answers":
        return {"topic": {"label": EVIL, "value": EVIL}}
    if name in {"link_metadata", "details"}:
        return {"user_id": EVIL, "url": EVIL, "date": EVIL}
    if name == "subscriber_url":
        return f"https://hooks.example/{EVIL}"
    return EVIL


@pytest.fixture
def evil_world(world: World, saved: Callable[..., None]) -> World:
    """Rick's world, with markup wherever somebody wrote something."""
    hook_id, delivery_id = world.values["webhook_id"], world.values["delivery_id"]
    rick = world.rick.id
    saved(
        Attempt(delivery_id=delivery_id, webhook_id=hook_id, number=1, at=world.rick.created_at, status=500),
        InspectorRequest(user_id=rick, headers=[], body="", trigger=None, signature="none", status=200),
        Email(user_id=rick, about=world.values["uid"], recipient="x@y", subject="", body=""),
    )
    with transaction() as session:
        for table, names in PLANTED.items():
            session.execute(update(table).values({name: planted(name) for name in names}))
        session.execute(update(Booking).values(dict.fromkeys(REASONS, EVIL)))
        session.execute(update(EventType).values(redirect_url=None))
    return world


def pages(world: World, browser: FlaskClient) -> dict[str, str]:
    """Return every page that this browser can look at."""
    found = {}
    for entry in of("host", "own", "link", "all"):
        if entry.method == "GET" and not entry.rule.startswith(("/static", "/v2")):
            token = world.rick.calendar_token if "calendar" in entry.rule else "unknown"
            answer = world.send(browser, entry, token=token)
            found |= {entry.rule: answer.text} if answer.mimetype == "text/html" else {}
    return found


def test_markup_of_others_is_text_on_every_page(evil_world: World) -> None:
    seen = pages(evil_world, signed_in(evil_world.app, evil_world.rick))
    run = {rule: Page(text).found for rule, text in seen.items()}
    assert {rule: found for rule, found in run.items() if found} == {}
    shown = [rule for rule, text in seen.items() if ESCAPED.search(text)]
    assert len(shown) >= 15  # it is there, as text


def test_markup_of_others_is_text_for_visitors(evil_world: World, client: FlaskClient) -> None:
    seen = pages(evil_world, client)
    assert {rule: Page(text).found for rule, text in seen.items() if Page(text).found} == {}


def test_no_template_is_run_that_somebody_wrote(evil_world: World) -> None:
    seen = pages(evil_world, signed_in(evil_world.app, evil_world.rick))
    assert [rule for rule, text in seen.items() if "alert(1)</script>49" in text] == []


REFLECTED = [
    "/login?next={}",
    "/signup?next={}",
    "/rick/quick-chat?name={}&email={}&notes={}&guests={}&metadata[user_id]={}&tz={}&tf={}",
    "/rick/quick-chat?month={}&date={}&slot={}",
    "/rick/quick-chat?responses[topic]={}&metadata[{}]=x",
    "/bookings/upcoming?search={}&q={}&page={}",
    "/bookings/past?search={}&q={}&page={}",
    "/{}",
    "/rick/{}",
    "/booking/{}",
    "/integrations/webhooks/1/deliveries?state={}&trigger={}&booking={}&text={}&before={}",
    "/integrations?health={}",
    "/v2/{}",
    "/v2/webhooks/{}",
]


@pytest.mark.parametrize("address", REFLECTED)
def test_markup_in_an_address_is_text(world: World, address: str) -> None:
    browser = signed_in(world.app, world.rick)
    for sent in (EVIL, "<svg/onload=alert(1)>", SCRIPT_URL):
        path, _, query = address.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        filled = {name.format(sent): value.format(sent) for name, _, value in pairs}
        answer = browser.get(path.replace("{}", sent.replace("/", "")), query_string=filled)
        assert answer.status_code < 500
        if answer.mimetype == "text/html":
            assert Page(answer.text).found == []


FIELDS = ("username", "password", "name", "email", "time_zone", "title", "slug", "description", "location")
FORM = dict.fromkeys((*FIELDS, "subscriber_url", "payload_template", "header_name", "header_value"), EVIL)


@pytest.mark.parametrize(
    "address",
    ["/login", "/signup", "/settings", "/event-types/new", "/integrations/webhooks/new", "/rick/quick-chat"],
)
def test_markup_in_a_form_comes_back_as_text(world: World, address: str) -> None:
    browser = signed_in(world.app, world.rick)
    more = {
        "start": EVIL,
        "notes": EVIL,
        "guests": EVIL,
        "metadata[user_id]": EVIL,
        "redirect_url": SCRIPT_URL,
    }
    answer = browser.post(address, data=FORM | more | {"triggers": EVIL, "event_type_id": EVIL})
    assert answer.status_code < 500
    assert Page(answer.text).found == []


OUT = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "javascript:alert(1)",
    "https:evil.example",
    " //evil.example",
    "/%09/evil.example",
)


@pytest.mark.parametrize("wanted", OUT)
def test_signing_in_leads_to_no_other_server(
    app: Flask, rick: User, client: FlaskClient, wanted: str
) -> None:
    data = {"username": "rick", "password": "correct horse", "next": wanted}
    target = app.test_client().post("/login", data=data).headers["Location"]
    assert target.startswith("/")
    assert not re.match(r"/[\s/\\]", target)
    in_place = app.test_client().post("/login", data=data, headers={"HX-Request": "true"})
    assert in_place.status_code == 204
    assert {"Location", "HX-Redirect", "HX-Location"}.isdisjoint(in_place.headers.keys())


@pytest.mark.parametrize(
    "url", [SCRIPT_URL, "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example", "ftp://x"]
)
def test_an_event_type_leads_nobody_to_a_script(world: World, url: str, session: Session) -> None:
    browser = signed_in(world.app, world.rick)
    form = {"title": "Bad", "slug": "bad", "length": "15", "redirect_url": url}
    assert browser.post("/event-types/new", data=form).status_code == 422
    assert session.scalar(select(EventType).where(EventType.slug == "bad")) is None


def test_the_host_header_is_stored_and_sent_nowhere(world: World, session: Session) -> None:
    browser = signed_in(world.app, world.rick)
    for entry in of("host", "own", "link", "all"):
        path = world.path(entry)
        with browser.open(path, method=entry.method, headers={"Host": "evil.example"}) as answer:
            assert "evil.example" not in answer.headers.get("Location", "")
            assert b"evil.example" not in answer.get_data(), entry
