"""Copied commands, each run by a real shell and curl against a real receiver."""

import shutil
import subprocess

import pytest

from calapp.addresses import sent_form
from calapp.deliveries.formatting import Request, as_curl
from tests.receiver import Receiver

BODIES = ["@/etc/hostname", 'it\'s $HOME `id` \\ !! "x"', "a\nb\n", "-d", ""]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not on this machine")
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("path", ["/c?m[user_id]=1&x={a,b}", "/it's/Zoë?[1-3]=$HOME"])
def test_u10_a_copied_command_sends_what_is_sent(path: str, body: str) -> None:
    with Receiver() as receiver:
        url = sent_form(receiver.url(path))
        command = as_curl(Request("POST", url, (("X-Token", "it's !"),), body))
        ran = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    (got,) = receiver.requests
    assert (got.method, got.path, got.body) == ("POST", url.partition(f":{receiver.port}")[2], body.encode())
    assert got.headers["x-token"] == "it's !"
