# SPDX-License-Identifier: Apache-2.0
"""os.fork() with a live producer: the parent goes on undisturbed, the child begins anew, nobody hangs.

Each test runs a program of its own, so that pytest's process is not the one that is forked.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from pykafka_fast.testing import EmbeddedBroker

PRELUDE = """
    import faulthandler, gc, os, signal, sys, threading, time, traceback
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(20)
    from pykafka_fast import KafkaProducer
    from pykafka_fast.errors import ProducerClosedError, ProducerForkedError

    address = sys.argv[1]

    def child(work):
        # Run work() in a forked child; its exit status.
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        return pid

    def join(pid):
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status

    def fds():
        return len(os.listdir("/proc/self/fd"))
"""


def run(broker: EmbeddedBroker, program: str, *, warnings: str = "error", lost: int = 0) -> str:
    """The program's output. On its standard error there is nothing, but for records that it did lose."""
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", warnings, "-c", text, broker.address],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.fullmatch(r"Producer \S+ is closed before (\d+) records .* had an outcome\n", done.stderr)
    assert done.stderr == "" if lost == 0 else said and int(said[1]) == lost, done.stderr
    return done.stdout


def values(broker: EmbeddedBroker) -> list[bytes | None]:
    return [record.value for record in broker.records("t")]


def test_the_child_sends_by_itself_and_the_parent_goes_on(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        producer.send("t", b"parent 0", partition=0, on_delivery=lambda *_: None).get(10)

        def work():
            assert producer.send("t", b"child", partition=1).get(10).offset == 0
            ran = []
            producer.send("t", b"child", partition=1, on_delivery=lambda *_: ran.append(1)).get(10)
            assert ran == [1]
            assert producer.partitions_for("t") == {0, 1, 2, 3}
            producer.flush(10)
            producer.close(10)

        pid = child(work)
        producer.send("t", b"parent 1", partition=0).get(10)
        join(pid)
        assert producer.send("t", b"parent 2", partition=0).get(10).offset == 2
        producer.close(10)
    """)
    assert sorted(values(broker)) == [b"child", b"child", b"parent 0", b"parent 1", b"parent 2"]  # type: ignore[type-var]
    assert len({batch.header.producer_id for batch in broker.batches("t")}) == 2


def test_pending_futures_are_the_parents(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        producer.send("t", b"done", partition=0).get(10)
        called = []
        count = lambda *_: called.append(1)
        pending = [producer.send("t", b"%d" % i, partition=1, on_delivery=count) for i in range(9)]
        done = producer.send("t", b"x", partition=2)
        done.get(10)

        def work():
            assert done.get(0).offset == 0
            for future in pending:
                assert future.is_done and future.failed() and future.value is None
                try:
                    future.get(5)
                except ProducerForkedError as error:
                    assert "parent" in str(error) and error.in_doubt
                else:
                    raise AssertionError("no error")
                seen = []
                future.add_errback(seen.append)
                assert isinstance(seen[0], ProducerForkedError)
            assert called == []
            producer.flush(5)
            producer.close(5)
            assert called == []
            del pending[:]
            gc.collect()

        join(child(work))
        assert not pending[0].is_done
        producer.flush(10)
        assert [future.get(10).offset for future in pending] == list(range(9))
        assert len(called) == 9
        producer.close(10)
    """)
    assert len(values(broker)) == 11


def test_done_but_undelivered(broker: EmbeddedBroker) -> None:
    """The child has no delivery thread of the parent's; get() does not wait for it."""
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        go_on = threading.Event()
        future = producer.send("t", b"x", partition=0, on_delivery=lambda *_: go_on.wait(20))
        while not future.is_done:
            time.sleep(0.01)

        def work():
            assert future.get(5).offset == 0

        join(child(work))
        go_on.set()
        producer.close(10)
    """)


@pytest.mark.parametrize("state", ["unused", "idle", "closed", "held"])
def test_a_child_that_only_closes(broker: EmbeddedBroker, state: str) -> None:
    if state == "held":
        broker.hold("Produce")
    run(broker, f"state = {state!r}" + """
producer = KafkaProducer(bootstrap_servers=address, linger_ms=0)
if state == "idle":
    producer.send("t", b"x").get(10)
if state == "closed":
    producer.send("t", b"x").get(10)
    producer.close()
if state == "held":
    future = producer.send("t", b"x")

def work():
    began = time.monotonic()
    producer.close()
    assert time.monotonic() - began < 5
    try:
        producer.send("t", b"x")
    except ProducerClosedError:
        pass
    else:
        raise AssertionError("open")

join(child(work))
if state == "idle":
    producer.send("t", b"x").get(10)
