#!/usr/bin/env bash
# Inference on an Ascend 310, all three steps of tools/infer_310.py, with the folder names of the model zoo's script.
set -u

usage() {
  cat <<'EOT'
Usage: tools/run_infer_310.sh MINDIR_PATH DATA_PATH DEVICE_ID [OPTION OF tools/infer_310.py] ...

  MINDIR_PATH  what tools/export.py wrote (for a card: with --static)
  DATA_PATH    picture, or folder of pictures
  DEVICE_ID    number of the card; ignored on the CPU

In the current folder appear bifile_in, result_Files, time_Result and infer_output_img; none of them may exist. But
those of a run that was killed, which leaves the file run_infer_310.unfinished, are removed.
Without mindspore_lite, MindSpore runs the file on the CPU.
Examples:
  tools/run_infer_310.sh exported/genA2B.mindir photos 0
  tools/run_infer_310.sh exported/genA2B.mindir photos 0 --img_size 64 --image_format png
Exit code: 0 done, 1 a picture could not be read (the others are done) or a failure, 2 bad input.
EOT
}

fail() { echo "tools/run_infer_310.sh: $1" >&2; exit 2; }

case "${1:-}" in -h | --help) usage; exit 0 ;; esac
[ $# -ge 3 ] && [[ $3 =~ ^[0-9]+$ ]] || fail "give MINDIR_PATH, DATA_PATH and DEVICE_ID: --help tells"
mindir=$1 data=$2 device=$3
shift 3
[ -f "$mindir" ] || fail "$mindir: no such file: give what tools/export.py wrote"
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
[ "${here##*/}" = tools ] || python=${PYTHON:-$here/../../../../bin/python} # of the environment that holds this
[ -x "$python" ] || python=$(command -v python3)
folders="bifile_in result_Files time_Result infer_output_img"

# A run fills the folders under a lock, which ends with the last of its processes. The file has contents from the moment
# when the folders are known to be the run's until its end.
mark=run_infer_310.unfinished
locked="import fcntl, sys
try: fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: sys.exit(3)
except OSError: pass  # a file system without locks"
{ exec 9>>$mark; } 2>/dev/null || fail "$mark: cannot be written: run this in a folder of your own"
"$python" -c "$locked"
[ $? -ne 3 ] || fail "another run is at work in this folder: wait for its end, or run this in another folder"
if [ -s $mark ]; then
  rm -rf $folders # of a run that was killed
fi
for folder in $folders; do
  [ ! -e $folder ] || { rm -f $mark; fail "$folder exists, of an earlier run: remove it, or run this in another folder"; }
done
echo "the folders of tools/run_infer_310.sh are not whole" >&9
done=
trap '[ -n "$done" ] || rm -rf $folders; rm -f $mark' EXIT # none of them was there before
code=0
step() { # 1 says that some pictures are bad, and named: go on with the others
  "$python" "$here/infer_310.py" "$@" --bifile_inputdir bifile_in --bifile_outputdir result_Files
  local this=$?
  [ $this -le 1 ] || exit $this
  [ -z "$(find bifile_in result_Files infer_output_img -name .unfinished 2>/dev/null)" ] || exit $this # it failed
  [ $this -eq 0 ] || code=1
}
step preprocess --data_path="$data" "$@"
step run --mindir_path="$mindir" --device_id "$device" "$@"
step postprocess "$@"
done=yes
exit $code
