"""TLS to PostgreSQL as docs/deployment.md writes it: certificates that the system trusts, and no others."""

import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from calapp import config, db
from tests.receiver import Authority

SSL_REQUEST = 8  # bytes, https://www.postgresql.org/docs/current/protocol-message-formats.html


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signed the certificate of the server."""
    return Authority(tmp_path)


@pytest.fixture
def address(postgresql: str, authority: Authority) -> Iterator[str]:
    """The address of the run's PostgreSQL, by TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, postgresql, authority), daemon=True).start()
    port = listener.getsockname()[1]
    yield (
        f"postgresql+psycopg://postgres@localhost:{port}/postgres?sslmode=verify-full&sslrootcert=system"
        "&gssencmode=disable&hostaddr=127.0.0.1"
    )
    listener.close()


def serve(listener: socket.socket, postgresql: str, authority: Authority) -> None:
    """Take one connection by TLS, and pass its bytes on to the server's own socket."""
    path = f"{parse_qs(urlsplit(postgresql).query)['host'][0]}/.s.PGSQL.5432"
    plain, _ = listener.accept()
    with plain, socket.socket(socket.AF_UNIX) as server:
        plain.recv(SSL_REQUEST)
        plain.sendall(b"S")
        try:
            client = authority.serving("localhost").wrap_socket(plain, server_side=True)
        except OSError:
            return
        server.connect(path)
        with client:
            pass_on(client, server)


def pass_on(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes on in both directions until one side ends."""
    while True:
        for one in select.select([client, server], [], [])[0]:
            data = one.recv(65536)
            if not data:
                return
            (server if one is client else client).sendall(data)


def test_o3_a_server_that_the_system_trusts_is_connected_to(
    address: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUNDLES", ("/nowhere.pem", str(authority.file)))
    assert read_one(address) == 1


def test_o3_a_server_that_the_system_does_not_trust_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path, "Another authority", "other.pem")
    monkeypatch.setattr(db, "BUNDLES", (str(other.file),))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        read_one(address)


def read_one(address: str) -> object:
    """Return what a statement gives, by a connection as Calapp makes it."""
    options = db.connection_options(config.prepare({}, database_url=address, secret_key="x" * 32))
    engine = create_engine(address, connect_args=options)
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT 1").scalar()
    finally:
        engine.dispose()
