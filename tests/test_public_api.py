# SPDX-License-Identifier: Apache-2.0
"""What users see: names, signatures like kafka-python's, documentation, types, and that patching works."""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import kafka
import kafka.errors
import pytest
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.future import RecordMetadata as TheirMetadata

import pykafka_fast
from pykafka_fast import KafkaProducer, RecordFuture, RecordMetadata, errors
from pykafka_fast.errors import InvalidConfigError, KafkaConfigurationError
from pykafka_fast.testing import EmbeddedBroker

METHODS = ["send", "flush", "close", "partitions_for", "bootstrap_connected", "metrics"]
TRANSACTIONS = {
    "init_transactions": (), "begin_transaction": (), "send_offsets_to_transaction": ({}, "group"),
    "commit_transaction": (), "abort_transaction": (),
}  # fmt: skip
# Of kafka-python's future, what is the client's own business: nobody but the client completes a record.
NOT_THE_USERS = {"args", "error_on_callbacks", "failure", "rebind", "success"}


def test_names() -> None:
    assert sorted(pykafka_fast.__all__) == [
        "BooleanSerializer", "BytesSerializer", "DefaultSerializer", "DoubleSerializer", "FloatSerializer",
        "Headers", "IntegerSerializer", "JsonSerializer", "KafkaProducer", "LongSerializer", "Partitioner",
        "ProducerInterceptor", "ProducerRecord", "RangeFailures", "RangeFuture", "RangeMetadata",
        "RecordFuture", "RecordMetadata", "Serializer", "ShortSerializer", "StringSerializer", "TopicPartition",
        "UUIDSerializer",
    ]  # fmt: skip
    star: dict[str, Any] = {}
    exec("from pykafka_fast import *", star)
    assert set(pykafka_fast.__all__) <= set(star)
    assert pykafka_fast.__version__


@pytest.mark.parametrize("name", pykafka_fast.__all__)
def test_everything_is_documented(name: str) -> None:
    thing = getattr(pykafka_fast, name)
    assert inspect.getdoc(thing), name
    for attribute, value in vars(thing).items():
        if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value) or thing is RecordMetadata, f"{name}.{attribute}"


def test_methods_begin_like_kafka_pythons() -> None:
    for method in METHODS:
        ours = list(inspect.signature(getattr(KafkaProducer, method)).parameters.values())
        theirs = list(inspect.signature(getattr(kafka.KafkaProducer, method)).parameters.values())
        theirs = [parameter for parameter in theirs if parameter.name != "null_logger"]  # silences all of the process
        assert [(p.name, p.default) for p in ours[: len(theirs)]] == [(p.name, p.default) for p in theirs], method
        assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :]), method


@pytest.mark.parametrize(("version", "magic"), [
    ((0, 8, 2), 0), ((0, 9), 0), ((0, 10), 1), ((0, 10, 2), 1), ((0, 11), 2), ((0, 11, 0), 2), ((4, 1), 2), (None, 2),
])  # fmt: skip
def test_the_newest_message_format(version: tuple[int, ...] | None, magic: int) -> None:
    assert KafkaProducer.max_usable_produce_magic(version) == magic
    if version is not None:
        assert kafka.KafkaProducer.max_usable_produce_magic((*version, 0)[:3]) == magic


@pytest.mark.parametrize("method", TRANSACTIONS)
def test_transactions_are_refused_as_without_a_transactional_id(method: str) -> None:
    ours, theirs = (inspect.signature(getattr(cls, method)) for cls in (KafkaProducer, kafka.KafkaProducer))
    assert list(ours.parameters) == list(theirs.parameters)
    producer = KafkaProducer()
    with pytest.raises(errors.IllegalStateError, match=f"{method}.*transactional_id"):
        getattr(producer, method)(*TRANSACTIONS[method])
    producer.close()


def test_futures_and_metadata_are_like_kafka_pythons() -> None:
    theirs = {name for name in dir(FutureRecordMetadata) if not name.startswith("_")} - NOT_THE_USERS
    assert theirs <= set(dir(RecordFuture))
    assert RecordMetadata._fields == TheirMetadata._fields


