"""Mails through a real SMTP server: one that works, that refuses, that hangs and that goes away."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from flask import Flask
from icalendar import Calendar
from sqlalchemy import select

from calapp import config, mail
from calapp.clock import now
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.mail import Email, post
from calapp.maintenance import send_emails
from tests.conftest import on_both_databases
from tests.running import free_port

pytestmark = on_both_databases


class Box:
    """A mail server's handler that keeps what comes in, and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.to_recipient: dict[str, str] = {}
        self.to_data = "250 OK"
        self.closes_after: int | None = None

    async def handle_RCPT(self, server, session, envelope, address: str, options) -> str:  # noqa: N802
        answer = self.to_recipient.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        if self.to_data.startswith("250"):
            self.received.append(message_from_bytes(envelope.content, policy=policy.default))
        if self.closes_after == len(self.received):
            self.to_recipient = dict.fromkeys(["ada@example.com", "rick@example.com"], "421 Going away")
        return self.to_data


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def server(box: Box) -> Iterator[str]:
    """A mail server; gives its address as SMTP_URL has it."""
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"smtp://127.0.0.1:{port}?from=bookings@cal.example"
    controller.stop()


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    url = request.getfixturevalue("server") if "server" in request.fixturenames else ""
    return replace(settings, smtp_url=url)


@pytest.fixture
def written(rick, clock) -> Callable[..., None]:
    """Return a function that writes a mail of Rick's."""

    def write(recipient: str = "ada@example.com", **more: object) -> None:
        with transaction() as session:
            values = {"user_id": rick.id, "recipient": recipient, "subject": "Hello", "body": "Text", **more}
            post(session, [Email(**values)])

    return write


def stored() -> list[Email]:
    db.session.rollback()
    return list(db.session.scalars(select(Email).order_by(Email.id)))


def test_a_mail_goes_out_with_its_calendar_file(server: str, box: Box, written) -> None:
    calendar = "BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nEND:VCALENDAR\r\n"
    written(subject="Grüße, 李 😀", body="Zeile 1\nZeile 2 ß", calendar=calendar, calendar_method="CANCEL")
    send_emails()
    message = box.received[0]
    part = next(message.iter_attachments())
    assert (message["From"], message["To"]) == ("Calapp <bookings@cal.example>", "ada@example.com")
    assert message["Subject"] == "Grüße, 李 😀"
    assert message.get_body().get_content().splitlines() == ["Zeile 1", "Zeile 2 ß"]
    assert (part.get_content_type(), part.get_param("method")) == ("text/calendar", "CANCEL")
    assert part.get_content().splitlines() == calendar.splitlines()
    assert part.get_filename() == "invite.ics"
    (inline, _) = [one for one in message.walk() if one.get_content_type() == "text/calendar"]
    assert (inline.get_param("method"), inline.get_content()) == ("CANCEL", part.get_content())


def test_v3_a_long_subject_in_any_script_keeps_every_space(server: str, box: Box, written) -> None:
    subject = "New booking: Quick chat between Rick and " + "𤤝; é · ü · " * 12 + "x"
    written(subject=subject)
    send_emails()
    (received,) = box.received
    assert received["Subject"] == subject


def test_a_mail_that_went_out_is_sent_once(server: str, box: Box, written) -> None:
    written()
    send_emails()
    send_emails()
    assert len(box.received) == 1
    assert (stored()[0].due_at, stored()[0].attempts, stored()[0].error) == (None, 1, None)
    assert stored()[0].sent_at is not None


def test_without_a_server_mails_are_kept_and_not_tried(written) -> None:
    written()
    send_emails()
    assert (stored()[0].due_at, stored()[0].sent_at, stored()[0].attempts) == (None, None, 0)


def test_what_waits_is_kept_when_the_setting_goes_away(server: str, box: Box, written, settings) -> None:
    written()
    config.use(replace(settings, smtp_url=""))
    send_emails()
    assert (stored()[0].due_at, box.received) == (None, [])


def test_many_mails_go_out_in_their_order(server: str, box: Box, written) -> None:
    for number in range(45):
        written(subject=f"Mail {number}")
    send_emails()
    assert [message["Subject"] for message in box.received] == [f"Mail {number}" for number in range(45)]


def test_a_refused_address_is_given_up_and_the_others_go_out(server: str, box: Box, written) -> None:
    box.to_recipient["nobody@example.com"] = "550 No such person"
    written("nobody@example.com")
    written()
    send_emails()
    refused, fine = stored()
    assert refused.error == "The mail server refused the address: 550 No such person"
    assert (refused.due_at, fine.sent_at is not None) == (None, True)


