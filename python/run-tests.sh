#!/bin/sh
# Tests the Python client: types, then pytest against a fake bus and against the real server.
#
#   PYTHON                 the interpreter to make the environment with (python3)
#   ARQONBUS_PYTHON_VENV   the virtual environment to use, made if it is not there; a temporary one when unset
#   CI=true                a missing Python or package is a failure, not a skip
#
# Further arguments go to pytest. Exits 77 when Python or its packages cannot be had here.
set -eu
cd "$(dirname "$0")"

python=${PYTHON:-python3}
venv=${ARQONBUS_PYTHON_VENV:-}

missing() {
  echo "!!! PYTHON CLIENT NOT TESTED: $1 !!!" >&2
  [ "${CI:-}" = true ] && exit 1
  exit 77
}

command -v "$python" > /dev/null 2>&1 || missing "there is no $python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "$python is older than 3.10"

if [ -z "$venv" ]; then
  venv=$(mktemp -d)
  trap 'rm -rf "$venv"' EXIT
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || missing "the virtual environment cannot be made"

log=$(mktemp)
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]' > "$log" 2>&1; then
  tail -n 5 "$log" >&2
  rm -f "$log"
  missing "its packages cannot be installed"
fi
rm -f "$log"

"$venv/bin/python" -m mypy
"$venv/bin/python" -m pytest "$@" && exit 0
status=$?
# In CI, where the machine is somebody else's too, a test may fail once.
[ "${CI:-}" = true ] && [ $status -eq 1 ] || exit $status
echo "--- a second try of what failed" >&2
"$venv/bin/python" -m pytest --last-failed "$@"
