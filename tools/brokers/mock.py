# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster in a process of its own, for any client.

    with MockCluster(brokers=3) as mock:
        mock.create_topic("events", partitions=3)
        mock.push_request_errors(PRODUCE, NOT_LEADER, DISCONNECT)
        ...  # connect to mock.bootstrap

What it does not do: check CRCs, or sequence numbers of producers without a transactional id. It answers acks=0, keeps
5 MiB or 100,000 batches per partition, and answers ApiVersions above version 2 in neither of the two formats.
`python -m tools.brokers.mock --brokers 1` runs one until Ctrl-C.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

# API keys
PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 1, 2, 3, 18, 22
# Error codes often wanted; -195 is librdkafka's own for "cut the connection".
NOT_LEADER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE, DISCONNECT = 6, 7, 19, 10, -195

ALL_BROKERS = -1
PROCESS = Path(__file__).with_name("mock_process.py")
STOP_TIMEOUT = 10.0


class MockCluster:
    """A cluster of mock brokers, ids 1 and up. Any thread may call; a call has taken effect when it returns.

    Raises (every method):
        RuntimeError: the mock refused; the message carries librdkafka's error name. Or its process is gone.
    """

    def __init__(self, brokers: int = 1):
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(PROCESS), str(brokers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self.brokers = list(range(1, brokers + 1))
        try:
            self.bootstrap: str = self._answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "MockCluster":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the process. May be called twice."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    # Topics

    def create_topic(self, name: str, partitions: int = 1, replication: int | None = None) -> None:
        """Create a topic; without this the first metadata request creates it with 4 partitions."""
        self._call("create_topic", name, partitions, replication or min(3, len(self.brokers)))

    def delete_topic(self, name: str) -> None:
        self._call("delete_topic", name)

    def set_topic_error(self, name: str, code: int) -> None:
        """Metadata answers `code` for the topic from now on; 0 ends that."""
        self._call("set_topic_error", name, code)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Move leadership; broker -1 leaves the partition without a leader."""
        self._call("set_leader", topic, partition, broker)

    # Faults

    def push_request_errors(self, api: int, *codes: int) -> None:
        """The next len(codes) requests of this API answer these error codes, in order; 0 lets one pass."""
        self._call("push_request_errors", api, codes)

    def push_broker_errors(self, broker: int, api: int, *errors: tuple[int, int]) -> None:
        """Like `push_request_errors` for one broker, with (code, round trip in milliseconds) pairs."""
        self._call("push_broker_errors", broker, api, errors)

    def push_partition_errors(self, topic: str, partition: int, api: int, *codes: int) -> None:
        """Like `push_request_errors` for one partition."""
        self._call("push_partition_errors", topic, partition, api, codes)

    def clear_request_errors(self, api: int) -> None:
        self._call("clear_request_errors", api)

    def set_rtt(self, milliseconds: int, broker: int = ALL_BROKERS) -> None:
        """Delay every answer."""
        self._call("set_rtt", broker, milliseconds)

    def set_down(self, broker: int = ALL_BROKERS) -> None:
        """Cut the broker's connections and refuse new ones. Leadership does not move."""
        self._call("set_down", broker)

    def set_up(self, broker: int = ALL_BROKERS) -> None:
        """Undo `set_down`."""
        self._call("set_up", broker)

    def set_api_version(self, api: int, lowest: int, highest: int) -> None:
        """What ApiVersions says about one API; -1, -1 hides it."""
        self._call("set_api_version", api, lowest, highest)

    # Observation

    def request_counts(self, broker: int = ALL_BROKERS) -> dict[int, int]:
        """API key → requests received, by one broker or all, since the start or `clear_requests`."""
        return dict(self._call("request_counts", broker))

    def clear_requests(self) -> None:
        self._call("clear_requests")

    def _call(self, method: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        with self._lock:
            try:
                print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
            except (BrokenPipeError, ValueError):
                raise RuntimeError(f"{method}: the mock cluster's process is gone") from None
            return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the mock cluster's process ended with {self._process.wait(STOP_TIMEOUT)}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run librdkafka's mock cluster on loopback until Ctrl-C.")
    parser.add_argument("--brokers", type=int, default=1)
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with MockCluster(args.brokers) as mock:
        print(mock.bootstrap, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
