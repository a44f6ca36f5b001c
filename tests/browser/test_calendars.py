"""A calendar added, seen to block, broken, and removed; by mouse, by keyboard and without a script."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from calapp.calendars.models import ExternalCalendar
from calapp.db import transaction
from tests.browser.stage import Host, connected
from tests.browser.window import Window
from tests.calendars.conftest import event, served
from tests.receiver import Receiver, answer
from tests.running import Running

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)
PICTURES = os.environ.get("CALENDAR_PICTURES")  # a folder, for who wants to look


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver(served(event(NOON))) as receiver:
        yield receiver


@pytest.fixture
def changed(calapp: Running, host: Host) -> Callable[..., None]:
    """Return a function that changes the host's calendar as time would."""

    def change(**values: object) -> None:
        with connected(calapp.data_dir), transaction() as session:
            found = session.scalars(select(ExternalCalendar).where(ExternalCalendar.user_id == host.id)).one()
            for name, value in values.items():
                setattr(found, name, value)

    return change


def photograph(window: Window, name: str) -> None:
    if PICTURES:
        window.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def add(window: Window, server: Receiver) -> None:
    window.go("/integrations")
    window.link("Add calendar").click()
    window.text("Calendar address").fill(server.url("/work.ics"))
    window.text("Name").fill("Work")
    photograph(window, "box")
    window.button("Save").click()


def test_a_calendar_is_seen_to_block_until_it_is_removed(
    window: Window, visitor: Window, host: Host, server: Receiver, changed: Callable[..., None]
) -> None:
    add(window, server)
    card = window.page.locator("#calendars")
    expect(card.get_by_text("Blocks my time")).to_be_visible()
    expect(card.get_by_role("img")).to_have_accessible_name(re.compile(f"{NOON:%a} 1 h 00 min"))
    photograph(window, "card")
    visitor.go(f"/{host.username}/quick-chat?tz=UTC&date={NOON:%Y-%m-%d}")
    expect(visitor.page.get_by_role("button", name="11:45", exact=True)).to_be_visible()
    expect(visitor.page.get_by_role("button", name="12:00", exact=True)).to_have_count(0)
    photograph(visitor, "slots")
    server.behave = answer("404 Not Found")
    changed(error_since=datetime.now(UTC) - timedelta(hours=1))
    window.button("Read now: Work").click()
    expect(card.get_by_text("Cannot be read")).to_be_visible()
    window.go("/integrations")
    expect(window.page.get_by_text("Your calendar “Work” cannot be read")).to_be_visible()
    photograph(window, "notice")
    window.button("Dismiss the notice about Work").click()
    expect(window.page.get_by_text("Your calendar “Work” cannot be read")).to_have_count(0)
    window.link("Remove calendar Work").click()
    window.button("Remove").click()
    expect(card.get_by_text("No calendars yet")).to_be_visible()


def test_an_address_that_cannot_be_read_is_said_at_its_field(window: Window, server: Receiver) -> None:
    server.behave = answer("200 OK", b"<html>Sign in</html>")
    add(window, server)
    expect(window.text("Calendar address")).to_be_focused()
    expect(window.dialog.get_by_text("a web page instead of a calendar")).to_be_visible()
    expect(window.text("Name")).to_have_value("Work")
    photograph(window, "refused")


def test_a_calendar_is_added_by_keyboard(window: Window, server: Receiver) -> None:
    window.go("/integrations")
    window.tab_to("Add calendar")
    window.press("Enter")
    expect(window.text("Calendar address")).to_be_focused()
    window.page.keyboard.type(server.url("/work.ics"))
    window.press("Enter")
    expect(window.toast).to_have_text("Calendar added.")


def test_a_calendar_is_added_and_changed_without_a_script(plain: Window, server: Receiver) -> None:
    add(plain, server)
    expect(plain.page.locator("#calendars").get_by_role("img")).to_have_count(1)
    plain.link("Edit calendar Work").click()
    plain.text("Name").fill("Home")
    plain.field("Blocks my time").uncheck()
    plain.button("Save").click()
    expect(plain.page.locator("#calendars").get_by_text("Blocks nothing", exact=True)).to_be_visible()
