"""What is sent for what was typed, and which spellings of a URL are one."""

import time

import pytest

from calapp.addresses import key_of, parsed, same_origin, sent_form, trimmed
from calapp.errors import Invalid

SENT = [
    ("http://h/hook?name=Zoë", "http://h/hook?name=Zo%C3%AB"),
    ("http://h/Zoë/日本", "http://h/Zo%C3%AB/%E6%97%A5%E6%9C%AC"),
    ('http://h/a"b<c>d{e}f|g^h`i', "http://h/a%22b%3Cc%3Ed%7Be%7Df%7Cg%5Eh%60i"),
    ("http://h/?a=\"<>{}|^`'", "http://h/?a=%22%3C%3E%7B%7D%7C%5E%60%27"),
    ("http://h/a b?c d", "http://h/a%20b?c%20d"),
    ("http://h/100%?50%x%4", "http://h/100%25?50%25x%254"),
    ("http://h/%C3%AB%2f%zz", "http://h/%C3%AB%2f%25zz"),
    ("http://h/it's?m[user_id]=1&x={a,b}", "http://h/it's?m[user_id]=1&x=%7Ba,b%7D"),
    ("http://h/👩\u200d🚀", "http://h/%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80"),
    ("http://h", "http://h/"),
    ("http://h?a", "http://h/?a"),
    ("HTTP://H:80/", "http://h/"),
    ("https://h:443", "https://h/"),
    ("https://h:80", "https://h:80/"),
    ("http://h:/", "http://h/"),
    ("http://h/a/./b/../c/%2e%2E/d", "http://h/a/d"),
    ("http://h/../..", "http://h/"),
    ("http://h/a//b/", "http://h/a//b/"),
    ("http://h/#ü", "http://h/"),
    ("http://Bücher.example:8080/", "http://xn--bcher-kva.example:8080/"),
    ("http://0x7f.1/", "http://127.0.0.1/"),
    ("http://[0:0::1]:9/", "http://[::1]:9/"),
]


@pytest.mark.parametrize(("typed", "sent"), SENT)
def test_u1_a_url_is_sent_as_browsers_send_it(typed: str, sent: str) -> None:
    assert sent_form(typed) == sent
    assert sent_form(sent) == sent
    assert sent.isascii()


@pytest.mark.parametrize(
    "saved", ["http://a_b!c/Zoë", "http://h/a\\b ü", "nonsense ü", "http://h:99999/ü", "http://h/ \u202e"]
)
def test_u1_a_url_that_an_older_version_saved_is_sent_in_ascii(saved: str) -> None:
    assert sent_form(saved).isascii()
    assert " " not in sent_form(saved)


def test_u1_a_url_that_becomes_too_long_is_refused_with_words() -> None:
    with pytest.raises(Invalid, match="after percent-encoding"):
        parsed("http://h/" + "日" * 1000)


def test_u1_a_long_url_costs_linear_time() -> None:
    began = time.process_time()
    parsed("http://h/" + "%" * 600 + "?" + "'" * 600)
    assert time.process_time() - began < 0.1


SAME = [
    ("http://h:8080", "http://h:8080/"),
    ("http://h/", "HTTP://H:80"),
    ("https://h/a", "https://h:443/a"),
    ("http://h/a", "http://h/b/../a"),
    ("http://h/a", "http://h/./a#part"),
    ("http://h/a", "http://h/a?"),
    ("http://h./a", "http://h/a"),
    ("http://h/~me", "http://h/%7Eme"),
    ("http://h/Zoë", "http://h/Zo%c3%ab"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("http://2130706433/", "http://127.0.0.1"),
    ("http://[::0001]/", "http://[::1]/"),
    ("http://h/?a={b}", "http://h/?a=%7Bb%7D"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_u2_spellings_of_one_url_are_one(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


DIFFERENT = [
    ("http://h/a", "https://h/a"),
    ("http://h/a", "http://h/a/"),
    ("http://h/a", "http://h/A"),
    ("http://h/a%2Fb", "http://h/a/b"),
    ("http://h/?a=1&b=2", "http://h/?b=2&a=1"),
    ("http://h/", "http://h:8080/"),
    ("http://h/?a+b", "http://h/?a%20b"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_u2_what_servers_tell_apart_stays_two(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


BLANKS = "\u200b\u200c\u200e\u2060\ufeff\u00ad\u00a0\u2003\u3000\u2028\t\r\n "


@pytest.mark.parametrize("blank", BLANKS)
def test_u4_what_cannot_be_seen_is_trimmed_at_both_ends(blank: str) -> None:
    assert trimmed(f"{blank}{blank}https://h/a{blank}") == "https://h/a"


@pytest.mark.parametrize("blank", "\u200b\u2060\ufeff\u00ad\u00a0\u2003\u202e")
def test_u4_what_cannot_be_seen_is_named_inside_a_url(blank: str) -> None:
    with pytest.raises(Invalid, match=f"invisible character .U.{ord(blank):04X}."):
        parsed(f"https://h/a{blank}b")


def test_u7_an_origin_is_scheme_host_and_port() -> None:
    assert same_origin("https://h/a", "HTTPS://H.:443/b?c")
    assert not any(
        same_origin("https://h/", other) for other in ("http://h/", "https://h:8443/", "https://i/")
    )
