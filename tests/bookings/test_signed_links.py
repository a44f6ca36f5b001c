"""Signed links: what is verified, what is not, and event types that insist."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import LinkKey, User
from calapp.accounts.service import create_api_key, create_link_key, end_link_key
from calapp.bookings import service
from calapp.bookings.metadata import Metadata, Proof, of_pairs, proof_of, signed_link
from calapp.bookings.models import Booking
from calapp.clock import iso_seconds, now
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from tests.booking_requests import move_request
from tests.bookings.conftest import MONDAY, TUESDAY_TEN
from tests.conftest import on_both_databases

GOOD = {"user_id": "123", "plan": "Zoë's & co"}
FORM = {"start": "2027-01-05T10:00:00Z", "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}
SOON = str(int(MONDAY.timestamp()) + 3600)

Sign = Callable[..., str]


@pytest.fixture
def sign(rick: User, quick_chat: EventType) -> Sign:
    """Return a function that signs a link: its path and query."""

    def make(values: dict[str, str] = GOOD, exp: str = "") -> str:
        with transaction() as session:
            return signed_link(session, quick_chat, values, exp)

    return make


@pytest.fixture
def key(rick: User, app: Flask) -> dict[str, str]:
    """The header of a key of Rick's."""
    with transaction() as session:
        _, plain = create_api_key(session, rick, "test", ["read", "write"])
    return {"Authorization": f"Bearer {plain}"}


def fields(link: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(link).query, keep_blank_values=True)


def post(client: FlaskClient, link: str, **more: str) -> Booking | int:
    """Book at a link; return the booking, or the status of the refusal."""
    answer = client.post(link, data=FORM | more)
    if answer.status_code != 303:
        return answer.status_code
    return service.booking_at(answer.headers["Location"].rpartition("/")[2])


def test_a_signed_link_makes_a_verified_booking_and_says_so_everywhere(
    client: FlaskClient, rick_client: FlaskClient, sign: Sign, session: Session
) -> None:
    booking = post(client, sign(exp=SOON))
    body = json.loads(session.scalars(select(Event.body)).one())["payload"]
    assert (body["metadata"], body["metadataVerified"]) == (GOOD, True)
    assert client.get(f"/v2/bookings/{booking.uid}").json["data"]["metadataVerified"] is True
    assert ">Verified<" in rick_client.get(f"/bookings/{booking.uid}").text
    assert booking.metadata_left_out == []


CHANGES = {
    "a changed value": lambda link: link.replace("=123", "=124"),
    "an added pair": lambda link: f"{link}&metadata[role]=admin",
    "an added pair in front": lambda link: link.replace("?", "?metadata[role]=admin&"),
    "the same key again": lambda link: f"{link}&metadata[user_id]=124",
    "the same pair again": lambda link: f"{link}&metadata[user_id]=123",
    "the same key in front": lambda link: link.replace("?", "?metadata[user_id]=124&"),
    "a missing pair": lambda link: link.replace("metadata%5Buser_id%5D=123&", ""),
    "a renamed key": lambda link: link.replace("user_id", "userid"),
    "another case of the key": lambda link: link.replace("user_id", "User_id"),
    "a malformed entry": lambda link: f"{link}&metadata[]=1",
    "a nested key": lambda link: f"{link}&metadata[user_id][x]=1",
    "a space behind the value": lambda link: link.replace("=123", "=123%20"),
    "a digit of another script": lambda link: link.replace("=123", "=%D9%A123"),
    "no expiry": lambda link: link.replace(f"&exp={SOON}", ""),
    "a later expiry": lambda link: link.replace(f"exp={SOON}", f"exp={int(SOON) + 1}"),
    "an expiry in front": lambda link: link.replace("?", f"?exp={int(SOON) + 1}&"),
    "an expiry with a zero": lambda link: link.replace("exp=", "exp=0"),
    "an expiry with a sign": lambda link: link.replace("exp=", "exp=%2B"),
    "an expiry in other digits": lambda link: link.replace("exp=1", "exp=%D9%A1"),
    "an endless expiry": lambda link: link.replace("exp=", "exp=" + "9" * 5000),
    "no signature": lambda link: link.partition("&sig=")[0],
    "an empty signature": lambda link: link.partition("&sig=")[0] + "&sig=",
    "a shorter signature": lambda link: link[:-1],
    "a longer signature": lambda link: f"{link}0",
    "two signatures": lambda link: link.replace("?", f"?sig={'0' * 64}&"),
    "a signature of letters": lambda link: link.partition("&sig=")[0] + "&sig=" + "%C3%A9" * 64,
}


