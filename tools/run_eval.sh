#!/usr/bin/env bash
# Judge a run on one device: tools/run_eval.sh DEVICE_ID [OPTION OF tools/evaluate.py] ...
set -eu
[[ ${1:-} =~ ^[0-9]+$ ]] || { echo "Usage: tools/run_eval.sh DEVICE_ID [OPTION OF tools/evaluate.py] ..." >&2; exit 2; }
device=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
[ "${here##*/}" = tools ] || python=${PYTHON:-$here/../../../../bin/python} # of the environment that holds this
[ -x "$python" ] || python=$(command -v python3)
exec "$python" "$here/evaluate.py" --device_id "$device" "$@"
