"""The guide's snippets that sign links, each run in its language, against what the app verifies."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import create_link_key
from calapp.bookings.metadata import Proof, of_pairs, proof_of
from calapp.clock import now
from calapp.db import transaction
from calapp.event_types.models import EventType
from calapp.integrations.guide import VECTOR_KEY, VECTORS
from tools.docs.texts import GUIDE, snippet

CALLS = {
    "signed_link.py": (
        [sys.executable, "call.py"],
        "call.py",
        (
            "import json, sys\nfrom signed_link import signed_link\n"
            "print(signed_link(*json.loads(sys.argv[1])))\n"
        ),
    ),
    "signed_link.mjs": (
        ["node", "call.mjs"],
        "call.mjs",
        (
            'import { signedLink } from "./signed_link.mjs";\n'
            "console.log(signedLink(...JSON.parse(process.argv[2])));\n"
        ),
    ),
    "signed_link.php": (
        ["php", "call.php"],
        "call.php",
        "<?php\nrequire 'signed_link.php';\necho signed_link(...json_decode($argv[1], true));\n",
    ),
}
HOSTILE = {"a": "Zoë's 50 %", "a-b": "x=y&z\nline", "A": "~!*()'", "empty": "", "n.1": "語 + 1"}


@pytest.fixture(params=list(CALLS))
def sign(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """Return a function that signs with a snippet: key, base URL, path, metadata and expiry give the link."""
    command, name, text = CALLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine, so {request.param} cannot be run.")
    (tmp_path / request.param).write_text(snippet(request.param))
    (tmp_path / name).write_text(text)

    def run(key: str, *values: object) -> str:
        environment = os.environ | {"CALAPP_LINK_KEY": key}
        made = subprocess.run(
            [*command, json.dumps(values)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    return run


@pytest.mark.parametrize("lasts", [True, False])
def test_a_link_signed_as_the_guide_says_is_verified(
    sign: Callable[..., str], rick: User, quick_chat: EventType, session: Session, lasts: bool
) -> None:
    with transaction() as writing:
        _, key = create_link_key(writing, rick.id)
    exp = "" if lasts else str(int(now().timestamp()) + 60)
    link = sign(key, "https://cal.example.com", "rick/quick-chat", HOSTILE, exp)
    read = of_pairs(parse_qsl(urlsplit(link).query, keep_blank_values=True))
    assert (dict(read.values), read.exp) == (HOSTILE, exp)
    assert proof_of(session, quick_chat, read) is Proof.VERIFIED


def test_the_vectors_of_the_guide_are_what_the_snippets_sign(sign: Callable[..., str]) -> None:
    table = re.findall(r"^\| `rick/quick-chat⏎.*` \| `([0-9a-f]{64})` \|$", GUIDE.read_text(), re.MULTILINE)
    links = [sign(VECTOR_KEY, "", "rick/quick-chat", values, exp) for exp, values in VECTORS]
    assert [link.rpartition("sig=")[2] for link in links] == table
