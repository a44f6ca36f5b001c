"""What `make run` starts, and how it stops."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from tests.running import PATIENCE, ROOT, Running, environment, free_port, launch, running, wait_until


def refused(data_dir: Path, port: int, **settings: str) -> str:
    """Start where it cannot work; return the one sentence that is said."""
    ended = subprocess.run(
        [sys.executable, "-m", "calapp.launcher"],
        cwd=ROOT,
        env=environment(data_dir, port, **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.strip()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != "zombie" for process in processes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "data") as calapp:
        started = calapp.processes()
        assert len(started) >= 5  # the web server and its worker, the worker and its children, Valkey
        assert calapp.stop(number) == 0
    assert gone(started)


def test_no_process_outlives_a_killed_launcher(tmp_path: Path) -> None:
    with running(tmp_path / "data") as calapp:
        started = calapp.processes()
        calapp.stop(signal.SIGKILL)
        wait_until(lambda: gone(started))


def test_the_printed_block_tells_where_to_look(tmp_path: Path) -> None:
    with running(tmp_path / "data") as calapp:
        assert f"{calapp.address}/login as rick with the password demo" in calapp.printed
        assert f"{calapp.address}/rick/quick-chat?metadata[user_id]=123" in calapp.printed
        assert f"{calapp.address}/integrations/inspector" in calapp.printed


def rename(calapp: Running, name: str) -> None:
    browser = calapp.signed_in()
    page = browser.get(f"{calapp.address}/settings").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "name": name, "email": "rick@example.com", "time_zone": "UTC"}
    browser.post(f"{calapp.address}/settings", data=form)


def test_a_second_start_finds_its_data(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        rename(first, "Rick the Second")
        first.stop(signal.SIGKILL)  # leaves a stale socket, and a server that still runs
    with running(tmp_path / "data") as second:
        assert "Rick the Second" in requests.get(f"{second.address}/rick").text


def test_a_second_start_beside_the_first_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data"):
        assert refused(tmp_path / "data", free_port()) == (
            f"Calapp is running already in the folder {tmp_path / 'data'}."
        )


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path, port)
    assert said == f"Port {port} is taken by another program; choose another: PORT={port + 1} make run"


def test_an_unreadable_setting_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, free_port(), WEBHOOK_RETRY_SCHEDULE="5,soon")
    assert said.startswith("The setting WEBHOOK_RETRY_SCHEDULE cannot be read: '5,soon'. It takes at most 50")


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "calapp.sqlite3").write_text(
        "This is no database, but a text that is longer than a header. " * 9
    )
    assert refused(tmp_path, free_port()) == "The database cannot be used: file is not a database"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path / "file" / "data", free_port())
    assert said == f"The folder CALAPP_DATA_DIR='{tmp_path}/file/data' cannot be used: Not a directory."


def test_a_long_folder_makes_valkey_listen_on_a_port(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "data"
    with running(folder) as calapp:
        assert (folder / "valkey" / "address").read_text().startswith("redis://:")
        assert calapp.signed_in()


def test_another_address_needs_a_code_to_sign_up(tmp_path: Path) -> None:
    with running(tmp_path / "data", HOST="0.0.0.0") as calapp:
        assert f"{calapp.address}/signup with the code " in calapp.printed
        assert requests.get(f"{calapp.address}/rick").status_code == 404


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path / "data") as calapp:
        killed = calapp.processes()
        for process in killed:
            process.kill()
        wait_until(lambda: _all_back(calapp, len(killed)))


def _all_back(calapp: Running, count: int) -> bool:
    try:
        page = requests.get(f"{calapp.address}/login", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
    return page and len(calapp.processes()) >= count


def test_a_stop_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    process = launch(tmp_path / "data", free_port())
    wait_until((tmp_path / "data" / "valkey" / "valkey.sock").exists)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    process.stdout.close()
    assert gone(started)
