"""Looking names up: one that hangs holds up no other, and the deadline holds."""

import time

import pytest

from calapp.deliveries import resolver
from calapp.deliveries.client import Sender
from tests.deliveries.requests_made import LOOPBACK, PATIENCE, NameServer, send, webhook_request
from tests.receiver import Receiver, silent


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    return NameServer(monkeypatch)


def test_forty_names_that_hang_hold_up_no_other(name_server: NameServer, sender: Sender) -> None:
    hanging = [f"hang-{number}.example.com" for number in range(40)]
    name_server.seconds = dict.fromkeys(hanging, 0.8)
    name_server.addresses["good.example.com"] = ["127.0.0.1"]
    with Receiver() as receiver:
        sender.start([webhook_request(f"http://{name}/", number) for number, name in enumerate(hanging)])
        sender.start([webhook_request(receiver.url(host="good.example.com"), 100)])
        (first,) = sender.responses(PATIENCE)
    assert (first.request.delivery_id, first.failure) == (100, None)


def test_a_name_that_hangs_is_a_name_time_out(name_server: NameServer, hasty: Sender) -> None:
    name_server.seconds["hang.example.com"] = 1.5
    (got,) = send(hasty, webhook_request("http://hang.example.com/"))
    assert got.failure.code == "timeout_name"
    assert got.timings.name == got.timings.total > 990


def test_the_lookup_counts_towards_the_deadline(name_server: NameServer, hasty: Sender) -> None:
    name_server.addresses["slow.example.com"] = ["127.0.0.1"]
    name_server.seconds["slow.example.com"] = 0.7
    with Receiver(silent) as receiver:
        (got,) = send(hasty, webhook_request(receiver.url(host="slow.example.com")))
    assert got.failure.code == "timeout_answer"
    assert 690 < got.timings.name < 990 < got.timings.total < 1600


def test_the_next_parcel_has_the_whole_deadline_again(name_server: NameServer, hasty: Sender) -> None:
    name_server.addresses["slow.example.com"] = ["127.0.0.1"]
    name_server.seconds["slow.example.com"] = 0.3
    with Receiver(silent) as receiver:
        for _ in range(2):
            (got,) = send(hasty, webhook_request(receiver.url(host="slow.example.com")))
    assert got.timings.first_byte == 0
    assert got.timings.name < 290
    assert got.timings.total > 990


def test_many_parcels_of_one_name_ask_once(name_server: NameServer, sender: Sender) -> None:
    name_server.addresses["good.example.com"] = ["127.0.0.1"]
    with Receiver() as receiver:
        url = receiver.url(host="good.example.com")
        answers = send(sender, *(webhook_request(url, number) for number in range(20)))
        answers += send(sender, webhook_request(url, 20))
    assert [one.failure for one in answers] == [None] * 21
    assert name_server.asked == ["good.example.com"]


def test_a_name_is_asked_for_again_after_a_minute(
    name_server: NameServer, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "KEPT_SECONDS", 0.0)
    name_server.addresses["good.example.com"] = ["127.0.0.1"]
    with Receiver() as receiver:
        send(sender, webhook_request(receiver.url(host="good.example.com")))
        send(sender, webhook_request(receiver.url(host="good.example.com")))
    assert len(name_server.asked) == 2


def test_parcels_that_wait_for_a_name_take_slots_and_have_ages(
    name_server: NameServer, sender: Sender
) -> None:
    name_server.seconds["hang.example.com"] = 0.6
    sender.start([webhook_request("http://hang.example.com/", 7)])
    assert sender.responses(0.1) == []
    assert (sum(map(len, sender.in_flight().values())), sender.busy()) == (1, True)
    assert sender.in_flight()[7][0] > 0.09


def test_closing_does_not_wait_for_names(name_server: NameServer) -> None:
    name_server.seconds["hang.example.com"] = 2.0
    sender = Sender(slots=5, timeout=5, guard=LOOPBACK)
    sender.start([webhook_request("http://hang.example.com/")])
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < 1.5
    time.sleep(2.1)  # the thread ends after the sender, and harms nothing


def test_more_names_than_threads_wait_their_turn(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MIN_THREADS", 2)
    name_server.addresses = {f"n{number}.example.com": ["127.0.0.1"] for number in range(9)}
    name_server.seconds = dict.fromkeys(name_server.addresses, 0.02)
    sender = Sender(slots=2, timeout=PATIENCE, guard=LOOPBACK)
    with Receiver() as receiver:
        urls = [receiver.url(host=name) for name in name_server.addresses]
        answers = send(sender, *(webhook_request(url, number) for number, url in enumerate(urls)))
    assert [one.failure for one in answers] == [None] * 9
    sender.close()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://a.example/x", ("a.example", 443)),
        ("http://a.example:8080/", ("a.example", 8080)),
        ("http://127.0.0.1/", None),
        ("http://0x7f.1/", None),
        ("http://[::1]/", None),
        ("http://[::1", None),
        ("http://a.example:x/", None),
        ("nonsense", None),
        ("http://%61.example/", None),
        ("http://b\u00fccher.example/", None),
    ],
)
def test_only_names_are_looked_up(url: str, place: tuple[str, int] | None) -> None:
    assert resolver.name_of(url) == place