@pytest.mark.parametrize("alter", CHANGES.values(), ids=CHANGES)
def test_a_changed_link_is_not_verified(sign: Sign, alter: Callable[[str], str], client: FlaskClient) -> None:
    link = alter(sign(exp=SOON))
    booking = post(client, link)
    assert booking.metadata_verified is False


@pytest.mark.parametrize("alter", CHANGES.values(), ids=CHANGES)
def test_a_changed_link_is_refused_where_signed_ones_are_required(
    sign: Sign, alter: Callable[[str], str], client: FlaskClient, change_type: None, session: Session
) -> None:
    link = alter(sign(exp=SOON))
    page = client.get(link)
    assert page.status_code == 400
    assert re.search("is not signed|was changed", page.text)
    assert post(client, link) == 400
    assert session.scalar(select(Booking)) is None


@pytest.fixture
def change_type(quick_chat: EventType, change: Callable[..., None]) -> None:
    """Rick's quick chat insists on signed links."""
    change(quick_chat, require_signed_metadata=True)


SAME = {
    "brackets as they are": lambda link: link.replace("%5B", "[").replace("%5D", "]"),
    "letters percent-encoded": lambda link: link.replace("=123", "=%31%32%33"),
    "another order": lambda link: (
        link.partition("?")[0] + "?" + "&".join(link.partition("?")[2].split("&")[::-1])
    ),
    "a prefilled name": lambda link: f"{link}&name=Ada&utm_source=mail",
    "capitals in the path": lambda link: link.replace("rick/quick-chat", "Rick/Quick-Chat"),
    "plus for a space": lambda link: link.replace("%20", "+"),
}


@pytest.mark.parametrize("alter", SAME.values(), ids=SAME)
def test_what_says_the_same_is_verified(sign: Sign, alter: Callable[[str], str], client: FlaskClient) -> None:
    assert post(client, alter(sign(exp=SOON))).metadata_verified is True


def test_an_expired_link_is_not_verified_and_says_why(
    sign: Sign, client: FlaskClient, monday: time_machine.Traveller
) -> None:
    link = sign(exp=SOON)
    monday.shift(3600)
    booking = post(client, link)
    assert booking.metadata_verified is False
    assert booking.metadata_left_out == ["sig: the link had expired"]


@pytest.mark.usefixtures("change_type")
def test_an_expired_link_is_refused_in_words_also_after_the_page_was_opened(
    sign: Sign, client: FlaskClient, monday: time_machine.Traveller
) -> None:
    link = sign(exp=SOON)
    assert client.get(link).status_code == 200
    monday.shift(3600)
    answer = client.post(link, data=FORM)
    assert answer.status_code == 400
    assert "This booking link has expired. Please ask Rick for a new one." in answer.text
    assert "X-Frame-Options" not in answer.headers


@pytest.mark.parametrize("embed", ["", "/embed"])
@pytest.mark.usefixtures("change_type")
def test_the_signature_goes_along_with_every_click(sign: Sign, client: FlaskClient, embed: str) -> None:
    link = sign(exp=SOON).replace("?", f"{embed}?")
    kept = dict(fields(link))
    pages = [
        client.get(link),
        client.get(f"{link}&month=2027-02&tz=Asia/Tokyo"),
        client.get(f"{link}&date=2027-01-05&slot=2027-01-05T10:00:00Z"),
        client.post(link, data=FORM | {"email": "nobody"}),
    ]
    for page in pages:
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
        assert {name: hidden[name] for name in ("exp", "sig", "metadata[user_id]")} == {
            name: kept[name] for name in ("exp", "sig", "metadata[user_id]")
        }
    answer = client.post(f"/rick/quick-chat{embed}", data=FORM | kept)
    assert answer.status_code == 303
    assert service.booking_at(re.search("/booking/([^/?]+)", answer.headers["Location"])[1]).metadata_verified


def test_a_move_keeps_the_proof_and_adds_nothing_to_it(
    sign: Sign, client: FlaskClient, session: Session
) -> None:
    booking = post(client, sign())
    link = f"/booking/{booking.uid}/reschedule?metadata[role]=admin&metadata[user_id]=9"
    assert client.post(link, data={"start": "2027-01-05T11:00:00Z"}).status_code == 303
    moved = service.newest(session, booking)
    assert (moved.link_metadata, moved.metadata_verified) == (GOOD, True)
    assert "metadata[role]" in moved.metadata_left_out[0]
    bodies = [json.loads(body)["payload"] for body in session.scalars(select(Event.body))]
    assert [one["metadataVerified"] for one in bodies] == [True, True]


