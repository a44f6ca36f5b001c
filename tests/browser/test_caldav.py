"""A CalDAV account added, its calendars chosen, and removed; by mouse, by keyboard and without a script."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.stage import Host
from tests.browser.window import Window
from tests.calendars.dav_servers import PASSWORD, DavServer, radicale

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with radicale(tmp_path_factory.mktemp("radicale")) as server:
        work = server.make_calendar("Work")
        server.put(work, "lunch", f"DTSTART:{NOON:%Y%m%dT%H%M%SZ}", "DURATION:PT1H", "SUMMARY:Lunch")
        yield server


def sign_in(window: Window, server: DavServer, password: str = PASSWORD) -> None:
    window.go("/integrations")
    window.link("Add CalDAV account").click()
    window.text("Server").fill(server.url)
    window.text("Username").fill("rick")
    window.text("Password").fill(password)
    window.button("Sign in").click()


def test_an_account_blocks_times_and_is_removed(
    window: Window, visitor: Window, host: Host, server: DavServer
) -> None:
    sign_in(window, server)
    window.page.get_by_role("checkbox", name="Work").check()
    window.page.get_by_role("radio", name="Work").check()
    window.button("Save").click()
    card = window.page.locator("#calendars")
    expect(window.toast).to_have_text("Calendars saved.")
    expect(card.get_by_text("Bookings are written here")).to_be_visible()
    expect(card.get_by_text("Bookings are written to “Work”.")).to_be_visible()
    visitor.go(f"/{host.username}/quick-chat?tz=UTC&date={NOON:%Y-%m-%d}")
    expect(visitor.page.get_by_role("button", name="11:45", exact=True)).to_be_visible()
    expect(visitor.page.get_by_role("button", name="12:00", exact=True)).to_have_count(0)
    window.link("Remove account rick at 127.0.0.1").click()
    window.button("Remove").click()
    expect(card.get_by_text("No calendars yet")).to_be_visible()


def test_a_wrong_password_is_said_at_its_field(window: Window, server: DavServer) -> None:
    sign_in(window, server, "wrong")
    expect(window.text("Password")).to_be_focused()
    expect(window.dialog.get_by_text("does not accept this username and password")).to_be_visible()
    expect(window.text("Server")).to_have_value(server.url)
    expect(window.text("Password")).to_have_value("")


def test_the_card_shows_an_account_of_which_no_calendar_was_chosen(window: Window, server: DavServer) -> None:
    sign_in(window, server)
    expect(window.page.get_by_role("checkbox", name="Work")).to_be_visible()
    window.link("Cancel").click()
    expect(window.page.locator("#calendars").get_by_text("No calendar of it is used.")).to_be_visible()


def test_an_account_is_added_by_keyboard(window: Window, server: DavServer) -> None:
    window.go("/integrations")
    window.tab_to("Add CalDAV account")
    window.press("Enter")
    expect(window.text("Server")).to_be_focused()
    window.page.keyboard.type(server.url)
    window.press("Tab")
    window.page.keyboard.type("rick")
    window.press("Tab")
    window.page.keyboard.insert_text(PASSWORD)
    window.press("Enter")
    expect(window.page.get_by_role("checkbox", name="Work")).to_be_focused()
    window.press("Space", "Enter")
    expect(window.toast).to_have_text("Calendars saved.")


def test_an_account_is_added_without_a_script(plain: Window, server: DavServer) -> None:
    sign_in(plain, server)
    plain.page.get_by_role("checkbox", name="Work").check()
    plain.button("Save").click()
    expect(plain.page.locator("#calendars").get_by_role("img")).to_have_count(1)
