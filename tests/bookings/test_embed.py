"""Booking pages in a frame on another site, as the server answers them."""

import json
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings.models import Booking
from calapp.event_types.models import EventType

BOOKER = "/rick/quick-chat/embed"
LINK = "embed=ns&embedType=modal&theme=dark&layout=month_view&ui.color-scheme=dark"
FORM = {
    "start": "2027-01-05T10:00:00Z",
    "name": "Ada Byron",
    "email": "ada@example.com",
    "time_zone": "Europe/London",
    "embed": "ns",
    "theme": "dark",
}


@pytest.fixture(autouse=True)
def _offered(quick_chat: EventType) -> None:
    """Rick offers his quick chat."""


def events(page: str) -> list[list[object]]:
    """What a page tells the page around it."""
    found = json.loads(unescape(re.search(r'data-events="([^"]*)"', page)[1]))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("address", [BOOKER, "/rick/embed", "/rick/nothing/embed", "/nobody/at/all/embed"])
def test_every_site_may_frame_an_embedded_page_and_its_errors(client: FlaskClient, address: str) -> None:
    headers = client.get(address).headers
    assert headers["Content-Security-Policy"].endswith("frame-ancestors *")
    assert "X-Frame-Options" not in headers


@pytest.mark.parametrize(
    "address", ["/login", "/integrations/embed", "/bookings/upcoming", "/settings", "/x/y"]
)
@pytest.mark.parametrize("query", ["", "?embed=ns&embedType=inline"])
def test_no_site_may_frame_another_page(rick_client: FlaskClient, address: str, query: str) -> None:
    headers = rick_client.get(f"{address}{query}").headers
    assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert headers["X-Frame-Options"] == "SAMEORIGIN"


def test_the_clock_that_is_chosen_in_a_frame_stays_chosen(client: FlaskClient) -> None:
    chosen = {**FORM, "tf": "12"}
    answer = client.post(BOOKER, data=chosen)
    assert "tf=12" in answer.location
    assert "10:00am – 10:15am" in client.get(answer.location).text


def test_an_embedded_page_sets_no_cookie(client: FlaskClient) -> None:
    assert "Set-Cookie" not in client.get(f"{BOOKER}?tz=Asia/Tokyo").headers


