"""New code without a pause: the web server reloads and workers restart while visitors book through a proxy.

The proxies are nginx and Caddy with the files of `deploy/`.
"""

import json
import re
import shutil
import signal
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.receiver import Authority
from tools.faults.parts import ROOT, Part, free_port
from tools.faults.report import CannotRun, Finding, experiment, percentile
from tools.faults.rolling import Other, PublicWorld
from tools.faults.world import Posted

A_SECOND = 10  # bookings


class Proxy(Part, ABC):
    """A proxy with https in front of the web server, set up by a file of `deploy/`."""

    program: str

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment)
        if not shutil.which(self.program):
            raise CannotRun(f"needs the program {self.program}")
        self.port = free_port()
        self.authority = Authority(folder)
        self.certificate = self.authority.certificate_file("127.0.0.1")
        self.file = folder / self.program
        self.file.write_text(self.set_up())

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @abstractmethod
    def set_up(self) -> str:
        """Return what the proxy reads: the file of `deploy/` with the ports and the certificate of here."""

    def ready(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False


class Nginx(Proxy):
    """nginx, in the foreground and as whoever starts it."""

    program = "nginx"

    def set_up(self) -> str:
        site = (ROOT / "deploy" / "nginx.conf").read_text()
        site = site.replace("127.0.0.1:5000", f"127.0.0.1:{self.environment['PORT']}")
        site = re.sub(r"/etc/ssl/cal\.example\.com\.(pem|key)", str(self.certificate), site)
        site = re.sub(r"listen (\[::\]:)?80;", f"listen 127.0.0.1:{free_port()};", site, count=1)
        site = site.replace("listen 443 ", f"listen 127.0.0.1:{self.port} ")
        site = re.sub(r"  listen (\[::\]:)?(80|443)\b.*\n", "", site)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {self.folder}/nginx-{kind};" for kind in kinds)
        return (
            f"daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx-errors.log; "
            f"events {{}} http {{ access_log off; {temporary}\n{site}}}"
        )

    @property
    def command(self) -> list[str]:
        return ["nginx", "-q", "-p", str(self.folder), "-c", str(self.file)]


class Caddy(Proxy):
    """Caddy with a certificate that it need not ask for."""

    program = "caddy"

    def set_up(self) -> str:
        site = (ROOT / "deploy" / "Caddyfile").read_text()
        site = site.replace("127.0.0.1:5000", f"127.0.0.1:{self.environment['PORT']}")
        site = site.replace(
            "cal.example.com {", f"https://:{self.port} {{\n\ttls {self.certificate} {self.certificate}"
        )
        return "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site

    @property
    def command(self) -> list[str]:
        self.environment = self.environment | {"XDG_DATA_HOME": str(self.folder / "caddy-data")}
        return ["caddy", "run", "--adapter", "caddyfile", "--config", str(self.file)]


@experiment("O9", "reload", "reload the web server, restart workers, at ten bookings a second", long=True)
def reload(finding: Finding, short: bool) -> None:
    for kind in (Nginx, Caddy):
        for _ in range(1 if short else 3):
            once(finding, kind)


def once(finding: Finding, kind: type[Proxy]) -> None:
    """Reload the web server twice and restart both workers, behind a proxy of this kind."""
    with PublicWorld(free_port(), WEB_CONCURRENCY="1") as world:
        proxy = kind(world.folder, world.environment)
        other = Other(world.folder, world.environment)
        for part in (proxy, other):
            world.stack.callback(part.stop)
        for part in (world.worker, other, proxy):
            part.start()
        world.webhook()
        world.trusted = str(proxy.authority.file)
        over = threading.Event()
        visitors = threading.Thread(target=book_steadily, args=(world, proxy.address, over, posted := []))
        visitors.start()
        for worker in (world.worker, other):
            time.sleep(3)
            reload_web(world)
            time.sleep(10)
            worker.terminate()
            worker.start()
        time.sleep(10)
        over.set()
        visitors.join()
        world.wait_delivered(60)
        judge(finding, world, kind.program, posted)


def reload_web(world: PublicWorld) -> None:
    """Send SIGHUP, as `systemctl reload` does."""
    assert world.web.process is not None
    world.web.process.send_signal(signal.SIGHUP)


def book_steadily(world: PublicWorld, address: str, over: threading.Event, posted: list[Posted]) -> None:
    """Begin a booking every tenth of a second, whatever became of those before."""
    asked: list[Future[Posted]] = []
    with ThreadPoolExecutor(64) as pool:
        began = time.monotonic()
        while not over.wait(max(0.0, began + len(asked) / A_SECOND - time.monotonic())):
            asked.append(pool.submit(world.post, address=address, timeout=120))
    posted.extend(one.result() for one in asked)


def judge(finding: Finding, world: PublicWorld, program: str, posted: list[Posted]) -> None:
    """Count what visitors saw and what became of it."""
    statuses = dict(Counter(one.status for one in posted))
    p99 = percentile([one.seconds for one in posted], 0.99)
    finding.note(f"{program}: {len(posted)} visitors saw {statuses}, p99 {p99:.2f} s")
    for error, times in Counter(one.error for one in posted if one.error).most_common(3):
        finding.note(f"{times} without an answer: {error[-120:]}")
    finding.expect("no proxy found the web server away: 0 x 502", 502 not in statuses)
    finding.expect("every visitor booked", set(statuses) == {303})
    for line, times in Counter(complaints(world.folder)).most_common(5):
        finding.note(f"{times} times in the logs: {line}")
    tally = world.judge(finding)
    finding.expect(
        f"as many bookings as were confirmed: {tally.bookings}", tally.bookings == statuses.get(303)
    )


def complaints(folder: Path) -> Iterator[str]:
    """Give what nginx and the web server logged as wrong, without what differs between two of a kind."""
    errors = folder / "nginx-errors.log"
    for line in errors.read_text().split("\n") if errors.exists() else ():
        if found := re.search(r"\*\d+ ([^,]+)", line):
            yield found[1]
    for line in (folder / "first.log").read_text().split("\n"):
        if line.startswith("{") and (said := json.loads(line))["level"] != "info":
            yield said["message"][-120:]
