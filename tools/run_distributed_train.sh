#!/usr/bin/env bash
# Train on several devices of this machine with msrun; a failed worker ends all, and its log's last lines are shown.
set -u

usage() {
  cat <<'EOT'
Usage: tools/run_distributed_train.sh [RANK_TABLE] RANK_SIZE DEVICE_START [OPTION OF tools/train.py] ...

  RANK_TABLE    HCCL's rank table file (optional; it is handed to MindSpore as RANK_TABLE_FILE, which only Ascend reads)
  RANK_SIZE     how many workers, one a device
  DEVICE_START  number of the first device; ignored on the CPU

Environment: PYTHON (default: .venv's or the installation's, else python3), LOG_DIR (default msrun_logs), MASTER_PORT (8118).
On several hosts, on each: WORKER_NUM, all workers (default RANK_SIZE); NODE_RANK, which host this is (0); MASTER_ADDR,
the address of host 0 (127.0.0.1). On ModelArts, tools/train.py --enable_modelarts sets them and starts this.
Examples:
  tools/run_distributed_train.sh 8 0 --device_target Ascend --data_path dataset --output_path runs/eight
  tools/run_distributed_train.sh 2 0 --data_path dataset --output_path runs/two --light --img_size 64 --n_dis 5
Exit code: 0 done, 1 a worker failed, 2 bad input.
EOT
}

fail() { echo "tools/run_distributed_train.sh: $1" >&2; exit 2; }

case "${1:-}" in -h | --help) usage; exit 0 ;; esac
if [ $# -ge 1 ] && ! [[ $1 =~ ^[0-9]+$ ]]; then
  [ -f "$1" ] || fail "$1: no such rank table: give a file, or leave it out"
  RANK_TABLE_FILE=$(realpath "$1"); export RANK_TABLE_FILE
  shift
fi
[ $# -ge 2 ] && [[ $1 =~ ^[1-9][0-9]*$ ]] && [[ $2 =~ ^[0-9]+$ ]] || fail "give RANK_SIZE and DEVICE_START: --help tells"
size=$1 start=$2
shift 2

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
[ "${here##*/}" = tools ] || python=${PYTHON:-$here/../../../../bin/python} # of the environment that holds this
[ -x "$python" ] || python=$(command -v python3)
logs=${LOG_DIR:-msrun_logs}
failed='^((tools/train\.py|ugatit train): |Traceback)' # how a worker's last words begin, from a clone or an installation
devices=$(seq -s, "$start" $((start + size - 1)))
export ASCEND_RT_VISIBLE_DEVICES=${ASCEND_RT_VISIBLE_DEVICES:-$devices}
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-$devices}

"$python" "$here/train.py" "$@" --distributed true --dry_run >/dev/null || exit $?
mkdir -p "$logs"
rm -f "$logs"/worker_*.log "$logs"/scheduler.log
# In a session of its own, so that all of it can be ended: the scheduler waits ten minutes for a worker that never joins.
PATH="$(dirname "$python"):$PATH" setsid "$(dirname "$python")/msrun" --worker_num="${WORKER_NUM:-$size}" \
  --local_worker_num="$size" --node_rank="${NODE_RANK:-0}" --master_addr="${MASTER_ADDR:-127.0.0.1}" \
  --master_port="${MASTER_PORT:-8118}" --log_dir="$logs" --join=True --cluster_time_out=600 \
  "$here/train.py" "$@" --distributed true >"$logs/msrun.log" 2>&1 &
msrun=$!
trap 'kill -TERM -- -$msrun 2>/dev/null' INT TERM
while kill -0 $msrun 2>/dev/null; do
  if grep -qsE "$failed" "$logs"/worker_*.log; then
    sleep 5 # the others say what they have to
    kill -TERM -- -$msrun 2>/dev/null
    sleep 2
    kill -KILL -- -$msrun 2>/dev/null
    break
  fi
  sleep 1
done
wait $msrun
code=$?
grep -qsE "$failed" "$logs"/worker_*.log && code=1
if [ $code -eq 0 ]; then
  tail -n 3 "$logs/worker_0.log"
  exit 0
fi
for log in "$logs"/worker_*.log; do
  echo "== $log" >&2
  tail -n 12 "$log" >&2
done
echo "tools/run_distributed_train.sh: a worker failed (msrun's exit code $code): the last lines of each log are above" >&2
exit 1
