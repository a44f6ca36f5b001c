"""Experiments in which a receiver, a name server or the way there is an enemy."""

import gzip
import socket
import time
from datetime import UTC, datetime
from itertools import count as counted

import requests

from calapp.deliveries.models import Attempt, Delivery, State
from tests.receiver import OK, Receiver
from tools.faults.report import Finding, experiment, percentile
from tools.faults.witness import Answer
from tools.faults.world import World

CHUNK = b"x" * 65536
DEAD = "192.31.196.1"  # public by its range (RFC 7535), and a host of nobody


@experiment(6, "hanging-receivers", "50 connections that never answer beside a healthy endpoint")
def hanging_receivers(finding: Finding, short: bool) -> None:
    timeout, bookings, hanging = (1.5, 10, 50) if short else (5.0, 100, 50)
    with World(WEBHOOK_TIMEOUT=str(timeout), WEBHOOK_RETRY_SCHEDULE="600") as world:
        world.worker.start()
        world.webhook()
        world.book(6, threads=1)
        world.wait_delivered()
        alone = waits(world, bookings)
        world.witness.answers["/never"] = None
        # They are told of cancellations alone, so that a booking writes as much as without them.
        only = {"triggers": ["BOOKING_CANCELLED"]}
        enemies = [world.webhook(f"/never/{number}", **only) for number in range(hanging)]
        world.cancel(world.uids()[: 2 if short else 6])
        world.wait(lambda: len(world.witness.hits) >= 2 * hanging, 10)
        time.sleep(0.5)
        beside = waits(world, bookings)
        world.wait(lambda: all(world.attempts(enemy) for enemy in enemies), 2 * timeout + 10)
        took = [one.total_ms / 1000 for enemy in enemies for one in world.attempts(enemy)]
        codes = {one.failure_code for enemy in enemies for one in world.attempts(enemy)}
        finding.note(f"p99 of the healthy endpoint: alone {alone:.3f} s, beside them {beside:.3f} s")
        finding.note(f"{len(took)} hanging tries ended after {min(took):.2f} to {max(took):.2f} s")
        finding.expect("each ended at the deadline, within a second", within(took, timeout, 1.0))
        finding.expect(f"each is logged as a time-out: {codes}", codes == {"timeout_answer"})
        if not short:
            finding.expect("the healthy endpoint waits at most twice as long", beside < 2 * alone + 0.02)
        world.judge(finding)


def waits(world: World, bookings: int) -> float:
    """Book one after the other; return the p99 of the seconds from each event to its arrival."""
    before = len(world.witness.of("/hook"))
    for _ in range(bookings):
        world.post()
        time.sleep(0.05)
    world.wait(lambda: len(world.witness.of("/hook")) >= before + bookings, 20)
    made = world.event_times()
    arrived = world.witness.of("/hook")[before:]
    return percentile([hit.clock - made[hit.event_id] for hit in arrived], 0.99)


def within(seconds: list[float], deadline: float, slack: float) -> bool:
    """Return whether each of these lies around the deadline."""
    return all(abs(one - deadline) <= slack for one in seconds)


