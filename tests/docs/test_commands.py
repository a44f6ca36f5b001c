"""Every command that the documents show is there, with the options that are shown."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from flask import Flask

from tests.docs.test_texts import DOCUMENTS
from tools.docs.texts import ROOT, blocks

SHELLS = {"sh", "bash", "console"}
PREFIXES = re.compile(r"^(?:\$ |sudo |exec |env |[A-Z_]+=(?:'[^']*'|\"[^\"]*\"|\S)*\s+)+")


def lines(document: Path) -> list[str]:
    """Return the commands of a document's shell blocks, without prompts, settings and remarks."""
    text = "".join(block["text"] for block in blocks(document.read_text()) if block["language"] in SHELLS)
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        command = PREFIXES.sub("", line.partition(" #")[0].strip())
        if command and not command.startswith("#"):
            found.append(command)
    return found


COMMANDS = sorted({command for document in DOCUMENTS for command in lines(document)})


def of(name: str) -> list[list[str]]:
    """Return the words of every shown command that begins with a name, wherever it lies."""
    split = [shlex.split(command) for command in COMMANDS]
    return [words for words in split if words and Path(words[0]).name == name]


def test_the_documents_show_commands() -> None:
    assert {"make run", "make test", "flask worker", "flask db upgrade"} <= set(COMMANDS)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not on this machine")
@pytest.mark.parametrize("words", of("make"), ids=" ".join)
def test_make_knows_its_target(words: list[str]) -> None:
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", of("flask"), ids=" ".join)
def test_flask_knows_the_command_and_its_options(app: Flask, words: list[str]) -> None:
    command: click.Command = app.cli
    rest = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        assert found, f"There is no command {' '.join(words)}."
        command, rest = found, rest[1:]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    given = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert given <= known | {"--help"}


@pytest.mark.parametrize("words", of("gunicorn"), ids=" ".join)
def test_gunicorn_finds_the_app(words: list[str], settings) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gunicorn", "--check-config", *words[1:]]
    environment = {"PATH": "/usr/bin:/bin", "CALAPP_DATA_DIR": str(settings.data_dir)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
