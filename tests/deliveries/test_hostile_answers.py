"""Receivers that are enemies: endless, dripping, huge and malformed answers cost little and are told."""

import gzip
import socket
import time
import tracemalloc

import pytest

from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookResponse
from calapp.deliveries.transfer import MAX_KEPT, MAX_READ
from tests.deliveries.requests_made import LOOPBACK, PATIENCE, send, send_one, webhook_request
from tests.receiver import Behaviour, Receiver, answer, pouring, sending, silent

ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


def got(behave: Behaviour | bytes, timeout: float = PATIENCE) -> WebhookResponse:
    with Receiver(behave) as receiver:
        return send_one(receiver.url(), timeout=timeout)


def test_ten_gigabytes_cost_sixty_four_kilobytes() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
    with Receiver(pouring(head, b"x" * 65536)) as receiver:
        one = send_one(receiver.url())
    assert (one.status, one.failure, len(one.body)) == (200, None, MAX_KEPT)
    assert one.timings.total < 1000 * PATIENCE / 2
    assert receiver.poured < 10_000_000  # what the sockets' own buffers took


def test_a_body_in_endless_chunks_is_left_after_sixty_four_kilobytes() -> None:
    head = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
    one = got(pouring(head, b"1000\r\n" + b"y" * 4096 + b"\r\n"))
    assert (one.status, one.failure.code, len(one.body)) == (503, "status", MAX_KEPT)


def test_a_body_of_exactly_the_limit_is_read() -> None:
    one = got(answer("200 OK", b"z" * MAX_READ))
    assert (one.failure, one.body) == (None, "z" * MAX_KEPT)


def test_a_drip_of_the_body_ends_at_the_deadline() -> None:
    began = time.monotonic()
    one = got(pouring(ENDLESS, b"x", pause=0.05), timeout=0.5)
    assert (one.failure.code, one.status) == ("timeout_body", 200)
    assert time.monotonic() - began < PATIENCE / 2


def test_a_drip_of_the_head_ends_at_the_deadline() -> None:
    assert (
        got(pouring(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause=0.05), timeout=0.5).failure.code
        == "timeout_body"
    )


def test_a_drip_of_the_first_line_ends_at_the_deadline() -> None:
    assert got(pouring(b"HTTP/1.1 2", b"0", pause=0.05), timeout=0.5).failure is not None