producer.close(1)
""", lost=1 if state == "held" else 0)


def test_the_child_exits_as_programs_do(broker: EmbeddedBroker) -> None:
    """Its own records are delivered by the exit handler, the parent's are left alone."""
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        producer.send("t", b"first", partition=0).get(10)
        lingering = producer.send("t", b"parent", partition=0)
        if os.fork() == 0:
            producer.send("t", b"child", partition=1)
            sys.exit(0)
        _, status = os.wait()
        assert status == 0
        assert not lingering.is_done
        producer.close(10)
        assert lingering.succeeded()
    """)
    assert sorted(values(broker)) == [b"child", b"first", b"parent"]  # type: ignore[type-var]


def test_descriptors_of_the_parent_are_closed_without_harm(broker: EmbeddedBroker) -> None:
    run(broker, """
        before = fds()
        producers = [KafkaProducer(bootstrap_servers=address) for _ in range(5)]
        for i in range(5):
            producers[i].send("t", b"x").get(10)
        opened = fds()

        def work():
            while producers:
                producers.pop().close()
            gc.collect()
            assert fds() == before < opened, (before, opened, fds())

        join(child(work))
        for producer in producers:
            producer.send("t", b"x").get(10)
            producer.close()
    """)
    assert broker.record_count("t") == 10
    connections = {request.connection for request in broker.requests_of("Produce")}
    assert len(connections) == 5


def test_while_other_threads_send(broker: EmbeddedBroker) -> None:
    """Locks may be held, lists half changed: the child does not care."""
    said = run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, buffer_memory=1 << 20, batch_size=1000, linger_ms=0)
        stop = threading.Event()
        futures = []

        def send(partition):
            mine = []
            while not stop.is_set():
                mine.append(producer.send("t", b"p" * 50, partition=partition, on_delivery=lambda *_: None))
                if len(mine) % 1000 == 0:
                    time.sleep(0.001)
            futures.append(mine)

        producer.send("t", b"p", partition=0).get(10)
        threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()

        def work():
            producer.send("t", b"child", partition=3).get(10)
            producer.close(10)

        for _ in range(60):
            join(child(work))
        stop.set()
        for thread in threads:
            thread.join()
        producer.flush(20)
        assert all(future.succeeded() for mine in futures for future in mine)
        print(sum(map(len, futures)) + 1)
        producer.close()
    """)
    assert broker.record_count("t") == int(said) + 60
    assert values(broker).count(b"child") == 60


def test_in_a_callback(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        ran, pids = [], []

        def fork(metadata, error):
            def work():
                producer.send("t", b"child", partition=1).get(10)
                producer.close()
            pids.append(child(work))

        producer.send("t", b"x", partition=0, on_delivery=fork)
        for _ in range(10):
            producer.send("t", b"x", partition=0, on_delivery=lambda *_: ran.append(1))
        producer.flush(10)
        join(pids[0])
        assert len(ran) == 10
        producer.close()
    """)
    assert values(broker).count(b"child") == 1


def test_in_a_serializer_refuses_that_record_only(broker: EmbeddedBroker) -> None:
    run(broker, """
        pids = []

        def serialize(value):
            if value == "fork":
                pids.append(os.fork())
            return value.encode()

        producer = KafkaProducer(bootstrap_servers=address, value_serializer=serialize)
        producer.send("t", "first").get(10)
        try:
            producer.send("t", "fork").get(10)
        except ProducerForkedError:
            assert pids == [0]
            producer.send("t", "child").get(10)
            producer.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 7
        producer.close()
    """)
    assert sorted(values(broker)) == [b"child", b"first", b"fork"]  # type: ignore[type-var]


def test_a_child_of_a_child(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        producer.send("t", b"0").get(10)

        def grandchild():
            producer.send("t", b"2").get(10)
            producer.close()

        def work():
            producer.send("t", b"1").get(10)
            join(child(grandchild))
            producer.send("t", b"1").get(10)
            producer.close()

        join(child(work))
        producer.close()
    """)
    assert sorted(values(broker)) == [b"0", b"1", b"1", b"2"]  # type: ignore[type-var]


def test_multiprocessing(broker: EmbeddedBroker) -> None:
    run(broker, """
        import multiprocessing

        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        producer.send("t", b"parent").get(10)

        def work(number):
            producer.send("t", b"%d" % number).get(10)
            producer.flush()

        context = multiprocessing.get_context("fork")
        with context.Pool(3) as pool:
            pool.map(work, range(20))
        process = context.Process(target=work, args=(20,))
        process.start()
        process.join(10)
        assert process.exitcode == 0
        producer.send("t", b"parent").get(10)
        producer.close()
    """)
    assert sorted(values(broker)) == sorted([b"%d" % i for i in range(21)] + [b"parent"] * 2)  # type: ignore[type-var]


def test_the_parent_may_end_first(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        producer.send("t", b"parent").get(10)
        if os.fork() == 0:
            signal.alarm(10)
            os.close(1)
            os.close(2)
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(0.01)
            producer.send("t", b"child").get(10)
            producer.close()
            os._exit(0)
        producer.close()
    """)
    broker.wait(lambda broker: broker.record_count("t") == 2)


def test_inherited_objects_can_be_collected_in_the_child(broker: EmbeddedBroker) -> None:
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, linger_ms=60_000)
        producer.send("t", b"x").get(10)
        kept = [producer.send("t", b"x", on_delivery=lambda *_: None) for _ in range(1000)]

        def work():
            global producer, kept
            kept[0].exception
            del kept
            producer.close()
            del producer
            gc.collect()

        join(child(work))
        producer.close()
        assert all(future.succeeded() for future in kept)
    """)


def test_in_a_partitioner_while_other_threads_send(broker: EmbeddedBroker) -> None:
    """At the fork one of them may hold the very lock that the send() in the child would ask for."""
    run(broker, """
class Sticky:
    def __call__(self, key, every, available):
        if getattr(wanted, "fork", False):
            wanted.fork = False
            wanted.pid = os.fork()
        return 0

    def on_new_batch(self, topic, cluster, partition):
        pass

def keep_sending():
    while not done.is_set():
        producer.send("t", bytes(100_000))

wanted, done = threading.local(), threading.Event()
producer = KafkaProducer(bootstrap_servers=address, partitioner=Sticky(), linger_ms=0)
producer.send("t", b"x").get(10)
threads = [threading.Thread(target=keep_sending) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(60):
    wanted.fork, wanted.pid = True, None
    try:
        producer.send("t", b"y")
        assert wanted.pid != 0, "the child sent what is the parent's"
    except ProducerForkedError:
        os._exit(0)
    assert os.waitpid(wanted.pid, 0)[1] == 0
done.set()
for thread in threads:
    thread.join()
producer.close(20)
""")
