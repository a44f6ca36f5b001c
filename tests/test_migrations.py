"""The migrations make exactly the tables that the models describe."""

from flask import Flask
from flask_migrate import check


def test_migrations_leave_nothing_to_the_models(app: Flask) -> None:
    assert check() is None
