"""A start that others reach: refused, in a sentence, while a stranger could sign in."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from calapp import demo, startup_checks
from calapp.accounts.service import find_user, set_password
from calapp.config import BadSetting, Settings
from calapp.db import transaction
from tests.running import PATIENCE, ROOT, environment, free_port

KEY = "a-key-that-is-long-enough-to-sign"


def said_by(data_dir: Path, *words: str, **settings: str) -> str:
    """Start a process that must refuse; return what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=environment(data_dir, free_port(), **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


@pytest.mark.parametrize("words", [("gunicorn", "app:create_app()"), ("flask", "worker")])
def test_a_process_that_others_reach_wants_its_secret_key(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = said_by(tmp_path, *words, BASE_URL="https://cal.example.com", SECRET_KEY="")
    assert "Please set SECRET_KEY" in said
    assert "Traceback" not in said


@pytest.fixture
def demo_host(app: Flask) -> None:
    with transaction() as session:
        demo.seed_demo(session)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", KEY)


PUBLIC = [{"host": "0.0.0.0"}, {"host": "::"}, {"base_url": "https://cal.example.com"}, {"host": "cal.lan"}]


@pytest.mark.usefixtures("demo_host")
@pytest.mark.parametrize("where", PUBLIC)
def test_the_demo_password_is_refused_where_others_reach_it(
    settings: Settings, where: dict[str, str]
) -> None:
    with pytest.raises(BadSetting, match="flask set-password rick"):
        startup_checks.refuse_unsafe(replace(settings, **where))


@pytest.mark.usefixtures("demo_host")
def test_the_demo_password_is_fine_on_this_machine(settings: Settings) -> None:
    assert startup_checks.refuse_unsafe(settings) is None


@pytest.mark.usefixtures("demo_host")
def test_a_demo_host_with_another_password_may_stay(settings: Settings) -> None:
    with transaction() as session:
        set_password(session, find_user(session, "rick"), "another password")
    assert startup_checks.refuse_unsafe(replace(settings, host="0.0.0.0")) is None


def test_a_database_that_is_away_is_for_others_to_tell(settings: Settings) -> None:
    away = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    assert startup_checks.refuse_unsafe(replace(settings, host="0.0.0.0", database_url=away)) is None


def test_a_short_secret_key_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "changeme")
    with pytest.raises(BadSetting, match="too short"):
        startup_checks.refuse_unsafe(replace(settings, host="0.0.0.0"))


def test_make_run_on_a_public_address_refuses_the_demo_password(
    tmp_path: Path, app: Flask, demo_host: None
) -> None:
    public = {"HOST": "0.0.0.0", "BASE_URL": "https://cal.example.com", "SECRET_KEY": ""}
    said = said_by(tmp_path / "data", "calapp.launcher", **public)
    assert "still has the password demo" in said


@pytest.mark.parametrize(
    "words", [("gunicorn", "app:create_app()"), ("flask", "worker"), ("calapp.launcher",)]
)
def test_k3_a_start_that_others_reach_wants_its_base_url(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = said_by(tmp_path, *words, HOST="0.0.0.0", SECRET_KEY=KEY)
    assert "Please set BASE_URL" in said
    assert "Traceback" not in said


def test_a_start_whose_key_does_not_fit_names_the_command_that_forgets(tmp_path: Path, app: Flask) -> None:
    with transaction() as session:
        demo.seed_demo(session)
    said = said_by(tmp_path / "data", "flask", "worker", SECRET_KEY="another key, of another server")
    assert "flask forget-secrets" in said
    assert "Traceback" not in said
