"""`python -m tools.deployment.image [--base FOLDER]`; Linux, as root, with buildah and no engine.

Builds the image of the Dockerfile and runs it as compose.yaml does: as the image's user, without any
capability, on a read-only file system of which only `/tmp` and the data folder can be written. With `--base`
no registry is asked for `python:3.13-slim`: in its place comes a Debian made there by debootstrap.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.deployment.debian import CERTIFICATES, run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "localhost/calapp-checked"
# Runs in namespaces of its own, with the folder of the image's files, a folder for the data, and a command.
INSIDE = """set -e
root=$1 data=$2 user=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind "$data" "$root/var/lib/calapp"
mount -o remount,bind,ro "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp tools/deployment/contained.py "$root/tmp/"
ip link set lo up
set -- setpriv --reuid "$user" --regid "$user" --clear-groups --bounding-set=-all --no-new-privs "$@"
exec chroot "$root" "$@"
"""


def main() -> int:
    """Build, say how large it is, and run it; return 0 when all was fine."""
    parser = argparse.ArgumentParser(prog="python -m tools.deployment.image", description=__doc__)
    parser.add_argument("--base", type=Path, help="make the base there by debootstrap; or it is there")
    parser.add_argument("--suite", default="trixie")
    given = parser.parse_args()
    needed = ("buildah", "ip", "unshare", *(["debootstrap"] if given.base else []))
    missing = [name for name in needed if not shutil.which(name)]
    if missing or os.geteuid():
        raise SystemExit(f"needs root and the programs {', '.join(missing or needed)}")
    base = re.findall(r"^FROM (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
    if given.base:
        make_base(given.base, given.suite, f"docker.io/library/{base}")
    pull = "--pull-never" if given.base else "--pull"
    run(["buildah", "bud", "-q", "--isolation", "chroot", "--format", "docker", pull, "-t", NAME, str(ROOT)])
    for name in (base, NAME):
        print(buildah("images", "--format", "{{.Name}}: {{.Size}}", name).strip(), flush=True)
    return check(json.loads(buildah("inspect", "--type", "image", NAME))["Docker"]["config"])


def make_base(folder: Path, suite: str, name: str) -> None:
    """Make an image of a bare Debian that has what Python's has: `python` and `pip` in /usr/local/bin."""
    if not (folder / "etc" / "debian_version").exists():
        words = ["debootstrap", "--variant=minbase", "--include=python3-venv,ca-certificates", suite]
        run([*words, str(folder)], stdout=subprocess.DEVNULL)
    run(["chroot", str(folder), "python3", "-m", "venv", "/usr/local"])
    for file in (CERTIFICATES, "etc/pip.conf"):  # authorities and indexes that this machine knows
        if (Path("/") / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/") / file, folder / file)
    container = buildah("from", "scratch").strip()
    run(["buildah", "add", "-q", container, str(folder), "/"], stdout=subprocess.DEVNULL)
    run(["buildah", "config", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container])
    run(["buildah", "commit", "-q", "--rm", container, name], stdout=subprocess.DEVNULL)


def check(image: dict[str, Any]) -> int:
    """Run what the image runs, as it says and where it says; return 0 when all was fine."""
    container = buildah("from", "--pull-never", NAME).strip()
    try:
        folder = buildah("mount", container).strip()
        with tempfile.TemporaryDirectory(prefix="calapp-volume-") as data:
            os.chown(data, int(image["User"]), int(image["User"]))
            environment = dict(one.split("=", 1) for one in image["Env"]) | {
                "SECRET_KEY": "0123456789abcdef0123456789abcdef",
                "BASE_URL": "https://cal.example.com",
                "CHECKED": json.dumps({"web": image["Cmd"], "health": image["Healthcheck"]["Test"][1:]}),
            }
            words = ["unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "sh", "-c", INSIDE, "sh"]
            inside = ["env", "-C", image["WorkingDir"], "python", "/tmp/contained.py"]
            done = subprocess.run(
                [*words, folder, data, image["User"], *inside], cwd=ROOT, env=environment, check=False
            )
        return done.returncode
    finally:
        run(["buildah", "rm", container], stdout=subprocess.DEVNULL)


def buildah(*words: str) -> str:
    """Return what buildah prints."""
    return subprocess.run(["buildah", *words], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
