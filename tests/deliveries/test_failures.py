"""Why a try failed: what real servers that misbehave come out as, and the words for it."""

import errno
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pycurl
import pytest

from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import TEXTS, TIMEOUTS, Trouble, WebhookResponse, of_status, of_trouble
from tests.deliveries.requests_made import (
    HOST,
    LOOPBACK,
    PATIENCE,
    TO_LOOPBACK,
    send,
    send_one,
    webhook_request,
)
from tests.receiver import (
    Authority,
    Behaviour,
    Receiver,
    answer,
    closing,
    pouring,
    resetting,
    sending,
    silent,
)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A certificate authority that the sender trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that one more hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def over_tls(context: ssl.SSLContext) -> WebhookResponse:
    with Receiver(tls=context) as receiver:
        return send_one(receiver.url(host=HOST), connect_to=TO_LOOPBACK)


def plain(behave: Behaviour | bytes, scheme: str = "http", timeout: float = PATIENCE) -> WebhookResponse:
    with Receiver(behave) as receiver:
        return send_one(receiver.url().replace("http", scheme, 1), timeout=timeout)


def reason(answer: WebhookResponse) -> str:
    """Return the code of a failure, having seen that its words name the host and read like a sentence."""
    assert answer.failure is not None
    assert answer.failure.words.endswith((".", "?"))
    assert "{" not in answer.failure.words
    return answer.failure.code


def test_a_good_certificate_is_no_failure(authority: Authority) -> None:
    assert over_tls(authority.serving(HOST)).failure is None


def test_an_expired_certificate_is_told_with_its_age_and_the_cure(authority: Authority) -> None:
    got = over_tls(authority.serving(HOST, days=(-10, -3)))
    assert reason(got) == "certificate_expired"
    assert got.failure.words == f"The certificate of {HOST} expired 3 days ago. Renew it."


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (None, "has expired"),
        (timedelta(seconds=59), "expired just now"),
        (timedelta(minutes=1), "expired 1 minute ago"),
        (timedelta(hours=23), "expired 23 hours ago"),
        (timedelta(days=3650), "expired 3,650 days ago"),
    ],
)
def test_the_age_of_an_expired_certificate_is_told_in_the_largest_unit(
    passed: timedelta | None, words: str
) -> None:
    trouble = Trouble(60, "certificate has expired (10)", f"https://{HOST}/", "tls", 15, expired=passed)
    assert of_trouble(trouble).words == f"The certificate of {HOST} {words}. Renew it."


def test_a_certificate_of_the_future_is_told(authority: Authority) -> None:
    assert reason(over_tls(authority.serving(HOST, days=(1, 3)))) == "certificate_not_yet_valid"


def test_a_certificate_for_another_name_is_told(authority: Authority) -> None:
    assert reason(over_tls(authority.serving("other.example.com"))) == "certificate_wrong_host"


def test_a_certificate_without_the_address_is_told(authority: Authority) -> None:
    with Receiver(tls=authority.serving(HOST)) as receiver:
        assert reason(send_one(receiver.url())) == "certificate_wrong_host"


def test_a_self_signed_certificate_is_told(authority: Authority) -> None:
    assert reason(over_tls(authority.serving(HOST, self_signed=True))) == "certificate_self_signed"


def test_a_certificate_of_an_unknown_issuer_is_told(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "Another authority", file="another.pem")
    assert reason(over_tls(stranger.serving(HOST))) == "certificate_unknown_issuer"


def test_a_certificate_that_only_claims_its_issuer_is_told(authority: Authority, tmp_path: Path) -> None:
    forger = Authority(tmp_path, file="forged.pem")
    assert reason(over_tls(forger.serving(HOST))) == "certificate_unknown_issuer"


