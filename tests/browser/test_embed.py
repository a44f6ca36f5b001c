"""Booking pages on somebody else's site: by our script, and by Cal.com's packages from npm, unchanged."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, FrameLocator, Page, expect

from calapp.db import transaction
from calapp.event_types.models import EventType
from tests.browser.conftest import new_context
from tests.browser.site import Site, serving
from tests.browser.stage import Host, connected
from tests.browser.window import PATIENCE
from tests.receiver import Receiver
from tests.running import Running, wait_until

# Fetched when the tests run, since their licence does not let us keep them.
PACKAGES = (
    "@calcom/embed-core@1.5.3",
    "@calcom/embed-react@1.5.3",
    "react@19.3.1",
    "react-dom@19.3.1",
    "esbuild@0.28.2",
)
HUMAN = 2100  # milliseconds; a form that comes back faster is a robot's
NO_NPM = "npm or its registry is away, so Cal.com's packages are not tried."
# The page's own record of what it was told.
LISTEN = "window.told = []; Cal('on', {action: '*', callback: (event) => told.push(event.detail)});"
OURS = """<script>window.Cal = window.Cal || function () { (Cal.q = Cal.q || []).push(arguments); };
%(listen)s %(calls)s</script><script async src="%(address)s/embed/embed.js"></script>"""
# What Cal.com's documentation describes: a queue, with one of its own for a namespace.
THEIRS = """<script>window.Cal = function () { Cal.q.push(arguments); };
Cal.q = []; Cal.loaded = true; Cal.ns = {};
Cal("init", {origin: "%(address)s"}); %(listen)s %(calls)s</script>
<script async src="/@calcom/embed-core/dist/embed/embed.js"></script>"""
REACT = """
import React from "react";
import { createRoot } from "react-dom/client";
import Cal, { getCalApi } from "@calcom/embed-react";
window.told = [];
const given = {calOrigin: "%(address)s", embedJsUrl: "%(script)s"};
getCalApi({embedJsUrl: given.embedJsUrl}).then((cal) =>
  cal("on", {action: "*", callback: (event) => told.push(event.detail)}));
createRoot(document.getElementById("here")).render(
  <Cal calLink="%(link)s" {...given} config={{"metadata[user_id]": "123", theme: "light"}} />);
