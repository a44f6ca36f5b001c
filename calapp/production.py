"""What a start that others can reach is refused for, in one sentence each."""

import os

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from calapp import demo
from calapp.config import SHORTEST_SECRET, BadSetting, Settings

PATIENCE = 5  # seconds for a database that is away; whoever needs it says so


def refuse_unsafe(settings: Settings) -> None:
    """Raise BadSetting for a start that others reach and in which a stranger could sign in."""
    if not settings.public:
        return
    _check_secret_key(os.environ.get("SECRET_KEY", ""))
    refuse_demo(settings)


def _check_secret_key(given: str) -> None:
    if not given:
        raise BadSetting(
            "Please set SECRET_KEY: others reach this server, and every process must sign sessions with the"
            ' same key. Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    if len(given) < SHORTEST_SECRET:
        raise BadSetting(f"SECRET_KEY is too short to be a secret; it needs {SHORTEST_SECRET} characters.")


def refuse_demo(settings: Settings) -> None:
    """Raise BadSetting while others reach the server and the demo host has the password that all know."""
    if settings.public and _demo_stands(settings):
        raise BadSetting(
            f"Others reach this server, and the demo host {demo.USERNAME} still has the password "
            f"{demo.PASSWORD}. Please change it first: flask set-password {demo.USERNAME}"
        )


def _demo_stands(settings: Settings) -> bool:
    limits = {"timeout" if settings.sqlite else "connect_timeout": PATIENCE}
    engine = create_engine(settings.database_url, poolclass=NullPool, connect_args=limits)
    try:
        with Session(engine) as session:
            return demo.demo_stands(session)
    except SQLAlchemyError:
        return False  # no database or no tables yet: nobody signs in there
    finally:
        engine.dispose()
