"""The embedded Valkey, the queue, and what goes on without them."""

import json
import multiprocessing
import select
import signal
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from redis import RedisError

from calapp import broker
from calapp.config import Settings
from calapp.embedded_valkey import EmbeddedValkey, NoBroker
from tests.running import free_port, wait_until


@pytest.fixture
def valkey(app: Flask, settings: Settings) -> Iterator[EmbeddedValkey]:
    """A server in the data folder of the test's app."""
    server = EmbeddedValkey(settings.data_dir)
    server.start()
    broker.ask_again()
    yield server
    server.stop()


def test_a_wake_enqueues_one_job_while_no_worker_listens(valkey: EmbeddedValkey) -> None:
    broker.wake_workers()
    assert [job.func_name for job in broker.queue().jobs] == ["calapp.deliveries.engine.deliver_due"]


def test_a_second_wake_adds_no_second_job(valkey: EmbeddedValkey) -> None:
    broker.wake_workers()
    broker.wake_workers()
    assert broker.queue().count == 1


def test_a_wake_is_heard_by_every_job_that_runs_and_enqueues_none(valkey: EmbeddedValkey) -> None:
    with closing(broker.Wakes()) as one, closing(broker.Wakes()) as other:
        assert not one.woken()
        broker.wake_workers()
        assert select.select([one], [], [], 5.0)[0]
        assert (one.woken(), one.woken(), other.woken(), broker.queue().count) == (True, False, True, 0)


def test_a_valkey_that_ends_is_noticed_by_who_listens(valkey: EmbeddedValkey) -> None:
    with closing(broker.Wakes()) as wakes:
        valkey.stop()
        with pytest.raises(RedisError):
            wakes.woken()


def test_a_valkey_that_hangs_is_noticed_by_who_listens(valkey: EmbeddedValkey) -> None:
    with closing(broker.Wakes()) as wakes:
        wakes.ask()
        wait_until(lambda: wakes.woken() or not wakes.unanswered)
        valkey.server.send_signal(signal.SIGSTOP)
        wakes.ask_at = 0.0
        wakes.ask()
        wakes.ask_at = 0.0
        with pytest.raises(RedisError):
            wakes.ask()
        valkey.server.send_signal(signal.SIGCONT)


def test_the_maintenance_process_hears_its_own_wakes(valkey: EmbeddedValkey) -> None:
    heard = threading.Event()
    end = broker.on_wake(heard.set, broker.MAINTENANCE)
    assert heard.wait(30)  # that it has connected, since something may have been published before
    heard.clear()
    broker.wake_maintenance()
    heard.wait(30)
    end()
    assert heard.is_set()


def test_a_job_is_json_and_no_pickle(valkey: EmbeddedValkey) -> None:
    broker.wake_workers()
    stored = broker.web_client().hgetall(broker.queue().jobs[0].key)
    assert "calapp.deliveries.engine.deliver_due" in json.loads(zlib.decompress(stored[b"data"]))


def test_a_wake_without_valkey_returns_immediately(app: Flask) -> None:
    before = time.monotonic()
    broker.wake_workers()
    assert time.monotonic() - before < 3  # redis-py retries for longer, unless it is told not to


def test_a_stopped_valkey_is_not_asked_again_at_once(valkey: EmbeddedValkey) -> None:
    valkey.stop()
    assert broker.refusal() is None
    valkey.start()
    broker._away_until[0] = time.monotonic() + 60
    assert broker.refusal() is None


def test_what_was_queued_survives_a_restart(valkey: EmbeddedValkey) -> None:
    broker.wake_workers()
    valkey.stop()
    valkey.start()
    assert broker.queue().count == 1


def test_what_was_queued_survives_a_killed_server(valkey: EmbeddedValkey) -> None:
    broker.wake_workers()
    time.sleep(1.2)  # the append-only file is written to disk once a second
    valkey.server.kill()
    valkey.server.wait()
    valkey.start()
    assert broker.queue().count == 1


