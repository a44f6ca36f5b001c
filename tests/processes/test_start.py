"""What `make run` starts, and how it stops."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.running import PATIENCE, ROOT, Running, environment, free_port, launch, running, shared, wait_until


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


PUBLIC = "http://cal.example.com"


@pytest.fixture(scope="module")
def calapps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Running]]:
    with shared(lambda: tmp_path_factory.mktemp("start") / "data") as get:
        yield get


@pytest.fixture
def calapp(calapps: Callable[[], Running]) -> Running:
    """A Calapp as `make run` starts it, which these tests share."""
    return calapps()


@pytest.fixture(scope="module")
def reachables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Running]]:
    with shared(
        lambda: tmp_path_factory.mktemp("long") / ("long" * 30) / "data", HOST="0.0.0.0", BASE_URL=PUBLIC
    ) as get:
        yield get


@pytest.fixture
def reachable(reachables: Callable[[], Running]) -> Running:
    """A Calapp that others reach, in a folder of a long name, which these tests share."""
    return reachables()


def test_the_printed_block_tells_where_to_look(calapp: Running) -> None:
    assert f"{calapp.address}/login as rick with the password demo" in calapp.printed
    assert f"{calapp.address}/rick/quick-chat?metadata[user_id]=123" in calapp.printed
    assert f"{calapp.address}/integrations/inspector" in calapp.printed


def test_a_second_start_beside_the_first_is_refused(calapp: Running) -> None:
    said = refused(calapp.data_dir, free_port())
    assert said == f"Calapp is already running in the folder {calapp.data_dir}."


def test_a_long_folder_makes_valkey_listen_on_a_port(reachable: Running) -> None:
    assert (reachable.data_dir / "valkey" / "address").read_text().startswith("redis://:")
    health = f"{reachable.address}/healthz"
    wait_until(lambda: requests.get(health).json()["workers"])
    assert requests.get(health).json()["broker"]


def test_another_address_needs_a_code_to_sign_up(reachable: Running) -> None:
    assert f"{PUBLIC}/signup with the code " in reachable.printed
    assert requests.get(f"{reachable.address}/rick", headers={"Host": "cal.example.com"}).status_code == 404


def test_k2_webhooks_reach_loopback_only_while_nobody_else_reaches_the_server(
    calapp: Running, reachable: Running
) -> None:
    assert "public addresses and 127.0.0.0/8, ::1/128" in calapp.printed
    assert "only be sent to public addresses" in reachable.printed
    worker = next(one for one in reachable.processes() if "calapp.worker" in one.cmdline())
    assert "WEBHOOK_ALLOWED_NETWORKS" not in worker.environ()


def test_k3_only_the_name_of_base_url_is_answered(calapp: Running, reachable: Running) -> None:
    assert requests.get(f"{calapp.address}/login", headers={"Host": "evil.example"}).status_code == 400
    assert requests.get(f"{reachable.address}/login").status_code == 400
    assert requests.get(f"{reachable.address}/login", headers={"Host": "cal.example.com"}).ok
    assert requests.get(f"{reachable.address}/healthz").ok


def test_a_body_in_pieces_that_are_none_is_no_fault_of_ours(calapp: Running) -> None:
    head = b"POST /rick/quick-chat HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n"
    host = calapp.address.removeprefix("http://").split(":")
    with socket.create_connection((host[0], int(host[1])), timeout=PATIENCE) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_what_dies_is_started_again(calapp: Running) -> None:
    killed = calapp.processes()
    for process in killed:
        with suppress(psutil.NoSuchProcess):  # some end by themselves when their parent has gone
            process.kill()
    wait_until(lambda: _all_back(calapp, len(killed)))
    assert _all_back(calapp, len(killed))


def _all_back(calapp: Running, count: int) -> bool:
    try:
        page = requests.get(f"{calapp.address}/login", timeout=5).status_code == 200
    except requests.RequestException:  # refused, or in a queue while the app is loaded
        return False
    return page and len(calapp.processes()) >= count


def rename(calapp: Running, name: str) -> None:
    browser = calapp.signed_in()
    page = browser.get(f"{calapp.address}/settings").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "name": name, "email": "rick@example.com", "time_zone": "UTC"}
    browser.post(f"{calapp.address}/settings", data=form)


def test_a_start_after_a_kill_finds_its_data(calapp: Running) -> None:
    rename(calapp, "Rick the Second")
    first = calapp.processes()
    calapp.stop(signal.SIGKILL)  # leaves a stale socket, and a server that still runs
    with running(calapp.data_dir) as second:
        assert "Rick the Second" in requests.get(f"{second.address}/rick").text
        wait_until(lambda: gone(first))
        assert gone(first)  # no process outlives a killed launcher


@pytest.mark.parametrize(("which", "number"), [("calapp", signal.SIGTERM), ("reachable", signal.SIGINT)])
def test_a_signal_stops_everything_in_order(
    request: pytest.FixtureRequest, which: str, number: signal.Signals
) -> None:
    running_one: Running = request.getfixturevalue(which)
    started = running_one.processes()
    assert len(started) >= 5  # the web server and its worker, the worker and its children, Valkey
    assert running_one.stop(number) == 0
    assert gone(started)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path, port)
    assert said == f"Port {port} is already in use. Choose another: PORT={port + 1} make run"


def test_an_unreadable_setting_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, free_port(), WEBHOOK_RETRY_SCHEDULE="5,soon")
    assert said.startswith("The setting WEBHOOK_RETRY_SCHEDULE cannot be read: '5,soon'. Allowed: at most 50")


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "calapp.sqlite3").write_text(
        "This is no database, but a text that is longer than a header. " * 9
    )
    assert refused(tmp_path, free_port()) == "The database cannot be used: file is not a database"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path / "file" / "data", free_port())
    assert said == f"The folder CALAPP_DATA_DIR='{tmp_path}/file/data' cannot be used: Not a directory."


def test_a_stop_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    process = launch(tmp_path / "data", free_port())
    wait_until((tmp_path / "data" / "valkey" / "valkey.sock").exists)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    process.stdout.close()
    assert gone(started)


def test_k1_what_make_run_makes_is_for_its_user_alone(calapp: Running) -> None:
    made = [calapp.data_dir, *calapp.data_dir.rglob("*")]
    readable = [path.name for path in made if path.exists() and path.stat().st_mode & 0o077]
    assert (calapp.data_dir / "calapp.sqlite3-wal").exists()
    assert readable == []