def test_the_link_of_the_frame_goes_along_with_every_click(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?{LINK}&metadata[user_id]=123").text
    assert f'action="{BOOKER}"' in page
    for name, value in (("embed", "ns"), ("embedType", "modal"), ("ui.color-scheme", "dark")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in page
    assert 'name="metadata[user_id]" value="123"' in page


@pytest.mark.parametrize(
    ("theme", "media"), [("dark", "all"), ("light", "not all"), ("auto", "(prefers-color-scheme: dark)")]
)
def test_a_link_chooses_the_theme(client: FlaskClient, theme: str, media: str) -> None:
    assert f'id="dark" media="{media}"' in client.get(f"{BOOKER}?theme={theme}").text


@pytest.mark.parametrize("said", ["dark", "light dark"])
def test_the_color_scheme_is_that_of_the_page_around(client: FlaskClient, said: str) -> None:
    page = client.get(BOOKER, query_string={"ui.color-scheme": said}).text
    assert f'<meta name="color-scheme" content="{said}">' in page


def test_what_is_no_color_scheme_counts_as_none(client: FlaskClient) -> None:
    assert '"color-scheme" content="normal"' in client.get(f'{BOOKER}?ui.color-scheme="><script>').text


def test_a_booking_leads_to_its_page_in_the_frame(client: FlaskClient) -> None:
    answer = client.post(BOOKER, data=FORM)
    parts = urlsplit(answer.headers["Location"])
    assert (answer.status_code, parts.path.endswith("/embed")) == (303, True)
    assert parse_qs(parts.query) == {"embed": ["ns"], "theme": ["dark"], "done": ["booked"]}
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("field", "status"), [("email", 422), ("start", 422)])
def test_a_form_with_errors_stays_in_the_frame(client: FlaskClient, field: str, status: int) -> None:
    answer = client.post(BOOKER, data=FORM | {field: "no"})
    assert (answer.status_code, f'action="{BOOKER}"' in answer.text) == (status, True)
    assert '<input type="hidden" name="embed" value="ns">' in answer.text


def test_the_page_around_gets_what_was_booked(client: FlaskClient, session: Session) -> None:
    page = client.post(BOOKER, data=FORM, follow_redirects=True).text
    booking = session.scalar(select(Booking))
    (first, short), (second, long) = events(page)
    assert (first, second) == ("bookingSuccessfulV2", "bookingSuccessful")
    assert short == {
        "uid": booking.uid,
        "title": booking.title,
        "startTime": "2027-01-05T10:00:00.000Z",
        "endTime": "2027-01-05T10:15:00.000Z",
        "eventTypeId": booking.event_type_id,
        "status": "ACCEPTED",
        "paymentRequired": False,
        "isRecurring": False,
    }
    assert (long["duration"], long["confirmed"], long["organizer"]["name"]) == (15, True, booking.host.name)
    assert "ada@example.com" not in json.dumps(long)


def test_a_video_call_goes_along(client: FlaskClient, quick_chat: EventType, change) -> None:
    change(quick_chat, location_kind="link", location="https://meet.example/rick")
    (_, short), _ = events(client.post(BOOKER, data=FORM, follow_redirects=True).text)
    assert short["videoCallUrl"] == "https://meet.example/rick"


def test_moving_and_cancelling_stay_in_the_frame_and_are_told(client: FlaskClient, book) -> None:
    uid = book().uid
    form = {"start": "2027-01-05T11:00:00Z", "embed": "ns"}
    answer = client.post(f"/booking/{uid}/reschedule/embed", data=form)
    page = client.get(answer.headers["Location"]).text
    assert [name for name, _ in events(page)] == [
        "rescheduleBookingSuccessfulV2",
        "rescheduleBookingSuccessful",
    ]
    (again,) = re.findall(r'href="(/booking/[^"]+/cancel/embed\?embed=ns)"', page)
    page = client.post(again, data={"reason": "Ill"}, follow_redirects=True).text
    ((name, data),) = events(page)
    assert (name, data["booking"]["status"]) == ("bookingCancelled", "CANCELLED")
    assert data["booking"]["cancellationReason"] == "Ill"


def test_a_page_that_is_only_looked_at_tells_nothing(client: FlaskClient, book) -> None:
    assert events(client.get(f"/booking/{book().uid}/embed?embed=ns").text) == []


def test_the_target_of_a_redirecting_event_type_opens_in_the_top_window(
    client: FlaskClient, quick_chat: EventType, change
) -> None:
    change(quick_chat, redirect_url="https://bank.example/thanks?a=1")
    answer = client.post(f"{BOOKER}?metadata[user_id]=5", data=FORM)
    assert answer.headers["Location"].startswith("/booking/")
    page = client.get(answer.headers["Location"]).text
    (target,) = re.findall(r'id="onward" href="([^"]+)" target="_top"', page)
    assert unescape(target).startswith("https://bank.example/thanks?a=1&uid=")
    assert "metadata%5Buser_id%5D=5" in target
    assert [name for name, _ in events(page)] == ["bookingSuccessfulV2", "bookingSuccessful"]


def test_the_hosts_page_leads_to_embedded_bookers(client: FlaskClient) -> None:
    page = client.get("/rick/embed?embed=ns&theme=dark").text
    assert 'href="/rick/quick-chat/embed?embed=ns&amp;theme=dark"' in page
    assert '"slug": "quick-chat"' in unescape(page)


def test_an_event_type_that_has_the_address_embed_keeps_it(
    client: FlaskClient, quick_chat: EventType, change
) -> None:
    change(quick_chat, slug="embed")
    alone, framed = client.get("/rick/embed").text, client.get("/rick/embed/embed").text
    assert ('action="/rick/embed"' in alone, "/embed-frame." in alone) == (True, False)
    assert ('action="/rick/embed/embed"' in framed, "/embed-frame." in framed) == (True, True)
    answer = client.post("/rick/embed", data=FORM)
    assert (answer.status_code, "/embed" in answer.headers["Location"]) == (303, False)


def test_an_error_names_itself_to_the_page_around(client: FlaskClient) -> None:
    answer = client.get("/rick/nothing/embed?embed=ns")
    assert answer.status_code == 404
    assert ('data-failed="404"' in answer.text, 'data-namespace="ns"' in answer.text) == (True, True)
    assert "Go to the start page" not in answer.text


def test_a_host_who_is_signed_in_is_a_visitor_in_a_frame(rick_client: FlaskClient, book) -> None:
    form = {"start": "2027-01-05T11:00:00Z"}
    answer = rick_client.post(f"/booking/{book().uid}/reschedule/embed", data=form)
    assert answer.headers["Location"].startswith("/booking/")


def test_a_page_by_itself_is_as_it_was(client: FlaskClient) -> None:
    page = client.get("/rick/quick-chat?embed=ns&theme=dark").text
    assert ("/embed-frame." in page, "hx-boost" in page, 'id="frame"' in page) == (False, False, False)


def test_the_script_is_small_and_for_every_site(client: FlaskClient) -> None:
    with client.get("/embed/embed.js") as answer:
        assert len(answer.data) < 12_000
        assert answer.mimetype in {"text/javascript", "application/javascript"}
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "Set-Cookie" not in answer.headers
        assert b"document.cookie" not in answer.data


def test_a_hostile_link_is_only_text(client: FlaskClient) -> None:
    hostile = '"><script>alert(1)</script>'
    query = dict.fromkeys(("embed", "embedType", "layout", "theme", "ui.color-scheme"), hostile * 20)
    assert "<script>alert" not in client.get(BOOKER, query_string=query).text
