"""The clients as npm and PyPI have them, in the versions that were tried, in a temporary folder."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
N8N = "n8n-nodes-base@2.41.2"
WRITTEN_IN = "https://api.cal.com"  # where a client has no setting for its host
# Otherwise npm asks a registry that is away for several minutes.
SHORT = ("--fetch-retries=1", "--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=5000")
LONGEST = 900  # seconds that an installation may take


class Missing(Exception):
    """A client cannot be had here; the message says why."""


@dataclass(frozen=True)
class Clients:
    """A folder with what was installed."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter that has the Python clients."""
        return self.folder / "python" / "bin" / "python"

    @property
    def node_modules(self) -> Path:
        """The folder of the JavaScript clients."""
        return self.folder / "npm" / "node_modules"

    @property
    def n8n(self) -> Path:
        """The unpacked package of n8n's nodes, without what it depends on."""
        return self.folder / "n8n" / "package"

    def install_python(self) -> None:
        """Install requirements.txt; raise Missing."""
        _run(
            [sys.executable, "-m", "venv", str(self.folder / "python")], "Python cannot make an environment."
        )
        command = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _run([*command, "-r", str(HERE / "requirements.txt")], "PyPI cannot be reached, or lacks a version.")

    def install_npm(self) -> None:
        """Install package.json, and unpack n8n's nodes; raise Missing."""
        if not shutil.which("node") or not shutil.which("npm"):
            raise Missing("Node.js and npm are not installed.")
        folder = self.folder / "npm"
        folder.mkdir()
        shutil.copy(HERE / "package.json", folder)
        words = "npm's registry cannot be reached, or lacks a version."
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *SHORT], words, folder)
        self._unpack_n8n(words)

    def _unpack_n8n(self, words: str) -> None:
        """Take the trigger alone: with all that it depends on, n8n has two gigabytes."""
        target = self.folder / "n8n"
        target.mkdir()
        _run(["npm", "pack", "--silent", *SHORT, N8N], words, target)
        with tarfile.open(next(target.glob("*.tgz"))) as archive:
            wanted = re.compile(
                r"package/dist/(nodes/Cal/|credentials/CalApi|utils/webhook-signature).*\.js|.*/package\.json"
            )
            archive.extractall(target, [one for one in archive if wanted.fullmatch(one.name)], filter="data")
        # What it asks of n8n itself, which runs it: two names and one function.
        for name, code in {
            "n8n-workflow": "exports.NodeConnectionTypes = {Main: 'main'};"
            "exports.NodeApiError = class extends Error {};",
            "@n8n/utils": "",
        }.items():
            folder = self.n8n / "node_modules" / name
            folder.mkdir(parents=True)
            (folder / "index.js").write_text(code)
        (self.n8n / "node_modules" / "@n8n" / "utils" / "is-record.js").write_text(
            "exports.isRecord = (it) => typeof it === 'object' && it !== null && !Array.isArray(it);"
        )

    def point(self, address: str) -> None:
        """Put an address where two clients have Cal.com's written in; nothing else of them is changed."""
        files = [*self.node_modules.glob("@calcom/cal-mcp/dist/tools.js")]
        files += (self.folder / "python").glob("lib/*/site-packages/agno/tools/calcom.py")
        for file in files:
            text = file.read_text()
            assert WRITTEN_IN in text, f"{file} does not have {WRITTEN_IN} any more."
            file.write_text(text.replace(WRITTEN_IN, address))

    def versions(self) -> dict[str, str]:
        """Return the clients that are pinned, with their versions."""
        pinned = (line.partition("==") for line in (HERE / "requirements.txt").read_text().split())
        found = {f"{name} (Python)": version for name, _, version in pinned if version}
        found |= json.loads((HERE / "package.json").read_text())["dependencies"]
        name, _, version = N8N.rpartition("@")
        return found | {name: version}


def _run(command: list[str], words: str, folder: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=LONGEST, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        print(error.stderr.strip()[-1500:], file=sys.stderr)
        raise Missing(words) from None
    except subprocess.TimeoutExpired:
        raise Missing(words) from None
