"""The sender against well-behaved receivers: what goes out, what comes back, many at once."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import psutil
import pytest
from redis import ConnectionError as RedisConnectionError

from calapp import clock
from calapp.deliveries import client
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookResponse
from tests.deliveries.requests_made import HOST, LOOPBACK, PATIENCE, TO_LOOPBACK, send, webhook_request
from tests.receiver import Authority, Receiver, answer, closing, pouring, sending, silent
from tests.running import wait_until


def test_a_parcel_arrives_byte_for_byte(sender: Sender) -> None:
    body = '{"name":"Zoë \\u0000 ✓"}\r\n\r\n'.encode()
    with Receiver() as receiver:
        send(sender, webhook_request(receiver.url("/a/b?c=d%20e"), body=body))
    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/a/b?c=d%20e", body)


def test_headers_are_sent_as_given_and_none_is_added(sender: Sender) -> None:
    headers = (("Content-Type", "text/x"), ("User-Agent", "Calapp/1"), ("X-Empty", ""), ("X-Name", "Zoë"))
    with Receiver() as receiver:
        send(sender, webhook_request(receiver.url(), headers=headers))
    assert receiver.requests[0].headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "accept": "*/*",
        "content-type": "text/x",
        "user-agent": "Calapp/1",
        "x-empty": "",
        "x-name": "Zoë",
        "content-length": "23",
    }


def test_a_line_break_in_a_header_makes_no_second_header(sender: Sender) -> None:
    headers = (("X-One", "1\r\nX-Two: 2"), ("X-Three\r\nX-Four", "3"), ("X-Five", "\0a\nb"))
    with Receiver() as receiver:
        (got,) = send(sender, webhook_request(receiver.url(), headers=headers))
    assert got.failure is None
    assert {"x-two", "x-four"}.isdisjoint(receiver.requests[0].headers)


def test_a_large_body_is_sent_without_asking_first(sender: Sender) -> None:
    with Receiver() as receiver:
        (got,) = send(sender, webhook_request(receiver.url(), body=b"x" * 3_000_000))
    assert got.status == 200
    assert len(receiver.requests[0].body) == 3_000_000
    assert "expect" not in receiver.requests[0].headers


def test_an_empty_body_is_a_body_too(sender: Sender) -> None:
    with Receiver() as receiver:
        send(sender, webhook_request(receiver.url(), body=b""))
    assert receiver.requests[0].method == "POST"
    assert receiver.requests[0].headers["content-length"] == "0"


def test_an_answer_tells_status_headers_and_body(sender: Sender) -> None:
    before = clock.now()
    with Receiver(answer("201 Created", b"thanks", "X-Trace: 7")) as receiver:
        (got,) = send(sender, webhook_request(receiver.url()))
    assert (got.status, got.failure, got.body, got.retry_after) == (201, None, "thanks", None)
    assert got.headers == "HTTP/1.1 201 Created\nX-Trace: 7\nContent-Length: 6"
    assert before <= got.at <= clock.now()


def test_an_answer_tells_how_long_each_phase_took(sender: Sender) -> None:
    def slow(receiver: Receiver, connection: object) -> None:
        receiver.read(connection)
        time.sleep(0.1)
        connection.sendall(answer())

    with Receiver(slow) as receiver:
        (got,) = send(sender, webhook_request(receiver.url()))
    assert 90 < got.timings.first_byte < 1000 * PATIENCE / 2
    assert got.timings.total >= got.timings.first_byte
    assert (got.timings.name + got.timings.connect, got.timings.tls) == (pytest.approx(0, abs=90), 0)


def test_interim_answers_are_not_the_answer(sender: Sender) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with Receiver(sending(early, answer("204 No Content"))) as receiver:
        (got,) = send(sender, webhook_request(receiver.url()))
    assert (got.status, got.failure) == (204, None)
    assert "Link" not in got.headers


def test_connections_are_kept_between_parcels(sender: Sender) -> None:
    with Receiver() as receiver:
        for number in range(5):
            send(sender, webhook_request(receiver.url(), number))
    assert (len(receiver.requests), receiver.connections) == (5, 1)


def test_a_kept_connection_that_died_is_replaced(sender: Sender) -> None:
    def once(receiver: Receiver, connection: object) -> None:
        receiver.read(connection)
        connection.sendall(answer())

    with Receiver(once) as receiver:
        answers = [send(sender, webhook_request(receiver.url(), number))[0] for number in range(3)]
    assert [one.status for one in answers] == [200, 200, 200]
    assert receiver.connections == 3


def test_nothing_of_one_answer_is_left_in_the_next(sender: Sender) -> None:
    with Receiver(answer("500 Oh", b"long body", "X-A: 1")) as bad, Receiver(answer()) as good:
        send(sender, webhook_request(bad.url()))
        (got,) = send(sender, webhook_request(good.url()))
    assert (got.status, got.failure, got.body) == (200, None, "")
    assert "X-A" not in got.headers


def test_five_hundred_parcels_all_come_back() -> None:
    sender = Sender(slots=500, timeout=PATIENCE, guard=LOOPBACK)
    with Receiver() as receiver:
        answers = send(sender, *(webhook_request(receiver.url(), number) for number in range(500)))
    assert [one.request.delivery_id for one in answers] == list(range(500))
    assert {one.status for one in answers} == {200}
    sender.close()


def test_what_is_out_is_out_until_it_is_answered(hasty: Sender) -> None:
    with Receiver(silent) as receiver:
        assert hasty.start([webhook_request(receiver.url(), number) for number in range(3)])
        assert (sum(map(len, hasty.in_flight().values())), hasty.busy()) == (3, True)
        while hasty.busy():
            hasty.responses(0.1)
    assert hasty.in_flight() == {}


def test_nothing_to_start_is_told(sender: Sender) -> None:
    assert sender.start([]) is False
    assert (sender.busy(), sender.responses(5)) == (False, [])


def test_answers_come_at_once_though_others_hang(sender: Sender) -> None:
    with Receiver(silent) as hanging, Receiver() as receiver:
        sender.start([webhook_request(hanging.url(), 1), webhook_request(receiver.url(), 2)])
        began = time.monotonic()
        answers = sender.responses(PATIENCE)
        assert [one.request.delivery_id for one in answers] == [2]
        assert time.monotonic() - began < PATIENCE / 2


def test_waiting_for_answers_ends_in_time(sender: Sender) -> None:
    with Receiver(silent) as receiver:
        sender.start([webhook_request(receiver.url())])
        began = time.monotonic()
        assert sender.responses(0.1) == []
        assert 0.09 < time.monotonic() - began < PATIENCE / 2


def test_ages_are_told_for_each_webhook(sender: Sender) -> None:
    with Receiver(silent) as receiver:
        sender.start([webhook_request(receiver.url(), 1), webhook_request(receiver.url(), 2, webhook_id=1)])
        sender.start([webhook_request(receiver.url(), 3)])
        sender.responses(0.1)
        ages = sender.in_flight()
    assert {key: len(value) for key, value in ages.items()} == {1: 2, 3: 1}
    assert all(0.09 < age < PATIENCE / 2 for one in ages.values() for age in one)


BAD_URLS = (
    "", "http://", "nonsense", "http://[::1", "http://a b/", "http://127.0.0.1:99999/", "http://x\0y/",
    "http://\ud800/", "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1/",
)  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_address_is_a_failure_and_harms_no_other(sender: Sender, url: str) -> None:
    with Receiver() as receiver:
        bad, good = send(sender, webhook_request(url, 1), webhook_request(receiver.url(), 2))
    assert bad.status is None
    assert bad.failure is not None
    assert bad.failure.words
    assert good.failure is None


def test_an_address_of_four_kilobytes_is_sent(sender: Sender) -> None:
    path = "/" + "x" * 4000
    with Receiver() as receiver:
        send(sender, webhook_request(receiver.url(path)))
    assert receiver.requests[0].path == path


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_busy_receiver_says_when_to_come_back(sender: Sender, status: str) -> None:
    moment = (clock.now() + timedelta(seconds=300)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    with (
        Receiver(answer(status, b"", "retry-AFTER:  120 ")) as seconds,
        Receiver(answer(status, b"", f"Retry-After: {moment}")) as date,
        Receiver(answer(status, b"", "Retry-After: soon")) as nonsense,
    ):
        answers = send(
            sender, *(webhook_request(one.url(), n) for n, one in enumerate((seconds, date, nonsense)))
        )
    assert answers[0].retry_after == 120
    assert answers[1].retry_after == pytest.approx(300, abs=5)
    assert answers[2].retry_after is None


def test_only_busy_receivers_are_asked_when_to_come_back(sender: Sender) -> None:
    with Receiver(answer("500 Oops", b"", "Retry-After: 120")) as receiver:
        (got,) = send(sender, webhook_request(receiver.url()))
    assert got.retry_after is None


class Waited:
    """A descriptor that something else is waited for with, until `come` is called."""

    def __init__(self) -> None:
        self.fd, self.writing = os.pipe()

    def come(self) -> None:
        os.write(self.writing, b"x")

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.writing)


@pytest.fixture
def waited() -> Iterator[Waited]:
    waited = Waited()
    yield waited
    waited.close()


def all_responses(sender: Sender) -> list[WebhookResponse]:
    responses = []
    while sender.busy():
        responses += sender.responses(PATIENCE)
    return responses


def test_what_is_queued_is_sent_while_something_else_is_waited_for(sender: Sender, waited: Waited) -> None:
    with Receiver() as receiver:
        sender.queue([webhook_request(receiver.url(), number) for number in range(20)])
        assert (sender.busy(), len(sender.held()), len(sender.in_flight()), sender.recent(9)) == (
            True,
            20,
            20,
            20,
        )
        come = threading.Thread(
            target=lambda: (wait_until(lambda: len(receiver.requests) == 20), waited.come())
        )
        come.start()
        sender.meanwhile(waited.fd, select.POLLIN)
        come.join()
        received = len(receiver.requests)
        responses = all_responses(sender)
    assert (received, len(responses)) == (20, 20)


def test_a_name_is_looked_up_while_something_else_is_waited_for(sender: Sender, waited: Waited) -> None:
    with Receiver() as receiver:
        sender.queue([webhook_request(receiver.url(host="localhost"))])
        sender.meanwhile(waited.fd, select.POLLIN)  # for a second at most
        assert len(receiver.requests) == 1
        assert [one.status for one in all_responses(sender)] == [200]


def test_what_has_come_already_is_not_kept_waiting_by_what_is_queued(sender: Sender, waited: Waited) -> None:
    waited.come()
    with Receiver() as receiver:
        sender.queue([webhook_request(receiver.url(), number) for number in range(20)])
        sender.meanwhile(waited.fd, select.POLLIN)
        assert len(sender.queued) == 20
        sender.start([webhook_request(receiver.url(), 20)])
        assert len(all_responses(sender)) == 21


def test_what_was_queued_for_too_long_is_left_to_the_end_of_its_lease(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_QUEUED", -1.0)
    with Receiver() as receiver:
        sender.queue([webhook_request(receiver.url())])
        assert sender.start([]) is False
    assert (sender.busy(), receiver.requests) == (False, [])


def test_what_fails_while_something_else_is_waited_for_is_raised_by_the_next_wait(
    sender: Sender, waited: Waited
) -> None:
    class Broken:
        def fileno(self) -> int:
            return waited.fd

        def woken(self) -> bool:
            raise RedisConnectionError("Valkey has closed the connection.")

        def ask(self) -> None:
            pass

    waited.come()
    sender.listen(Broken())
    other = Waited()
    with Receiver(silent) as receiver:
        sender.queue([webhook_request(receiver.url())])
        sender.meanwhile(other.fd, select.POLLIN)
        with pytest.raises(RedisConnectionError):
            sender.responses(PATIENCE)
    other.close()


def test_closing_breaks_off_what_is_out() -> None:
    sender = Sender(slots=5, timeout=30, guard=LOOPBACK)
    with Receiver(silent) as receiver:
        sender.start([webhook_request(receiver.url())])
        sender.responses(0.1)
        sender.close()
    assert sender.busy() is False


def test_no_file_is_left_open_by_many_connections(sender: Sender) -> None:
    with Receiver(closing) as receiver:
        send(sender, *(webhook_request(receiver.url(), number) for number in range(40)))
        before = psutil.Process().num_fds()
        send(sender, *(webhook_request(receiver.url(), number) for number in range(40)))
        assert psutil.Process().num_fds() <= before


def test_a_connection_with_the_number_of_one_that_was_closed_is_heard(sender: Sender) -> None:
    with Receiver(closing) as leaving, Receiver() as receiver:
        for number in range(10):
            broken, got = (
                one for to in (leaving, receiver) for one in send(sender, webhook_request(to.url(), number))
            )
            assert broken.failure.code == "closed"
            assert (got.status, got.timings.total < 1000 * PATIENCE / 2) == (200, True)


def test_a_kept_connection_that_its_server_closes_costs_nothing_and_is_replaced(sender: Sender) -> None:
    def once(receiver: Receiver, connection: socket.socket) -> None:
        receiver.read(connection)
        connection.sendall(answer("200 OK", b""))  # keeps it open by what it says, and closes it all the same

    with Receiver(once) as receiver:
        send(sender, webhook_request(receiver.url()))
        spent = time.process_time()
        sender.rest(0.3)
        assert time.process_time() - spent < 0.15
        (got,) = send(sender, webhook_request(receiver.url()))
    assert (got.status, receiver.connections) == (200, 2)


def test_tls_connections_are_verified_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    sender = Sender(slots=5, timeout=2, guard=LOOPBACK, connect_to=TO_LOOPBACK)
    with Receiver(tls=authority.serving(HOST)) as receiver:
        url = receiver.url(host=HOST)
        (first,) = send(sender, webhook_request(url))
        (second,) = send(sender, webhook_request(url))
    sender.close()
    assert (first.failure, second.failure, receiver.connections) == (None, None, 1)
    assert first.timings.tls > second.timings.tls == 0


def test_times_are_aware(sender: Sender) -> None:
    with Receiver(pouring(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000)) as receiver:
        (got,) = send(sender, webhook_request(receiver.url()))
    assert isinstance(got.at, datetime)
    assert got.at.utcoffset() == timedelta(0)
