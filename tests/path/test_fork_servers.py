# SPDX-License-Identifier: Apache-2.0
"""Those who fork for a living: multiprocessing with each of its start methods, executors, gunicorn --preload."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tools.brokers.processes import free_port

PROGRAM = """
    import faulthandler, multiprocessing, os, signal, sys, threading
    from concurrent.futures import ProcessPoolExecutor
    from pykafka_fast import KafkaProducer

    faulthandler.dump_traceback_later(40, exit=True)
    address = sys.argv[1]
    producer = None

    def begin(address):
        # What a worker that inherits nothing does.
        global producer
        producer = KafkaProducer(bootstrap_servers=address)

    def work(number):
        assert producer.send("t", b"%d" % number).get(10).offset >= 0
        futures = [producer.send("t", b"%d" % number) for _ in range(3)]
        producer.flush(10)
        assert all(future.succeeded() for future in futures)
        return os.getpid()

    def main(method, way):
        begin(address)
        stop = threading.Event()
        sent = []

        def go_on():
            while not stop.is_set():
                sent.append(producer.send("t", b"parent", partition=0))
                stop.wait(0.0005)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        context = multiprocessing.get_context(method)
        inherits = method == "fork"
        initializer, initargs = (None, ()) if inherits else (begin, (address,))
        if way == "pool":
            with context.Pool(3, initializer, initargs) as pool:
                pids = pool.map(work, range(20), 1)
                pool.close()
                pool.join()
        elif way == "executor":
            with ProcessPoolExecutor(3, context, initializer, initargs) as executor:
                pids = list(executor.map(work, range(20)))
        else:
            pids = []
            for number in range(20 if inherits else 4):
                process = context.Process(target=work if inherits else alone, args=(number,))
                process.start()
                pids.append(process.pid)
                process.join(20)
                assert process.exitcode == 0, process.exitcode
        stop.set()
        thread.join()
        producer.flush(10)
        assert all(future.succeeded() for future in sent)
        assert os.getpid() not in pids
        print(len(sent), len(pids))
        producer.close()

    def alone(number):
        begin(address)
        work(number)

    if __name__ == "__main__":
        main(*sys.argv[2:])
"""


@pytest.mark.parametrize("way", ["pool", "executor", "process"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(broker: EmbeddedBroker, tmp_path: Path, method: str, way: str) -> None:
    """While a thread of the parent sends."""
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, str(file), broker.address, method, way],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    sent, workers = map(int, done.stdout.split())
    found = Counter(record.value for record in broker.records("t"))
    assert found == {b"parent": sent} | {b"%d" % number: 4 for number in range(workers)}


ENDINGS = """
    import faulthandler, gc, multiprocessing, sys, threading, weakref
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    from pykafka_fast import KafkaProducer

    faulthandler.dump_traceback_later(40, exit=True)
    address, method, how = sys.argv[1:]
    producer = None

    def send():
        for _ in range(10):
            producer.send("t", b"child")

    def make(**options):
        global producer
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000, **options)

    def inherited():
        send()

    def own():
        make()
        send()

    def dropped():
        global producer
        make()
        send()
        producer = None

    def exits():
        make()
        send()
        sys.exit(0)

    def threads():
        make()
        inherited_by_threads()

    def inherited_by_threads():
        # One that outlives the target, and an executor's, which ends only at the end of all threads.
        def late():
            threading.Event().wait(0.3)
            send()
        threading.Thread(target=late).start()
        ThreadPoolExecutor(1).submit(int).result()

    def closed():
        global producer
        make()
        send()
        kept = weakref.ref(producer._lifecycle)
        producer.close()
        producer = None
        gc.collect()
        assert kept() is None

    def nobody_answers():
        make(exit_timeout_ms=300)
        send()

    if __name__ == "__main__":
        context = multiprocessing.get_context(method)
        if how.startswith("inherited"):
            make()
            producer.send("t", b"parent").get(10)
        if how == "executor":
            with ProcessPoolExecutor(1, context) as executor:
                executor.submit(own).result()
        else:
            process = context.Process(target=globals()[how])
            process.start()
            process.join(30)
            assert process.exitcode == 0, process.exitcode
        if how.startswith("inherited"):
            producer.close()
