"""Names that lead astray, by a name server on loopback that the system itself asks."""

import json
import subprocess
import sys

import pytest

from tests.running import ROOT


@pytest.fixture(scope="module")
def came() -> dict[str, list[object]]:
    """What came of each name: saved, what the delivery came to, connections to the good and the bad one."""
    alone = ["unshare", "-rmn"]
    try:
        subprocess.run([*alone, "ip", "link"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("This system gives no network of one's own (unshare -rmn)")
    ran = subprocess.run(
        [*alone, sys.executable, "-m", "tests.addresses.resolver"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("steady.test", [True, "delivered", 1, False]),
        ("turning.test", [True, "blocked_address", 0, False]),  # moved after it was saved
        ("both.test", [True, "delivered", 1, False]),  # by the good one of its two addresses
        ("bad.test", [False, "blocked_address", 0, False]),
        ("zero.test", [True, "blocked_address", 0, False]),
        ("cloud.test", [True, "blocked_address", 0, False]),
        ("missing.test", [False, "no_such_name", 0, False]),
    ],
)
def test_a_name_leads_only_where_it_may(
    came: dict[str, list[object]], name: str, expected: list[object]
) -> None:
    assert came[name] == expected
