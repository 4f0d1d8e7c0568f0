#!/usr/bin/env bash
# run.sh SCRIPT ARGUMENTS: in the environment of the tests in Python.
set -euo pipefail
python=$("$(dirname "${BASH_SOURCE[0]}")/environment.sh")
exec "$python" "$@"
