"""The options of the model zoo's U-GAT-IT (mindspore-ai/models, research/cv/U-GAT-IT) in ours: names, values, units.

Its default_config.yaml holds three documents: the values, their descriptions and their choices. Options of all of its
programs stand in it. An epoch of it is three passes over the larger domain: its loader repeats the data three times.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ugatit_data.commands import command
from ugatit_data.dataset.manifest import DATASET_FILE
from ugatit_data.files import user_path

LENGTHS = ("epoch", "decay_epoch", "print_freq", "save_freq")
PASSES = 3  # over the larger domain in its epoch
PRINTED_BY_310 = "./infer_output_img"  # its eval_outputdir is that of postprocess.py
RENAMED = {"ckpt_path": "output_path"}  # on ModelArts: the local folder of the results

# Its names that are no options of `train`: the values that ask for nothing (and pass), and the tool to use.
_OFF = (False, None, "")
NOT_HERE: dict[str, tuple[tuple[Any, ...], str]] = {
    "device_num": ((1,), ""),
    "genA2B_ckpt": ((*_OFF, "./results/selfie2anime_genA2B_params_latest.ckpt"), "export"),
    "MINDIR_outdir": ((*_OFF, "./mindir_result"), "export"),
    "export_file_format": ((*_OFF, "MINDIR"), "export"),
    "bifile_inputdir": ((*_OFF, "./bifile_in"), "infer_310"),
    "bifile_outputdir": ((*_OFF, "./bifile_out"), "infer_310"),
}

# Values of its file that ask for nothing here, and that our options of these names would not pass over.
_PASSED_OVER = {
    "load_path": "/cache/checkpoint_path",
    "inception_ckpt_path": "/path/to/inception_for_metrics.ckpt",
    "eval_outputdir": PRINTED_BY_310,
}


def refusal(name: str, value: Any) -> str:
    """Why an option in `NOT_HERE` does not pass with this value, and what to do; nothing if it passes."""
    passing, tool = NOT_HERE[name]
    if any(value is fine or (value == fine and not isinstance(value, bool)) for fine in passing):
        return ""
    if tool:
        return f"it is an option of {command(tool)}: leave it out"
    return f"the number of devices is the launcher's: use {command('launch')}"


def is_its_file(documents: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a file of options is the model zoo's: only that has several documents, or names of its other tools."""
    return any(documents[1:]) or any(name in documents[0] for name in (*NOT_HERE, *RENAMED))


def translate(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """The values of its file as ours; what was changed, in words; and what is refused, each with the remedy.

    Names that are in `NOT_HERE` are left out: `refusal` is for them.
    """
    ours = {name: value for name, value in values.items() if name not in NOT_HERE and value != _PASSED_OVER.get(name)}
    refused, told = [], []
    if ours.get("eval_outputdir"):
        refused.append(
            f"eval_outputdir {ours.pop('eval_outputdir')}: the pictures of the 310 are those of "
            f"{command('infer_310')} --eval_outputdir; for --phase test give --eval_outputdir on the command line"
        )
    results = ours.pop("ckpt_path", None)
    if results:
        if ours.get("output_path", "results") not in ("results", results):
            refused.append(f"ckpt_path {results}: output_path names the folder of the results too: give one of them")
        ours["output_path"] = results
    for name in ("device_id", *LENGTHS):  # in quotes
        if str(ours.get(name, "")).isdigit():
            ours[name] = int(ours[name])
    told += _units(ours)
    told += _data(ours)
    return ours, told, refused


def _units(ours: dict[str, Any]) -> list[str]:
    """Turns its epochs into passes, in place; what became of them."""
    if ours.get("iteration") is not None:  # as in its README, where all are steps
        return []
    told = []
    for name in LENGTHS:
        count = ours.get(name)
        if type(count) is int and count > 0:
            ours[name] = PASSES * count if name.endswith("epoch") else f"{PASSES * count}e"
            told.append(f"{name} {count} is {ours[name]} here")
    return [f"its epoch is {PASSES} passes: {', '.join(told)}"] if told else []


def _data(ours: dict[str, Any]) -> list[str]:
    """Its data set is the folder `dataset` in `data_path`, in place; what became of it."""
    folder = ours.get("data_path")
    if (
        not folder
        or not isinstance(folder, str)
        or ours.get("enable_modelarts")
        or (user_path(str(folder)) / DATASET_FILE).is_file()
    ):
        return []
    if Path(folder) == Path("dataset"):
        del ours["data_path"]  # our own default, which --dataset fits
        return []
    ours["data_path"] = str(Path(folder) / str(ours.get("dataset", "selfie2anime")))
    return [f"its data set is {ours['data_path']}"]
