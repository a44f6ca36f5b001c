"""The guard at every connect: the very address is judged, however the name is written."""

import socket
from collections.abc import Iterator

import pytest

from calapp.addresses import CLOSED_PORTS, AddressGuard
from calapp.config import _networks
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookResponse
from tests.deliveries.requests_made import (
    HOST,
    LOOPBACK,
    TO_LOOPBACK,
    NameServer,
    send,
    send_one,
    webhook_request,
)
from tests.receiver import Receiver, answer

PUBLIC_ONLY = AddressGuard()

# Every one of them is this machine, its network, or a cloud's metadata service.
ODD_FORMS = (
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "127.0.0.1.", "0", "0.0.0.0", "0x0", "00", "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127。0。0。1", "①②⑦.0.0.1", "127.0.0.\uff11",
    "localhost", "LOCALHOST", "localhost.", "%31%32%37.0.0.1", "127.0.0.1%2f", "%6c%6f%63%61%6c%68%6f%73%74",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:0:0:0:0:80ff:fffe]",
    "[2001::7f00:1]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fec0::1]", "[fc00::1]", "[fd12::1]",
    "[ff02::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "192.0.0.1", "192.0.2.1",
    "192.88.99.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
)  # fmt: skip


@pytest.fixture
def strict() -> Iterator[Sender]:
    """A sender that is let to public addresses only."""
    sender = Sender(slots=10, timeout=0.5, guard=PUBLIC_ONLY)
    yield sender
    sender.close()


def blocked(answer: WebhookResponse) -> bool:
    return answer.status is None and answer.failure is not None and answer.failure.code == "blocked_address"


@pytest.mark.parametrize("host", ODD_FORMS)
def test_no_odd_form_reaches_a_private_address(host: str, strict: Sender) -> None:
    with Receiver() as receiver:
        (got,) = send(strict, webhook_request(f"http://{host}:{receiver.port}/"))
    assert got.failure is not None
    assert got.failure.code in {"blocked_address", "bad_url", "no_such_name"}
    assert (got.status, receiver.connections) == (None, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_what_is_refused_is_told_with_the_cure(host: str, strict: Sender) -> None:
    (got,) = send(strict, webhook_request(f"http://{host}/"))
    assert blocked(got)
    assert "WEBHOOK_ALLOWED_NETWORKS" in got.failure.words


@pytest.mark.parametrize(
    "url",
    [
        "http://good.example.com@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}@good.example.com/",
        "http://user:pass@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@good.example.com/",
        "http://good.example.com\\@127.0.0.1:{port}/",
        "http:\\\\127.0.0.1:{port}\\",
        "http://127.0.0.1:{port}#@good.example.com/",
        "http://127.0.0.1:{port}?@good.example.com/",
        "http:127.0.0.1:{port}/",
        "http:/127.0.0.1:{port}/",
        "http:///127.0.0.1:{port}/",
        "ht\ttp://127.0.0.1:{port}/",
        "http://127.0.\t0.1:{port}/",
        "http://127.0.0.1\n:{port}/",
        "http://127.0.0.1:{port}\r\n/",
        "\x00http://127.0.0.1:{port}/",
        " http://127.0.0.1:{port}/",
        "HTTP://127.0.0.1:{port}/",
        "127.0.0.1:{port}/",
        "gopher://127.0.0.1:{port}/_x",
        "dict://127.0.0.1:{port}/x",
        "ws://127.0.0.1:{port}/",
        "unix:///var/run/docker.sock",
    ],
)
def test_no_trick_in_a_url_gets_past_the_guard(url: str, strict: Sender) -> None:
    with Receiver() as receiver:
        (got,) = send(strict, webhook_request(url.format(port=receiver.port)))
    assert got.failure is not None
    assert (got.status, receiver.connections) == (None, 0)


@pytest.mark.parametrize("port", sorted(CLOSED_PORTS))
def test_ports_of_other_services_are_closed(port: int, strict: Sender) -> None:
    got = send_one(f"http://127.0.0.1:{port}/", guard=LOOPBACK)
    assert blocked(got)
    assert str(port) in got.failure.words


def test_a_name_that_leads_here_is_refused(strict: Sender) -> None:
    with Receiver() as receiver:
        got = send_one(receiver.url(host=HOST), guard=PUBLIC_ONLY, connect_to=TO_LOOPBACK)
    assert blocked(got)
    assert receiver.connections == 0


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    return NameServer(monkeypatch)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["127.0.0.1", "::1", "10.0.0.1"], ["0.0.0.0", "::"]],
)
def test_a_name_whose_address_changed_after_the_check_is_refused(
    addresses: list[str], name_server: NameServer
) -> None:
    name_server.addresses[HOST] = addresses
    with Receiver() as receiver:
        got = send_one(receiver.url(host=HOST), guard=PUBLIC_ONLY)
    assert blocked(got)
    assert receiver.connections == 0


