# SPDX-License-Identifier: Apache-2.0
"""Java, Maven, and the jars of a pom.xml, fetched once into a cache."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

MIN_JAVA = 17
INSTALL = {
    "apt-get": "apt-get install -y openjdk-17-jre-headless maven",
    "dnf": "dnf install -y java-17-openjdk-headless maven",
    "apk": "apk add openjdk17-jre-headless maven",
    "brew": "brew install openjdk@17 maven",
}


class MissingTool(RuntimeError):
    """Java or Maven is not there; the message ends with the line to run."""


def install_line() -> str:
    """The command that installs Java and Maven on this machine."""
    for manager, line in INSTALL.items():
        if shutil.which(manager):
            return line if manager == "brew" or os.geteuid() == 0 else f"sudo {line}"
    return "install a Java 17 runtime and Apache Maven with your package manager"


def java() -> str:
    """Path of a Java of at least MIN_JAVA; JAVA_HOME is preferred to PATH.

    Raises:
        MissingTool: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=os.path.join(home, "bin")) if home else None
    command = command or shutil.which("java")
    if command is None:
        raise MissingTool(f"real Kafka needs Java {MIN_JAVA}, and there is no java on PATH; run: {install_line()}")
    said = subprocess.run([command, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None or int(found[1]) < MIN_JAVA:
        raise MissingTool(
            f"real Kafka needs Java {MIN_JAVA} or newer, {command} is {said.splitlines()[0] if said else 'unknown'}; "
            f"run: {install_line()}"
        )
    return command


def cache_dir(name: str) -> Path:
    """Where the jars called `name` are kept: $PKF_CACHE_DIR/name, by default ~/.cache/pykafka_fast/name."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pykafka_fast")
    return Path(os.environ.get("PKF_CACHE_DIR") or default, name)


def jars(name: str, pom: Path) -> Path:
    """The folder that holds every jar of `pom`; Maven fetches them the first time.

    Raises:
        MissingTool: they are not there yet and neither is Maven.
        RuntimeError: Maven failed; the message carries what it said.
    """
    folder = cache_dir(name)
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingTool(f"fetching {name} needs Apache Maven, and there is no mvn on PATH; run: {install_line()}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Complete or absent: two callers may fetch at once, the first rename wins.
    partial = tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent)
    try:
        _copy_dependencies(maven, pom, partial)
        try:
            os.rename(partial, folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _copy_dependencies(maven: str, pom: Path, folder: str) -> None:
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