"""
PAGE = """<!doctype html><html lang="en"><head><title>Bank</title><link rel="icon" href="data:,"></head>
<body><h1>Bank</h1><div id="here"></div><p>%(button)s</p>%(script)s</body></html>"""
CONFIG = json.dumps({"metadata[user_id]": "123", "name": "Ada Byron", "email": "ada@example.com"})


@dataclass
class Visit:
    """A page of the site in a browser, and what it heard from the frame."""

    page: Page
    site: Site
    calapp: Running
    host: Host
    complaints: list[str]
    cookies: list[str]

    @property
    def link(self) -> str:
        return f"{self.host.username}/quick-chat"

    def note(self, words: str, where: str) -> None:
        """Note what our pages and our script complain of; Cal.com's talks by itself."""
        if self.calapp.address in where:
            self.complaints.append(words)

    def show(self, script: str, calls: str = "", **config: str) -> None:
        """Open a page with a script on it; its button opens a pop-up."""
        button = f"<button data-cal-link=\"{self.link}\" data-cal-config='{CONFIG}'>Book</button>"
        values = {"address": self.calapp.address, "listen": LISTEN, "calls": calls}
        self.site.pages["/"] = PAGE % {"button": button, "script": script % values}
        self.page.goto(self.site.address)

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe[name^=cal-embed]")

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of all messages of a kind."""
        return self.page.evaluate(
            "(kind) => told.filter((one) => one.type === kind).map((one) => one.data)", kind
        )

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Return the data of the first message of a kind, once it is there."""
        self.page.wait_for_function("(kind) => window.told?.some((one) => one.type === kind)", arg=kind)
        return self.told(kind)[0]

    def inside(self) -> Frame:
        """Return the frame itself."""
        return next(one for one in self.page.frames if one.parent_frame)

    def choose_time(self) -> None:
        self.frame.locator(".times button").first.click()
        expect(self.frame.get_by_role("button", name="Confirm")).to_be_visible()

    def confirm(self) -> None:
        """Fill in the form and send it, as slowly as a person."""
        self.frame.get_by_label("Your name").fill("Ada Byron")
        self.frame.get_by_label("Email address").fill("ada@example.com")
        self.page.wait_for_timeout(HUMAN)
        self.frame.get_by_role("button", name="Confirm").click()

    def book(self) -> dict[str, Any]:
        """Book the first free time; return what the page around is told."""
        self.choose_time()
        self.confirm()
        return self.wait_for("bookingSuccessfulV2")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def visit(
    browser: Browser, calapp: Running, host: Host, site: Site, request: pytest.FixtureRequest
) -> Iterator[Visit]:
    """A visitor of the site; no request to us may bring a cookie, and no page may complain."""
    context = new_context(browser, calapp.address, **getattr(request, "param", {}))
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    visit = Visit(page, site, calapp, host, [], [])
    page.on("pageerror", lambda error: visit.note(error.message, error.stack or ""))
    page.on("console", lambda message: visit.note(message.text, message.location["url"]))
    page.on("request", lambda one: visit.cookies.extend(filter(None, [one.headers.get("cookie")])))
    yield visit
    context.close()
    expected = "Failed to load resource: the server responded with a status of 4"
    assert [one for one in visit.complaints if not one.startswith(expected)] == []
    assert visit.cookies == []


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cal.com's packages, and React, as npm gives them."""
    folder, npm = tmp_path_factory.mktemp("npm"), shutil.which("npm")
    if npm is None:
        pytest.skip(NO_NPM)
    flags = ["--no-audit", "--no-fund", "--no-save", "--prefix", str(folder)]
    (folder / "package.json").write_text("{}")
    try:
        done = subprocess.run(
            [npm, "install", *flags, *PACKAGES], capture_output=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(NO_NPM)
    if done.returncode:
        pytest.skip(NO_NPM)
    return folder / "node_modules"


def webhook_metadata(visit: Visit, receiver: Receiver) -> dict[str, str]:
    wait_until(lambda: receiver.requests)
    return json.loads(receiver.requests[0].body)["payload"]["metadata"]


INLINE = "Cal('inline', {elementOrSelector: '#here', calLink: '%s', config: {'metadata[user_id]': '123'}});"
CLUE = {
    "inline": "calapp-booking",
    "popup": "data-cal-link",
    "floating": "floatingButton",
    "frame": "<iframe",
}
FLOATING = (
    "Cal('floatingButton', {calLink: '%s', buttonText: 'Talk to us', config: {'metadata[user_id]': '123'}});"
)


@pytest.mark.parametrize("way", ["inline", "pop-up", "floating button"])
@pytest.mark.parametrize("script", ["ours", "theirs"])
def test_a_booking_on_another_site_reaches_the_webhook_with_its_metadata(
    visit: Visit,
    webhook: Callable[..., int],
    receiver: Receiver,
    request: pytest.FixtureRequest,
    way: str,
    script: str,
) -> None:
    webhook(receiver.url())
    if script == "theirs":
        visit.site.folder = request.getfixturevalue("packages")
    calls = {"inline": INLINE, "floating button": FLOATING}.get(way, "%s") % visit.link
    visit.show(OURS if script == "ours" else THEIRS, calls if way != "pop-up" else "")
    if way != "inline":
        visit.page.get_by_text("Book" if way == "pop-up" else "Talk to us", exact=True).click()
    told = visit.book()
    expect(visit.frame.get_by_role("heading", name="This meeting is scheduled")).to_be_visible()
    assert (told["status"], told["isRecurring"]) == ("ACCEPTED", False)
    assert webhook_metadata(visit, receiver) == {"user_id": "123"}
    assert len(visit.told("bookingSuccessfulV2")) == len(visit.told("bookingSuccessful")) == 1


@pytest.mark.parametrize("script", ["ours", "theirs"])
def test_cal_coms_react_component_books_here(
    visit: Visit, webhook: Callable[..., int], receiver: Receiver, packages: Path, tmp_path: Path, script: str
) -> None:
    webhook(receiver.url())
    theirs = f"{visit.site.address}/@calcom/embed-core/dist/embed/embed.js"
    chosen = {"ours": f"{visit.calapp.address}/embed/embed.js", "theirs": theirs}[script]
    visit.site.folder = packages
    source = packages / "page.jsx"
    source.write_text(REACT % {"address": visit.calapp.address, "script": chosen, "link": visit.link})
    production = '--define:process.env.NODE_ENV="production"'
    build = [packages / ".bin" / "esbuild", source, "--bundle", "--log-level=error", production]
    visit.site.pages["/page.js"] = subprocess.run(build, capture_output=True, text=True, check=True).stdout
    visit.show('<script src="/page.js"></script>')
    visit.book()
    assert webhook_metadata(visit, receiver) == {"user_id": "123"}


def test_what_was_preloaded_by_cal_coms_script_gets_its_metadata_when_it_is_opened(
    visit: Visit, webhook: Callable[..., int], receiver: Receiver, packages: Path
) -> None:
    webhook(receiver.url())
    visit.site.folder = packages
    visit.show(THEIRS, f"Cal('preload', {{calLink: '{visit.link}', type: 'modal'}});")
    visit.wait_for("__iframeReady")
    visit.page.get_by_role("button", name="Book").click()
    visit.page.wait_for_function("() => told.filter((one) => one.type === 'linkReady').length === 2")
    visit.book()
    assert webhook_metadata(visit, receiver) == {"user_id": "123"}


def test_moving_and_cancelling_stay_in_the_frame(visit: Visit) -> None:
    visit.show(OURS, INLINE % visit.link)
    visit.book()
    visit.frame.get_by_role("link", name="Reschedule").click()
    visit.frame.locator(".times button").nth(5).click()
    visit.page.wait_for_timeout(HUMAN)
    visit.frame.get_by_role("button", name="Reschedule").click()
    moved = visit.wait_for("rescheduleBookingSuccessfulV2")
    visit.frame.get_by_role("link", name="Cancel").click()
    visit.frame.get_by_role("button", name="Cancel meeting").click()
    assert visit.wait_for("bookingCancelled")["booking"]["uid"] == moved["uid"]
    expect(visit.frame.get_by_role("heading", name="This meeting is cancelled")).to_be_visible()
    assert visit.page.url == f"{visit.site.address}/"


def test_an_error_stays_in_the_frame_with_what_was_typed(visit: Visit) -> None:
    visit.show(OURS, INLINE % visit.link)
    visit.choose_time()
    visit.frame.get_by_label("Your name").fill("Ada")
    visit.frame.get_by_label("Email address").fill("nobody")
    visit.frame.get_by_role("button", name="Confirm").click()
    expect(visit.frame.locator("#field-email-error")).to_be_visible()
    expect(visit.frame.get_by_label("Email address")).to_be_focused()
    expect(visit.frame.get_by_label("Your name")).to_have_value("Ada")


def test_the_pop_up_is_opened_left_and_closed_by_keyboard(visit: Visit) -> None:
    visit.show(OURS)
    button = visit.page.get_by_role("button", name="Book")
    button.focus()
    visit.page.keyboard.press("Enter")
    visit.wait_for("linkReady")
    dialog = visit.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(80):  # round and round, also through the browser's own controls
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.matches('button[data-cal-link]')") is False
    visit.frame.locator(".times button").first.focus()
    visit.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


@pytest.mark.parametrize("where", ["the cross", "beside it"])
def test_the_pop_up_closes_by_mouse_and_opens_again_as_it_was(visit: Visit, where: str) -> None:
    visit.show(OURS)
    visit.page.get_by_role("button", name="Book").click()
    visit.choose_time()
    if where == "the cross":
        visit.page.get_by_role("button", name="Close").click()
    else:
        visit.page.mouse.click(5, 400)
    expect(visit.page.get_by_role("dialog")).to_be_hidden()
    visit.page.get_by_role("button", name="Book").click()
    expect(visit.frame.get_by_role("button", name="Confirm")).to_be_visible()


def test_a_link_that_leads_nowhere_says_so_to_both_sides(visit: Visit) -> None:
    visit.show(OURS, INLINE % "nobody/nothing")
    failed = visit.wait_for("linkFailed")
    assert (failed["code"], "/nobody/nothing/embed" in failed["data"]["url"]) == ("404", True)
    expect(visit.frame.get_by_role("heading", name="Not found")).to_be_visible()
    assert visit.told("linkReady") == []


def test_a_frame_that_is_blocked_says_so(visit: Visit) -> None:
    visit.page.route("**/quick-chat/embed*", lambda route: route.abort())
    visit.show(OURS, INLINE % visit.link)
    assert visit.wait_for("linkFailed")["code"] == "unreachable"
    expect(visit.page.get_by_text("This booking page could not be loaded.")).to_be_visible()
    visit.complaints.clear()  # the browser's own line


@pytest.mark.parametrize("script", ["ours", "theirs"])
def test_v11_the_top_window_goes_where_the_host_sends_those_who_have_booked(
    visit: Visit, request: pytest.FixtureRequest, script: str
) -> None:
    if script == "theirs":
        visit.site.folder = request.getfixturevalue("packages")
    visit.site.pages["/thanks"] = '<!doctype html><title>Thanks</title><link rel="icon" href="data:,">'
    with connected(visit.calapp.data_dir), transaction() as session:
        event_type = session.query(EventType).filter_by(user_id=visit.host.id).one()
        event_type.redirect_url = f"{visit.site.address}/thanks"
    visit.show(OURS if script == "ours" else THEIRS, INLINE % visit.link)
    visit.choose_time()
    visit.confirm()
    visit.page.wait_for_url("**/thanks?uid=*")
    assert "metadata%5Buser_id%5D=123" in visit.page.url


def test_the_page_around_chooses_the_looks_for_the_whole_way(visit: Visit) -> None:
    looks = {
        "theme": "dark",
        "hideEventTypeDetails": True,
        "cssVarsPerTheme": {"dark": {"cal-brand": "#0a0"}},
    }
    visit.show(OURS, f"{INLINE % visit.link} Cal('ui', {json.dumps(looks)});")
    button = visit.frame.locator("[aria-current=date]")
    expect(button).to_have_css("background-color", "rgb(0, 170, 0)")
    expect(button).to_have_css("color", "rgb(0, 0, 0)")  # readable on it
    expect(visit.frame.locator(".details")).to_be_hidden()
    visit.choose_time()
    visit.frame.get_by_role("button", name="Confirm").click()
    expect(visit.frame.locator("#field-email-error")).to_be_visible()  # a whole page of its own
    expect(visit.frame.get_by_role("button", name="Confirm")).to_have_css(
        "background-color", "rgb(0, 170, 0)"
    )
    expect(visit.frame.locator(".booker")).to_have_css("background-color", "rgb(15, 15, 15)")


def test_messages_of_other_windows_change_nothing(visit: Visit) -> None:
    visit.show(OURS, INLINE % visit.link)
    visit.wait_for("linkReady")
    visit.page.evaluate("""() => {
      const ours = document.querySelector("#here > div").shadowRoot.querySelector("iframe").contentWindow;
      const other = document.body.appendChild(document.createElement("iframe"));
      const script = other.contentDocument.createElement("script");
      script.textContent = 'parent.postMessage({originator: "CAL", type: "bookingSuccessfulV2"}, "*");';
      other.contentDocument.body.append(script);
      ours.postMessage({originator: "CAL", method: "connect", arg: {name: "Eve of Destruction"}}, "*");
      const looks = {cssVarsPerTheme: {light: {"cal-bg": "url(x)"}}};
      ours.postMessage({originator: "CAL", method: "ui", arg: looks}, "*");
    }""")
    visit.page.wait_for_timeout(500)
    assert visit.told("bookingSuccessfulV2") == []
    assert "Destruction" not in visit.inside().url
    assert visit.inside().evaluate("document.documentElement.getAttribute('style')") is None


def test_a_hosts_page_tells_which_event_type_was_chosen(visit: Visit) -> None:
    visit.show(OURS, INLINE % visit.host.username)
    visit.frame.get_by_role("link", name="Quick chat").click()
    assert visit.wait_for("eventTypeSelected")["eventType"]["slug"] == "quick-chat"
    expect(visit.frame.locator(".times button").first).to_be_visible()


@pytest.mark.parametrize("visit", [{"width": 360}], indirect=True)
def test_a_frame_is_as_high_as_what_it_shows_and_never_wider_than_the_site(visit: Visit) -> None:
    visit.show(OURS, INLINE % visit.link)
    visit.wait_for("__dimensionChanged")
    inside = visit.inside()
    visit.page.wait_for_function(
        "() => told.some((one) => one.type === '__dimensionChanged' && one.data.iframeHeight > 900)"
    )
    assert inside.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert (
        inside.evaluate("Math.ceil(document.documentElement.getBoundingClientRect().height) - innerHeight")
        == 0
    )
    assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("kind", ["inline", "popup", "floating", "frame"])
def test_the_code_of_the_embed_card_works_and_its_preview_too(visit: Visit, window: Any, kind: str) -> None:
    window.go("/integrations#embed")
    window.page.get_by_label("How", exact=True).select_option(kind)
    expect(window.page.get_by_label("HTML for your site")).to_have_value(re.compile(CLUE[kind]))
    visit.site.pages["/"] = PAGE % {
        "button": "",
        "script": window.page.get_by_label("HTML for your site").input_value(),
    }
    visit.page.goto(visit.site.address)
    window.link("Preview").click()
    for page in (visit.page, window.page):
        if kind in {"popup", "floating"}:
            page.get_by_role("button", name="Book a meeting").click()
        frame = page.frame_locator("iframe")
        expect(frame.locator(".times button").first).to_be_visible()
