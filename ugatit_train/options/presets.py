"""Sets of defaults under one name, for `--preset`. A file and the command line beat them.

Of the model zoo: what its public source (mindspore-ai/models, research/cv/U-GAT-IT) does, and its default_config.yaml
says, other than this program. Its loss scale is a power of two: in float32 the gradients lose it again to the digit,
so it is the same on every device, and a run may go on on another one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugatit_train.options.config import Options
from ugatit_train.options.saved import FIXED_ON_RESUME
from ugatit_train.options.values import OptionError

PRESETS: dict[str, dict[str, Any]] = {
    "model_zoo": {
        "padding": "zero",
        "spectral_norm": False,
        "update_order": "g_first",
        "loss_scale": 1024.0,
        "use_global_norm": True,
    },
    "paper": {  # and of its public code, which iterates spectral norm in every pass
        "padding": "reflect",
        "spectral_norm": True,
        "sn_iterations": "per_pass",
        "update_order": "d_first",
        "use_global_norm": False,
    },
}
_NETWORKS = ("padding", "spectral_norm", "sn_iterations")


def defaults(name: str | None) -> dict[str, Any]:
    """The defaults that a preset gives; none without a name. Raises OptionError where there is no such preset."""
    if name is None:
        return {}
    if name not in PRESETS:
        raise OptionError(f"--preset {name}: give {' or '.join(PRESETS)}")
    return PRESETS[name]


def check_fits(name: str | None, given: Mapping[str, Any], before: Options, source: Path) -> None:
    """Raises OptionError where a run that goes on, from `source`, has not what the preset says of its networks.

    What is `given` beside the preset beats it. Judging a run asks for equal networks only.
    """
    for option, value in defaults(name).items():
        if given.get("phase") == "test" and option not in _NETWORKS:
            continue
        was = getattr(before, option)
        if option in FIXED_ON_RESUME and option not in given and was != value:
            raise OptionError(
                f"--preset {name}: the run in {source} has {option} {was}, not {value}: leave --preset out, "
                "or begin a new run with another --output_path"
            )