def test_a_receiver_that_never_reads_ends_at_the_deadline(hasty: Sender) -> None:
    def deaf(receiver: Receiver, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        receiver.ended.wait(5)

    with Receiver(deaf) as receiver:
        (one,) = send(hasty, webhook_request(receiver.url(), body=b"x" * 20_000_000))
    assert one.failure.code == "timeout_answer"
    assert one.timings.total < 1000 * PATIENCE / 2


def test_an_answer_before_the_body_was_read_counts(sender: Sender) -> None:
    def hasty(receiver: Receiver, connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer("413 Too Large", b"no", "Connection: close"))
        receiver.ended.wait(5)

    with Receiver(hasty) as receiver:
        (one,) = send(sender, webhook_request(receiver.url(), body=b"x" * 5_000_000))
    assert (one.status, one.failure.code) == (413, "status")


def test_a_thousand_headers_are_survived() -> None:
    one = got(answer("200 OK", b"ok", *(f"X-Header-{number}: {'v' * 30}" for number in range(1000))))
    assert (one.failure, one.body) == (None, "ok")
    assert len(one.headers) <= MAX_KEPT
    assert "X-Header-99:" in one.headers


def test_headers_without_end_are_cut_off() -> None:
    one = got(pouring(b"HTTP/1.1 200 OK\r\n", b"X-Flood: " + b"v" * 500 + b"\r\n"))
    assert (one.status, one.failure) == (200, None)
    assert one.timings.total < 1000 * PATIENCE / 2


def test_one_header_of_a_megabyte_is_cut_off() -> None:
    one = got(sending(b"HTTP/1.1 500 Oh\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n"))
    assert (one.status, one.failure.code) == (500, "status")


def test_a_first_line_without_end_is_cut_off() -> None:
    one = got(pouring(b"HTTP/1.1 200 ", b"O" * 1000))
    assert one.timings.total < 1000 * PATIENCE / 2


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_text_in_any_encoding_is_kept(encoding: str) -> None:
    one = got(answer("200 OK", "Grüße ✓".replace("✓", "!").encode(encoding), "X-Name: Zoë"))
    assert one.failure is None
    one.body.encode()
    assert "Gr" in one.body.replace(" ", "")


def test_nul_bytes_and_broken_text_can_be_stored() -> None:
    one = got(sending(b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\nContent-Length: 8\r\n\r\na\0b\xc3\x28\xed\xa0\x80"))
    assert "\0" not in one.headers + one.body
    assert one.body.startswith("ab")
    (one.headers + one.body).encode()


def test_nul_bytes_in_a_head_can_be_stored() -> None:
    one = got(sending(b"HTTP/1.1 500 O\0h\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"))
    assert "\0" not in one.headers
    assert one.failure is not None


def test_markup_and_terminal_codes_stay_text() -> None:
    body = b"<script>alert(1)</script>\x1b[31m\x07"
    assert got(answer("200 OK", body)).body == body.decode()


def test_a_compressed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)[: MAX_READ + 10_000]
    tracemalloc.start()
    one = got(answer("200 OK", bomb, "Content-Encoding: gzip"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert one.failure is None
    assert peak < 20_000_000


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 1", b"Content-Length: 2"),
        (b"Content-Length: -1",),
        (b"Content-Length: 99999999999999999999",),
        (b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b" folded: first line",),
        (b"no colon at all",),
        (b": no name",),
    ],
)
def test_contradictory_heads_are_survived(lines: tuple[bytes, ...]) -> None:
    one = got(sending(b"\r\n".join((b"HTTP/1.1 200 OK", *lines)) + b"\r\n\r\n0\r\n\r\n"))
    assert one.status in {200, None}


ODD_LINES = (
    b"HTTP/1.1 0 X", b"HTTP/1.1 -1 X", b"HTTP/1.1 20", b"HTTP/1.1", b"HTTP/9 200 X", b"HTTP/1.1 abc",
)  # fmt: skip


@pytest.mark.parametrize("first", ODD_LINES)
def test_odd_status_lines_are_failures(first: bytes) -> None:
    one = got(sending(first + b"\r\nContent-Length: 0\r\n\r\n"))
    assert one.failure is not None
    assert one.failure.words


def test_two_answers_at_once_do_not_reach_the_next_parcel(sender: Sender) -> None:
    smuggled = answer("200 OK", b"first") + answer("200 OK", b"smuggled")
    with Receiver(sending(smuggled, hold=True)) as receiver:
        (first,) = send(sender, webhook_request(receiver.url()))
        (second,) = send(sender, webhook_request(receiver.url()))
    assert first.body == "first"
    assert second.body != "smuggled"


def test_cookies_are_neither_kept_nor_sent(sender: Sender) -> None:
    with Receiver(answer("200 OK", b"", "Set-Cookie: id=1; Path=/")) as receiver:
        send(sender, webhook_request(receiver.url()))
        send(sender, webhook_request(receiver.url()))
    assert all("cookie" not in request.headers for request in receiver.requests)


def test_a_challenge_is_not_answered(sender: Sender) -> None:
    with Receiver(answer("401 No", b"", 'WWW-Authenticate: Basic realm="x"')) as receiver:
        (one,) = send(sender, webhook_request(receiver.url()))
    assert (one.status, len(receiver.requests)) == (401, 1)


def test_a_hundred_hanging_receivers_hold_up_nobody() -> None:
    sender = Sender(slots=120, timeout=PATIENCE, guard=LOOPBACK)
    with Receiver(silent) as hanging, Receiver() as receiver:
        sender.start([webhook_request(hanging.url(), number) for number in range(100)])
        healthy = []
        sender.start([webhook_request(receiver.url(), number) for number in range(100, 120)])
        until = time.monotonic() + PATIENCE / 2
        while len(healthy) < 20 and time.monotonic() < until:
            healthy.extend(sender.responses(0.05))
        assert [one.failure for one in healthy] == [None] * 20
    sender.close()


def test_hostile_answers_harm_no_neighbour(hasty: Sender) -> None:
    flood, broken = pouring(ENDLESS, b"x" * 65536), sending(b"\0\0\0\r\n\r\n")
    with Receiver(flood) as one, Receiver(broken) as two, Receiver(silent) as three, Receiver() as good:
        urls = [one.url(), two.url(), three.url(), "http://[::", good.url()]
        answers = send(hasty, *(webhook_request(url, number) for number, url in enumerate(urls)))
    assert [bool(each.failure) for each in answers] == [False, True, True, True, False]
