#!/usr/bin/env bash
# Train on one device: tools/run_standalone_train.sh DEVICE_ID [OPTION OF tools/train.py] ...
set -eu
[[ ${1:-} =~ ^[0-9]+$ ]] || { echo "Usage: tools/run_standalone_train.sh DEVICE_ID [OPTION OF tools/train.py] ..." >&2; exit 2; }
device=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
[ "${here##*/}" = tools ] || python=${PYTHON:-$here/../../../../bin/python} # of the environment that holds this
[ -x "$python" ] || python=$(command -v python3)
exec "$python" "$here/train.py" --device_id "$device" "$@"
