#!/usr/bin/env bash
# python_test.sh KISIM: builds and installs the Python package as `pip install .` does, then runs its tests, some of
# which compare with the program.
set -euo pipefail

export KISIM=$(realpath "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$("$root/tests/python/environment.sh")

"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation "$root"
cd "$root/python/tests"
exec "$python" -m pytest -q -p no:cacheprovider --durations=5 .
