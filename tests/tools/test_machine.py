# SPDX-License-Identifier: Apache-2.0
"""tools/machine.sh on machines we do not have: a PATH with nothing but what each test puts there."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


class Machine:
    """A folder of programs, and the script run with only these."""

    def __init__(self, folder: Path, script: Path, user: int):
        self.folder = folder
        self.script = script
        for name in ("sh", "sed", "head", "dirname"):
            (folder / name).symlink_to(shutil.which(name) or name)
        self.program("id", f"echo {user}")

    def program(self, name: str, body: str) -> None:
        file = self.folder / name
        file.write_text(f"#!{shutil.which('sh')}\n{body}\n")
        file.chmod(0o755)

    def run(self, what: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", str(self.script), what],
            env={"PATH": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def user(tmp_path: Path, root: Path) -> Machine:
    return Machine(tmp_path, root / "tools" / "machine.sh", user=1000)


@pytest.fixture
def administrator(tmp_path: Path, root: Path) -> Machine:
    return Machine(tmp_path, root / "tools" / "machine.sh", user=0)


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("apt-get", "sudo sh -c 'apt-get update && apt-get install -y openjdk-17-jre-headless maven'"),
        ("dnf", "sudo sh -c 'dnf install -y java-17-openjdk-headless maven'"),
        ("apk", "sudo sh -c 'apk add openjdk17-jre-headless maven'"),
        ("brew", "brew install openjdk@17 maven"),
    ],
)
def test_a_user_gets_the_line_to_run(user: Machine, manager: str, line: str) -> None:
    user.program(manager, "echo must not run >&2; exit 9")
    done = user.run("java")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].strip() == line
    assert "must not run" not in done.stderr


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "apk", "brew"])
def test_the_codecs_are_what_the_build_asks_for(user: Machine, root: Path, manager: str) -> None:
    """The packages are named in three places, which must agree."""
    user.program(manager, "exit 9")
    done = user.run("codecs")
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1].strip("'").replace("add", "install").replace("install -y", "install")
    names = line.rpartition("install ")[2]
    for document in ("setup.py", "README.md"):
        assert f" {names}" in (root / document).read_text(), document


def test_codecs_are_found(user: Machine) -> None:
    user.program("pkg-config", "exit 0")
    assert user.run("codecs").returncode == 0
    user.program("pkg-config", "exit 1")
    assert user.run("codecs").returncode == 1


def test_no_package_manager(user: Machine) -> None:
    done = user.run("python")
    assert done.returncode == 1
    assert "Python >= 3.10" in done.stderr


def test_root_installs(administrator: Machine) -> None:
    folder = administrator.folder
    administrator.program("java.deb", """echo 'openjdk version "17.0.1"' >&2""")
    administrator.program("mvn.deb", "exit 0")
    link = f"{shutil.which('ln')} -s {folder}/$name.deb {folder}/$name"
    unpack = f'[ "$1" = update ] || for name in java mvn; do {link}; done'
    administrator.program("apt-get", f'echo "$@" >>{folder}/calls\n{unpack}')
    done = administrator.run("java")
    assert done.returncode == 0, done.stderr
    assert (folder / "calls").read_text().splitlines() == ["update", "install -y openjdk-17-jre-headless maven"]
    assert administrator.run("java").stderr == ""


def test_root_without_network(administrator: Machine) -> None:
    administrator.program("apk", "exit 7")
    done = administrator.run("python")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].strip() == "apk add python3 python3-dev gcc musl-dev linux-headers"


def test_an_old_java_does_not_do(user: Machine) -> None:
    user.program("mvn", "exit 0")
    user.program("java", """echo 'openjdk version "11.0.2"' >&2""")
    assert user.run("java").returncode == 1
    user.program("java", """echo 'openjdk version "21.0.2"' >&2""")
    assert user.run("java").returncode == 0


def test_python_is_found(user: Machine) -> None:
    user.program("python3", f'exec {sys.executable} "$@"')
    user.program("gcc", "exit 0")
    done = user.run("python")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).exists()


def test_a_python_without_headers_does_not_do(user: Machine) -> None:
    user.program("python3", "exit 1")
    user.program("gcc", "exit 0")
    assert user.run("python").returncode == 1
