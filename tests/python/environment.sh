#!/usr/bin/env bash
# environment.sh: prints the interpreter of build/venv, the virtual environment of all tests in Python, once it is as
# python/requirements-test.txt wants it. It sees Debian's packages, torch among them. Exit code 77: there is none.
set -euo pipefail

skip() { echo "skipped: $1" >&2; exit 77; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$root/build/venv
requirements=$root/python/requirements-test.txt

/usr/bin/python3 -c 'import ensurepip, torch' 2>/dev/null ||
  skip "needs Debian's python3-dev, python3-torch and python3-venv; ./dev test installs them"

mkdir -p "$root/build"
exec 9>"$venv.lock"
flock 9
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  rm -rf "$venv"
  /usr/bin/python3 -m venv --system-site-packages "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2 ||
    skip "pip could not install $requirements"
  cp "$requirements" "$venv/requirements.txt"
fi
echo "$venv/bin/python"
