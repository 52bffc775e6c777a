# SPDX-License-Identifier: Apache-2.0
"""The command line with a producer that only remembers; tests/path/test_cli.py has the real one."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pykafka_fast import cli
from pykafka_fast.errors import KafkaTimeoutError, MessageSizeTooLargeError, NoBrokersAvailable, UnrecognizedConfigError

Delivery = Callable[[object, BaseException | None], None]


class RememberingProducer:
    """Delivers at once; raises or fails as told by class attributes."""

    made: ClassVar[list[RememberingProducer]] = []
    fail: ClassVar[dict[bytes, BaseException]] = {}
    partitions_error: BaseException | None = None
    send_error: BaseException | None = None

    def __init__(self, **options: Any):
        if "bogus" in options:
            raise UnrecognizedConfigError("no option 'bogus'")
        self.options = options
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.calls: list[str] = []
        self.made.append(self)

    def partitions_for(self, topic: str) -> set[int]:
        if self.partitions_error is not None:
            raise self.partitions_error
        return {0}

    def send(self, topic: str, value: bytes, key: bytes | None = None, on_delivery: Delivery | None = None) -> None:
        if self.send_error is not None:
            raise self.send_error
        self.sent.append((topic, value, key))
        assert on_delivery is not None
        on_delivery(object(), self.fail.get(value))

    def flush(self, timeout: float | None = None) -> None:
        self.calls.append("flush")

    def close(self, timeout: float | None = None) -> None:
        self.calls.append("close")


@pytest.fixture(autouse=True)
def producer(monkeypatch: pytest.MonkeyPatch) -> type[RememberingProducer]:
    fresh = type("Fresh", (RememberingProducer,), {"made": [], "fail": {}})
    monkeypatch.setattr(cli, "KafkaProducer", fresh)
    return fresh


def run(tmp_path: Path, content: bytes, *more: str) -> int:
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    return cli.main(["produce", "--topic", "t", "--bootstrap", "a:1,b:2", *more, str(file)])


def test_every_line_is_a_record(
    tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, b'{"a": 1}\r\n\n[2]\n"last"') == cli.EXIT_OK
    (made,) = producer.made
    assert made.sent == [("t", b'{"a": 1}', None), ("t", b"[2]", None), ("t", b'"last"', None)]
    assert made.calls == ["flush", "close"]
    said = capsys.readouterr()
    assert said.out == ""
    assert "3 records delivered to t" in said.err
    assert "\r" not in said.err


def test_options_reach_the_producer(tmp_path: Path, producer: type[RememberingProducer]) -> None:
    options = ["acks=all", "linger_ms=20", "enable_idempotence=false", "client_id=x=y"]
    assert run(tmp_path, b"1", *(part for option in options for part in ("-C", option))) == cli.EXIT_OK
    assert producer.made[0].options == {
        "bootstrap_servers": ["a:1", "b:2"],
        "acks": "all",
        "linger_ms": 20,
        "enable_idempotence": False,
        "client_id": "x=y",
    }


def test_key_field(tmp_path: Path, producer: type[RememberingProducer]) -> None:
    content = '{"k": "ü"}\n{"k": 7}\n{"k": null}\n{"k": {"x": 1}}'.encode()
    assert run(tmp_path, content, "--key-field", "k") == cli.EXIT_OK
    assert [key for _, _, key in producer.made[0].sent] == ["ü".encode(), b"7", None, b'{"x":1}']


def test_bad_lines_are_named_and_skipped(
    tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, b'{"k": 1}\n{oops\n{"z": 1}\n[]\n\xff\n{"k": 2}', "--key-field", "k") == cli.EXIT_INCOMPLETE
    assert [value for _, value, _ in producer.made[0].sent] == [b'{"k": 1}', b'{"k": 2}']
    said = capsys.readouterr().err
    assert "in.jsonl:2: not JSON" in said
    assert "in.jsonl:3: no field 'k'" in said
    assert "in.jsonl:4: no field 'k'" in said
    assert "in.jsonl:5: not JSON" in said
    assert "4 bad lines" in said


@pytest.mark.parametrize("text", ["NaN", '{"a": -Infinity}', '\ufeff{"a": 1}'])
def test_what_is_only_nearly_json(text: str, tmp_path: Path, producer: type[RememberingProducer]) -> None:
    assert run(tmp_path, text.encode() + b"\n1\n") == cli.EXIT_INCOMPLETE
    assert [value for _, value, _ in producer.made[0].sent] == [b"1"]


def test_another_encoding(tmp_path: Path, producer: type[RememberingProducer]) -> None:
    file = tmp_path / "utf16.jsonl"
    file.write_bytes('{"a": 1}\n{"a": 2}\n'.encode("utf-16"))
    assert cli.main(["produce", "--topic", "t", "--bootstrap", "b", str(file)]) == cli.EXIT_INCOMPLETE
    assert producer.made[0].sent == []


def test_closed_standard_streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As after `<&-` and `2>&-` in a shell."""
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["produce", "--topic", "t", "--bootstrap", "b", "-"]) == cli.EXIT_USAGE
    monkeypatch.setattr("sys.stderr", None)
    assert run(tmp_path, b"1\n") == cli.EXIT_OK


