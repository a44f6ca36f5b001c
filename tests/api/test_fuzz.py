"""A generator finds nothing that gives a 5xx or an answer outside the document; longer by `make fuzz`."""

from pathlib import Path

from tools.fuzz import fuzz, served


def test_no_request_gives_an_answer_outside_the_document(tmp_path: Path) -> None:
    with served(tmp_path) as (address, key):
        done = fuzz(tmp_path, address, key, "--max-time", "15", "--seed", "1", "--warnings", "off")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Stateful" in done.stdout