def test_a_stale_socket_does_not_stop_the_start(app: Flask, settings: Settings) -> None:
    folder = settings.data_dir / "valkey"
    folder.mkdir(parents=True)
    (folder / "valkey.sock").touch()
    server = EmbeddedValkey(settings.data_dir)
    server.start()
    assert server.running()
    server.stop()


def test_two_servers_never_share_a_folder(valkey: EmbeddedValkey, settings: Settings) -> None:
    with pytest.raises(NoBroker, match="Calapp is already running"):
        EmbeddedValkey(settings.data_dir).start()


def test_a_broken_file_is_one_clear_sentence(app: Flask, settings: Settings) -> None:
    broken = settings.data_dir / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    broken.parent.mkdir(parents=True)
    broken.write_text("nothing that a server could read\n")
    with pytest.raises(NoBroker, match=r"The embedded Valkey did not start: .*only the queue is in them"):
        EmbeddedValkey(settings.data_dir).start()


def test_the_sockets_folder_is_the_owners_alone(valkey: EmbeddedValkey) -> None:
    assert Path(valkey.folder).stat().st_mode & 0o077 == 0


def test_a_beating_worker_counts_as_alive(valkey: EmbeddedValkey) -> None:
    broker.beat(broker.web_client(), broker.DELIVERIES, "one")
    broker.beat(broker.web_client(), broker.DELIVERIES, "two")
    assert broker.workers_alive() == 2


def test_o10_a_worker_whose_process_is_gone_is_not_alive(valkey: EmbeddedValkey) -> None:
    gone = multiprocessing.get_context("fork").Process(
        target=lambda: broker.beat(broker.worker_client(), broker.DELIVERIES, "gone")
    )
    gone.start()
    gone.join()
    broker.beat(broker.web_client(), broker.DELIVERIES, "here")
    assert broker.workers_alive() == 1


def test_a_worker_of_another_machine_counts_until_its_heartbeat_is_old(valkey: EmbeddedValkey) -> None:
    client = broker.web_client()
    client.zadd(broker._beats(broker.DELIVERIES), {"another machine/1/one": client.time()[0]})
    assert broker.workers_alive() == 1
    client.zadd(broker._beats(broker.DELIVERIES), {"another machine/1/one": client.time()[0] - 60})
    assert broker.workers_alive() == 0


def test_o8_a_server_without_memory_says_so_itself(valkey: EmbeddedValkey) -> None:
    assert broker.refusal() == ""
    broker.web_client().config_set("maxmemory", "1mb")
    broker.web_client().config_set("maxmemory-policy", "noeviction")
    assert "maxmemory" in broker.refusal()


def test_o8_a_read_only_server_says_so_itself(valkey: EmbeddedValkey) -> None:
    broker.web_client().replicaof("127.0.0.1", free_port())
    broker.wake_workers()  # which the server refuses; it is there all the same
    assert "read only replica" in broker.refusal()


def test_o8_a_server_that_refuses_us_says_so_itself(valkey: EmbeddedValkey) -> None:
    broker.web_client().config_set("requirepass", "another")
    broker.web_client().close()
    broker.wake_workers()
    assert "authenticate" in str(broker.refusal())


def test_a_worker_that_said_goodbye_is_not_alive(valkey: EmbeddedValkey) -> None:
    broker.beat(broker.web_client(), broker.DELIVERIES, "one")
    broker.forget_beat(broker.web_client(), broker.DELIVERIES, "one")
    assert broker.workers_alive() == 0


def test_an_old_beat_is_no_life(valkey: EmbeddedValkey) -> None:
    long_ago = broker.web_client().time()[0] - broker.BEAT_LASTS - 1
    broker.web_client().zadd(broker._beats(broker.DELIVERIES), {"one": long_ago})
    assert broker.workers_alive() == 0
