# SPDX-License-Identifier: Apache-2.0
"""Builds csrc/ once into a static library, then one extension module per pykafka_fast/_core/*.pyx on top of it.

PKF_DEBUG=1 in the environment builds with the C library's own checks, without optimization and with symbols.
PKG_CONFIG names the pkg-config that finds the codecs' libraries.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("PKF_DEBUG", "0") not in ("", "0")

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=return-type",
    "-Werror=unused-result",
]
# Generated code trips these by design.
GENERATED_WARNINGS = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
C_FLAGS = [
    "-std=c11",
    "-fvisibility=hidden",
    "-pthread",
    *(["-O1", "-g", "-UNDEBUG", "-DPKF_DEBUG"] if DEBUG else ["-O3"]),
]
MACROS = [("_GNU_SOURCE", "1"), *([("_DARWIN_C_SOURCE", "1")] if sys.platform == "darwin" else [])]

C_SOURCES = sorted(glob("csrc/*.c"))
C_HEADERS = sorted(glob("csrc/*.h"))
PXD_FILES = sorted(glob("pykafka_fast/_core/*.pxd"))

# The codecs' libraries as pkg-config knows them; what else installs them has to be the same in tools/machine.sh. So has
# what installs the compiler.
CODECS = ["libzstd", "liblz4", "snappy", "libdeflate"]
PACKAGES = {
    "apt": "apt-get install pkg-config libzstd-dev liblz4-dev libsnappy-dev libdeflate-dev",
    "dnf": "dnf install pkgconf-pkg-config libzstd-devel lz4-devel snappy-devel libdeflate-devel",
    "apk": "apk add pkgconf zstd-dev lz4-dev snappy-dev libdeflate-dev",
    "brew": "brew install pkgconf zstd lz4 snappy libdeflate",
}
COMPILERS = {
    "apt": "apt-get install gcc libc6-dev python3-dev",
    "dnf": "dnf install gcc glibc-devel python3-devel",
    "apk": "apk add gcc musl-dev linux-headers python3-dev",
    "brew": "xcode-select --install",
}
# An extension that compresses nothing is not linked with them.
LINK_AS_NEEDED = "-Wl,-dead_strip_dylibs" if sys.platform == "darwin" else "-Wl,--as-needed"

# Where Cython's output goes; kept out of the package so that it can never end up in a wheel.
GENERATED_DIR = Path("build", "cython")
# Without binding a method looks at what it is called on: RecordFuture.get(3) is a TypeError. inspect.signature() needs
# the signature in the docstring then.
DIRECTIVES = {"language_level": 3, "binding": False, "embedsignature": True, "embedsignature.format": "clinic"}

# Cython says these when a nogil call would take the GIL back only to look for an exception.
GIL_HINT = re.compile(r"Exception check .*will always require the GIL|No exception value declared for")


def stale(target: Path, sources: list[str]) -> bool:
    return not target.exists() or any(os.path.getmtime(s) > target.stat().st_mtime for s in sources)


def pkg_config(*arguments: str) -> list[str] | None:
    """The words it answers, or None if it does not know such a library or is not there."""
    tool = shlex.split(os.environ.get("PKG_CONFIG", "pkg-config"))
    if not tool or shutil.which(tool[0]) is None:
        return None
    done = subprocess.run([*tool, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return shlex.split(done.stdout) if done.returncode == 0 else None


def plain_snappy() -> list[str] | None:
    """Flags for a snappy without a .pc file, which its own build does not install; None if its header is not there."""
    brew = shutil.which("brew")
    prefixes = ["/usr", "/usr/local", *([str(Path(brew).parent.parent)] if brew else [])]
    for prefix in prefixes:
        if Path(prefix, "include", "snappy-c.h").exists():
            return ["-lsnappy"] if prefix == "/usr" else [f"-I{prefix}/include", f"-L{prefix}/lib", "-lsnappy"]
    return None


def codec_flags() -> tuple[list[str], list[str]]:
    """Flags to compile and to link with the codecs' libraries; ends the build if one is missing."""
    found = {name: pkg_config("--cflags", "--libs", name) for name in CODECS}
    if found["snappy"] is None and all(flags is not None for name, flags in found.items() if name != "snappy"):
        found["snappy"] = plain_snappy()
    missing = [name for name, flags in found.items() if flags is None]
    if missing:
        raise SystemExit(missing_message(missing))
    words = list(dict.fromkeys(word for flags in found.values() for word in flags or []))
    compiling = [word for word in words if word.startswith(("-I", "-D"))]
    return compiling, [LINK_AS_NEEDED, *(word for word in words if word not in compiling)]


def missing_message(missing: list[str]) -> str:
    tool = "" if pkg_config("--version") else "pkg-config itself is not there.\n"
    lines = "".join(f"    {command}\n" for command in PACKAGES.values())
    return (
        "\npykafka_fast compresses with libraries of the system.\n"
        f"Not found by pkg-config: {', '.join(missing)}.\n{tool}"
        f"Install them with the line for your system, as root where it wants that, then try again:\n{lines}"
    )


