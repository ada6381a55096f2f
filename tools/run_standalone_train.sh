#!/usr/bin/env bash
# Train on one Ascend card: tools/run_standalone_train.sh DEVICE_ID [OPTION OF tools/train.py] ...
# --device_target CPU or GPU among the options trains there instead.
set -eu
[[ ${1:-} =~ ^[0-9]+$ ]] || { echo "Usage: tools/run_standalone_train.sh DEVICE_ID [OPTION OF tools/train.py] ..." >&2; exit 2; }
device=$1
shift
[[ " $*" == *" --device_target"* ]] || set -- --device_target Ascend "$@"
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
[ "${here##*/}" = tools ] || python=${PYTHON:-$here/../../../../bin/python} # of the environment that holds this
[ -x "$python" ] || python=$(command -v python3)
exec "$python" "$here/train.py" --device_id "$device" "$@"