def test_error_names_are_kafka_pythons() -> None:
    theirs = {name for name, value in vars(kafka.errors).items() if inspect.isclass(value)
              and issubclass(value, kafka.errors.KafkaError)}  # fmt: skip
    missing = sorted(name for name in theirs if not hasattr(errors, name))
    assert missing == []


def test_options_are_keywords_and_have_defaults() -> None:
    with pytest.raises(TypeError):
        KafkaProducer("localhost:9092")  # type: ignore[misc]
    for wrong in ({"bootstrap_server": "x"}, {"acks": 2}, {"linger_ms": "soon"}, {"security_protocol": "SSL"}):
        with pytest.raises(KafkaConfigurationError, match=next(iter(wrong))):
            KafkaProducer(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        KafkaProducer(batch_size=-1)
    assert issubclass(InvalidConfigError, ValueError)
    defaults = KafkaProducer.DEFAULT_CONFIG
    assert (defaults["acks"], defaults["linger_ms"], defaults["batch_size"]) == (-1, 5, 16384)
    with pytest.raises(TypeError):
        defaults["acks"] = 0  # type: ignore[index]


def test_config_and_repr() -> None:
    with KafkaProducer(bootstrap_servers="localhost:1", client_id="me", acks="all") as producer:
        assert producer.config["bootstrap_servers"]
        assert producer.config["acks"] == -1
        assert set(KafkaProducer.DEFAULT_CONFIG) >= set(producer.config)
        assert repr(producer) == str(producer) == "<KafkaProducer client_id=me transactional_id=None>"
        assert producer._metadata.controller is None
    first, second = KafkaProducer(), KafkaProducer()
    assert first.config["client_id"] != second.config["client_id"]
    first.close()
    second.close()


def test_the_class_can_be_patched() -> None:
    """Tests of users replace it, or its methods, as they do kafka-python's."""
    with mock.patch.object(KafkaProducer, "send") as send:
        producer = KafkaProducer(bootstrap_servers="localhost:1")
        producer.send("t", b"v")
        send.assert_called_once_with("t", b"v")
        producer.close()
    double = mock.create_autospec(KafkaProducer, instance=True)
    double.send("t", value=b"v", key=b"k", on_delivery=None)
    double.close(timeout=1)
    with pytest.raises(AttributeError):
        double.transmit("t")
    producer = KafkaProducer()
    producer.send = mock.Mock()  # type: ignore[method-assign]
    producer.note = "an attribute of one's own"  # type: ignore[attr-defined]
    producer.send("t", b"v")
    producer.send.assert_called_once()
    producer.close()


def test_a_tracers_view() -> None:
    """OpenTelemetry and Elastic APM wrap send() and read these."""
    with EmbeddedBroker(topics={"t": 2}) as broker, KafkaProducer(bootstrap_servers=broker.address) as producer:
        future = producer.send("t", b"v", partition=1)
        assert future._produce_future.topic_partition[1] == 1
        future.get(10)
        controller = producer._metadata.controller
        assert controller is not None
        assert f"{controller[1]}:{controller[2]}" == broker.address


def test_importing_is_quiet() -> None:
    """No thread, no network, no warning, and no handler: without logging configured losses are seen on stderr."""
    code = (
        "import sys, threading, warnings; warnings.simplefilter('error'); import logging, pykafka_fast;"
        "print(threading.active_count(), [type(h).__name__ for h in logging.getLogger('pykafka_fast').handlers],"
        "logging.getLogger().handlers, 'asyncio' in sys.modules, 'pykafka_fast.testing' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.strip(), done.stderr) == ("1 [] [] False False", "")
    assert logging.getLogger("pykafka_fast").propagate
    assert threading.active_count() >= 1


def test_a_lost_record_is_heard_of_without_any_configuration() -> None:
    code = (
        "from pykafka_fast import KafkaProducer; from pykafka_fast.testing import EmbeddedBroker\n"
        "with EmbeddedBroker(topics={'t': 1}) as broker:\n"
        "    producer = KafkaProducer(bootstrap_servers=broker.address, max_request_size=5000, batch_max_size=5000,"
        " batch_size=5000)\n"
        "    producer.send('t', b'x' * 9000)\n"
        "    producer.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "larger than max_request_size" in done.stderr


def test_a_source_folder_that_was_not_built_says_so(tmp_path: Path, root: Path) -> None:
    without = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(root / "pykafka_fast", tmp_path / "pykafka_fast", ignore=without)
    done = subprocess.run([sys.executable, "-c", "import pykafka_fast"], cwd=tmp_path, env={}, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1
    assert "ImportError: the C part of pykafka_fast is not built in" in done.stderr
    assert "start Python in another folder" in done.stderr


# ---- types -----------------------------------------------------------------------------------------------------------


# What only other doors use.
INTERNAL = {
    "arrow.Chunk", "arrow.Source", "codec.State", "future.Listener", "future.awaited", "future.resolve_all",
    "range.RangeListener", "range.awaited", "record.Fields",
}  # fmt: skip


def stubs(root: Path) -> list[Path]:
    return sorted((root / "pykafka_fast/_core").glob("*.pyi"))


def declared(node: ast.Module | ast.ClassDef) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            found[child.name] = child
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            found[child.target.id] = child
    return found


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    stars = [(arguments.vararg,), arguments.kwonlyargs, (arguments.kwarg,)]
    rest = [argument for group in stars for argument in group if argument is not None]
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *rest)]
    return names[any(ast.unparse(decorator) == "classmethod" for decorator in function.decorator_list) :]


def check(scope: str, node: ast.Module | ast.ClassDef, thing: ModuleType | type, wrong: list[str]) -> None:
    for name, child in declared(node).items():
        if name.startswith("__"):
            continue
        if not hasattr(thing, name):
            wrong.append(f"{scope}.{name} is declared, and is not there")
        elif isinstance(child, ast.ClassDef):
            check(f"{scope}.{name}", child, getattr(thing, name), wrong)
        elif isinstance(child, ast.FunctionDef):
            if inspect.isdatadescriptor(getattr(thing, name)):
                continue
            signature = inspect.signature(getattr(thing, name))
            if list(signature.parameters) != parameters(child):
                wrong.append(f"{scope}.{name} takes {list(signature.parameters)}, declared are {parameters(child)}")
    for name in vars(thing):
        public = not name.startswith("_") and getattr(getattr(thing, name), "__module__", None) == thing.__name__
        known = name in declared(node) or f"{scope}.{name}" in INTERNAL
        if isinstance(thing, ModuleType) and public and not known:
            wrong.append(f"{scope}.{name} is there, and is not declared")


HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by Python code


def test_methods_look_at_what_they_are_called_on(root: Path) -> None:
    """`RecordFuture.get(3)` is a TypeError, as with Python's own types, and not the end of the process."""
    called = 0
    for stub in stubs(root):
        module = importlib.import_module(f"pykafka_fast._core.{stub.stem}")
        for thing in vars(module).values():
            if isinstance(thing, type) and thing.__module__ == module.__name__ and not thing.__flags__ & HEAP_TYPE:
                methods = [method for name, method in vars(thing).items() if callable(method) and name != "__new__"]
                called += len(methods)
                for method in methods:
                    with pytest.raises(TypeError):
                        method(3)
    assert called > 100


def test_declarations_match_the_doors(root: Path) -> None:
    wrong: list[str] = []
    for stub in stubs(root):
        module = importlib.import_module(f"pykafka_fast._core.{stub.stem}")
        check(stub.stem, ast.parse(stub.read_text()), module, wrong)
    assert len(stubs(root)) > 8
    assert wrong == [], "\n".join(wrong)


def test_the_package_is_typed(root: Path) -> None:
    assert (root / "pykafka_fast/py.typed").is_file()
    doors = {path.stem for path in (root / "pykafka_fast/_core").glob("*.pyx")}
    assert {path.stem for path in stubs(root)} >= doors - {"gather", "outside", "waiting"}  # these have no Python names


def test_errors_are_public_for_type_checkers(root: Path) -> None:
    """In a typed package `from .x import Name` makes a name private, unless it says `as Name` (PEP 484)."""
    tree = ast.parse((root / "pykafka_fast/errors.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = [alias for node in imports if "error" in (node.module or "") for alias in node.names if alias.name != "*"]
    assert len(names) > 20
    assert [alias.name for alias in names if alias.asname != alias.name] == []
