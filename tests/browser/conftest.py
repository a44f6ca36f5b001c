"""One Chromium and one real Calapp for all browser tests, a host and a window of its own for each."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries.models import Delivery, State
from calapp.webhooks.models import Webhook
from tests.browser.stage import Host, Stage, add_delivery, add_webhook, connected, new_host, set_up
from tests.browser.window import Window
from tests.receiver import Receiver
from tests.running import Running, running

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOWNLOADED = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SETTINGS = {"RATE_LIMITS": "off", "SIGNUP": "open", "WEBHOOK_RETRY_SCHEDULE": "1,3,10,600"}
NONE = "There is no Chromium for the browser tests; name one with CHROMIUM=/path/to/chromium."


def find_chromium(playwright: Playwright) -> str | None:
    """Return the path of the browser that is there: CHROMIUM's, the system's, or Playwright's own."""
    paths = [shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), *NAMES) if name]
    own = playwright.chromium.executable_path
    return next((path for path in (*paths, own) if path and Path(path).exists()), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; without one the tests are skipped, but fail under CI.

    Playwright's driver is started only where there may be one: on a bare system it does not even start.
    """
    if not any(map(shutil.which, NAMES)) and "CHROMIUM" not in os.environ and not DOWNLOADED.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NONE)
    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(NONE)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def calapp(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Calapp that runs for all browser tests of this process."""
    with running(tmp_path_factory.mktemp("browser") / "data", **SETTINGS) as started:
        yield started


@pytest.fixture(scope="session")
def stage(calapp: Running) -> Stage:
    """Hosts with everything, with nothing, and with 200 webhooks; for looking at, not for changing."""
    return set_up(calapp.data_dir)


@pytest.fixture
def make_host(calapp: Running) -> Callable[[], Host]:
    """Return a function that makes a host, free at every hour, with a quick chat."""

    def make() -> Host:
        with connected(calapp.data_dir) as app, transaction() as session:
            return new_host(app, session, f"host-{secrets.token_hex(4)}")

    return make


@pytest.fixture
def host(make_host: Callable[[], Host]) -> Host:
    """A host of this test's own."""
    return make_host()


@pytest.fixture
def webhook(calapp: Running, host: Host) -> Callable[..., int]:
    """Return a function that gives the host a webhook and returns its id."""

    def add(url: str, **more: Any) -> int:
        with connected(calapp.data_dir), transaction() as session:
            return add_webhook(session, host.user(session), url, **more).id

    return add


@pytest.fixture
def delivery(calapp: Running, host: Host) -> Callable[..., int]:
    """Return a function that adds a delivery of one of the host's webhooks and returns its id."""

    def add(webhook_id: int, state: State = State.WAITING, **more: Any) -> int:
        if state == State.WAITING:
            more.setdefault("due_at", now())
        with connected(calapp.data_dir), transaction() as session:
            webhook = session.get_one(Webhook, webhook_id)
            made: Delivery = add_delivery(session, host.user(session), webhook, state, now(), **more)
            return made.id

    return add


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def new_context(
    browser: Browser,
    address: str,
    cookie: str = "",
    *,
    width: int = 1280,
    scheme: Any = "light",
    zone: str = "Europe/Berlin",
    javascript: bool = True,
    locale: str = "en-GB",
    **more: Any,
) -> BrowserContext:
    """Make a profile of its own, signed in when there is a cookie."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        locale=locale,
        timezone_id=zone,
        java_script_enabled=javascript,
        **more,
    )
    if cookie:
        context.add_cookies([{"name": "calapp", "value": cookie, "url": address}])
    return context


@pytest.fixture
def open_window(browser: Browser, calapp: Running) -> Iterator[Callable[..., Window]]:
    """Return a function that opens a window; at the end none may have complained or asked a stranger."""
    windows: list[Window] = []

    def open_one(cookie: str = "", *, javascript: bool = True, **more: Any) -> Window:
        context = new_context(browser, calapp.address, cookie, javascript=javascript, **more)
        windows.append(Window(context, calapp.address, javascript=javascript))
        return windows[-1]

    yield open_one
    for window in windows:
        window.context.close()
        window.check_manners()


@pytest.fixture
def window(open_window: Callable[..., Window], host: Host) -> Window:
    """A window in which the host is signed in."""
    return open_window(host.cookie)


@pytest.fixture
def plain(open_window: Callable[..., Window], host: Host) -> Window:
    """A window without JavaScript in which the host is signed in."""
    return open_window(host.cookie, javascript=False)


@pytest.fixture
def visitor(open_window: Callable[..., Window]) -> Window:
    """A window of somebody who is not signed in."""
    return open_window()
