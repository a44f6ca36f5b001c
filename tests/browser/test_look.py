"""Every page in light and dark, wide and narrow: accessible, and never wider than the window."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.conftest import new_context
from tests.browser.stage import Stage
from tests.browser.window import Window
from tests.running import Running

# axe is a script of our own beside the page's; a colour half-way through a transition has no meaning.
STILL = {"bypass_csp": True, "reduced_motion": "reduce"}
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 800}
# Which of axe's rules see colours, and which see room; the others see neither, so once is enough for them.
COLOURS = ("color-contrast", "link-in-text-block")
ROOM = ("target-size", "scrollable-region-focusable")

# Who looks, and at what; a name in words stands for a page of the stage.
ADA = (
    "/integrations",
    "/integrations/inspector",
    "/integrations/guide",
    "/integrations/embed?kind=popup",
    "/integrations/deliveries",
    "log",
    "failing log",
    "event",
    "delivered",
    "failed",
    "box",
    "custom box",
    "parked",
    "account calendars",
    "calendar edit",
    "calendar remove",
    "account password",
    "account remove",
    "/bookings/upcoming",
    "/bookings/cancelled",
    "host's booking accepted",
    "host's booking cancelled",
    "all of a visitor",
    "/event-types",
    "event type",
    "/availability",
    "/availability/new",
    "/integrations/first-steps",
    "/settings",
)
ZOE = (
    "/integrations",
    "/integrations/deliveries",
    "/integrations/inspector",
    "/integrations/api-keys/new",
    "/integrations/embed",
    "/integrations/calendars/accounts/new",
    "/integrations/calendars/new",
    "/bookings/upcoming",
    "/event-types",
    "/event-types/new",
)
MAX = ("/integrations?page=2",)
VISITOR = (
    "/login",
    "/forgot-password",
    "/reset-password/over",
    "reset password",
    "confirm email",
    "/signup",
    "/ada",
    "/ada/30min?tz=America/New_York",
    "booking accepted",
    "booking pending",
    "booking cancelled",
    "booking rejected",
    "/ada/embed",
    "/ada/30min/embed?tz=America/New_York",
    "embedded booking",
    "/nobody/nothing",
)
PAGES = [
    (who, page) for who, pages in (("ada", ADA), ("zoe", ZOE), ("max", MAX), ("", VISITOR)) for page in pages
]


@pytest.fixture(scope="module")
def profile_of(browser: Browser, calapp: Running, stage: Stage) -> Iterator[Callable[[str], BrowserContext]]:
    """Return a function that gives the profile of somebody, which all of these tests share."""
    made: list[BrowserContext] = []

    @cache
    def profile(who: str) -> BrowserContext:
        made.append(new_context(browser, calapp.address, stage.cookies.get(who, ""), **STILL))
        return made[-1]

    yield profile
    for context in made:
        context.close()


@pytest.fixture
def look(profile_of: Callable[[str], BrowserContext], calapp: Running) -> Iterator[Callable[[str], Window]]:
    """Return a function that opens a page of somebody's; it may not complain nor ask a stranger."""
    windows: list[Window] = []

    def open_one(who: str = "") -> Window:
        windows.append(Window(profile_of(who), calapp.address))
        return windows[-1]

    yield open_one
    for window in windows:
        window.close()
        window.check_manners()


def faults(window: Window) -> list[str]:
    """Return what is wrong with a page in its four looks; axe sees each rule that a look can change."""
    page, found = window.page, []
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")
    found += window.violations()
    page.emulate_media(color_scheme="dark")
    found += window.violations(*COLOURS)
    page.set_viewport_size(NARROW)
    found += window.violations(*COLOURS, *ROOM)
    page.emulate_media(color_scheme="light")
    found += window.violations(*COLOURS)
    if window.sideways() > 0:
        found.append(f"wider than the window by {window.sideways()}")
    return found


@pytest.mark.parametrize(("who", "page"), PAGES, ids=[f"{who or 'visitor'} {page}" for who, page in PAGES])
def test_a_page_is_accessible_and_fits_in_every_look(
    look: Callable[..., Window], stage: Stage, who: str, page: str
) -> None:
    window = look(who)
    window.go(stage.pages.get(page, page))
    if page == "/integrations":
        window.page.wait_for_load_state("networkidle")  # the health of the webhooks comes by itself
    assert faults(window) == []


def test_the_document_of_the_api_is_accessible_and_fits(open_window: Callable[..., Window]) -> None:
    window = open_window(width=360, scheme="dark", **STILL)
    window.go("/v2/docs")
    # By far the longest page, of parts that repeat: one look is enough.
    assert window.violations() == []
    assert window.sideways() <= 0


@pytest.mark.parametrize(
    ("path", "opener"),
    [
        ("/integrations", "New Webhook"),
        ("/integrations", "Edit webhook https://hooks"),
        ("/integrations", "Delete webhook https://hooks"),
        ("/integrations", "3 parked"),
        ("/integrations", "New API key"),
        ("log", "Replay"),
        ("/event-types", "Delete Interview"),
        ("/availability", "New schedule"),
        ("/availability", "Delete Evenings"),
        ("/bookings/unconfirmed", "Reject"),
    ],
)
def test_a_dialog_is_accessible_and_fits_in_every_look(
    look: Callable[..., Window], stage: Stage, path: str, opener: str
) -> None:
    window = look("ada")
    window.go(stage.pages.get(path, path))
    window.link(opener).first.click()
    window.dialog.locator("#dialog-title").wait_for()
    assert faults(window) == []


def test_the_form_and_its_errors_are_accessible_in_every_look(look: Callable[..., Window]) -> None:
    window = look()
    window.go("/ada/30min?tz=America/New_York")
    window.page.locator(".times button").first.click()
    window.text("Your name").wait_for()
    window.page.wait_for_timeout(2100)
    window.button("Confirm").click()
    window.page.locator("#field-name-error").wait_for()
    assert faults(window) == []


def test_an_error_and_a_ping_in_the_box_are_accessible_in_every_look(look: Callable[..., Window]) -> None:
    window = look("zoe")
    window.go("/integrations")
    window.link("New Webhook").click()
    window.field("Subscriber URL").fill("http://10.0.0.1/")
    window.dialog.get_by_role("button", name="Save").click()
    window.page.locator("#field-subscriber_url-error").wait_for()
    found = faults(window)
    window.field("Subscriber URL").fill(f"{window.address}/hooks/in/nobody")
    window.dialog.get_by_role("button", name="Ping test").click()
    window.page.locator("#ping-result").wait_for()
    assert found + faults(window) == []
