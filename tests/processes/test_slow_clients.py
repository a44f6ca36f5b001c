"""Clients that send or read slowly cost no thread: everybody else's pages come as ever."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from calapp import serving
from calapp.serving import Arriving
from tools.faults.world import World

HEAD = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = (
    b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n"
)
CHUNKED = (
    b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n"
)
HUGE = POST.replace(b"5000", b"5000000")
WHOLE = HEAD + b"Connection: keep-alive\r\n\r\n"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        requests.get(
            f"{world.address}/rick/chat", timeout=30
        )  # the first page of a process compiles its template
        yield world


SLOW = 4.0  # seconds; who waits for a slow client waits for five at least


def connect(world: World) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(world.environment["PORT"])), timeout=10)


@contextmanager
def dripping(world: World, count: int, begin: bytes, then: bytes = b"x") -> Iterator[list[socket.socket]]:
    """Hold connections that send the beginning of a request, and then a byte now and then."""
    sockets = [connect(world) for _ in range(count)]
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.5):
            for one in sockets:
                try:
                    one.sendall(then)
                except OSError:
                    continue

    for one in sockets:
        one.sendall(begin)
    thread = threading.Thread(target=drip)
    thread.start()
    yield sockets
    over.set()
    thread.join()
    for one in sockets:
        one.close()


def slowest(world: World, pages: int = 20) -> float:
    """Return the seconds that the slowest of some pages took."""
    took = []
    for _ in range(pages):
        began = time.monotonic()
        assert requests.get(f"{world.address}/rick/chat", timeout=30).status_code == 200
        took.append(time.monotonic() - began)
    return max(took)


@pytest.mark.parametrize("count", [18, 100, 250])
@pytest.mark.parametrize("begin", [b"G", HEAD + b"X-Drip: ", POST, CHUNKED, HUGE, WHOLE + HEAD], ids=range(6))
def test_k7_dripping_requests_hold_up_nobody(world: World, begin: bytes, count: int) -> None:
    with dripping(world, count, begin):
        time.sleep(0.7)
        assert slowest(world, pages=8) < SLOW


def test_k7_a_slow_client_is_served(world: World) -> None:
    client = connect(world)
    request = HEAD + b"Connection: close\r\n\r\n"
    for place in range(0, len(request), 8):
        client.sendall(request[place : place + 8])
        time.sleep(0.2)
    assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    client.close()


def test_k7_a_slow_body_is_served_whole(world: World) -> None:
    client, body = connect(world), b"username=rick&password=" + b"x" * 4977
    client.sendall(POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    for place in range(0, 5000, 500):
        client.sendall(body[place : place + 500])
        time.sleep(0.1)
    assert client.makefile("rb").read().startswith(b"HTTP/1.1 4")  # its token is missing
    client.close()


def test_k7_a_request_that_stalls_is_given_up(world: World) -> None:
    client, began = connect(world), time.monotonic()
    client.settimeout(20)
    client.sendall(HEAD)
    assert client.recv(100) == b""
    assert 4 < time.monotonic() - began < 18
    client.close()


def test_k7_a_request_that_drips_has_half_a_minute() -> None:
    arriving = Arriving(HEAD)
    began = arriving.began
    arriving.last = began + serving.WHOLE
    assert not arriving.ready()
    assert not arriving.late(began + serving.WHOLE - 1)
    assert arriving.late(began + serving.WHOLE + 1)


@pytest.mark.parametrize(("size", "ready"), [(100, False), (9000, True)])
def test_k7_endless_trailers_are_not_gathered(size: int, ready: bool) -> None:
    arriving = Arriving(CHUNKED.replace(b"fff\r\n", b"0\r\n") + b"x" * size)
    assert arriving.ready() is ready
    assert not arriving.whole


def test_k7_a_client_that_asks_on_and_on_and_reads_nothing_holds_no_thread(world: World) -> None:
    page = HEAD.replace(b"/login", b"/rick/chat") + b"\r\n"
    clients = []
    for _ in range(24):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(world.environment["PORT"])))
        client.sendall(page * 60)
        clients.append(client)
    time.sleep(5)
    assert slowest(world) < SLOW
    for client in clients:
        client.close()


def test_k7_requests_in_a_row_are_each_answered(world: World) -> None:
    client = connect(world)
    client.sendall(WHOLE + WHOLE + HEAD + b"Connection: close\r\n\r\n")
    assert client.makefile("rb").read().count(b"HTTP/1.1 200 OK") == 3
    client.close()


def test_k7_chunks_are_read_to_the_last(world: World) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(20):
            time.sleep(0.02)
            yield b"x" * 300

    with requests.Session() as browser:
        for _ in range(2):
            answer = browser.post(
                f"{world.address}/v2/bookings",
                data=parts(),
                timeout=10,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 400, answer.text
        assert browser.get(f"{world.address}/login", timeout=10).status_code == 200


def test_k7_a_client_that_waits_for_its_body_to_be_welcome_is_told(world: World) -> None:
    client = connect(world)
    client.sendall(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert client.recv(100).startswith(b"HTTP/1.1 100 Continue")
    client.sendall(b"x" * 5000)
    said = b""
    while b"HTTP/1.1 4" not in said:
        said += client.recv(65_536)  # gunicorn says 100 again, which a client may get any number of times
    client.close()


@pytest.mark.parametrize("size", [300_000, 20_000_000])
def test_k7_a_body_that_is_too_long_is_refused_and_the_server_goes_on(world: World, size: int) -> None:
    try:
        answer = requests.post(f"{world.address}/login", data=b"x" * size, timeout=20)
        assert answer.status_code == 413
    except requests.ConnectionError:
        assert size > 1_000_000  # the answer came while it was still sending
    assert slowest(world, pages=3) < SLOW


def test_k7_slow_readers_and_clients_that_never_close_hold_up_nobody(world: World) -> None:
    clients = []
    for _ in range(40):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(world.environment["PORT"])))
        client.sendall(HEAD.replace(b"/login", b"/rick/chat") + b"Connection: close\r\n\r\n")
        clients.append(client)
    time.sleep(1.5)
    assert slowest(world) < SLOW
    for client in clients:
        client.close()


def test_k7_a_restart_does_not_wait_for_connections_without_a_request(world: World) -> None:
    clients = [connect(world) for _ in range(5)]
    began = time.monotonic()
    world.web.terminate()
    assert time.monotonic() - began < 15
    world.web.start()
    for client in clients:
        client.close()
