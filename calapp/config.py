"""Every setting: its default, what it allows, its meaning, its environment variable."""

import ipaddress
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from click import ClickException

from calapp import limits
from calapp.text import whole_number

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Seconds before each further attempt; about 75 hours in all (the first steps are those of Standard Webhooks).
DEFAULT_SCHEDULE = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
SCHEDULE = "at most 50 comma-separated whole seconds, each at most 30 days"
# Says to a process of `make run` that all of them take the key that lies in the data folder.
KEY_IS_KEPT = "CALAPP_KEY_IS_KEPT"
SHORTEST_SECRET = 16  # characters
WEB_THREADS = 16  # of a web process; gunicorn.conf.py starts so many


class BadSetting(ClickException):
    """A setting cannot be read; the message names it."""


class Format(NamedTuple):
    """How a setting is read, and what it allows, in the words of the README's table."""

    read: Callable[[str], Any]
    allowed: str


def _whole(low: int, high: int) -> Format:
    def read(text: str) -> int:
        number = whole_number(text)
        if number is None or not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return Format(read, f"{low:,} – {high:,}")


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.1 <= number <= 600:
        raise ValueError("a number of seconds from 0.1 to 600")
    return number


def _schedule(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        numbers = tuple(_whole(0, 2_592_000).read(part) for part in parts)
    except ValueError:
        raise ValueError(SCHEDULE) from None
    if len(numbers) > 50:
        raise ValueError(SCHEDULE)
    return numbers


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"comma-separated networks such as 10.0.0.0/8; {error}") from None


def _keys(text: str) -> tuple[str, ...]:
    """Read keys, comma-separated, or as a JSON list when one has a comma in it."""
    if not text.lstrip().startswith("["):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        keys = json.loads(text)
    except ValueError:
        keys = None
    if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
        raise ValueError('previous keys, comma-separated, or a JSON list such as ["one", "two"]')
    return tuple(keys)


def _choice(*choices: str) -> Format:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text

    return Format(read, ", ".join(f"`{choice}`" for choice in choices))


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and parts.hostname and not parts.query + parts.fragment
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("an address such as https://cal.example.com")
    return text.rstrip("/")


def _url(*schemes: str) -> Format:
    def read(text: str) -> str:
        scheme, _, _ = text.partition(":")
        if text and scheme.split("+")[0] not in schemes:
            raise ValueError(
                "an address that begins with " + " or ".join(f"{scheme}://" for scheme in schemes)
            )
        return text

    return Format(read, ", ".join(f"`{scheme}://`" for scheme in schemes))


def _long_secret(text: str) -> str:
    if text and len(text) < SHORTEST_SECRET:
        raise ValueError(f"at least {SHORTEST_SECRET} characters")
    return text


PATH = Format(Path, "a folder")
TEXT = Format(str, "any text")
BASE_URL = Format(_base_url, "`http://` or `https://`, without `?` or `#`")
SECONDS = Format(_seconds, "0.1 – 600")
KEYS = Format(_keys, "comma-separated, or a JSON list")
LISTEN = Format(str, "an IP address or host name")
NETWORKS = Format(_networks, "CIDRs, comma-separated")
DELAYS = Format(_schedule, "up to 50 whole numbers, comma-separated, each 0 – 2,592,000 (30 days)")
SECRET = Format(str, f"any text; {SHORTEST_SECRET} or more characters on a public server")
LONG_SECRET = Format(_long_secret, f"{SHORTEST_SECRET} or more characters")