def dripping(head: bytes, part: bytes, pause: float) -> Answer:
    """Return an answer that sends its head and then the same part for ever."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(600):
            connection.sendall(part)
            time.sleep(pause)

    return drip


@experiment(7, "drips", "a byte a second of headers, then of body")
def drips(finding: Finding, short: bool) -> None:
    timeout, pause = (1.5, 0.2) if short else (5.0, 1.0)
    with World(WEBHOOK_TIMEOUT=str(timeout), WEBHOOK_RETRY_SCHEDULE="600") as world:
        world.witness.answers |= {
            "/head": dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y", pause),
            "/body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"y", pause),
        }
        dripped = [world.webhook(f"/{name}") for name in ("head", "body")]
        world.webhook()
        world.worker.start()
        world.book(3)
        world.wait(lambda: all(len(world.attempts(one)) == 3 for one in dripped), 2 * timeout + 10)
        tries = [one for webhook in dripped for one in world.attempts(webhook)]
        took = [one.total_ms / 1000 for one in tries]
        finding.note(f"{len(tries)} tries ended after {min(took):.2f} to {max(took):.2f} s")
        finding.expect("each ended at the deadline, within a second", within(took, timeout, 1.0))
        codes = {one.failure_code for one in tries}
        finding.expect(f"each is logged as a time-out: {codes}", codes == {"timeout_body"})
        world.judge(finding)


def pouring(head: bytes, part: bytes) -> Answer:
    """Return an answer that pours ten gigabytes as fast as they are taken."""

    def pour(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(10_000_000_000 // len(part)):
            connection.sendall(part)

    return pour


def bomb() -> bytes:
    """Return an answer of half a megabyte that says to be half a gigabyte."""
    packed = gzip.compress(bytes(500_000_000), 9)
    return (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)) + packed


HEADS = b"".join(b"X-Header-%d: %s\r\n" % (number, b"v" * 60) for number in range(1000))


def enemies() -> dict[str, Answer]:
    """Return answers that want memory, time, or a broken log."""
    ok = b"HTTP/1.1 200 OK\r\n"
    return {
        "/gigabytes": pouring(ok + b"Content-Length: 10000000000\r\n\r\n", CHUNK),
        "/chunks": pouring(ok + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"y" * 4096 + b"\r\n"),
        "/endless": pouring(ok + b"\r\n", CHUNK),
        "/headers": pouring(ok, b"X-Flood: " + b"v" * 1000 + b"\r\n"),
        "/bomb": bomb(),
        "/thousand": ok + HEADS + b"Content-Length: 2\r\n\r\nok",
        "/nuls": ok + b"X: a\0b\xff\r\nContent-Length: 9\r\n\r\n\0<b>\xff\xfe\0\0\x1b",
    }


def steady_memory(world: World) -> int:
    """Return the bytes that the worker holds once it grows no more: its children may still be loading."""
    before, now = 0, world.worker.memory()
    while now - before > 1_000_000:
        time.sleep(2)
        before, now = now, world.worker.memory()
    return now


@experiment(8, "floods", "10 GB, a gzip bomb, endless chunks and headers, a thousand headers, NULs")
def floods(finding: Finding, short: bool) -> None:
    rounds = 2 if short else 20
    with World(WEBHOOK_TIMEOUT="20") as world:  # ten of them pour at once, on the same machine
        world.webhook()
        world.worker.start()
        world.book(5)
        world.wait_delivered()
        before = steady_memory(world)
        answers = enemies()
        world.witness.answers |= answers
        webhooks = [world.webhook(path) for path in answers]
        most = [before]
        for _ in range(rounds):
            world.book(2)
            world.wait(lambda: most.append(world.worker.memory()) or world.all_delivered(), 90)
        tries = [one for webhook in webhooks for one in world.attempts(webhook)]
        finding.note(f"{len(tries)} tries; memory {before / 1e6:.0f} MB, at most {max(most) / 1e6:.0f} MB")
        finding.expect("memory grew by less than 50 MB", max(most) - before < 50_000_000)
        kept = max(max(len(one.response_body), len(one.response_headers)) for one in tries)
        finding.expect(f"at most 16 KB are kept of each: {kept}", kept <= 16384)
        finding.expect(
            "an answer of 200 is a success whatever follows", {one.status for one in tries} == {200}
        )
        pages = log_pages(world, webhooks)
        finding.expect(f"every page of the log opens: {pages}", set(pages) == {200})
        world.judge(finding)


def log_pages(world: World, webhooks: list[int]) -> list[int]:
    """Open the log of each webhook and its newest delivery; return the statuses."""
    host = world.signed_in()
    statuses = []
    for webhook in webhooks:
        log = f"{world.address}/integrations/webhooks/{webhook}/deliveries"
        newest = world.attempts(webhook)[-1].delivery_id
        statuses += [host.get(log).status_code, host.get(f"{log}/{newest}").status_code]
    return statuses


@experiment(9, "redirects", "301, 302, 303, 307 and 308 to a loopback port and to a metadata service")
def redirects(finding: Finding, short: bool) -> None:
    with World(WEBHOOK_RETRY_SCHEDULE="600") as world, Receiver() as inner:
        webhooks = []
        targets = {"inner": inner.url(), "metadata": "http://169.254.169.254/latest/meta-data/"}
        for status in (301, 302, 303, 307, 308):
            for name, target in targets.items():
                path = f"/{status}-{name}"
                answer = f"HTTP/1.1 {status} Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
                world.witness.answers[path] = answer.encode()
                webhooks.append(world.webhook(path))
        world.webhook()
        world.worker.start()
        world.book(2 if short else 10)
        world.wait(lambda: all(world.attempts(webhook) for webhook in webhooks), 20)
        tries = [one for webhook in webhooks for one in world.attempts(webhook)]
        codes = {one.failure_code for one in tries}
        finding.expect(f"{len(tries)} tries, each logged as a redirect: {codes}", codes == {"redirect"})
        finding.expect(f"nobody knocked at the target: {inner.connections}", inner.connections == 0)
        took = world.wait(lambda: not world.tally().lost)
        finding.note(f"the rest arrived beside them within {took:.1f} s")
        world.judge(finding)


@experiment(10, "turncoat-names", "a name that is public when saved and leads here at the connect")
def turncoat_names(finding: Finding, short: bool) -> None:
    settings = {"WEBHOOK_ALLOWED_NETWORKS": "", "WEBHOOK_TIMEOUT": "1.5", "WEBHOOK_RETRY_SCHEDULE": "600"}
    with World(staged=True, **settings) as world:
        places = {
            "turned.example.com": ["127.0.0.1"],
            "both.example.com": [DEAD, "127.0.0.1"],
            "other.example.com": ["127.0.0.1", DEAD],
            "mapped.example.com": ["0.0.0.0"],
            "cloud.example.com": ["169.254.169.254"],
        }
        world.point({name: [DEAD] for name in places})
        host = world.signed_in()
        for name in places:
            saved = save_webhook(world, host, f"http://{name}:{world.witness.port}/hook")
            assert saved.status_code == 200, saved.text
        world.point(places)
        refused = save_webhook(world, host, f"http://both.example.com:{world.witness.port}/other")
        finding.expect("with one bad address of two it is not saved any more", refused.status_code == 422)
        world.worker.start()
        world.book(2 if short else 10)
        world.wait(lambda: world.count(Delivery.attempts_on_schedule == 0) == 0, 20)
        codes = {one.failure_code for one in world.session().query(Attempt)}
        finding.note(f"the tries came out as {', '.join(sorted(str(code) for code in codes))}")
        knocked = world.witness.connections
        finding.expect(f"nobody connected to this machine: {knocked}", knocked == 0)
        finding.expect("no try succeeded", world.count(Delivery.state == State.DELIVERED) == 0)


def save_webhook(world: World, host: requests.Session, url: str) -> requests.Response:
    """Save a webhook as a host does, by the form."""
    form = {"subscriber_url": url, "triggers": ["BOOKING_CREATED"], "active": "1"}
    return world.submit(host, "/integrations/webhooks/new", form)


def asking(value: str) -> tuple[Answer, list[float]]:
    """Return an answer that asks once to be left alone, and when it was asked; `date` asks for a date."""
    at: list[float] = []
    numbers = counted()

    def answer(connection: socket.socket) -> None:
        at.append(time.monotonic())
        if next(numbers):
            connection.sendall(OK)
            return
        words = value
        if value.startswith("date+"):
            moment = datetime.fromtimestamp(time.time() + float(value[5:]), UTC)
            words = f"{moment:%a, %d %b %Y %H:%M:%S GMT}"
        head = f"HTTP/1.1 503 Busy\r\nRetry-After: {words}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())

    return answer, at


@experiment(11, "retry-after", "Retry-After as seconds, as a date, huge, negative and nonsense")
def retry_after(finding: Finding, short: bool) -> None:
    wanted = 3 if short else 7
    values = {
        "seconds": str(wanted),
        "date": f"date+{wanted + 1}",
        "huge": "99999999",
        "minus": "-1",
        "word": "abc",
    }
    with World(WEBHOOK_RETRY_SCHEDULE="1,1,1,1,1,1") as world:
        times: dict[str, list[float]] = {}
        webhooks = {}
        for name, value in values.items():
            world.witness.answers[f"/{name}"], times[name] = asking(value)
            webhooks[name] = world.webhook(f"/{name}")
        world.worker.start()
        world.book(1)
        world.wait(lambda: all(times.values()), 10)
        world.book(1)  # another event, which has to wait for the whole webhook
        world.wait(lambda: world.count(Delivery.state != State.DELIVERED) <= 2, wanted + 15)
        gaps = {name: round(at[1] - at[0], 1) for name, at in times.items() if len(at) > 1}
        finding.note(f"seconds until the next request: {gaps}")
        for name in ("seconds", "date"):
            gap = gaps.get(name, 0)
            finding.expect(
                f"{name}: the whole webhook is left alone so long", wanted - 0.1 <= gap < wanted + 4
            )
        finding.expect("huge: not asked again", "huge" not in gaps)
        left = world.held_for(webhooks["huge"])
        finding.expect(f"huge: held for at most 24 hours: {left / 3600:.1f} h", 86000 < left <= 86400)
        for name in ("minus", "word"):
            finding.expect(f"{name}: nonsense is ignored", gaps.get(name, 99) < 2.5)