"""


def run_ending(broker: EmbeddedBroker, folder: Path, method: str, how: str) -> str:
    """What it said; it must end well."""
    file = folder / "program.py"
    file.write_text(textwrap.dedent(ENDINGS))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(file), broker.address, method, how],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("method", "how"),
    [("fork", "inherited"), ("fork", "dropped"), ("fork", "exits"), ("fork", "threads"), ("fork", "closed"),
     ("fork", "inherited_by_threads"),
     *((method, how) for method in ("fork", "forkserver", "spawn") for how in ("own", "executor"))],
)  # fmt: skip
def test_a_child_that_ends_without_close_delivers(
    broker: EmbeddedBroker, tmp_path: Path, method: str, how: str
) -> None:
    assert run_ending(broker, tmp_path, method, how) == ""
    assert [record.value for record in broker.records("t")].count(b"child") == 10


def test_a_child_that_cannot_deliver_says_so(broker: EmbeddedBroker, tmp_path: Path) -> None:
    broker.hold("Produce")
    said = run_ending(broker, tmp_path, "fork", "nobody_answers")
    assert said.count("had an outcome") == 1
    assert "10 records (10 of 't')" in said
    broker.release()


APP = """
    import json, os, threading
    from pykafka_fast import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=os.environ["BROKER"], linger_ms=1)
    producer.send("t", b"master").get(10)
    made_in = os.getpid()
    pending = producer.send("t", b"master")
    count = 2

    def go_on():
        global count
        while os.getpid() == made_in and not os.path.exists(os.environ["STOP"]):
            producer.send("t", b"master")
            count += 1
            threading.Event().wait(0.0005)
        producer.flush(10)
        with open(os.environ["STOP"] + ".count", "w") as file:
            file.write(str(count))

    threading.Thread(target=go_on, daemon=True).start()

    def app(environ, start_response):
        assert os.getpid() != made_in
        number = environ["PATH_INFO"][1:].encode()
        metadata = producer.send("t", number).get(10)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"pid": os.getpid(), "where": [metadata.partition, metadata.offset]}).encode()]
"""


@contextmanager
def gunicorn(folder: Path, port: int, broker: EmbeddedBroker, worker: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "preloaded.py").write_text(textwrap.dedent(APP))
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--worker-class", worker,
               "--max-requests", "4", "--bind", f"127.0.0.1:{port}", "--chdir", str(folder), "--log-level", "warning",
               "--no-control-socket", "--graceful-timeout", "5", "preloaded:app"]  # fmt: skip
    env = {"BROKER": broker.address, "STOP": str(folder / "stop"), "PATH": "", "PYTHONPATH": ":".join(sys.path[:1])}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(port: int, number: int) -> dict[str, object]:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=20) as answer:
                said: dict[str, object] = json.load(answer)
                return said
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:  # it does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn_preload(broker: EmbeddedBroker, tmp_path: Path, worker: str) -> None:
    """The producer is made in the master, whose thread goes on sending with it; workers come and go."""
    port = free_port()
    with gunicorn(tmp_path, port, broker, worker) as process:
        answers = [ask(port, number) for number in range(30)]
        (tmp_path / "stop").touch()
        count = tmp_path / "stop.count"
        deadline = time.monotonic() + 20
        while not (count.exists() and count.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    if worker != "gevent":  # which looks only once a second whether it has had its four requests
        assert len({answer["pid"] for answer in answers}) >= 4
    found = Counter(record.value for record in broker.records("t"))
    master = int(count.read_text())
    assert found.pop(b"master") == master
    assert found.keys() == {b"%d" % number for number in range(30)}
    assert len({tuple(answer["where"]) for answer in answers}) == 30  # type: ignore[arg-type]