@pytest.mark.parametrize("order", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
def test_of_a_good_and_a_bad_address_only_the_good_one_is_used(
    order: list[str], name_server: NameServer
) -> None:
    guard = AddressGuard(_networks("127.0.0.2/32"))
    name_server.addresses[HOST] = order
    with Receiver(host="127.0.0.2") as good, socket.create_server(("127.0.0.1", good.port)) as bad:
        bad.settimeout(0.1)
        got = send_one(good.url(host=HOST), guard=guard)
        with pytest.raises(TimeoutError):
            bad.accept()
    assert (got.failure, len(good.requests)) == (None, 1)


def test_a_dead_good_address_does_not_lead_to_the_bad_one(name_server: NameServer) -> None:
    guard = AddressGuard(_networks("127.0.0.2/32"))
    name_server.addresses[HOST] = ["127.0.0.2", "127.0.0.1"]
    with Receiver() as bad:
        got = send_one(bad.url(host=HOST), guard=guard)
    assert blocked(got)
    assert bad.connections == 0


def test_a_name_that_moves_between_two_parcels_is_judged_again(name_server: NameServer) -> None:
    sender = Sender(slots=1, timeout=0.5, guard=AddressGuard(_networks("127.0.0.2/32")))
    with Receiver(host="127.0.0.2") as good, Receiver() as bad:
        name_server.addresses[HOST] = ["127.0.0.2"]
        (first,) = send(sender, webhook_request(good.url(host=HOST)))
        name_server.addresses[HOST] = ["127.0.0.1"]
        sender.names.kept.clear()  # as if a minute had passed
        (second,) = send(sender, webhook_request(bad.url(host=HOST)))
    assert first.failure is None
    assert blocked(second)
    assert bad.connections == 0
    sender.close()


TARGETS = ("127.0.0.1", "2130706433", "[::1]", "169.254.169.254", "localhost", "10.0.0.1", "[::ffff:7f00:1]")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
def test_no_redirect_leads_anywhere(target: str, status: str) -> None:
    guard = AddressGuard(_networks("127.0.0.2/32"))
    with Receiver() as inner:
        location = f"Location: http://{target}:{inner.port}/"
        with Receiver(answer(status, b"", location), host="127.0.0.2") as outer:
            got = send_one(outer.url(), guard=guard)
    assert got.failure.code == "redirect"
    assert inner.connections == 0


@pytest.mark.parametrize("header", ["Alt-Svc", "Refresh", "Location", "Content-Location", "Link"])
def test_no_header_of_an_answer_leads_anywhere(header: str) -> None:
    guard = AddressGuard(_networks("127.0.0.2/32"))
    sender = Sender(slots=1, timeout=0.5, guard=guard)
    with Receiver() as inner:
        value = {
            "Alt-Svc": f'h2="127.0.0.1:{inner.port}", http/1.1="127.0.0.1:{inner.port}"; ma=86400',
            "Refresh": f"0; url={inner.url()}",
        }.get(header, inner.url())
        once = answer("200 OK", b"", f"{header}: {value}", "Connection: close")
        with Receiver(once, host="127.0.0.2") as outer:
            answers = [send(sender, webhook_request(outer.url()))[0] for _ in range(3)]
    sender.close()
    assert [one.failure for one in answers] == [None] * 3
    assert (inner.connections, outer.connections) == (0, 3)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"])
def test_no_proxy_of_the_environment_is_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv(variable, proxy.url(""))
        got = send_one(receiver.url())
        refused = send_one("https://no-such-name.invalid/", timeout=3)
    assert (got.failure, len(receiver.requests), proxy.connections) == (None, 1, 0)
    assert refused.failure.code == "no_such_name"


def test_no_netrc_of_the_machine_is_used(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login rick password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Receiver() as receiver:
        send_one(receiver.url())
    assert "authorization" not in receiver.requests[0].headers


def test_a_network_that_the_operator_names_is_open() -> None:
    with Receiver() as receiver:
        assert send_one(receiver.url(), guard=AddressGuard(_networks("127.0.0.1/32"))).failure is None


def test_a_network_of_version_six_is_open_when_named() -> None:
    with Receiver(host="::1") as receiver:
        assert send_one(receiver.url(), guard=AddressGuard(_networks("::1/128"))).failure is None
        assert blocked(send_one(receiver.url(), guard=AddressGuard(_networks("127.0.0.0/8"))))


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/"])
def test_metadata_services_stay_shut_whatever_is_allowed(url: str) -> None:
    got = send_one(url, guard=AddressGuard(_networks("0.0.0.0/0,::/0")))
    assert blocked(got)
    assert "credentials" in got.failure.words
