#!/usr/bin/env bash
# Writes requirements/runtime.txt, dev.txt, bench.txt, sshbench.txt, fuzz.txt and services.txt: every package of the set, pinned with the
# hashes of all its files, valid for each supported Python and platform. What is already pinned
# stays; with UPGRADE=1 everything moves to the newest version that pyproject.toml allows.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:?usage: tools/lock.sh PYTHON}
"$python" -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

options=(--universal --python-version 3.11 --generate-hashes --no-annotate --no-header
         --no-emit-index-url --no-emit-find-links --quiet)
[ "${UPGRADE:-}" = 1 ] && options+=(--upgrade)

# compile NAME SOURCES ARGS...: resolves into requirements/NAME.txt and puts the heading on top.
compile() {
    local file=requirements/$1.txt sources=$2 body
    shift 2
    body=$(mktemp)
    [ -f "$file" ] && cp "$file" "$body"
    "$python" -m uv pip compile "${options[@]}" "$@" -o "$body" >/dev/null
    {
        echo "# Written by 'make lock' from $sources. Do not edit."
        cat "$body"
    } >"$file"
    rm -f "$body"
}

both='pyproject.toml and requirements/build.in'
compile runtime "$both" pyproject.toml requirements/build.in
compile dev "$both" --group pyproject.toml:dev -c requirements/runtime.txt pyproject.toml requirements/build.in
compile bench requirements/bench.in -c requirements/runtime.txt requirements/bench.in
compile sshbench requirements/sshbench.in -c requirements/runtime.txt requirements/sshbench.in
compile fuzz requirements/fuzz.in -c requirements/runtime.txt requirements/fuzz.in
compile services requirements/services.in requirements/services.in

if grep -nE '://|^-' requirements/{runtime,dev,bench,sshbench,fuzz,services}.txt; then
    echo "lock: the lines above name an address or an option; a pinned set holds neither" >&2
    exit 1
fi