def compile_probe(command: list[str], text: str) -> str:
    """Why this C text cannot be compiled; empty if it can."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(text)
        words = [*command, "-c", str(source), "-o", str(Path(folder, "probe.o"))]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as error:
            return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"{command[0]} ended with {done.returncode}"


def check_compiler(words: list[str], include_dirs: list[str]) -> None:
    """End the build if there is no C compiler, or there are no headers of Python."""
    command = [*words, *(f"-I{folder}" for folder in include_dirs)]
    said = compile_probe(command, "#include <Python.h>\n")
    if not said:
        return
    no_compiler = compile_probe(command, "int probe;\n")
    missing = "A C compiler (CC in the environment names one)" if no_compiler else f"The headers of {sys.executable}"
    lines = "".join(f"    {line}\n" for line in COMPILERS.values())
    raise SystemExit(
        f"\n{no_compiler or said}\n\n"
        f"pykafka_fast is written in C. {missing} cannot be used.\n"
        f"Install what is missing with the line for your system, as root where it wants that, then try again:\n{lines}"
    )


class Tee(io.StringIO):
    """Shows what Cython prints as it comes and keeps it."""

    def write(self, text: str) -> int:
        sys.__stderr__.write(text)  # type: ignore[union-attr]
        return super().write(text)


def generated_sources(extension: Extension) -> list[str]:
    """Translate one .pyx; refuse it if a call without the GIL would have to take the GIL."""
    from Cython.Build import cythonize

    with contextlib.redirect_stderr(Tee()) as said:
        (built,) = cythonize(
            [extension],
            build_dir=str(GENERATED_DIR),
            compiler_directives=DIRECTIVES,
            # Cython overlooks "from package cimport module".
            force=stale(Path(GENERATED_DIR, extension.sources[0]).with_suffix(".c"), PXD_FILES),
            emit_linenums=DEBUG,
        )
    if GIL_HINT.search(said.getvalue()):
        for source in built.sources:
            Path(source).unlink(missing_ok=True)
        raise SystemExit(f"{extension.name}: Cython would take the GIL to check for exceptions (see above)")
    return list(built.sources)


class BuildWithCsrc(build_ext):
    """build_ext that first makes libpkf from csrc/, for in-place, editable and ordinary builds alike."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.inplace or self.editable_mode:
            # pip builds an editable install in a fresh folder each time; a lasting one recompiles only what changed.
            flavour = sys.implementation.cache_tag + ("-debug" if DEBUG else "")
            self.build_temp = str(Path("build", "inplace", flavour, "temp"))
            self.build_lib = str(Path("build", "inplace", flavour, "lib"))

    def build_extensions(self) -> None:
        compiling, linking = codec_flags()
        check_compiler(list(self.compiler.compiler_so), list(self.compiler.include_dirs))
        self._rebuild_all_if_flags_changed([*compiling, *linking])
        objects = [self._compiled(source, ["csrc"], [*WARNINGS, *compiling]) for source in C_SOURCES]
        archive = self._archive(objects)
        for extension in self.extensions:
            (source,) = generated_sources(extension)
            flags = [*WARNINGS, *GENERATED_WARNINGS]
            # A change in csrc/ links again; only a change of a header or of the .pyx compiles again.
            extension.extra_objects = [self._compiled(source, extension.include_dirs, flags), archive]
            extension.extra_link_args = [*extension.extra_link_args, *linking]
            extension.depends = [*extension.extra_objects]
            extension.sources = []
        super().build_extensions()

    def _rebuild_all_if_flags_changed(self, codecs: list[str]) -> None:
        stamp = Path(self.build_temp, "flags.txt")
        flags = " ".join([*C_FLAGS, *WARNINGS, *GENERATED_WARNINGS, *codecs])
        if not stamp.exists() or stamp.read_text() != flags:
            self.force = True
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(flags)

    def _compiled(self, source: str, include_dirs: list[str], warnings: list[str]) -> str:
        """The object file of one C source, compiled if it or a header is newer."""
        target = self.compiler.object_filenames([source], output_dir=self.build_temp)[0]
        if self.force or stale(Path(target), [source, *C_HEADERS]):
            self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                macros=MACROS,
                include_dirs=include_dirs,
                extra_postargs=[*C_FLAGS, *warnings],
            )
        return str(target)

    def _archive(self, objects: list[str]) -> str:
        name = self.compiler.static_lib_format % ("pkf", self.compiler.static_lib_extension)
        archive = Path(self.build_temp, name)
        if self.force or stale(archive, objects):
            archive.unlink(missing_ok=True)
            self.compiler.create_static_lib(objects, "pkf", output_dir=self.build_temp)
        return str(archive)


def door(pyx: str) -> Extension:
    name = "pykafka_fast._core." + Path(pyx).stem
    return Extension(name, [pyx], include_dirs=["csrc", "pykafka_fast/_core"], extra_link_args=["-pthread"])


setup(
    ext_modules=[door(pyx) for pyx in sorted(glob("pykafka_fast/_core/*.pyx"))],
    cmdclass={"build_ext": BuildWithCsrc},
    license="Apache-2.0",
)
