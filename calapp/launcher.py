"""What `make run` starts: an embedded Valkey, the web server and a worker, on one machine with no set-up."""

import errno
import http.client
import logging
import os
import secrets
import signal
import socket
import sys
import time
from dataclasses import dataclass

from click import ClickException
from flask_migrate import upgrade
from sqlalchemy.exc import SQLAlchemyError

from app import create_app
from calapp import config, demo, logs
from calapp.config import KEY_IS_KEPT, Settings
from calapp.db import db, transaction
from calapp.embedded_valkey import EmbeddedValkey, NoBroker
from calapp.privacy.commands import encrypt_all
from calapp.privacy.sealed import sweep_pages
from calapp.processes import LONGEST_PAUSE, Spawned, stop
from calapp.shutdown import rest, stop_on, stop_requested
from calapp.startup_checks import open_folder, refuse_demo, refuse_nameless, refuse_wrong_key
from calapp.worker import GRACE

LOOPBACK = "127.0.0.0/8,::1/128"
WEB_PATIENCE = 22.0  # seconds for the web server to respond to what is being asked
START = 30.0  # seconds within which the web server must respond
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (what HOST may be)

log = logging.getLogger(__name__)


class CannotStart(Exception):
    """The start fails; the message is a sentence that says why."""


@dataclass(frozen=True)
class Welcome:
    """What the printed block depends on."""

    demo: bool  # the demo host is there with the password that is printed
    empty: bool  # nobody has signed up yet


def main() -> None:
    """Start everything, say where to look, and stop everything in order when asked to."""
    os.umask(0o077)  # for all that this and its processes write
    try:
        chosen = prepared_settings()
        if (warning := open_folder(chosen)) is not None:
            log.warning("%s", warning)
        logs.configure(chosen, "start")
        Launcher(chosen).run()
    except (ClickException, CannotStart, NoBroker) as error:
        sys.exit(str(error))


def prepared_settings() -> Settings:
    """Read the settings and set those that the start makes, here and for the processes; raise BadSetting."""
    os.environ.setdefault("LOG_LEVEL", "warning")  # so that the printed block stays in sight
    chosen = config.prepare()
    refuse_nameless(chosen)
    if not chosen.public:
        os.environ.setdefault("WEBHOOK_ALLOWED_NETWORKS", LOOPBACK)
    os.environ["CALAPP_DATA_DIR"] = str(chosen.data_dir)
    if not os.environ.get("SECRET_KEY"):
        os.environ[KEY_IS_KEPT] = "1"
    if chosen.public and not chosen.signup_code:
        os.environ["SIGNUP_CODE"] = secrets.token_hex(4)
    return config.prepare()


class Launcher:
    """The processes of one `make run`, in the order in which they start."""

    def __init__(self, chosen: Settings) -> None:
        self.settings = chosen
        self.valkey = None if chosen.redis_url else EmbeddedValkey(chosen.data_dir)
        self.web: Spawned | None = None
        self.worker: Spawned | None = None
        self.valkey_pause = 0.0
        self.valkey_again_at = 0.0

    def run(self) -> None:
        """Start, start again what dies until asked to stop, and stop."""
        check_port(self.settings)
        stop_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, force=self.kill)
        try:
            if self.valkey is not None:
                self.valkey.start()
            welcome = prepare_database(self.settings)
            self.start_processes()
            if not stop_requested():
                print(block(self.settings, welcome), flush=True)
            while not stop_requested():
                for kept in (self.web, self.worker):
                    if kept is not None:
                        kept.keep_alive()
                self.keep_valkey_alive()
                rest(0.1)
        finally:
            self.stop()

    def start_processes(self) -> None:
        """Start the web server and the worker, and wait until the first responds; raise CannotStart."""
        self.worker = Spawned("The worker", "-m", "calapp.worker")
        self.web = Spawned("The web server", "-m", "gunicorn", "app:create_app()")
        until = time.monotonic() + START
        while not (stop_requested() or responds(self.settings)):
            if not self.web.alive() or time.monotonic() > until:
                raise CannotStart("The web server did not start; see its output above.")
            time.sleep(0.05)

    def keep_valkey_alive(self) -> None:
        """Start the embedded Valkey again when it died; what was due is in the database.

        When it cannot be started, the pause before the next attempt doubles, up to LONGEST_PAUSE.
        """
        if self.valkey is None or self.valkey.running():
            return
        if time.monotonic() < self.valkey_again_at:
            return
        log.warning("Valkey ended; starting another")
        try:
            self.valkey.start()
        except NoBroker as error:
            self.valkey_pause = min(2 * self.valkey_pause + 0.5, LONGEST_PAUSE)
            self.valkey_again_at = time.monotonic() + self.valkey_pause
            log.warning("%s Trying again in %.1f s.", error, self.valkey_pause)
        else:
            self.valkey_pause = 0.0

    def stop(self) -> None:
        """Stop web, worker and Valkey, in that order, each when the one before has gone."""
        if self.web is not None:
            stop([self.web], WEB_PATIENCE)
        if self.worker is not None:
            stop([self.worker], self.settings.webhook_timeout + 2 * GRACE)
        if self.valkey is not None:
            self.valkey.stop()

    def kill(self) -> None:
        """End everything at once."""
        for kept in (self.web, self.worker):
            if kept is not None:
                kept.send(signal.SIGQUIT)  # which they pass on to their own children
        if self.valkey is not None and self.valkey.server is not None:
            self.valkey.server.kill()
        os._exit(1)


