"""A first minute, several schedules and time off, by mouse, by keyboard, and without JavaScript."""

import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from calapp.accounts.models import LinkPurpose
from calapp.db import transaction
from tests.browser.stage import Host, add_link, connected
from tests.browser.window import Window
from tests.running import Running


def test_a_newcomer_is_led_to_a_link_that_can_be_booked(open_window: Callable[..., Window]) -> None:
    window = open_window()
    name = f"new-{secrets.token_hex(4)}"
    window.go("/signup")
    window.text("Your name").fill("Ada")
    window.text("Username").fill(name)
    window.text("Email address").fill("ada@example.com")
    window.field("Password").fill("correct horse")
    window.press("Enter")
    expect(window.page).to_have_url(f"{window.address}/integrations/first-steps")
    expect(window.button("Copy link")).to_be_visible()
    window.go(f"/{name}/30min")
    expect(window.page.locator(".month button").first).to_be_visible()


def test_the_address_follows_the_title_until_it_is_typed(window: Window) -> None:
    window.go("/event-types/new")
    title, slug = window.text("Title"), window.text("Address")
    title.press_sequentially("Café at 3")
    expect(slug).to_have_value("cafe-at-3")
    slug.fill("mine")
    title.fill("Something else")
    expect(slug).to_have_value("mine")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_schedule_is_made_chosen_and_deleted(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    window.go("/availability")
    window.link("New schedule").press("Enter")
    window.button("Create").click()
    expect(window.page.locator("#new-name-error")).to_be_visible()
    name = window.page.locator("#new-name")
    name.fill("Evenings")
    name.press("Enter")
    window.page.wait_for_url("**/availability/*")
    expect(window.page.get_by_text("Shown below")).to_be_visible()
    window.go("/event-types")
    window.link("Edit Quick chat").click()
    window.field("Schedule").select_option(label="Evenings")
    window.button("Save").last.click()
    window.go("/availability")
    expect(window.page.get_by_text("· Quick chat")).to_be_visible()
    window.link("Delete Evenings").click()
    expect(window.page.get_by_text("Quick chat will use your default schedule.")).to_be_visible()
    window.button("Delete").last.click()
    expect(window.link("Delete Evenings")).to_have_count(0)


@pytest.mark.parametrize("javascript", [True, False])
def test_time_off_and_several_dates_are_saved(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    window.go("/availability")
    window.text("First day").fill("2030-12-24")
    window.text("Last day").fill("2030-12-20")
    window.text("Note").fill("Skiing")
    window.text("Note").press("Enter")
    expect(window.text("Last day")).to_have_attribute("aria-invalid", "true")
    window.text("Last day").fill("2031-01-02")
    window.button("Add time off").click()
    row = window.page.get_by_role("listitem").filter(has_text="Tuesday, 24 December 2030")
    expect(row).to_contain_text("Skiing")
    window.text("Date", exact=True).fill("2031-02-03")
    window.button("Another date").click()
    window.text("Date 2").fill("2031-02-04")
    window.field("Day off").check()
    window.button("Add dates").click()
    expect(window.button("Remove Tuesday, 4 February 2031")).to_be_visible()
    window.button("Remove time off").click()
    expect(row).to_have_count(0)


@pytest.mark.parametrize("javascript", [True, False])
def test_a_lost_password_is_set_anew_and_ends_the_sessions_of_before(
    open_window: Callable[..., Window], calapp: Running, host: Host, javascript: bool
) -> None:
    with connected(calapp.data_dir), transaction() as session:
        path = add_link(session, host.user(session), LinkPurpose.PASSWORD)
    before, window = open_window(host.cookie), open_window(javascript=javascript)
    window.go(path)
    window.field("New password").fill("short")
    window.press("Enter")
    expect(window.field("New password")).to_have_attribute("aria-invalid", "true")
    window.field("New password").fill("a longer password")
    window.button("Set password and sign in").click()
    expect(window.button("Sign out")).to_be_visible()
    before.go("/settings")
    expect(before.page.get_by_role("heading", name="Sign in to Calapp")).to_be_visible()
    window.go(path)
    expect(window.page.get_by_text("This link has expired or was already used.")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_lengths_and_reminders_are_set_and_a_visitor_chooses_a_length(
    open_window: Callable[..., Window], host: Host, javascript: bool
) -> None:
    window = open_window(host.cookie, javascript=javascript)
    window.go("/event-types")
    window.link("Edit Quick chat").click()
    window.text("Other lengths").fill("30 min, 1 h")
    window.text("Reminders").fill("sometimes")
    window.button("Save").last.click()
    expect(window.text("Reminders")).to_have_attribute("aria-invalid", "true")
    expect(window.text("Other lengths")).to_have_value("30 min, 1 h")
    window.text("Reminders").fill("24 h, 10 min")
    window.button("Save").last.click()
    window.link("Edit Quick chat").click()
    expect(window.text("Reminders")).to_have_value("24 h, 10 min")
    window.go(f"/{host.username}/quick-chat?tz=Europe/Berlin")
    window.page.get_by_role("group", name="Length").get_by_role("button", name="1 h").click()
    expect(window.page.locator("[name=duration][aria-current]")).to_have_text("1 h")
    assert "duration=60" in window.page.url
    window.page.locator(".times button").first.click()
    expect(window.page.locator(".details")).to_contain_text("1 h")
