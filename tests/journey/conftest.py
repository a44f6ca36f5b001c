"""A Calapp that runs for all tests of a file."""

from collections.abc import Iterator

import pytest

from tests.running import Running, running


@pytest.fixture(scope="module")
def calapp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Calapp started by its launcher in an empty folder, stopped at the end."""
    with running(tmp_path_factory.mktemp("journey") / "data") as started:
        yield started