def test_a_move_of_an_unsigned_booking_stays_unverified(book: Callable[..., Booking], sign: Sign) -> None:
    link, booking = of_pairs(fields(sign())), book(metadata={})
    with transaction() as session:
        moved = service.reschedule(
            session,
            booking,
            move_request(TUESDAY_TEN + timedelta(hours=1)),
            by="ada@example.com",
            metadata=link,
        )
    assert (moved.link_metadata, moved.metadata_verified) == (GOOD, False)


def test_a_link_of_another_event_type_or_host_is_not_verified(
    sign: Sign, bob: User, rick: User, saved: Callable[..., None], session: Session
) -> None:
    link = of_pairs(fields(sign()))
    for user, slug in ((rick, "other"), (bob, "quick-chat")):
        other = EventType(user_id=user.id, title="Other", slug=slug, length=15)
        saved(other)
        assert proof_of(session, other, link) is Proof.CHANGED


def test_two_keys_are_valid_while_one_replaces_the_other(
    sign: Sign, rick: User, quick_chat: EventType, session: Session
) -> None:
    old = of_pairs(fields(sign()))
    with transaction() as writing:
        create_link_key(writing, rick.id)
    new = of_pairs(fields(sign()))
    assert old.sig != new.sig
    assert {proof_of(session, quick_chat, link) for link in (old, new)} == {Proof.VERIFIED}
    first = session.scalars(select(LinkKey.id).order_by(LinkKey.id)).first()
    with transaction() as writing:
        end_link_key(writing, rick.id, first)
    assert [proof_of(session, quick_chat, link) for link in (old, new)] == [Proof.CHANGED, Proof.VERIFIED]


def test_a_key_that_cannot_be_read_fails_no_booking(
    sign: Sign, client: FlaskClient, session: Session, change: Callable[..., None]
) -> None:
    link = sign()
    change(session.scalars(select(LinkKey)).one(), sealed_secret="\x01enc1:00000000:gAAAA")
    assert post(client, link).metadata_verified is False


def api(client: FlaskClient, event_type: EventType, headers: dict[str, str] | None = None, **more: object):
    person = {"name": "Ada", "email": "ada@example.com", "timeZone": "UTC"}
    body = {"start": iso_seconds(TUESDAY_TEN), "eventTypeId": event_type.id, "attendee": person, **more}
    return client.post("/v2/bookings", json=body, headers=headers)


@pytest.mark.usefixtures("change_type")
def test_the_api_insists_too_but_lets_the_host_book(
    client: FlaskClient, quick_chat: EventType, sign: Sign, key: dict[str, str]
) -> None:
    signed = dict(fields(sign(exp=SOON)))
    proof = {"exp": int(signed["exp"]), "sig": signed["sig"]}
    refused = api(client, quick_chat, metadata=GOOD)
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "link_refused")
    assert api(client, quick_chat, metadata={**GOOD, "role": "admin"}, **proof).status_code == 400
    taken = api(client, quick_chat, metadata=GOOD, **proof)
    assert (taken.status_code, taken.json["data"]["metadataVerified"]) == (201, True)
    own = api(client, quick_chat, key, metadata=GOOD, start="2027-01-05T12:00:00Z")
    assert (own.status_code, own.json["data"]["metadataVerified"]) == (201, False)


@pytest.mark.usefixtures("change_type")
def test_what_needs_a_signed_link_is_not_listed(client: FlaskClient) -> None:
    assert "quick-chat" not in client.get("/rick").text


def test_the_api_makes_a_link(
    client: FlaskClient, quick_chat: EventType, key: dict[str, str], session: Session
) -> None:
    body = {"eventTypeId": quick_chat.id, "metadata": GOOD, "expiresAt": "2027-01-04T09:00:00+01:00"}
    answer = client.post("/v2/links", json=body, headers=key)
    assert answer.status_code == 201
    link = answer.json["data"]["url"]
    assert link.startswith("http://127.0.0.1:5000/rick/quick-chat?metadata%5B")
    assert dict(fields(link))["exp"] == SOON
    assert proof_of(session, quick_chat, of_pairs(fields(link))) is Proof.VERIFIED


