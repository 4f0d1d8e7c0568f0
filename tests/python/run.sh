#!/usr/bin/env bash
# run.sh SCRIPT ARGUMENTS: with the Python that ./dev test has installed packages for, or else the system's.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$root/build/python/bin/python
[[ -x $python ]] || python=$(command -v python3) || { echo "skipped: no python3"; exit 0; }
exec "$python" "$@"
