"""`make clients` (ARGS="--only agno"): let each client meet a Calapp that is started for them.

What needs a registry that is away is skipped, and said. Ends with 1 when a client fails.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.clients.checks import MEETINGS
from tools.clients.installing import Clients, Missing
from tools.clients.stage import staged


def missing(install: Callable[[], None]) -> str:
    """Install clients; return why they cannot be had, or nothing."""
    try:
        install()
    except Missing as error:
        return str(error)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.clients", description=__doc__)
    parser.add_argument("--only", default="", help="part of the name of the clients to try")
    chosen = parser.parse_args()
    wanted = [one for one in MEETINGS if chosen.only.lower() in one.client.lower()]
    registries = {one.registry for one in wanted} - {""}
    passed, failed, skipped = 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="calapp-clients-") as name:
        clients = Clients(Path(name))
        installs = {"PyPI": clients.install_python, "npm": clients.install_npm}
        away = {}
        for registry in sorted(registries):
            print(f"Installing the clients from {registry} …", flush=True)
            away[registry] = missing(installs[registry])
        print("Starting Calapp …", flush=True)
        with staged(clients.folder) as stage:
            clients.point(stage.address)
            for one in wanted:
                if away.get(one.registry):
                    skipped += 1
                    print(f"skipped  {one.client}: {away[one.registry]}", flush=True)
                    continue
                try:
                    seen = one.run(clients, stage)
                except (AssertionError, OSError, LookupError, subprocess.SubprocessError) as error:
                    failed += 1
                    print(f"FAILED   {one.client}: {type(error).__name__}: {error}", flush=True)
                else:
                    passed += 1
                    print(f"works    {one.client}: {seen}", flush=True)
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in clients.versions().items()) + ".")
    print(f"clients: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