def test_a_key_makes_60_links_a_minute(
    client: FlaskClient, quick_chat: EventType, key: dict[str, str]
) -> None:
    body = {"eventTypeId": quick_chat.id, "metadata": GOOD}
    answers = [client.post("/v2/links", json=body, headers=key) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [201] * 60 + [429]
    assert 1 <= int(answers[60].headers["Retry-After"]) <= 60
    assert client.get("/v2/me", headers=key).status_code == 200


BAD = [
    ({"metadata": {"a[b]": "1"}}, "metadata"),
    ({"metadata": {"a": "x" * 501}}, "metadata"),
    ({"metadata": {f"k{number}": "1" for number in range(51)}}, "metadata"),
    ({"metadata": {f"k{number}": "語" * 500 for number in range(50)}}, "metadata"),
    ({"expiresAt": "2027-01-04T06:59:59Z"}, "expiresAt"),
    ({"expiresAt": "tomorrow"}, "expiresAt"),
    ({"eventTypeId": "x"}, "eventTypeId"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD)
def test_a_link_that_cannot_be_is_refused_by_name(
    client: FlaskClient, quick_chat: EventType, key: dict[str, str], wrong: dict[str, object], field: str
) -> None:
    answer = client.post("/v2/links", json={"eventTypeId": quick_chat.id, **wrong}, headers=key)
    assert answer.status_code == 400
    assert field in answer.json["error"]["details"]


def test_the_largest_link_of_plain_letters_is_made(
    client: FlaskClient, quick_chat: EventType, key: dict[str, str]
) -> None:
    metadata = {f"k{number}": "x" * 500 for number in range(50)}
    answer = client.post("/v2/links", json={"eventTypeId": quick_chat.id, "metadata": metadata}, headers=key)
    assert answer.status_code == 201


def test_the_box_makes_a_link(rick_client: FlaskClient, quick_chat: EventType, session: Session) -> None:
    path = f"/event-types/{quick_chat.id}/link"
    assert "Link with metadata" in rick_client.get(path).text
    data = {"metadata_key": ["user_id", ""], "metadata_value": ["123", ""], "valid_for": "24"}
    page = rick_client.post(path, data=data).text
    link = re.search(r'aria-label="Link"', page) and re.search(r'readonly value="([^"]+)"', page)[1]
    read = of_pairs(fields(link.replace("&amp;", "&")))
    assert (dict(read.values), proof_of(session, quick_chat, read)) == ({"user_id": "123"}, Proof.VERIFIED)
    assert int(read.exp) == int(now().timestamp()) + 86400


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"metadata_key": ["a", "a"], "metadata_value": ["1", "2"]}, "Each key can be used once."),
        ({"metadata_key": ["a b"], "metadata_value": ["1"]}, "A key has the characters"),
        ({"metadata_key": [""], "metadata_value": ["1"]}, "A key has the characters"),
        ({"metadata_key": ["a"], "metadata_value": ["1"], "valid_for": "5"}, "Please choose one"),
    ],
)
def test_the_box_says_what_is_wrong_and_keeps_the_rest(
    rick_client: FlaskClient, quick_chat: EventType, data: dict[str, object], words: str
) -> None:
    answer = rick_client.post(f"/event-types/{quick_chat.id}/link", data=data)
    assert answer.status_code == 422
    assert words in answer.text
    assert 'value="1"' in answer.text


def test_the_box_gets_another_entry(rick_client: FlaskClient, quick_chat: EventType) -> None:
    data = {"metadata_key": "a", "metadata_value": "1", "action": "add-entry"}
    page = rick_client.post(f"/event-types/{quick_chat.id}/link", data=data).text
    assert page.count('name="metadata_key"') == 2
    assert 'value="a"' in page


def test_a_link_key_is_shown_once_and_stored_encrypted(
    rick_client: FlaskClient, rick: User, session: Session
) -> None:
    page = rick_client.post("/integrations/link-keys/new").text
    plain = re.search(r'value="(lk_[\w-]{43})"', page)[1]
    assert plain not in rick_client.get("/integrations").text
    assert plain not in session.scalars(select(LinkKey.sealed_secret)).one()
    rick_client.post("/integrations/link-keys/new")
    again = rick_client.post("/integrations/link-keys/new", follow_redirects=True).text
    assert "Two link keys are valid already." in again
    last = session.scalars(select(LinkKey.id)).first()
    rick_client.post(f"/integrations/link-keys/{last}/end")
    session.rollback()
    assert len(session.scalars(select(LinkKey.id)).all()) == 1


@on_both_databases
def test_links_are_verified_on_both_databases(sign: Sign, quick_chat: EventType, session: Session) -> None:
    read = of_pairs(fields(sign()))
    assert proof_of(session, quick_chat, read) is Proof.VERIFIED
    assert proof_of(session, quick_chat, Metadata(GOOD, sig=quote("é"))) is Proof.CHANGED
