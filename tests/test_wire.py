"""What goes over the wire: bytes and requests of a visit, what is compressed, what is kept for how long."""

import gzip
import json
import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from calapp.accounts.models import User
from calapp.event_types.models import EventType
from calapp.static_files import FOLDER, FOREVER
from tests.conftest import signed_in

GZIP = {"Accept-Encoding": "gzip, deflate, br"}
NAMED = re.compile(r'(?:href|src|data-zones)="(/static/[^"]+)"')
IN_STYLES = re.compile(r'url\("([^"]+)"\)')


def ask(client: FlaskClient, address: str, **headers: str) -> TestResponse:
    with client.get(address, headers={**GZIP, **headers}) as response:
        response.get_data()
        return response


def text_of(response: TestResponse) -> str:
    data = response.get_data()
    return (gzip.decompress(data) if response.headers.get("Content-Encoding") == "gzip" else data).decode()


def sizes(response: TestResponse) -> int:
    return len(response.get_data()) + sum(len(f"{name}: {value}\r\n") for name, value in response.headers)


def visit(client: FlaskClient, kept: set[str], *addresses: str) -> Iterator[tuple[str, int]]:
    """Open pages as a browser does that keeps what it may; give what it asks for and how long each is."""
    for address in addresses:
        page = ask(client, address)
        yield address, sizes(page)
        for name in NAMED.findall(text_of(page)):
            if name not in kept:
                file = ask(client, name)
                assert file.headers["Cache-Control"] == FOREVER, name
                kept.add(name)
                yield name, sizes(file)


@pytest.fixture
def booker(rick: User, quick_chat: EventType) -> str:
    return f"/{rick.username}/{quick_chat.slug}"


def test_a_first_visit_takes_at_most_70_kb_and_a_second_8_and_no_static_file(
    client: FlaskClient, booker: str
) -> None:
    kept: set[str] = set()
    first = dict(visit(client, kept, booker, f"{booker}?tz=America/New_York"))
    again = dict(visit(client, kept, f"{booker}?tz=America/New_York"))
    assert sum(first.values()) <= 70_000
    assert len(first) <= 9
    assert sum(again.values()) <= 8_000
    assert len(again) == 1


def test_a_click_brings_no_list_of_time_zones(client: FlaskClient, booker: str) -> None:
    clicked = ask(client, f"{booker}?tz=America/New_York", **{"HX-Request": "true"})
    zones = re.search(r'<select[^>]* id="tz".*?</select>', text_of(clicked), re.DOTALL)
    assert zones is not None
    assert zones[0].count("<option") == 1
    assert 'value="America/New_York" selected' in zones[0]


def test_the_list_of_time_zones_is_a_file_with_their_offsets(client: FlaskClient, booker: str) -> None:
    page = text_of(ask(client, booker))
    address = next(name for name in NAMED.findall(page) if "time-zones" in name)
    zones = {name: (text, old) for name, text, old in json.loads(text_of(ask(client, address)))}
    assert zones["Asia/Tokyo"] == ("Asia/Tokyo (UTC+09:00)", "Japan")
    assert zones["Asia/Kolkata"] == ("Asia/Kolkata (UTC+05:30)", "Asia/Calcutta")
    assert "Asia/Calcutta" not in zones
    assert len(zones) > 400


def test_large_cities_name_a_time_zone_that_the_list_has(client: FlaskClient) -> None:
    data = json.loads(text_of(ask(client, "/static/cities.json")))
    listed = {name for name, _, _ in json.loads(text_of(ask(client, "/static/time-zones.json")))}
    assert set(data["zones"]) <= listed
    zone_of: dict[str, str] = {}
    for city, number in data["cities"]:
        zone_of.setdefault(city, data["zones"][number])
    assert zone_of["Munich"] == zone_of["Hamburg"] == "Europe/Berlin"
    assert zone_of["San Francisco"] == zone_of["Seattle"] == "America/Los_Angeles"
    assert (zone_of["Mumbai"], zone_of["Beijing"]) == ("Asia/Kolkata", "Asia/Shanghai")
    assert zone_of["Barcelona"] == "Europe/Madrid"
    assert len(zone_of) > 3_000


def test_without_a_script_a_button_shows_all_time_zones(client: FlaskClient, booker: str) -> None:
    assert 'name="zones" value="all"' in text_of(ask(client, booker))
    page = text_of(ask(client, f"{booker}?zones=all&tz=Asia/Tokyo"))
    assert page.count("<option") > 400
    assert 'value="Asia/Tokyo" selected' in page
    assert 'name="zones"' not in page


def test_styles_name_their_files_by_tags_that_are_right(client: FlaskClient) -> None:
    page = text_of(ask(client, "/login"))
    for sheet in (name for name in NAMED.findall(page) if name.endswith(".css")):
        for name in IN_STYLES.findall(text_of(ask(client, sheet))):
            assert ask(client, f"/static/{name}").headers["Cache-Control"] == FOREVER


@pytest.mark.parametrize("name", ["app.css", "app.0123456789.css"])
def test_a_name_without_the_right_tag_gets_the_file_and_keeps_nothing(client: FlaskClient, name: str) -> None:
    response = ask(client, f"/static/{name}")
    assert response.headers["Cache-Control"] == "no-cache"
    again = ask(client, f"/static/{name}", **{"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["none.css", "app.css/x", "../app.py", "app.0123456789", ".0123456789.css", "%00"],
)
def test_what_is_no_file_is_not_found(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_static_files_and_the_script_for_other_sites_know_no_session(app: Flask, rick: User) -> None:
    app.config["SESSION_REFRESH_EACH_REQUEST"] = True
    browser = signed_in(app, rick)
    with browser.session_transaction() as session:
        session.permanent = True
    for address in ("/static/app.css", "/embed/embed.js"):
        response = ask(browser, address)
        assert "Cookie" not in response.headers.get("Vary", "")
        assert "Set-Cookie" not in response.headers


def test_a_client_that_cannot_unpack_gets_files_and_pages_as_they_are(
    client: FlaskClient, booker: str
) -> None:
    for encodings in ("", "br", "gzip;q=0"):
        for address in ("/static/htmx.min.js", booker):
            response = client.get(address, headers={"Accept-Encoding": encodings})
            assert "Content-Encoding" not in response.headers
            assert "Accept-Encoding" in response.headers["Vary"]
    assert client.get("/static/htmx.min.js").get_data() == (FOLDER / "htmx.min.js").read_bytes()


def test_pages_of_a_session_and_of_a_key_are_never_compressed(
    app: Flask, client: FlaskClient, rick: User, booker: str
) -> None:
    browser = signed_in(app, rick)
    app.config["WTF_CSRF_ENABLED"] = True
    for address in ("/event-types", "/integrations", "/settings", booker):
        assert "Content-Encoding" not in ask(browser, address).headers
    assert "Content-Encoding" not in ask(client, "/login").headers  # its form has a token
    anyone = app.test_client()
    assert ask(anyone, "/v2/openapi.json").headers["Content-Encoding"] == "gzip"
    with_key = ask(anyone, "/v2/openapi.json", Authorization="Bearer cal_x")
    assert "Content-Encoding" not in with_key.headers


def test_a_head_says_how_long_the_compressed_page_is(client: FlaskClient, booker: str) -> None:
    page, head = ask(client, booker), client.head(booker, headers=GZIP)
    assert head.headers["Content-Encoding"] == "gzip"
    assert abs(int(head.headers["Content-Length"]) - len(page.get_data())) < 50
