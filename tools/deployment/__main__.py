"""`python -m tools.deployment [FOLDER] [--from REVISION] [--mirror URL] [--keep]`; Linux, as root.

Makes a bare Debian in FOLDER by debootstrap and follows *On Debian, step by step* of docs/deployment.md in
it, as a user who may use sudo: installs the last tag, starts it, adds a webhook, books, backs up, restores,
and upgrades to the code that is committed here. The commands are read from the document. What the steps start
runs in a network of its own, and by the Debian's own systemd where systemd-nspawn is installed (Debian's
systemd-container); else in a chroot, in which `systemctl.py` does what the units say.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.deployment.checks import Checks
from tools.deployment.debian import Debian

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## On Debian, step by step\n(.*?)^## ", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^### ([^\n]+)\n|^```sh\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
NETWORK = ("apt-get", "pip install")  # what a step contains that needs the network outside


def steps(document: str) -> list[tuple[str, str]]:
    """Return the shell blocks of the section, each with the heading above it."""
    section = SECTION.search(document)
    assert section, "The document has no such section."
    found, heading = [], ""
    for match in STEP.finditer(section[1]):
        heading = match[1] or heading
        if match[2]:
            found.append((heading, match[2]))
    assert found, "The section has no commands."
    return found


def main() -> int:
    """Follow the document; return 0 when every step and every check was fine."""
    parser = argparse.ArgumentParser(prog="python -m tools.deployment", description=__doc__)
    parser.add_argument("folder", nargs="?", help="where the Debian is made, or is; default: a new folder")
    parser.add_argument("--from", dest="first", help="revision to install first; default: the last tag")
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--mirror", help="mirror of Debian; default: debootstrap's own")
    parser.add_argument("--keep", action="store_true", help="leave the folder when done")
    given = parser.parse_args()
    first = given.first or git("describe", "--tags", "--abbrev=0")
    folder = Path(given.folder or tempfile.mkdtemp(prefix="calapp-debian-"))
    with Debian(folder, given.suite, given.mirror, keep=given.keep) as debian:
        debian.publish(ROOT, first)
        checks = Checks(debian)
        for heading, block in steps((ROOT / "docs" / "deployment.md").read_text()):
            checks.before(heading, block)
            print(f"\n### {heading}\n" + re.sub("^", "$ ", block.rstrip(), flags=re.MULTILINE), flush=True)
            debian.run(block, outside=any(word in block for word in NETWORK))
            checks.after(heading, block)
    print(f"\nEvery step of the document ran, from {first} to {git('describe', '--tags')}.")
    return 0


def git(*words: str) -> str:
    """Return what git prints."""
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
