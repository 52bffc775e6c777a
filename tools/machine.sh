#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the machine must have before anything can be built or run. Installs it through the package manager when run as
# root, else stops with the line to run.
#
#   tools/machine.sh python    print the path of a Python >= 3.10 with venv and headers; with it comes a C compiler
#   tools/machine.sh codecs    pkg-config and the libraries that compress
#   tools/machine.sh java      Java >= 17 and Maven
set -eu

usable_python() {
    "$1" -c '
import os, sys, sysconfig
import ensurepip, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not (sys.version_info >= (3, 10) and os.path.exists(header)))' >/dev/null 2>&1
}

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10; do
        found=$(command -v "$name" 2>/dev/null) || continue
        if usable_python "$found"; then
            "$found" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

have_compiler() {
    command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1
}

have_python() {
    find_python >/dev/null && have_compiler
}

# As setup.py finds them.
have_codecs() {
    pkg_config=${PKG_CONFIG:-pkg-config}
    $pkg_config --exists libzstd liblz4 libdeflate >/dev/null 2>&1 || return 1
    $pkg_config --exists snappy >/dev/null 2>&1 && return 0
    for prefix in /usr /usr/local "$(dirname "$(dirname "$(command -v brew || echo /usr/bin/brew)")")"; do
        [ ! -e "$prefix/include/snappy-c.h" ] || return 0
    done
    return 1
}

have_java() {
    java=java
    [ -z "${JAVA_HOME:-}" ] || [ ! -x "$JAVA_HOME/bin/java" ] || java=$JAVA_HOME/bin/java
    command -v mvn >/dev/null 2>&1 || return 1
    major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ -n "$major" ] && [ "$major" -ge 17 ]
}

# The line that installs what "$1" names, for this machine's package manager; empty if we do not know it.
install_line() {
    if command -v apt-get >/dev/null 2>&1; then
        case $1 in
            python) echo "apt-get update && apt-get install -y python3 python3-venv python3-dev gcc libc6-dev" ;;
            codecs)
                echo "apt-get update && apt-get install -y pkg-config libzstd-dev liblz4-dev libsnappy-dev libdeflate-dev"
                ;;
            java) echo "apt-get update && apt-get install -y openjdk-17-jre-headless maven" ;;
        esac
    elif command -v dnf >/dev/null 2>&1; then
        case $1 in
            python) echo "dnf install -y python3.12 python3.12-devel gcc glibc-devel libasan libtsan libubsan" ;;
            codecs) echo "dnf install -y pkgconf-pkg-config libzstd-devel lz4-devel snappy-devel libdeflate-devel" ;;
            java) echo "dnf install -y java-17-openjdk-headless maven" ;;
        esac
    elif command -v apk >/dev/null 2>&1; then
        case $1 in
            python) echo "apk add python3 python3-dev gcc musl-dev linux-headers" ;;
            codecs) echo "apk add pkgconf zstd-dev lz4-dev snappy-dev libdeflate-dev" ;;
            java) echo "apk add openjdk17-jre-headless maven" ;;
        esac
    elif command -v brew >/dev/null 2>&1; then
        case $1 in
            python) echo "brew install python@3.12" ;;
            codecs) echo "brew install pkgconf zstd lz4 snappy libdeflate" ;;
            java) echo "brew install openjdk@17 maven" ;;
        esac
    fi
}

describe() {
    case $1 in
        python) echo "Python >= 3.10 with venv and headers, and a C compiler" ;;
        codecs) echo "pkg-config and the libraries zstd, lz4, snappy and libdeflate" ;;
        java) echo "Java >= 17 and Apache Maven" ;;
    esac
}

need() {
    "have_$1" && return 0
    line=$(install_line "$1")
    if [ "$(id -u)" = 0 ] && [ -n "$line" ]; then
        echo "Installing $(describe "$1"): $line" >&2
        if ! DEBIAN_FRONTEND=noninteractive sh -c "$line" </dev/null >&2; then
            echo "That failed. Needed: $(describe "$1"). Run, then try again:" >&2
            echo "    $line" >&2
            exit 1
        fi
        "have_$1" && return 0
    fi
    echo "Needed: $(describe "$1"). Run, then try again:" >&2
    if [ -z "$line" ]; then
        echo "    (no package manager known here: install it by hand)" >&2
    elif [ "$(id -u)" = 0 ] || command -v brew >/dev/null 2>&1; then
        echo "    $line" >&2
    else
        echo "    sudo sh -c '$line'" >&2
    fi
    exit 1
}

case ${1:-} in
    python)
        need python
        find_python
        ;;
    codecs) need codecs ;;
    java) need java ;;
    *)
        echo "usage: tools/machine.sh python|codecs|java" >&2
        exit 2
        ;;
esac
