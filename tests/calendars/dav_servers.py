"""CalDAV servers as people run them, really started: Radicale, xandikos, and one that speaks Digest."""

import hashlib
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, make_server

import requests
from radicale.app import Application
from radicale.config import load as load_configuration

from calapp.calendars.models import Credentials

PASSWORD = "app-pass word:ä"
RICK = Credentials("rick", PASSWORD)


@dataclass
class DavServer:
    """A running server; `url` is what a person would enter."""

    url: str
    home: str  # path below which the calendars are
    auth: requests.auth.AuthBase | tuple[bytes, bytes]

    def request(self, method: str, path: str, body: str = "", **headers: str) -> requests.Response:
        """Do what another client of the person does."""
        answer = requests.request(
            method, self.url + path, data=body.encode(), headers=headers, auth=self.auth, timeout=10
        )
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer

    def make_calendar(self, name: str, *, color: str = "#3366cc", kind: str = "VEVENT") -> str:
        """Make a calendar and return its URL."""
        path = f"{self.home}{quote(name)}/"
        self.request(
            "MKCALENDAR",
            path,
            '<?xml version="1.0"?><c:mkcalendar xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" '
            f'xmlns:a="http://apple.com/ns/ical/"><d:set><d:prop><d:displayname>{name}</d:displayname>'
            f"<a:calendar-color>{color}ff</a:calendar-color><c:supported-calendar-component-set>"
            f'<c:comp name="{kind}"/></c:supported-calendar-component-set></d:prop></d:set></c:mkcalendar>',
        )
        return self.url + path

    def put(self, calendar: str, uid: str, *lines: str) -> str:
        """Put an event into a calendar as another program would; return its URL."""
        url = f"{calendar}{quote(uid)}.ics"
        self.request(
            "PUT", url.removeprefix(self.url), event(uid, *lines), **{"Content-Type": "text/calendar"}
        )
        return url

    def get(self, url: str) -> str:
        """Return an event's text."""
        return self.request("GET", url.removeprefix(self.url)).content.decode()

    def hrefs(self, calendar: str) -> list[str]:
        """Return the paths of what is in a calendar."""
        listing = self.request("PROPFIND", calendar.removeprefix(self.url), Depth="1").text
        return re.findall(r"<(?:\w+:)?href>([^<]*\.ics)<", listing)


def event(uid: str, *lines: str) -> str:
    """Return an .ics text of one event with these lines."""
    text = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", "BEGIN:VEVENT", f"UID:{uid}"]
    end = ["DTSTAMP:20261101T000000Z", "END:VEVENT", "END:VCALENDAR", ""]
    return "\r\n".join([*text, *lines, *end])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def _process(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _basic() -> tuple[bytes, bytes]:
    return RICK.username.encode(), RICK.password.encode()


@contextmanager
def radicale(folder: Path) -> Iterator[DavServer]:
    """Run Radicale with a password file, over Basic."""
    port = _free_port()
    (folder / "users").write_text(f"{RICK.username}:{PASSWORD}\n")
    options = [
        f"--hosts=127.0.0.1:{port}", "--auth-type=htpasswd", "--auth-htpasswd-encryption=plain",
        f"--auth-htpasswd-filename={folder / 'users'}", "--auth-delay=0",
        f"--storage-filesystem-folder={folder / 'data'}",
    ]  # fmt: skip
    with _process([sys.executable, "-m", "radicale", "--config=", *options], port, folder):
        yield DavServer(f"http://127.0.0.1:{port}", "/rick/", _basic())


@contextmanager
def xandikos(folder: Path) -> Iterator[DavServer]:
    """Run xandikos, which asks for no password here (it would only over TLS)."""
    port = _free_port()
    options = [
        "-d", str(folder / "data"), "--defaults", "--current-user-principal=/rick/", "-p", str(port),
        "-l", "127.0.0.1", "--state-dir", str(folder / "state"), "--no-detect-systemd",
    ]  # fmt: skip
    with _process([sys.executable, "-m", "xandikos.web", *options], port, folder):
        yield DavServer(f"http://127.0.0.1:{port}", "/rick/calendars/", _basic())


class Digest:
    """Radicale behind a front that speaks Digest alone (RFC 7616, MD5 with qop=auth)."""

    def __init__(self, folder: Path) -> None:
        configuration = load_configuration()
        configuration.update(
            {
                "auth": {"type": "remote_user"},
                "storage": {"filesystem_folder": str(folder / "data")},
                "logging": {"level": "critical"},
            },
            "test",
        )
        self.app = Application(configuration)
        self.nonce = secrets.token_hex(16)
        self.seen: list[str] = []  # headers that would sign somebody in

    def __call__(self, environ: dict, start_response: Callable[..., object]) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "")
        self.seen.append(given)
        if self.fits(given, environ["REQUEST_METHOD"]):
            environ["REMOTE_USER"] = RICK.username
            environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode()  # as its own server has it
            return self.app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        challenge = f'Digest realm="calendars", qop="auth", algorithm=MD5, nonce="{self.nonce}"'
        start_response("401 Unauthorized", [("WWW-Authenticate", challenge), ("Content-Length", "0")])
        return [b""]

    def fits(self, header: str, method: str) -> bool:
        """Return whether a header proves that the password is known."""
        scheme, _, rest = header.partition(" ")
        if scheme != "Digest":
            return False
        said = {
            name: quoted or plain
            for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', rest)
        }
        one = _md5(f"{RICK.username}:calendars:{PASSWORD}")
        two = _md5(f"{method}:{said.get('uri')}")
        parts = (one, self.nonce, said.get("nc"), said.get("cnonce"), said.get("qop"), two)
        return said.get("response") == _md5(":".join(map(str, parts)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@contextmanager
def digest(folder: Path) -> Iterator[tuple[DavServer, Digest]]:
    """Run a server that speaks Digest alone."""
    app = Digest(folder)
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        auth = requests.auth.HTTPDigestAuth(RICK.username, PASSWORD)
        yield DavServer(f"http://127.0.0.1:{server.server_port}", "/rick/", auth), app
        server.shutdown()
        thread.join(10)
