"""Which addresses and ports a webhook may have: the pure rules."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calapp.addresses import CLOSED_PORTS, AddressGuard, embedded
from calapp.config import _networks

GUARD = AddressGuard()

CLOSED = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1:ffff::1",
    "2002:7f00:1::", "2002:a00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "2001:0:1:1:0:0:80ff:fffe",
    "fe80::1", "fe80::1%eth0", "fec0::1", "feff::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1",
    "2001:db8::1", "100::1", "2001:10::1", "5f00::1", "3fff::1", "4000::1", "::2",
)  # fmt: skip

OPEN = (
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
    "192.88.98.1", "192.167.255.255", "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
)  # fmt: skip


@pytest.mark.parametrize("ip", CLOSED)
def test_closed_addresses_are_refused(ip: str) -> None:
    assert GUARD.refuses(ip, 443)


@pytest.mark.parametrize("ip", OPEN)
def test_public_addresses_are_let_through(ip: str) -> None:
    assert GUARD.refuses(ip, 443) is None


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_wrapping(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    wrapped = (
        f"::ffff:{address}",
        str(ipaddress.IPv6Address((0x64FF9B << 96) | number)),
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)),
    )
    if GUARD.refuses(str(address), 443):
        assert all(GUARD.refuses(form, 443) for form in wrapped)


@given(st.ip_addresses())
def test_what_is_let_through_is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if GUARD.refuses(str(address), 443) is None:
        forms = embedded(address) or (address,)
        assert all(form.is_global and not form.is_multicast for form in forms)


@pytest.mark.parametrize("text", ["", "nonsense", "127.1", "1.1.1", "[::1]", "1.1.1.1 ", "１.1.1.1"])  # noqa: RUF001
def test_what_is_not_an_address_is_refused(text: str) -> None:
    assert GUARD.refuses(text, 443)


@pytest.mark.parametrize("port", [22, 25, 445, 3306, 5432, 6379, 9200, 27017])
def test_ports_of_other_services_are_refused_whatever_is_allowed(port: int) -> None:
    assert port in CLOSED_PORTS
    assert AddressGuard(_networks("0.0.0.0/0")).refuses("1.1.1.1", port)


def test_networks_that_the_operator_names_are_open() -> None:
    guard = AddressGuard(_networks("10.1.0.0/16,fd12::/16"))
    assert guard.refuses("10.1.2.3", 80) is None
    assert guard.refuses("fd12::1", 80) is None
    assert guard.refuses("::ffff:10.1.2.3", 80) is None
    assert guard.refuses("10.2.0.1", 80)


@pytest.mark.parametrize("ip", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"])
def test_metadata_addresses_stay_shut_whatever_is_allowed(ip: str) -> None:
    assert "credentials" in AddressGuard(_networks("0.0.0.0/0,::/0")).refuses(ip, 80)
