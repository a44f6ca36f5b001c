"""What a start that others can reach is refused for, in one sentence each."""

import logging
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from calapp import demo
from calapp.config import KEY_IS_KEPT, SHORTEST_SECRET, BadSetting, Settings, prepare
from calapp.db import connection_options
from calapp.encryption import keyring_of
from calapp.logs import configure
from calapp.privacy import sealed

Found = TypeVar("Found")

PATIENCE = 5  # seconds for the writer of SQLite; whoever needs the database says that it is away


def check_start(settings: Settings) -> None:
    """Warn of a data folder that others can read; raise BadSetting for a start that is refused."""
    if (warning := open_folder(settings)) is not None:
        logging.getLogger("calapp").warning("%s", warning)
    refuse_nameless(settings)
    refuse_unsafe(settings)
    refuse_wrong_key(settings)


def refuse_unsafe(settings: Settings) -> None:
    """Raise BadSetting for a start that others reach and in which a stranger could sign in."""
    if not settings.public:
        return
    _check_secret_key(os.environ.get("SECRET_KEY", ""))
    refuse_demo(settings)


def open_folder(settings: Settings) -> str | None:
    """Return a warning when other users of this machine can read the data folder; None when they cannot."""
    folder = settings.data_dir
    if not folder.is_dir() or not folder.stat().st_mode & 0o077:
        return None
    return f"Other users of this machine can read the data folder. Restrict it with: chmod -R go= {folder}"


def refuse_nameless(settings: Settings) -> None:
    """Raise BadSetting for a start that others reach which does not know by what name."""
    if not settings.loopback and not os.environ.get("BASE_URL"):
        raise BadSetting(
            f"Please set BASE_URL: this server is public (HOST={settings.host}), and it only responds at "
            "BASE_URL, such as https://cal.example.com or http://192.168.1.5:5000."
        )


def _check_secret_key(given: str) -> None:
    if not given and os.environ.get(KEY_IS_KEPT):
        return
    if not given:
        raise BadSetting(
            "Please set SECRET_KEY: this server is public, and all processes must sign sessions with the"
            ' same key. Create one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    if len(given) < SHORTEST_SECRET:
        raise BadSetting(f"SECRET_KEY is too short. It must have at least {SHORTEST_SECRET} characters.")


def refuse_demo(settings: Settings) -> None:
    """Raise BadSetting while others reach the server and the demo host has the password that all know."""
    if settings.public and _asked(settings, demo.demo_exists):
        raise BadSetting(
            f"This server is public, and the demo host {demo.USERNAME} still has the password "
            f"{demo.PASSWORD}. Please change it first: flask set-password {demo.USERNAME}"
        )


def refuse_wrong_key(settings: Settings) -> None:
    """Raise BadSetting when the secrets in the database were encrypted with a key that this start lacks."""
    keys = keyring_of(settings)
    _asked(settings, lambda session: sealed.refuse_wrong_key(session, keys))


def _asked(settings: Settings, call: Callable[[Session], Found]) -> Found | None:
    """Return what a call reads in the database; None while there is none, or none of its tables yet."""
    options = {"timeout": PATIENCE} if settings.sqlite else connection_options(settings)
    engine = create_engine(settings.database_url, poolclass=NullPool, connect_args=options)
    try:
        with Session(engine) as session:
            return call(session)
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def main() -> None:
    """Check the start of the web server, whose master keeps none of what this imports."""
    settings = prepare()
    configure(settings, "web")
    try:
        check_start(settings)
    except BadSetting as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
