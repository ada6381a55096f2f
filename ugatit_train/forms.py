"""Which form each operator of the networks takes. Nothing here imports MindSpore, for the planner asks too.

The forms of one operator compute the same values by exact algebra; float32 rounds them differently. Each field can be
chosen alone: `dataclasses.replace(CPU, cam="doubled")`. The tests compare every form with a float64 reference.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Forms:
    """The form of each operator. The defaults are the plain forms: GPU, exported files and any size take them."""

    convolution: Literal["operator", "matmul"] = "operator"
    """MindSpore's Conv2D, or im2col and matmul.

    The CPU needs matmul: there Conv2D hands oneDNN plain NCHW layouts, and with AVX-512 oneDNN then runs its reference
    implementation, hundreds of times slower (`ONEDNN_VERBOSE=1` shows `conv+ref`)."""

    tiles: bool = False
    """3 x 3 convolutions of small maps by Winograd's tiles. Their matrices are made for one size of image."""

    upsampling: Literal["large", "small"] = "large"
    """The convolution after up-sampling: of the enlarged map, or of the small one with 2.25 times fewer products."""

    padding: Literal["slices", "operator", "mirror"] = "slices"
    """Reflection by slices, which every program knows; by ReflectionPad2D, one kernel on Ascend, which the CPU lacks
    (it ends the process); or by MirrorPad, one kernel on the CPU, which Ascend computes on its slow AICPU."""

    instance_norm: Literal["moments", "group_norm", "batch_norm"] = "moments"
    """By means over the pixels, by one GroupNorm, or by the BatchNorm primitive, four times faster on the CPU."""

    adalin: Literal["folded", "groups", "maps", "unfolded"] = "folded"
    """Both norms and the affine map as one scale and shift a map, by plain operators ("folded") or by the BatchNorm
    primitive ("maps"); two normalised maps, mixed, by two GroupNorms with a backward of their own ("groups"), or as the
    paper's equation 1 has it ("unfolded")."""

    leaky_relu: Literal["relu", "prelu", "operator"] = "relu"
    """By two multiplications and ReLU, by PReLU, one kernel, or by MindSpore's LeakyReLU, which took six times as long
    on the CPU."""

    cam: Literal["folded", "doubled"] = "folded"
    """CAM's 1 x 1 convolution: the class weights folded into its own, or of the doubled map that they multiply."""

    sigma: Literal["output", "own", "weight"] = "output"
    """What spectral norm divides: a layer's output, without a copy of the weight, or the weight. "own": the output,
    with a backward of its own."""

    optimizer: Literal["products", "alpha"] = "products"
    """Adam's weight decay by a product and a sum, or by one AddExt."""

    cycles: Literal["apart", "joined"] = "apart"
    """The generators' passes: two of each, the cycled images apart, or three in all, where A to B translates A, B to A
    all of its three batches, A to B the other two: a quarter fewer kernels."""

    half: bool = False
    """Convolutions in float16, forward and backward; Conv2D only."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            choices = get_args(hint) or (True, False)
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: give one of {choices}")
        if self.half and (self.convolution, self.tiles, self.upsampling) != ("operator", False, "large"):
            raise ValueError('half=True needs convolution="operator", tiles=False and upsampling="large"')


CPU = Forms(
    convolution="matmul", tiles=True, upsampling="small", padding="mirror", instance_norm="batch_norm", adalin="maps"
)
# The plain forms in fewer kernels, of those that Ascend launches directly (aclnn); of one size of image. On the CPU,
# padding="mirror" stands for ReflectionPad2D: one kernel forward and one backward too.
ASCEND = Forms(
    padding="operator", instance_norm="group_norm", adalin="groups", leaky_relu="prelu", sigma="own", optimizer="alpha",
    cycles="joined",
)  # fmt: skip


def form_for(device: str, *, half: bool = False, any_size: bool = False) -> Forms:
    """The fastest forms on a device_target. With `any_size`, one compiled graph takes images of every size.

    Raises:
        ValueError: `half` on the CPU, which computes in float32 only.
    """
    forms = CPU if device == "CPU" else Forms()
    if device == "Ascend" and not any_size:
        forms = ASCEND
    return dataclasses.replace(forms, half=half, tiles=forms.tiles and not any_size)
