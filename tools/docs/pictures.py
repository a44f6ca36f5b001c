"""The pictures of the documents, taken by a headless Chromium of a Calapp that really runs."""

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.running import free_port, launch, what_it_prints
from tools.docs.texts import ROOT

FOLDER = ROOT / "docs" / "pictures"
WIDTH = 1120  # pixels
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VISITORS = (
    ("Ada Byron", "ada@example.com", "metadata[user_id]=123"),
    ("Charles Babbage", "charles@example.com", "metadata[user_id]=124&metadata[plan]=gold"),
    ("Mary Somerville", "mary@example.com", "metadata[user_id]=125"),
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]


def take() -> None:
    """Take new pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _calapp() as address, _receiver() as hook, _chromium() as browser:
        context = browser.new_context(
            viewport={"width": WIDTH, "height": 800},
            locale="en-GB",
            timezone_id="Europe/London",
            color_scheme="light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        _sign_in(page, address)
        _show_the_box(page, address, hook)
        for name, email, metadata in VISITORS:
            _book(page, address, name, email, metadata)
        page.goto(f"{page.url}/cancel")
        page.fill("[name=reason]", "I am ill")
        page.click("main button[type=submit]")
        page.wait_for_timeout(7000)  # the first retry comes after five seconds
        _show_what_came(page, address)
        page.goto(f"{address}/integrations/inspector")
        page.locator(".request summary").first.click()
        _picture(page, "inspector", page.locator("main"), height=1000)
        page.goto(f"{address}/rick/quick-chat?tz=Europe/London&metadata[user_id]=123")
        page.get_by_label("Next month").first.click()
        page.wait_for_url("**month=**")
        _picture(page, "booker", page.locator(".booker"), air=12)


@contextmanager
def _calapp() -> Iterator[str]:
    """Run Calapp in an empty folder, on the port that newcomers see if it is free."""
    folder = Path(tempfile.mkdtemp(prefix="calapp-pictures"))
    port = _free(5000)
    process = launch(folder / "data", port, RATE_LIMITS="off", LOG_LEVEL="warning")
    try:
        what_it_prints(process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Hook(BaseHTTPRequestHandler):
    """A receiver that is busy when the second event comes for the first time."""

    protocol_version = "HTTP/1.1"
    seen: list[str] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.headers["webhook-id"])
        busy = len(self.seen) == 2
        body = b'{"error": "deploying, back in a moment"}' if busy else b'{"received": true}'
        self.send_response(503 if busy else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def _receiver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", _free(4000)), _Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/bookings"
    server.shutdown()
    server.server_close()


def _free(wanted: int) -> int:
    try:
        ThreadingHTTPServer(("127.0.0.1", wanted), _Hook).server_close()
    except OSError:
        return free_port()
    return wanted


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def _sign_in(page: Page, address: str) -> None:
    page.goto(f"{address}/login")
    page.fill("[name=username]", "rick")
    page.fill("[name=password]", "demo")
    page.click("main button[type=submit]")


def _show_the_box(page: Page, address: str, hook: str) -> None:
    page.goto(f"{address}/integrations")
    page.click("#new-webhook")
    box = page.locator("#dialog")
    box.locator("[name=subscriber_url]").fill(hook)
    _generate(box)
    box.get_by_role("button", name="Ping test").click()
    expect(box.locator("#ping-result")).to_be_visible()
    box.locator("[name=secret]").fill("whsec_" + "•" * 44)  # a picture shows no secret
    page.set_viewport_size({"width": WIDTH, "height": 1180})
    page.locator("#toasts").evaluate("toasts => toasts.replaceChildren()")
    box.screenshot(path=FOLDER / "box.png")
    page.set_viewport_size({"width": WIDTH, "height": 800})
    _generate(box)
    box.get_by_role("button", name="Save").click()
    expect(page.locator("#webhooks")).to_contain_text(hook)


def _generate(box: Locator) -> None:
    box.locator("[name=secret]").fill("")
    box.get_by_role("button", name="Generate").click()
    expect(box.locator("[name=secret]")).not_to_have_value("")


def _book(page: Page, address: str, name: str, email: str, metadata: str) -> None:
    page.goto(f"{address}/rick/quick-chat?tz=Europe/London&{metadata}")
    page.get_by_label("Next month").first.click()
    page.wait_for_url("**month=**")
    page.locator(".times button").first.click()
    page.fill("[name=name]", name)
    page.fill("[name=email]", email)
    page.wait_for_timeout(2100)  # people take longer than robots
    page.click("main button[type=submit]")
    page.wait_for_url("**/booking/**")


def _show_what_came(page: Page, address: str) -> None:
    page.goto(f"{address}/integrations")
    expect(page.locator("#webhooks .spark").last).to_be_visible()
    _picture(page, "integrations", page.locator("body"))
    page.get_by_role("link", name="/hooks/bookings").filter(has_text="Deliveries").click()
    _picture(page, "log", page.locator("main"))
    page.locator("li", has_text="2 attempts").get_by_role("link").first.click()
    page.get_by_text("Response", exact=True).last.click()  # of the first attempt
    _picture(page, "delivery", page.locator("main"), height=1000)


def _picture(page: Page, name: str, part: Locator, *, air: int = 0, height: int = 2000) -> None:
    """Save a part of a page with some air around it, cut off below a height; all in pixels."""
    page.locator("#toasts").evaluate("toasts => toasts.replaceChildren()")
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    box = part.bounding_box()
    inner = part.evaluate(
        "part => part.tagName === 'MAIN' ? part.lastElementChild.getBoundingClientRect().bottom : 0"
    )
    tall = min(inner + 24 if inner else box["y"] + box["height"] + air, height)
    page.set_viewport_size({"width": WIDTH, "height": max(800, int(tall))})
    clip = {
        "x": max(0, box["x"] - air),
        "y": max(0, box["y"] - air),
        "width": min(box["width"] + 2 * air, WIDTH),
        "height": tall - max(0, box["y"] - air),
    }
    page.screenshot(path=FOLDER / f"{name}.png", clip=clip)
    page.set_viewport_size({"width": WIDTH, "height": 800})
