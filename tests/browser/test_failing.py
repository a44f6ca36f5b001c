"""An endpoint breaks: the pages say so, the log says why, and once the URL is corrected all is well again."""

from collections.abc import Callable

from playwright.sync_api import expect

from calapp.accounts.service import lock_user
from calapp.db import transaction
from calapp.deliveries import outbox
from calapp.webhooks.models import OffReason, Webhook
from calapp.webhooks.service import switch_off
from tests.browser.stage import Host, connected
from tests.browser.window import Window
from tests.receiver import OK, Receiver, answer
from tests.running import Running, wait_until

DOWN = answer("500 Internal Server Error", b"Key not found")


def breaking(path: str) -> Callable:
    """Return a behaviour that fails at one path and works at all others."""

    def behave(receiver: Receiver, connection) -> None:
        while (request := receiver.read(connection)) is not None:
            connection.sendall(DOWN if request.path == path else OK)

    return behave


def happen(calapp: Running, host: Host, *events: tuple[str, int]) -> None:
    """Record events, each the chain of a booking and its sequence."""
    with connected(calapp.data_dir), transaction() as session:
        for chain, sequence in events:
            outbox.record(
                session,
                user=lock_user(session, host.id),
                trigger="BOOKING_CREATED",
                payload={"uid": f"{chain} {sequence}", "metadata": {}},
                chain=f"{host.id} {chain}",
                sequence=sequence,
                subject=f"{host.id} {chain}",
            )


def test_a_webhook_that_breaks_is_seen_on_every_page_until_its_url_is_corrected(
    window: Window, calapp: Running, host: Host, webhook: Callable, receiver: Receiver
) -> None:
    receiver.behave = breaking("/old")
    number = webhook(receiver.url("/old"), name="CRM")
    webhook(receiver.url("/pager"), name="Pager", triggers=["WEBHOOK_FAILING", "WEBHOOK_RECOVERED"])
    happen(calapp, host, ("A", 1), ("A", 2), ("A", 3), *((other, 1) for other in "BCDE"))
    told = lambda word: [one for one in receiver.requests if one.path == "/pager" and word in one.body]  # noqa: E731
    wait_until(lambda: told(b"WEBHOOK_FAILING"), seconds=30)

    window.go("/bookings/upcoming")
    expect(window.page.locator("#failing")).to_contain_text("1 of your 2 webhooks is failing")
    expect(window.page.locator("#nav-failing .dot")).to_be_visible()
    window.link("see why").click()
    expect(window.page.get_by_text("500 Internal Server Error").first).to_be_visible()

    window.go("/integrations#webhooks")
    first = window.page.locator("#webhooks li").first
    expect(first).to_contain_text("CRM")
    expect(first).to_contain_text("Failing since")
    first.scroll_into_view_if_needed()
    window.link("Edit webhook CRM").click()
    expect(window.field("Name")).to_have_value("CRM")
    window.field("Subscriber URL").fill(receiver.url("/new"))
    window.dialog.get_by_role("button", name="Save").click()
    expect(window.dialog).to_be_hidden()

    sent = lambda: [one.body for one in receiver.requests if one.path == "/new"]  # noqa: E731
    wait_until(lambda: len(sent()) == 7, seconds=30)
    of_one_booking = [body for body in sent() if b'"uid":"A ' in body]
    assert [f"A {place}".encode() in body for place, body in enumerate(of_one_booking, 1)] == [True] * 3
    wait_until(lambda: told(b"WEBHOOK_RECOVERED"), seconds=30)
    expect(window.page.locator("#failing .banner")).to_have_count(0)  # by itself
    expect(window.page.locator("#nav-failing .dot")).to_have_count(0)
    window.go(f"/integrations/webhooks/{number}/deliveries")
    expect(window.page.locator("#log .pill", has_text="Delivered")).to_have_count(7)


def test_a_webhook_that_was_switched_off_for_failing_stays_in_the_banner_until_it_is_on(
    window: Window, calapp: Running, webhook: Callable, receiver: Receiver
) -> None:
    number = webhook(receiver.url(), name="CRM")
    with connected(calapp.data_dir), transaction() as session:
        switch_off(session.get_one(Webhook, number), OffReason.FAILING)
    window.go("/bookings/upcoming")
    banner = window.page.locator("#failing")
    expect(banner).to_contain_text("Your webhook was switched off after failing for five days")
    expect(window.page.locator("#nav-failing .dot")).to_be_visible()
    banner.get_by_role("link", name="Switch it on").click()
    window.page.locator("#webhooks .switch").click()
    expect(window.page.locator("#failing .banner")).to_have_count(0)