def test_a_line_nested_too_deeply_is_one_bad_line(
    tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]
) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert run(tmp_path, b'{"k": 1}\n{"k": ' + deep + b'}\n{"k": 2}', "--key-field", "k") == cli.EXIT_INCOMPLETE
    assert [value for _, value, _ in producer.made[0].sent] == [b'{"k": 1}', b'{"k": 2}']
    said = capsys.readouterr().err
    assert "in.jsonl:2: nested too deeply" in said
    assert "2 records delivered" in said
    assert "1 bad lines" in said


def test_many_bad_lines_do_not_flood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, b"{\n" * 1000) == cli.EXIT_INCOMPLETE
    said = capsys.readouterr().err
    assert len(said.splitlines()) < 30
    assert "1,000 bad lines" in said


def test_failed_records_are_named(
    tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]
) -> None:
    producer.fail = {b"2": MessageSizeTooLargeError("too large for us")}
    assert run(tmp_path, b"1\n2\n3") == cli.EXIT_INCOMPLETE
    assert len(producer.made[0].sent) == 3
    said = capsys.readouterr().err
    assert "in.jsonl:2: not delivered" in said
    assert "too large for us" in said
    assert "2 records delivered" in said


def test_a_time_out_ends_the_upload(
    tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]
) -> None:
    producer.fail = {b"2": KafkaTimeoutError("nobody there")}
    assert run(tmp_path, b"1\n2\n3\n4") == cli.EXIT_INCOMPLETE
    assert len(producer.made[0].sent) == 2
    assert "stopped at line 2, what follows was not read" in capsys.readouterr().err


def test_no_broker(tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]) -> None:
    producer.partitions_error = NoBrokersAvailable("tried a:1")
    assert run(tmp_path, b"1\n2") == cli.EXIT_INCOMPLETE
    assert "tried a:1" in capsys.readouterr().err
    assert producer.made[0].sent == []
    assert producer.made[0].calls == ["close"]


def test_ctrl_c(tmp_path: Path, producer: type[RememberingProducer], capsys: pytest.CaptureFixture[str]) -> None:
    producer.send_error = KeyboardInterrupt()
    assert run(tmp_path, b"1\n2") == cli.EXIT_INTERRUPTED
    assert producer.made[0].calls == ["close"]
    said = capsys.readouterr().err
    assert "interrupted" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("option", ["bogus=1", "novalue"])
def test_bad_options(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, b"1", "-C", option) == cli.EXIT_USAGE
    assert option.split("=")[0] in capsys.readouterr().err


def test_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["produce", "--topic", "t", "--bootstrap", "a:1", "/nonexistent.jsonl"]) == cli.EXIT_USAGE
    assert "/nonexistent.jsonl" in capsys.readouterr().err


def test_standard_input(monkeypatch: pytest.MonkeyPatch, producer: type[RememberingProducer]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1\n2\n")))
    assert cli.main(["produce", "--topic", "t", "--bootstrap", "a:1", "-"]) == cli.EXIT_OK
    assert [value for _, value, _ in producer.made[0].sent] == [b"1", b"2"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(cli.time, "monotonic", lambda: now[0])
    stream = Terminal()
    progress = cli.Progress(total=200, stream=stream)
    now[0] += 1
    progress.update(50, 1000)
    progress.update(51, 1001)
    now[0] += 1
    progress.update(200, 4000)
    progress.finish()
    drawn = [part for part in stream.getvalue().split("\r\x1b[K") if part]
    assert len(drawn) == 2
    assert " 25%  1,000 records  1,000/s" in drawn[0]
    assert "[" + "#" * 30 + "] 100%  4,000 records  2,000/s" in drawn[1]
    assert stream.getvalue().endswith("\r\x1b[K")


def test_no_progress_elsewhere() -> None:
    stream = io.StringIO()
    progress = cli.Progress(total=0, stream=stream)
    progress.update(1, 1)
    progress.finish()
    assert stream.getvalue() == ""


def test_help_says_what_the_exit_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["produce", "--help"])
    assert exit_.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Exit status" in said
    assert "a VALUE that is JSON is taken as what it says" in said


def test_values_keep_their_bytes(tmp_path: Path, producer: type[RememberingProducer]) -> None:
    line = json.dumps({"text": "é\u2028"}).encode().replace(b"}", b', "n": 1e400}')
    assert run(tmp_path, line) == cli.EXIT_OK
    assert producer.made[0].sent[0][1] == line
