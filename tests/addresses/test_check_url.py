"""What is said of a subscriber URL before it is saved."""

import time

import pytest

from calapp import addresses
from calapp.addresses import AddressGuard, check_url, resolve
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
    ("given", "saved"),
    [
        ("https://hooks.example.com", "https://hooks.example.com"),
        ("  https://hooks.example.com/a?b=c  ", "https://hooks.example.com/a?b=c"),
        ("HTTPS://Hooks.Example.COM/Path", "https://hooks.example.com/Path"),
        ("https://hooks.example.com:8443/a#part", "https://hooks.example.com:8443/a"),
        ("http://hooks.example.com:80/%7Eme", "http://hooks.example.com:80/%7Eme"),
        ("https://[2606:4700:4700::1111]/x", "https://[2606:4700:4700::1111]/x"),
    ],
)
def test_good_addresses_are_saved_in_one_form(names: dict[str, list[str]], given: str, saved: str) -> None:
    assert check_url(given, GUARD) == addresses.CheckedUrl(saved)


def test_a_name_in_any_script_is_saved_as_it_is_looked_up(names: dict[str, list[str]]) -> None:
    names["xn--bcher-kva.example"] = ["1.1.1.1"]
    assert check_url("https://Bücher.example/ü", GUARD).url.startswith("https://xn--bcher-kva.example/")


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
    assert "10.0.0.1" in problem("https://both.example.com/")


def test_localhost_is_refused_by_its_address() -> None:
    assert "not a public address" in problem("http://localhost/")


@pytest.mark.parametrize("port", [22, 25, 6379, 5432])
def test_ports_of_other_services_are_refused(names: dict[str, list[str]], port: int) -> None:
    assert f"Port {port}" in problem(f"https://hooks.example.com:{port}/")
    assert f"Port {port}" in problem(f"https://unresolved.example.com:{port}/")


def test_a_network_that_is_allowed_may_be_saved() -> None:
    guard = AddressGuard(_networks("127.0.0.0/8"))
    assert check_url("http://127.0.0.1:9000/hook", guard).url == "http://127.0.0.1:9000/hook"


def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_args, **_kwargs: time.sleep(0.5) or [])
    began = time.monotonic()
    checked = check_url("https://slow.example.com/", GUARD, seconds=0.1)
    assert checked.warning
    assert time.monotonic() - began < 0.4


def test_a_name_is_resolved_to_all_its_addresses() -> None:
    assert "127.0.0.1" in resolve("localhost", 2.0)
    assert resolve("no-such-name.invalid", 2.0) == []