def test_a_server_that_is_busy_is_asked_again(server: str, box: Box, written, clock) -> None:
    box.to_data = "451 Try later"
    written()
    send_emails()
    assert stored()[0].error == "The mail server responded with 451 Try later"
    box.to_data = "250 OK"
    send_emails()
    assert box.received == []
    clock.shift(61)
    send_emails()
    assert len(box.received) == 1
    assert stored()[0].error is None


def test_a_mail_that_never_goes_out_is_given_up_in_the_end(server: str, box: Box, written, clock) -> None:
    box.to_data = "451 Try later"
    written()
    for delay in mail.DELAYS:
        send_emails()
        clock.shift(delay.total_seconds() + 1)
    send_emails()
    assert (stored()[0].due_at, stored()[0].attempts) == (None, len(mail.DELAYS) + 1)


def test_a_server_that_goes_away_in_between_loses_nothing(server: str, box: Box, written, clock) -> None:
    box.closes_after = 1
    for number in range(3):
        written(subject=f"Mail {number}")
    send_emails()
    assert len(box.received) == 1
    assert [one.due_at is not None for one in stored()] == [False, True, True]
    box.closes_after, box.to_recipient = None, {}
    clock.shift(61)
    send_emails()
    assert sorted(message["Subject"] for message in box.received) == ["Mail 0", "Mail 1", "Mail 2"]


def test_a_server_that_is_not_there_is_asked_again(written, settings, clock) -> None:
    config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{free_port()}"))
    written()
    send_emails()
    assert "refused" in stored()[0].error
    assert stored()[0].due_at is not None


