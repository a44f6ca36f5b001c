"""Real receivers on loopback: plain and over TLS, well-behaved and hostile, each with threads of its own."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Request:
    """What came in; header names in lower case, the last one of a name wins."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[["Receiver", socket.socket], None]


def answer(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    """Return the bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def silent(receiver: "Receiver", connection: socket.socket) -> None:
    """Read the request and never answer."""
    receiver.read(connection)
    receiver.ended.wait(60)


def closing(receiver: "Receiver", connection: socket.socket) -> None:
    """Read the request and close without an answer."""
    receiver.read(connection)


def resetting(receiver: "Receiver", connection: socket.socket) -> None:
    """Read the request and break the connection off hard."""
    receiver.read(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def sending(*parts: bytes, pause: float = 0.0, hold: bool = False) -> Behaviour:
    """Return a behaviour that answers in parts, with pauses in seconds, and then closes or holds the line."""

    def behave(receiver: "Receiver", connection: socket.socket) -> None:
        receiver.read(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if hold:
            receiver.ended.wait(10)

    return behave


def pouring(head: bytes, part: bytes, pause: float = 0.0) -> Behaviour:
    """Return a behaviour that sends a head and then the same part for ever."""

    def behave(receiver: "Receiver", connection: socket.socket) -> None:
        receiver.read(connection)
        connection.sendall(head)
        while not receiver.ended.is_set():
            connection.sendall(part)
            receiver.poured += len(part)
            time.sleep(pause)

    return behave


class Receiver:
    """A listening port with one thread for each connection; use it with `with`.

    `behave` is the bytes that answer every request, or a function that does with a connection as it likes.
    """

    def __init__(
        self,
        behave: Behaviour | bytes = OK,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.behave = behave
        self.tls = tls
        self.host = host
        self.requests: list[Request] = []
        self.connections = 0
        self.poured = 0
        self.ended = threading.Event()
        self.threads: list[threading.Thread] = []
        self.open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port: int = self.listener.getsockname()[1]

    def url(self, path: str = "/hook", host: str | None = None) -> str:
        """Return an address of this receiver, with its own or another host."""
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)
        self.listener.close()

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.ended.is_set():
                connection, _ = self.listener.accept()
                self.connections += 1
                self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        self.open.add(connection)
        with suppress(OSError), connection:
            if self.tls is None:
                self._speak(connection)
            else:
                with self.tls.wrap_socket(connection, server_side=True) as secured:
                    self.open.add(secured)
                    self._speak(secured)

    def _speak(self, connection: socket.socket) -> None:
        if callable(self.behave):
            self.behave(self, connection)
            return
        while self.read(connection) is not None:
            connection.sendall(self.behave)

    def read(self, connection: socket.socket) -> Request | None:
        """Read and note one request; None when the other side has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("utf-8", "replace").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        while len(body) < int(headers.get("content-length", "0")):
            body += connection.recv(65536)
        method, path, _ = first.split(" ", 2)
        request = Request(method, path, headers, body)
        self.requests.append(request)
        return request


class Authority:
    """A certificate authority of the test's own; `file` is what a client has to trust."""

    def __init__(self, folder: Path, name: str = "Test authority", file: str = "authority.pem") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        now = datetime.now(UTC)
        self.certificate = (
            _builder(subject, subject, self.key, now - timedelta(days=30), now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = folder / file
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def serving(
        self, host: str, *, days: tuple[int, int] = (-1, 1), self_signed: bool = False
    ) -> ssl.SSLContext:
        """Return a server's context with a certificate for this host, valid in these days from now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file(host, days=days, self_signed=self_signed))
        return context

    def certificate_file(
        self, host: str, *, days: tuple[int, int] = (-1, 1), self_signed: bool = False
    ) -> Path:
        """Return a file with a certificate for this host and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        issuer = _name(host) if self_signed else self.certificate.subject
        certificate = (
            _builder(_name(host), issuer, key, now + timedelta(days=days[0]), now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
            .sign(key if self_signed else self.key, hashes.SHA256())
        )
        file = self.folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
