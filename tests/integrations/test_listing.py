"""Two hundred webhooks on the integrations page: pages, finding, and staying where one was."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from calapp.accounts.models import User
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.integrations.conftest import HTMX

ROW = 'id="switch-'


def url(number: int) -> str:
    return f"https://example.com/customers/{number:03}"


@pytest.fixture
def many(rick: User, quick_chat: EventType, saved: Callable[..., None]) -> list[Webhook]:
    """Two hundred webhooks: one off, one failing, one of the quick chat alone."""
    made = [
        Webhook(user_id=rick.id, subscriber_url=url(at), triggers=["BOOKING_CREATED"]) for at in range(200)
    ]
    made[3].active = False
    made[4].failures = 7
    made[5].event_type_id = quick_chat.id
    saved(*made)
    return made


def test_the_newest_webhooks_come_first(rick_client: FlaskClient, many: list[Webhook]) -> None:
    page = rick_client.get("/integrations").text
    assert page.count(ROW) == 25
    assert page.index(url(199)) < page.index(url(175))
    assert "Page 1 of 8, 200 webhooks" in page


def test_every_webhook_is_on_some_page(rick_client: FlaskClient, many: list[Webhook]) -> None:
    pages = "".join(rick_client.get(f"/integrations?page={number}").text for number in range(1, 9))
    assert all(f"Edit webhook {url(number)}" in pages for number in range(200))


@pytest.mark.parametrize("query", ["find=/003", "state=off", "find=CUSTOMERS/003&state=off&page=7"])
def test_a_webhook_is_found_by_words_and_state(
    rick_client: FlaskClient, many: list[Webhook], query: str
) -> None:
    page = rick_client.get(f"/integrations?{query}").text
    assert page.count(ROW) == 1
    assert url(3) in page


def test_failing_webhooks_are_found(rick_client: FlaskClient, many: list[Webhook]) -> None:
    page = rick_client.get("/integrations?state=failing").text
    assert (page.count(ROW), url(4) in page) == (1, True)


def test_a_webhook_is_found_by_its_event_type(rick_client: FlaskClient, many: list[Webhook]) -> None:
    page = rick_client.get("/integrations?find=quick").text
    assert (page.count(ROW), url(5) in page) == (1, True)


@pytest.mark.parametrize("query", ["page=0", "page=x", "state=nonsense", "page=²"])
def test_what_cannot_be_read_shows_the_newest(
    rick_client: FlaskClient, many: list[Webhook], query: str
) -> None:
    assert url(199) in rick_client.get(f"/integrations?{query}").text


def test_a_page_that_is_too_far_shows_the_last(rick_client: FlaskClient, many: list[Webhook]) -> None:
    assert "Page 8 of 8" in rick_client.get("/integrations?page=99").text


def test_nothing_found_is_not_the_empty_page(rick_client: FlaskClient, many: list[Webhook]) -> None:
    page = rick_client.get("/integrations?find=nowhere").text
    assert "None of your webhooks matches" in page
    assert "No webhooks yet" not in page


def test_a_switch_leaves_the_page_where_it_was(rick_client: FlaskClient, many: list[Webhook]) -> None:
    address = "http://localhost/integrations?page=8"
    html = rick_client.post(
        f"/integrations/webhooks/{many[0].id}/toggle",
        data={"active": "0"},
        headers={**HTMX, "HX-Current-URL": address},
    ).text
    assert (html.count(ROW), "Page 8 of 8" in html) == (25, True)


def test_a_switch_without_a_script_leads_back_to_what_was_found(
    rick_client: FlaskClient, many: list[Webhook]
) -> None:
    answer = rick_client.post(
        f"/integrations/webhooks/{many[0].id}/toggle",
        data={"active": "0"},
        headers={"Referer": "http://localhost/integrations?find=000"},
    )
    assert answer.location == "/integrations?find=000#webhooks"


def test_a_few_webhooks_need_no_finding(rick_client: FlaskClient, webhook: Webhook) -> None:
    page = rick_client.get("/integrations").text
    assert "Find a webhook" not in page
    assert "Pages of webhooks" not in page