def check_port(chosen: Settings) -> None:
    """Raise CannotStart when the web server could not listen where it is told to."""
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    try:
        socket.create_server((chosen.host, chosen.port), family=family).close()
    except OSError as error:
        words = f"HOST={chosen.host} and PORT={chosen.port} cannot be used ({error.strerror})."
        if error.errno == errno.EADDRINUSE:
            words = f"Port {chosen.port} is already in use. Choose another: PORT={chosen.port + 1} make run"
        elif error.errno == errno.EACCES:
            words = f"Port {chosen.port} is reserved for root. Choose one above 1023: PORT=5000 make run"
        raise CannotStart(words) from None


def prepare_database(chosen: Settings) -> Welcome:
    """Bring the tables up to date and make the demo host in an empty database; raise CannotStart."""
    app = create_app(chosen)
    try:
        with app.app_context():
            upgrade()
            refuse_demo(chosen)
            refuse_wrong_key(chosen)
            if encrypt_all():  # no process of the version before runs, since this one has the folder
                sweep_pages()
            logging.getLogger("alembic").setLevel(logging.WARNING)
            try:
                with transaction() as session:
                    if not chosen.public and demo.is_empty(session):
                        demo.seed_demo(session)
                    demo.move_inspectors(session)
                    return Welcome(demo=demo.demo_exists(session), empty=demo.is_empty(session))
            finally:
                db.session.remove()
                db.engine.dispose()
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise CannotStart(f"The database cannot be used: {said}") from None


def responds(chosen: Settings) -> bool:
    """Return whether the web server responds, whatever it says."""
    host = EVERYWHERE.get(chosen.host, chosen.host)
    connection = http.client.HTTPConnection(host, chosen.port, timeout=5)
    try:
        connection.request("GET", "/login")
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def block(chosen: Settings, welcome: Welcome) -> str:
    """Return what is printed once everything runs."""
    base = chosen.base_url
    lines = [("Calapp", base)]
    if welcome.demo:
        lines += [
            ("Sign in", f"{base}/login as {demo.USERNAME} with the password {demo.PASSWORD}"),
            ("Book", f"{base}/{demo.USERNAME}/quick-chat?metadata[user_id]=123"),
            ("See the webhook", f"{base}/integrations/inspector"),
        ]
    elif welcome.empty:
        code = f" with the code {chosen.signup_code}" if chosen.signup_code else ""
        lines.append(("Sign up", f"{base}/signup{code}"))
    else:
        lines.append(("Sign in", f"{base}/login"))
    networks = ", ".join(str(network) for network in chosen.webhook_allowed_networks)
    where = f"be sent to public addresses and {networks}" if networks else "only be sent to public addresses"
    lines.append(("Webhooks", f"can {where} (WEBHOOK_ALLOWED_NETWORKS)"))
    lines.append(("Data", str(chosen.data_dir)))
    lines.append(("Stop", "Ctrl-C"))
    return "\n" + "\n".join(f"  {name:<17}{text}" for name, text in lines) + "\n"


if __name__ == "__main__":
    main()
