"""What is said of a subscriber URL before it is saved."""

import threading
import time

import pytest

from calapp import addresses
from calapp.addresses import BLOCKED_NAME, AddressGuard, check_url, resolve, sent_form
from calapp.config import _networks
from calapp.errors import Invalid

GUARD = AddressGuard()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of names; what is not in it does not resolve."""
    known = {"hooks.example.com": ["1.1.1.1"]}
    monkeypatch.setattr(addresses, "resolve", lambda name, seconds: known.get(name, []))
    return known


def problem(url: str, guard: AddressGuard = GUARD) -> str:
    with pytest.raises(Invalid) as caught:
        check_url(url, guard)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("  https://hooks.example.com/a?b=c  ", "https://hooks.example.com/a?b=c"),
        ("HTTPS://Hooks.Example.COM/Path", "https://hooks.example.com/Path"),
        ("https://hooks.example.com:8443/a#part", "https://hooks.example.com:8443/a"),
        ("http://hooks.example.com:80/%7Eme", "http://hooks.example.com/%7Eme"),
        ("https://[2606:4700:4700::1111]/x", "https://[2606:4700:4700::1111]/x"),
    ],
)
def test_good_addresses_are_saved_as_typed_and_sent_in_one_form(
    names: dict[str, list[str]], given: str, sent: str
) -> None:
    assert check_url(given, GUARD) == addresses.CheckedUrl(given.strip())
    assert sent_form(given.strip()) == sent


def test_a_name_in_any_script_is_sent_as_it_is_looked_up(names: dict[str, list[str]]) -> None:
    names["xn--bcher-kva.example"] = ["1.1.1.1"]
    assert check_url("https://Bücher.example/ü", GUARD).warning is None
    assert sent_form("https://Bücher.example/ü") == "https://xn--bcher-kva.example/%C3%BC"


def test_a_name_that_does_not_resolve_is_saved_with_a_warning(names: dict[str, list[str]]) -> None:
    checked = check_url("https://later.example.com/", GUARD)
    assert checked.url == "https://later.example.com/"
    assert "does not resolve" in checked.warning


@pytest.mark.parametrize(
    "url",
    [
        "", "   ", "hooks.example.com", "//hooks.example.com", "ftp://hooks.example.com", "file:///etc/passwd",
        "javascript:alert(1)", "gopher://x/", "ws://hooks.example.com", "http:hooks.example.com",
        "http:/hooks.example.com", "http://", "https:///path", "http://.", "http://:80/", "http://[::1",
        "http://[nonsense]/", "http://a b/", "http://hooks.example.com\\@evil/", "http:\\\\evil/",
        "http://hooks.exa\tmple.com/", "http://hooks.example.com/\r\nX: y", "http://hooks.example.com/\0",
        "http://rick@hooks.example.com/", "http://rick:pw@hooks.example.com/", "http://@hooks.example.com/",
        "http://hooks.example.com:0/", "http://hooks.example.com:65536/", "http://hooks.example.com:x/",
        "http://hooks.example.com:-1/", "http://%31%32%37.0.0.1/", "http://[fe80::1%25lo]/", "http://a_b!c/",
        "https://" + "a" * 254 + "/", "https://hooks.example.com/" + "x" * 2000, "http://\ud800/",
    ],
)  # fmt: skip
def test_what_is_not_a_web_address_is_refused_with_a_sentence(names: dict[str, list[str]], url: str) -> None:
    assert problem(url).endswith(".")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1",
        "0", "0.0.0.0",
        "127.0.0.1.", "127.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[2001::80ff:fffe]", "[fec0::1]", "[fd00:ec2::254]", "169.254.169.254",
        "2852039166",
        "192.168.1.1", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_in_every_form(host: str) -> None:
    assert "address" in problem(f"https://{host}/hook")


def test_one_bad_address_among_good_ones_is_enough(names: dict[str, list[str]]) -> None:
    names["both.example.com"] = ["1.1.1.1", "10.0.0.1"]
    assert problem("https://both.example.com/") == BLOCKED_NAME


U3 = (
    "localhost", "LOCALHOST", "localhost.", "x.localhost", "a.b.LocalHost.", "localhost.localdomain",
    "x.localhost.localdomain.", "localhost6", "ip6-localhost",
    "db.internal", "printer.local.", "nas.home.arpa", "wiki.corp",
)  # fmt: skip


@pytest.mark.parametrize("host", U3)
def test_u3_special_names_are_refused_whatever_the_resolver_says(
    names: dict[str, list[str]], host: str
) -> None:
    names[host] = ["1.1.1.1"]
    assert problem(f"http://{host}:8080/") == BLOCKED_NAME


def test_u3_names_of_other_networks_are_refused_by_name(names: dict[str, list[str]]) -> None:
    assert problem("http://hiddenservice.onion/") == "Names that end in .onion cannot be reached from here."


@pytest.mark.parametrize("network", ["127.0.0.0/8", "::1/128"])
def test_u3_localhost_may_be_saved_when_one_of_its_addresses_is_allowed(network: str) -> None:
    guard = AddressGuard(_networks(network))
    assert check_url("http://x.localhost:9000/", guard).warning is None


def test_u3_names_of_a_network_are_judged_by_address_once_one_is_allowed(
    names: dict[str, list[str]],
) -> None:
    names["db.internal"] = ["10.0.0.7"]
    assert check_url("http://db.internal/", AddressGuard(_networks("10.0.0.0/8"))).warning is None
    assert problem("http://db.internal/", AddressGuard(_networks("127.0.0.0/8"))) == BLOCKED_NAME


@pytest.mark.parametrize("ip", ["10.0.3.4", "169.254.169.254", "fd00:ec2::254", "::ffff:10.0.3.4"])
def test_u8_a_name_that_is_refused_does_not_tell_its_address(names: dict[str, list[str]], ip: str) -> None:
    names["hooks.example.com"] = [ip]
    assert problem("https://hooks.example.com/") == (
        "This name resolves to an address that is not public. "
        "The operator can allow it with WEBHOOK_ALLOWED_NETWORKS."
    )


@pytest.mark.parametrize("port", [22, 25, 6379, 5432])
def test_ports_of_other_services_are_refused(names: dict[str, list[str]], port: int) -> None:
    assert f"Port {port}" in problem(f"https://hooks.example.com:{port}/")
    assert f"Port {port}" in problem(f"https://unresolved.example.com:{port}/")


def test_a_network_that_is_allowed_may_be_saved() -> None:
    guard = AddressGuard(_networks("127.0.0.0/8"))
    assert check_url("http://127.0.0.1:9000/hook", guard).url == "http://127.0.0.1:9000/hook"


def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_args, **_kwargs: [over.wait(20)][:0])
    began = time.monotonic()
    checked = check_url("https://slow.example.com/", GUARD, seconds=0.1)
    assert checked.warning
    assert time.monotonic() - began < 10
    over.set()


def test_a_name_is_resolved_to_all_its_addresses() -> None:
    assert "127.0.0.1" in resolve("localhost", 30.0)
    assert resolve("no-such-name.invalid", 2.0) == []
