"""The options of a training run: names (the model zoo's), types, ranges and defaults.

`arguments.py` reads them from files and command lines, `saved.py` keeps them. Nothing here imports MindSpore.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import Literal

from ugatit_data.commands import command
from ugatit_data.files import user_path
from ugatit_train.options import values
from ugatit_train.options.schedule import Schedule
from ugatit_train.options.values import OptionError, option

# The options that name a file or folder of this machine.
PATHS = (
    "data_path", "output_path", "load_path", "inception_ckpt_path", "eval_outputdir", "graph_path", "compile_cache",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides a training run. `ugatit train --help` says what each option does.

    Raises:
        OptionError: a value of another type or out of its range, or two values that contradict each other.
    """

    # where from, where to
    dataset: str = option("selfie2anime", "name of a converted data set in the folder ./dataset; see --data_path")
    data_path: str = option("", "path of a converted data set (the folder with dataset.json); beats --dataset")
    output_path: str = option("results", "folder of the run: options, checkpoints, metrics, sample pictures")
    resume: bool = option(False, "go on from the last checkpoint in --output_path, with the options saved there")
    load_path: str = option("", "with --resume or --phase test: folder of the run, if it is not --output_path")
    change_batch: bool = option(False, "with --resume: with another batch, counted over all devices")
    phase: Literal["train", "test"] = option("train", f"train, or test: judge a run, as {command('evaluate')} does")
    compute_metrics: bool = option(False, "with --phase test: KID, by --inception_ckpt_path")
    inception_ckpt_path: str = option(
        "", f"with --compute_metrics or --eval_freq: InceptionV3 for KID, see {command('import_inception')}"
    )
    eval_outputdir: str = option("", "with --phase test: folder for the results; test in --output_path if not given")
    dry_run: bool = option(False, "check everything, print the options and an estimate of memory and time, and stop")

    # ModelArts, or other object storage: s3://BUCKET/FOLDER, obs://BUCKET/FOLDER
    enable_modelarts: bool = option(False, "take the data from --data_url and bring the results to --train_url")
    data_url: str = option("", "URL of a converted data set; it is copied into --data_path (cache/data)")
    train_url: str = option("", "URL that the results are copied to, at each checkpoint and at the end")
    checkpoint_url: str = option("", "with --resume or --phase test: URL of the run, copied into --load_path")

    # how long, how often
    iteration: int | None = option(None, "length of the run in steps; 1000000 if --epoch is not given either", least=1)
    epoch: int | None = option(None, "length of the run in passes of the larger domain, instead of steps", least=1)
    decay_flag: bool = option(True, "let the learning rate fall linearly to 0 in the last part of the run")
    decay_epoch: int | None = option(None, "passes before the fall begins; half of the run if not given", least=0)
    print_freq: int | str = option(1000, "steps between two sample pictures; with the suffix e, passes: 1e, 5e")
    save_freq: int | str = option(
        100000, "steps between two checkpoints (half an hour at most); with the suffix e, passes: 1e, 5e"
    )
    eval_freq: int | str | None = option(
        None, "steps between two evaluations on test pictures, 100 of each domain at most; the best checkpoint is kept;"
        " by KID with --inception_ckpt_path; with the suffix e, passes: 1e, 5e; none if not given"
    )  # fmt: skip
    tensorboard: bool = option(False, "also write TensorBoard's events into tensorboard/, by tensorboardX")
    keep: int = option(3, "checkpoints kept, the newest ones", least=1)

    # numbers of the training
    batch_size: int = option(1, "images of each domain in a step, per device", least=1)
    lr: float = option(1e-4, "learning rate of Adam(0.5, 0.999)", above=0)
    weight_decay: float = option(1e-4, "weight decay, added to the gradient", least=0)
    adv_weight: float = option(1.0, "weight of the adversarial loss", least=0)
    cycle_weight: float = option(10.0, "weight of the cycle loss", least=0)
    identity_weight: float = option(10.0, "weight of the identity loss", least=0)
    cam_weight: float = option(1000.0, "weight of the CAM loss", least=0)
    use_global_norm: bool = option(False, "clip the gradients of each optimizer to a global norm of 1")
    precision: Literal["float32", "hf32", "float16"] | None = option(
        None, "of the convolutions; if not given, the device's: float32 on CPU and GPU, hf32 on Ascend, "
        "float16 on the first Ascend 910, which has no other"
    )  # fmt: skip
    amp: bool = option(False, "the old name of --precision float16")
    loss_scale: float | Literal["dynamic"] | None = option(
        None, "factor of the losses in the backward pass, or dynamic; if not given, dynamic in float16, otherwise 1"
    )
    ema: float = option(
        0.0, "decay of an average of the generators' weights, 0.999, with which pictures are then made; 0: none",
        least=0,
    )  # fmt: skip
    update_order: Literal["d_first", "g_first"] = option("d_first", "which is updated first: d_first is the paper's")
    seed: int = option(1, "seed of weights, order and augmentation (0 to 2**32 - 1)", least=0)

    # the networks
    light: bool = option(False, "the light generator: its AdaLIN parameters come from pooled features")
    ch: int = option(64, "channels of the first layer", least=1)
    n_res: int = option(4, "residual blocks in each half of the generator", least=1)
    n_dis: int = option(6, "size of the discriminators: n_dis + 1 layers the global, n_dis - 1 the local one", least=4)
    img_size: int | str = option(
        256, "height and width of the images in pixels, multiples of 4; HEIGHTxWIDTH with --light: 128x256"
    )
    img_ch: Literal[3, 1] = option(3, "channels of the images: 3 RGB, 1 gray")
    padding: Literal["reflect", "zero"] = option("reflect", "padding of the convolutions: reflect is the paper's")
    spectral_norm: bool = option(True, "spectral norm on the discriminators (the paper's; the model zoo has none)")
    sn_iterations: Literal["per_step", "per_pass"] = option(
        "per_step", "power iterations: one a step shared by its passes, or one a pass as in the paper's code"
    )

    # the machine
    distributed: bool = option(
        False, f"train with the processes that {command('launch')}, msrun or a rank table's platform started"
    )
    device_target: Literal["CPU", "GPU", "Ascend"] = option("CPU", "device to train on")
    device_id: int = option(0, "number of the device; not used with --distributed", least=0)
    jit_level: Literal["O0", "O1", "O2"] | None = option(
        None, "level of compilation: kernel by kernel (O0), with kernels fused (O1; on the CPU as O0) or, on "
        "Ascend, as one graph (O2); if not given, MindSpore's own: O0, on the first Ascend 910 O2"
    )  # fmt: skip
    recompute: bool = option(
        False, "keep less for the backward pass and compute it again: on the CPU a fifth less memory, a tenth more time"
    )
    threads: int | None = option(None, "threads that decode images; one per core if not given", least=1)
    compile_cache: str = option(
        "auto", "folder of compiled graphs, from which a start with the same settings takes its own; off: none; auto: "
        "ugatit/graphs in the user's cache folder, on the CPU only, or what UGATIT_COMPILE_CACHE says"
    )  # fmt: skip
    enable_profiling: bool = option(False, "profile steps 3 to 5 of the run into the folder profile of --output_path")
    save_graphs: bool = option(False, "write the compiler's graphs into --graph_path")
    graph_path: str = option("graph_path", "folder for --save_graphs")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if getattr(value, "shape", None) == ():  # a number of NumPy's
                object.__setattr__(self, field.name, value.item())
            values.check_type(Options, field.name, getattr(self, field.name))
            values.check_range(field, getattr(self, field.name))
        for name in PATHS:
            if value := getattr(self, name):
                object.__setattr__(self, name, str(user_path(value)))
        if self.seed >= 2**32:
            raise OptionError(f"--seed {self.seed} is too large: give 0 to {2**32 - 1}")
        if self.iteration is not None and self.epoch is not None:
            raise OptionError(
                f"--iteration {self.iteration} and --epoch {self.epoch} both set the length: give one of them"
            )
        if self.decay_epoch is not None and self.epoch is not None and self.decay_epoch > self.epoch:
            raise OptionError(
                f"--decay_epoch {self.decay_epoch} lies after the last pass: give at most --epoch {self.epoch}"
            )
        for side in (sides := self.image_size):
            if side % 4:
                shown = side if sides[0] == sides[1] else f"{self.img_size}: {side}"
                raise OptionError(
                    f"--img_size {shown} is not a multiple of 4: give {max(side // 4 * 4, 4)} or {side // 4 * 4 + 4}"
                )
        if sides[0] != sides[1] and not self.light:
            raise OptionError(
                f"--img_size {self.img_size}: the full generator takes squares: give one number, or --light"
            )
        smallest = smallest_image(self.n_dis + 1)
        if min(sides) < smallest:
            fitting = int(math.log2(min(sides) / 3)) + 1
            remedy = f"give --n_dis {fitting}, or" if fitting >= 4 else "give"
            raise OptionError(
                f"--img_size {self.img_size} is too small for --n_dis {self.n_dis}: "
                f"{remedy} --img_size {smallest} or more"
            )
        self._settle_precision()
        if self.jit_level == "O2" and self.device_target != "Ascend" and self.phase == "train":
            raise OptionError("--jit_level O2 is Ascend's: give O0 or O1, or leave it out")
        if isinstance(self.loss_scale, int | float) and not 1 <= self.loss_scale <= 2**24:
            raise OptionError(f"--loss_scale {self.loss_scale:g} is out of range: give 1 to {2**24}, or dynamic")
        if self.ema >= 1:
            raise OptionError(f"--ema {self.ema:g} is out of range: give less than 1, such as 0.999, or 0 for none")
        if self.compute_metrics and self.phase != "test":
            raise OptionError("--compute_metrics goes with --phase test: give both, or neither")
        if self.compute_metrics and not self.inception_ckpt_path:
            raise OptionError("--compute_metrics needs --inception_ckpt_path, the InceptionV3 that KID is defined on")
        if not self.compile_cache:
            raise OptionError("--compile_cache is empty: give auto, off or a folder")
        if self.change_batch and not self.resume:
            raise OptionError("--change_batch goes with --resume: give both, or neither")
        for name in ("load_path", "checkpoint_url"):
            if getattr(self, name) and not self.resume and self.phase != "test":
                raise OptionError(f"--{name} {getattr(self, name)} goes with --resume: give both, or neither")
        for name in ("data_url", "train_url", "checkpoint_url"):
            if getattr(self, name) and not self.enable_modelarts:
                raise OptionError(f"--{name} {getattr(self, name)} goes with --enable_modelarts: give both, or neither")
        values.frequency("print_freq", self.print_freq)
        values.frequency("save_freq", self.save_freq)
        if self.eval_freq is not None:
            values.frequency("eval_freq", self.eval_freq)

    def _settle_precision(self) -> None:
        """Makes `amp` and `precision` say the same; Ascend's own precision is known once its chip is."""
        if self.amp and self.precision not in (None, "float16"):
            raise OptionError(
                f"--amp is --precision float16, and contradicts --precision {self.precision}: give one of them"
            )
        if self.device_target == "CPU" and self.phase == "test":  # of a run of any precision
            object.__setattr__(self, "precision", "float32")
            object.__setattr__(self, "amp", False)
        shown = "--amp" if self.amp else f"--precision {self.precision}"
        precision = "float16" if self.amp else self.precision
        if self.device_target == "CPU" and precision not in (None, "float32"):
            raise OptionError(f"{shown}: the CPU computes in float32: leave it out, or give --device_target")
        if self.device_target == "GPU" and precision == "hf32":
            raise OptionError("--precision hf32 is Ascend's: give float32 or float16")
        if precision is None and self.device_target != "Ascend":
            precision = "float32"
        object.__setattr__(self, "precision", precision)
        object.__setattr__(self, "amp", precision == "float16")

    @property
    def data_folder(self) -> Path:
        """The converted data set's folder."""
        return Path(self.data_path) if self.data_path else Path("dataset") / self.dataset

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels. Raises OptionError."""
        match = re.fullmatch(r"0*([1-9]\d*)(?:x0*([1-9]\d*))?", str(self.img_size))
        if not match:
            raise OptionError(f"--img_size {self.img_size}: give pixels such as 256, or height and width as 128x256")
        return int(match[1]), int(match[2] or match[1])

    def schedule(self, steps_per_epoch: int) -> Schedule:
        """The lengths in steps, for a data set whose larger domain takes `steps_per_epoch` steps a pass.

        Raises:
            OptionError: the decay begins after the end of the run.
        """
        iteration = self.epoch * steps_per_epoch if self.epoch is not None else self.iteration or 1_000_000
        decay_start = iteration // 2 if self.decay_epoch is None else self.decay_epoch * steps_per_epoch
        if self.decay_flag and decay_start > iteration:
            raise OptionError(
                f"--decay_epoch {self.decay_epoch} is step {decay_start}, after the last step {iteration}: give less"
            )

        def steps(name: str) -> int:
            count, passes = values.frequency(name, getattr(self, name))
            return count * steps_per_epoch if passes else count

        return Schedule(
            iteration=iteration,
            decay_start=decay_start if self.decay_flag else iteration,
            print_every=steps("print_freq"),
            save_every=steps("save_freq"),
            evaluate_every=None if self.eval_freq is None else steps("eval_freq"),
        )


def smallest_image(n_layers: int) -> int:
    """The smallest height and width, in pixels, that a discriminator of n_layers convolutions takes.

    All but the last two halve the map; those two, 4 x 4 with stride 1, take a row and a column each.
    """
    return 3 * 2 ** (n_layers - 2)