def test_old_tls_is_not_spoken(authority: Authority) -> None:
    context = authority.serving(HOST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert reason(over_tls(context)) == "tls_too_old"


def greeting(text: bytes) -> Behaviour:
    """Return a behaviour that speaks first, as servers of mail and shells do."""

    def behave(receiver: Receiver, connection: socket.socket) -> None:
        connection.sendall(text)
        receiver.ended.wait(5)

    return behave


def hang(receiver: Receiver, connection: socket.socket) -> None:
    receiver.ended.wait(5)


def test_https_on_a_port_that_speaks_plainly_is_told() -> None:
    assert reason(plain(greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "https")) == "tls"


def test_http_on_a_port_that_wants_tls_is_told(authority: Authority) -> None:
    with Receiver(tls=authority.serving(HOST)) as receiver:
        assert reason(send_one(f"http://127.0.0.1:{receiver.port}/")) in {"reset", "closed", "not_http"}


@pytest.mark.parametrize("text", [b"220 mail ready\r\n", b"SSH-2.0-x\r\n", b"RTSP/1.0 200 OK\r\n\r\n"])
def test_another_protocol_is_told(text: bytes) -> None:
    assert reason(plain(greeting(text))) == "not_http"


def test_an_answer_in_http_2_without_asking_is_told() -> None:
    assert reason(plain(sending(b"HTTP/2 200 OK\r\n\r\n"))) == "not_http"


def test_a_refused_connection_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    got = send_one(f"http://127.0.0.1:{port}/")
    assert reason(got) == "refused"
    assert "127.0.0.1 refused the connection" in got.failure.words


def test_a_connection_closed_without_an_answer_is_told() -> None:
    assert reason(plain(closing)) == "closed"


def test_a_connection_that_is_reset_is_told() -> None:
    assert reason(plain(resetting)) == "reset"


def test_a_name_without_an_address_is_told() -> None:
    got = send_one("http://no-such-name.invalid/")
    assert reason(got) == "no_such_name"
    assert "no-such-name.invalid" in got.failure.words


def test_a_host_that_takes_no_connection_is_a_connect_time_out(full_port: int) -> None:
    assert reason(send_one(f"http://127.0.0.1:{full_port}/", timeout=0.2)) == "timeout_connect"


def test_a_handshake_that_hangs_is_a_tls_time_out() -> None:
    assert reason(plain(hang, "https", timeout=0.5)) == "timeout_tls"


def test_no_answer_is_an_answer_time_out() -> None:
    got = plain(silent, timeout=0.5)
    assert reason(got) == "timeout_answer"
    assert got.failure.words == "No response within 0.5 s. Respond first, then do the work."


def test_no_answer_on_a_kept_connection_is_an_answer_time_out() -> None:
    sender = Sender(slots=1, timeout=1.0, guard=LOOPBACK)
    with Receiver(sending(answer(), hold=True)) as receiver:
        assert send(sender, webhook_request(receiver.url()))[0].failure is None
        (got,) = send(sender, webhook_request(receiver.url()))
    assert (reason(got), receiver.connections) == ("timeout_answer", 1)
    sender.close()


def test_half_a_head_is_a_body_time_out() -> None:
    assert reason(plain(sending(b"HTTP/1.1 200 OK\r\nX: y\r\n", hold=True), timeout=0.5)) == "timeout_body"


def test_a_success_whose_body_never_ends_is_a_body_time_out() -> None:
    got = plain(sending(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", hold=True), timeout=0.5)
    assert (got.status, reason(got), got.body) == (200, "timeout_body", "abc")


def test_a_refusal_whose_body_never_ends_is_still_a_refusal() -> None:
    got = plain(sending(b"HTTP/1.1 410 Gone\r\nContent-Length: 10\r\n\r\nabc", hold=True), timeout=0.5)
    assert (got.status, reason(got)) == (410, "gone")


def test_interim_answers_without_end_are_told() -> None:
    assert reason(plain(pouring(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100))) == "endless"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(status: int) -> None:
    with Receiver() as target, Receiver(answer(f"{status} Go", b"", f"Location: {target.url()}")) as receiver:
        got = send_one(receiver.url())
    assert (got.status, reason(got), target.requests) == (status, "redirect", [])
    assert target.url() in got.failure.words


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 299 Fine\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
    ],
)
def test_a_success_counts_whatever_its_body(cut: bytes) -> None:
    got = plain(sending(cut))
    assert (got.failure, got.status // 100) == (None, 2)


def test_a_failure_with_a_broken_body_keeps_its_status() -> None:
    got = plain(sending(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\nabc"))
    assert (got.status, reason(got)) == (500, "status")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 418, 429, 500, 502, 503, 999])
def test_every_status_has_words_with_a_cure(status: int) -> None:
    failure = of_status(status)
    assert failure is not None
    assert failure.words.startswith(f"The server responded with {status}")
    assert failure.words.endswith((".", "?"))


def test_only_two_hundreds_are_a_success() -> None:
    good = {status for status in range(100, 1000) if of_status(status) is None}
    assert good == set(range(200, 300))
    assert of_status(HTTPStatus.GONE).code == "gone"


@pytest.mark.parametrize("phase", TIMEOUTS)
def test_every_time_out_names_its_phase(phase: str) -> None:
    failure = of_trouble(Trouble(pycurl.E_OPERATION_TIMEDOUT, "", "https://a.example/", phase, 15.0))
    assert failure.code == f"timeout_{phase}"
    assert "15 s" in failure.words


@pytest.mark.parametrize("text", [text for text, _, _ in TEXTS])
def test_every_text_becomes_a_sentence(text: str) -> None:
    failure = of_trouble(Trouble(pycurl.E_PEER_FAILED_VERIFICATION, text, f"https://{HOST}/", "tls", 15.0))
    assert HOST in failure.words
    assert failure.code not in {"certificate", "transfer"}


def test_an_unreachable_network_is_not_called_a_refusal() -> None:
    trouble = Trouble(
        pycurl.E_COULDNT_CONNECT, "", "https://a.example/", "connect", 15.0, system=errno.ENETUNREACH
    )
    assert of_trouble(trouble).code == "unreachable"


def test_a_lack_of_files_is_ours_and_not_called_a_refusal() -> None:
    trouble = Trouble(
        pycurl.E_COULDNT_CONNECT, "", "https://a.example/", "connect", 15.0, system=errno.EMFILE
    )
    assert "Too many open files" in of_trouble(trouble).words


def test_an_unknown_error_keeps_its_own_words() -> None:
    failure = of_trouble(Trouble(9999, "odd {thing}", "not an address", "answer", 15.0))
    assert failure.words == "The request to not an address failed: odd (thing)."


def test_words_can_be_stored_whatever_the_address() -> None:
    failure = of_trouble(Trouble(pycurl.E_URL_MALFORMAT, "", "http://\ud800\0" + "x" * 5000, "name", 15.0))
    failure.words.encode()
    assert "\0" not in failure.words
    assert len(failure.words) < 400
    assert of_trouble(Trouble(9999, "odd \udcff\0", "", "answer", 15.0)).words.isprintable()
