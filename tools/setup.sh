#!/usr/bin/env bash
# Brings .venv up to one of the two pinned sets: `tools/setup.sh runtime` or `tools/setup.sh dev`.
# Four more sets have environments of their own, without dts: `services` (.venv-services, servers that
# tests start), `bench` and `sshbench` (.venv-bench and .venv-sshbench, the peers of the benchmarks) and
# `fuzz` (.venv-fuzz, schemathesis).
# Does nothing when what is installed already matches; prints only when it installs or must stop.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=${1:?usage: tools/setup.sh runtime|dev|services|bench|sshbench|fuzz}
venv=.venv
case $wanted in services | bench | sshbench | fuzz) venv=.venv-$wanted ;; esac

die() { echo "dts: $*" >&2; exit 1; }

# Prints the first interpreter that is new enough and can make an environment.
find_python() {
    local name found=""
    for name in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14; do
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        if "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
        found=${found:-$("$name" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')}
    done
    [ -z "$found" ] || die "$found cannot make a virtual environment; install its package: apt-get install $found-venv"
    die "Python 3.11 or newer is missing; install it: apt-get install python3 python3-venv"
}

digest() { cat "$@" | cksum; }

# changed NAME FILES...: true unless the stamp of that name still describes the files.
changed() {
    local stamp=$venv/.dts-$1
    shift
    [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$(digest "$@")" ]
}

stamp() { local name=$1; shift; digest "$@" >"$venv/.dts-$name"; }

pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input "$@"; }

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    "$python" -m venv --clear "$venv"
fi

# The development set holds the run-time set with the same pins, so it serves for both.
sets=("$wanted")
[ "$wanted" != runtime ] || sets=(dev runtime)
current=no
for set in "${sets[@]}"; do
    changed "$set" "requirements/$set.txt" || current=yes
done
if [ $current = no ]; then
    echo "dts: installing the pinned $wanted packages into $venv (once; later starts skip this)" >&2
    pip install --require-hashes -r "requirements/$wanted.txt"
    stamp "$wanted" "requirements/$wanted.txt"
fi
if [ $venv = .venv ] && changed package pyproject.toml setup.py; then
    PYTHONWARNINGS=ignore pip install --no-deps --no-build-isolation -e .
    stamp package pyproject.toml setup.py
fi