def test_a_server_that_hangs_is_left_alone(written, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{listener.getsockname()[1]}"))
        written()
        send_emails()
    assert stored()[0].error == "The mail server did not respond in time."
    assert stored()[0].due_at is not None


def test_no_transaction_is_open_while_a_server_is_awaited(written, settings, monkeypatch, session) -> None:
    monkeypatch.setattr(mail, "PATIENCE", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{listener.getsockname()[1]}"))
        written()
        states: list[bool] = []

        def meet() -> None:
            connection, _ = listener.accept()
            states.append(session.in_transaction())
            connection.close()

        watcher = threading.Thread(target=meet)
        watcher.start()
        send_emails()
        watcher.join(5)
    assert states == [False]


def test_a_worker_killed_before_it_noted_sends_the_same_mail_again(server, box: Box, written, clock) -> None:
    written()
    with transaction() as session:
        letters = mail.claim(session)
    mail.send(letters)  # and here it is killed
    send_emails()
    assert len(box.received) == 1
    clock.shift(mail.LEASE.total_seconds() + 1)
    send_emails()
    assert len(box.received) == 2
    assert box.received[0]["Message-ID"] == box.received[1]["Message-ID"]
    assert stored()[0].sent_at is not None


def test_two_workers_do_not_send_the_same_mail(server: str, box: Box, written) -> None:
    written()
    with transaction() as session:
        first = mail.claim(session)
    with transaction() as session:
        second = mail.claim(session)
    assert (len(first), second) == (1, [])


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_password_is_given_to_the_server(box: Box, written, settings) -> None:
    given = []

    def check(server, session, envelope, mechanism, login) -> AuthResult:
        given.append((login.login, login.password))
        return AuthResult(success=True)

    port = free_port()
    controller = Controller(
        box, "127.0.0.1", port, authenticator=check, auth_required=True, auth_require_tls=False
    )
    controller.start()
    config.use(replace(settings, smtp_url=f"smtp://rick%40example.com:p%3Aw@127.0.0.1:{port}"))
    written()
    send_emails()
    controller.stop()
    assert given == [(b"rick@example.com", b"p:w")]
    assert box.received[0]["From"] == "Calapp <rick@example.com>"


@pytest.mark.parametrize("subject", ["x\r\nBcc: eve@example.com", "\ud7ff", "x" * 300])
def test_an_odd_subject_adds_no_header(server: str, box: Box, written, subject: str) -> None:
    written(subject=subject)
    send_emails()
    assert all(message["Bcc"] is None for message in box.received)
    assert stored()[0].due_at is None


def test_a_life_of_a_booking_keeps_one_calendar_entry(
    server, box: Box, client, rick, quick_chat, clock
) -> None:
    form = {"name": "Ada", "email": "ada@example.com", "time_zone": "Asia/Tokyo"}
    clock.traveller.move_to("2027-01-04T07:00:00Z")
    answer = client.post("/rick/quick-chat", data=form | {"start": "2027-01-05T10:00:00Z"})
    answer = client.post(f"{answer.location}/reschedule", data={"start": "2027-01-05T12:00:00Z"})
    client.post(f"{answer.location}/cancel", data={"reason": "Ill"})
    send_emails()
    to_ada = [message for message in box.received if message["To"] == "ada@example.com"]
    parts = [next(message.iter_attachments()) for message in to_ada]
    events = [Calendar.from_ical(part.get_content()).walk("VEVENT")[0] for part in parts]
    assert [message["Subject"].split(":")[0] for message in to_ada] == ["Booked", "Moved", "Cancelled"]
    assert [part.get_param("method") for part in parts] == ["REQUEST", "REQUEST", "CANCEL"]
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert len({event["UID"] for event in events}) == 1
    assert "19:00 – 19:15 (Asia/Tokyo)" in to_ada[0].get_body().get_content()
    assert len(box.received) == 6


def test_d8_emails_are_kept_for_a_year_and_those_that_wait_for_longer(written, clock) -> None:
    written("old@example.com")
    written("parked@example.com", parked_at=now())
    clock.shift(366 * 86_400)
    written("new@example.com")
    with transaction() as session:
        assert mail.prune_emails(session) == 1
    assert [one.recipient for one in stored()] == ["parked@example.com", "new@example.com"]


def test_o14_emails_fail_when_none_was_sent_for_ten_minutes(written, settings, clock) -> None:
    config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{free_port()}"))
    written()
    send_emails()
    assert not mail.is_failing(db.session())
    clock.shift(601)
    assert mail.is_failing(db.session())


def test_o14_emails_do_not_fail_while_others_are_sent(
    server: str, box: Box, written, settings, clock
) -> None:
    config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{free_port()}"))
    written()
    send_emails()
    clock.shift(601)
    config.use(replace(settings, smtp_url=server))
    written("grace@example.com")
    send_emails()
    assert not mail.is_failing(db.session())


@pytest.mark.parametrize("answer", ["to_data", "to_recipient"])
def test_o14_emails_fail_when_whatever_is_sent_is_refused_for_good(
    server: str, box: Box, written, answer: str
) -> None:
    people = [f"{name}@example.com" for name in ("ada", "bob", "eve", "joe", "rick", "zoe")]
    refusal = "550 Relaying denied"
    setattr(box, answer, refusal if answer == "to_data" else dict.fromkeys(people, refusal))
    for one in people:
        assert not mail.is_failing(db.session())
        written(one)
        send_emails()
    assert mail.is_failing(db.session())
    box.to_data, box.to_recipient = "250 OK", {}
    written()
    send_emails()
    assert not mail.is_failing(db.session())


def test_o14_addresses_that_there_are_not_are_no_failure_of_emails(server: str, box: Box, written) -> None:
    box.to_recipient = dict.fromkeys(("typo@example.com", "typo@example.org"), "550 No such person")
    for _ in range(5):
        written("typo@example.com")
        written("typo@example.org")
    send_emails()
    assert not mail.is_failing(db.session())


def test_o14_emails_that_nothing_attempts_to_send_fail(server: str, written, clock) -> None:
    written()
    assert not mail.is_failing(db.session())
    clock.shift(601)
    assert mail.is_failing(db.session())


def test_o14_a_test_email_arrives(server: str, box: Box, app: Flask) -> None:
    ended = app.test_cli_runner().invoke(args=["send-test-email", "ada@example.com"])
    assert (ended.exit_code, ended.output) == (0, "Sent a test email to ada@example.com.\n")
    assert len(box.received) == 1


def test_o14_a_test_email_that_cannot_be_sent_says_why(app: Flask, settings) -> None:
    config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{free_port()}"))
    ended = app.test_cli_runner().invoke(args=["send-test-email", "ada@example.com"])
    assert ended.exit_code == 1
    assert "The email could not be sent" in ended.output


def test_o14_host_pages_say_that_no_email_can_be_sent(written, settings, clock, rick_client) -> None:
    assert "No email could be sent" not in rick_client.get("/event-types").text
    config.use(replace(settings, smtp_url=f"smtp://127.0.0.1:{free_port()}"))
    written()
    send_emails()
    clock.shift(601)
    assert "No email could be sent" in rick_client.get("/event-types").text
