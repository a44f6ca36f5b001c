"""A Calapp that runs for one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, running


@pytest.fixture
def calapp(tmp_path: Path) -> Iterator[Running]:
    """Calapp started by its launcher in an empty folder, stopped at the end."""
    with running(tmp_path / "data") as started:
        yield started