def _setting(default: Any, form: Format, meaning: str) -> Any:
    return field(default=default, metadata={"read": form.read, "allowed": form.allowed, "meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one process, read once at the start."""

    data_dir: Path = _setting(
        Path("instance"), PATH, "Folder for the SQLite file, the embedded Valkey's files and the secret key."
    )
    host: str = _setting("127.0.0.1", LISTEN, "Address the web server listens on.")
    port: int = _setting(5000, _whole(1, 65535), "Port the web server listens on.")
    base_url: str = _setting(
        "",
        BASE_URL,
        "URL that visitors use. Used in payloads, emails and feeds. Required when HOST is not loopback. "
        "Default: http://127.0.0.1:$PORT.",
    )
    secret_key: str = _setting(
        "",
        SECRET,
        "Signs sessions and encrypts secrets. Required on a public server unless it is started by make run. "
        "Default: created once in the data folder, readable only by its owner.",
    )
    secret_key_fallbacks: tuple[str, ...] = _setting(
        (),
        KEYS,
        "Previous values of SECRET_KEY. Whatever they signed or encrypted can still be read.",
    )
    database_url: str = _setting(
        "",
        _url("sqlite", "postgresql"),
        "Database, such as postgresql+psycopg://user:password@host/name. Default: SQLite in the data folder.",
    )
    database_connect_timeout: int = _setting(
        5, _whole(2, 600), "PostgreSQL only: seconds to wait for a new connection."
    )
    database_network_timeout: int = _setting(
        10,
        _whole(2, 600),
        "PostgreSQL only: seconds until a connection is given up whose other end has gone silent.",
    )
    database_statement_timeout: int = _setting(
        15,
        _whole(0, 86_400),
        "PostgreSQL only: seconds that one statement of a web server may take. 0: no limit.",
    )
    database_worker_statement_timeout: int = _setting(
        60,
        _whole(0, 86_400),
        "PostgreSQL only: the same for a worker. Other commands have no limit.",
    )
    redis_url: str = _setting(
        "", _url("redis", "rediss", "unix"), "Valkey or Redis for the queue. Default: the embedded Valkey."
    )
    redis_password: str = _setting(
        "", TEXT, "Password for REDIS_URL, in place of one in the URL, where @ : / # must be escaped."
    )
    webhook_timeout: float = _setting(
        15.0, SECONDS, "Seconds for a whole delivery request, from DNS lookup to the end of the response."
    )
    webhook_retry_schedule: tuple[int, ...] = _setting(
        DEFAULT_SCHEDULE, DELAYS, "Seconds before each retry. Empty: no retries."
    )
    webhook_allowed_networks: tuple[Network, ...] = _setting(
        (), NETWORKS, "Private networks that webhooks may reach."
    )
    webhook_concurrency: int = _setting(
        256,
        _whole(1, 4096),
        "Deliveries in flight in one worker process. Up to twice as many while many of them hang.",
    )
    webhook_concurrency_per_endpoint: int = _setting(
        64, _whole(1, 4096), "Deliveries in flight to one endpoint."
    )
    worker_processes: int = _setting(
        0, _whole(0, 64), "Delivery processes of one worker. 0: one on SQLite, one per core on PostgreSQL."
    )
    smtp_url: str = _setting(
        "",
        _url("smtp", "smtps"),
        "Server for outgoing email, smtp://user:password@host:587. Empty: emails are only shown in the app.",
    )
    retention_days: int = _setting(
        30, _whole(1, 3650), "Days that attempts and the bodies of finished events are kept."
    )
    delivery_retention_days: int = _setting(
        365,
        _whole(0, 36500),
        "Days that finished deliveries and their events are kept, at least RETENTION_DAYS. 0: for ever.",
    )
    booking_retention_days: int = _setting(
        0,
        _whole(0, 36500),
        "Days after a booking ends that its visitor's data is kept. 0: until the visitor is erased.",
    )
    rate_limits: str = _setting(
        "on",
        _choice("on", "off"),
        "Limits on requests per time. Switch off for load tests only; limits on numbers still apply.",
    )
    webhooks_per_host: int = _setting(
        limits.WEBHOOKS_PER_HOST, _whole(1, 10_000), "Maximum number of webhooks per host."
    )
    api_keys_per_host: int = _setting(
        limits.API_KEYS_PER_HOST,
        _whole(1, 10_000),
        "Maximum number of API keys per host, not counting revoked ones.",
    )
    event_types_per_host: int = _setting(
        limits.EVENT_TYPES_PER_HOST, _whole(1, 10_000), "Maximum number of event types per host."
    )
    moves_per_hour: int = _setting(
        limits.MOVES_PER_HOUR,
        _whole(0, 1_000_000),
        "How often visitors can reschedule one meeting per hour. 0: no limit.",
    )
    recipients_per_hour: int = _setting(
        limits.RECIPIENTS_PER_HOUR,
        _whole(0, 1_000_000),
        "How many visitors and guests can be emailed per hour because of bookings, reschedules and "
        "cancellations from one IP address (IPv6: its /64). 0: no limit.",
    )
    recipients_per_day_per_host: int = _setting(
        limits.RECIPIENTS_PER_DAY_PER_HOST,
        _whole(0, 1_000_000),
        "The same per day for one host, from all addresses. Emails above the limit wait until the host sends "
        "or discards them. 0: no limit.",
    )
    open_bookings_per_address: int = _setting(
        limits.OPEN_BOOKINGS_PER_ADDRESS,
        _whole(0, 1_000_000),
        "Upcoming bookings with one host from one IP address (IPv6: its /64). 0: no limit.",
    )
    open_bookings_per_email: int = _setting(
        limits.OPEN_BOOKINGS_PER_EMAIL,
        _whole(0, 1_000_000),
        "Upcoming bookings with one host per email address. 0: no limit.",
    )
    trusted_proxies: int = _setting(
        0,
        _whole(0, 10),
        "Number of proxies in front of the web server that set X-Forwarded-For and X-Forwarded-Proto.",
    )
    metrics_token: str = _setting(
        "",
        LONG_SECRET,
        "Bearer token that gives access to /metrics. Empty: only programs on this machine, and "
        "only while the server is not public.",
    )
    log_format: str = _setting("text", _choice("text", "json"), "Format of log lines.")
    log_level: str = _setting(
        "info",
        _choice("info", "warning"),
        "info: a line for each request, event and attempt. warning: problems only. make run uses warning.",
    )
    otel_exporter_otlp_endpoint: str = _setting(
        "",
        _url("http", "https"),
        "OpenTelemetry collector that gets a span of each request and attempt by OTLP over HTTP, if "
        "opentelemetry-exporter-otlp-proto-http is installed.",
    )
    signup: str = _setting(
        "first",
        _choice("open", "first", "closed"),
        "Who can sign up: anyone, the first user only, or nobody.",
    )
    signup_code: str = _setting(
        "", TEXT, "Code required to sign up. Created and printed at the start when HOST is not loopback."
    )

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.database_url.startswith("sqlite")

    @property
    def loopback(self) -> bool:
        """Whether the web server listens on this machine alone."""
        return is_loopback(self.host)

    @property
    def public(self) -> bool:
        """Whether others than this machine reach the app: directly, or through a proxy."""
        return not self.loopback or not is_loopback(urlsplit(self.base_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this machine's own; localhost is, whoever resolves it.

    So is any name below it (RFC 6761), which no resolver may lead elsewhere.
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return "CALAPP_DATA_DIR" if name == "data_dir" else name.upper()


def prepare(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings, and make the data folder and a secret key in it where SECRET_KEY is not set.

    Raises BadSetting with a sentence that names the variable that cannot be read.
    """
    environ = os.environ if environ is None else environ
    values = {
        item.name: _read(item.metadata["read"], variable(item.name), environ[variable(item.name)])
        for item in fields(Settings)
        if variable(item.name) in environ
    }
    values.update(overrides)
    return _prepared(values)


def _read(read: Callable[[str], Any], name: str, text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise BadSetting(f"The setting {name} cannot be read: {text!r}. Allowed: {error}.") from None


def _prepared(values: dict[str, Any]) -> Settings:
    """Fill in the defaults that depend on other settings or on the data folder, making what it lacks."""
    data_dir = Path(values.get("data_dir", Settings.data_dir)).absolute()
    values["data_dir"] = data_dir
    values["base_url"] = values.get("base_url") or f"http://127.0.0.1:{values.get('port', Settings.port)}"
    values["database_url"] = values.get("database_url") or f"sqlite:///{data_dir / 'calapp.sqlite3'}"
    if values.get("redis_url") and values.get("redis_password"):
        values["redis_url"] = _with_password(values["redis_url"], values["redis_password"])
    if not values.get("secret_key"):
        current, *previous = _read_or_make_key(data_dir), *_kept_fallbacks(data_dir)
        values["secret_key"] = current
        values["secret_key_fallbacks"] = (*values.get("secret_key_fallbacks", ()), *previous)
    return Settings(**values)


def _with_password(url: str, password: str) -> str:
    """Return a URL of Redis with this password; a unix socket takes it in the query."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"{url}{'&' if parts.query else '?'}password={quote(password, safe='')}"
    user, _, _ = parts.netloc.rpartition("@")[0].partition(":")
    server = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{server}").geturl()


def _read_or_make_key(data_dir: Path) -> str:
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made beside and linked into place: of two processes that start at once, both read the same key.
        draft = data_dir / f"secret_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return path.read_text()
    except OSError as error:
        raise BadSetting(
            f"The folder CALAPP_DATA_DIR={str(data_dir)!r} cannot be used: {error.strerror}."
        ) from None


def _kept_fallbacks(data_dir: Path) -> list[str]:
    """Return the previous secret keys in the data folder, the newest first."""
    try:
        return list(_keys((data_dir / "secret_key_fallbacks").read_text()))
    except OSError:
        return []
    except ValueError as error:
        raise BadSetting(
            f"The file secret_key_fallbacks in {data_dir} cannot be read; it has {error}."
        ) from None


def kept_keys(data_dir: Path) -> tuple[str, ...]:
    """Return the secret keys in the data folder, the current one first; an empty tuple if there is none."""
    try:
        return ((data_dir / "secret_key").read_text(), *_kept_fallbacks(data_dir))
    except OSError:
        return ()


def make_secret_key(data_dir: Path) -> None:
    """Put a new secret key into the data folder, and the one that was there among the previous ones.

    The previous ones are written first: whenever this ends, no key is lost.
    """
    kept = kept_keys(data_dir)
    _replace(data_dir / "secret_key_fallbacks", json.dumps(kept))
    _replace(data_dir / "secret_key", secrets.token_urlsafe(48))


def _replace(path: Path, text: str) -> None:
    """Write a file that only the owner may read; whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


class _Process:
    settings: Settings | None = None


def use(chosen: Settings) -> None:
    """Make these the settings of this process."""
    _Process.settings = chosen


def settings() -> Settings:
    """Return the settings of this process; raise BadSetting before the app is made."""
    if _Process.settings is None:
        raise BadSetting("The settings are read by create_app(), which has not run.")
    return _Process.settings
