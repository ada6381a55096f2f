"""FLOPs and bytes of the networks and of a whole step, counted from their shapes. Nothing here imports MindSpore.

A multiply-add is 2 FLOPs. Bytes are the least that a layer must move: its inputs, weights and outputs once each, in
float32; convolutions of forms with `half` move float16, and what turns one into the other is a cost of its own. Counts
are those of the paper's algorithm, which enlarges a map before its convolution; `small_upsampling` counts the
convolution of the small map instead.
"""

from dataclasses import dataclass

from ugatit_train.forms import CPU, Forms

FLOAT_BYTES, HALF_BYTES = 4, 2
# FLOPs for each output element of the layers that are no matrix products. They are few: memory decides the time.
_POINT_FLOPS = {"pad": 0, "norm": 8, "activation": 1, "pool": 2, "add": 1, "upsample": 0}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer for one sample: numbers of elements, and the FLOPs of the forward pass."""

    name: str
    kind: str  # conv | linear | pad | norm | activation | pool | add | upsample
    inputs: int
    outputs: int
    flops: int
    weights: int = 0  # biases included
    biases: int = 0

    @property
    def is_product(self) -> bool:
        """Whether it is a matrix product or a convolution."""
        return self.kind in ("conv", "linear")


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One use of a network in a step: how many samples go forward, and which gradients are computed."""

    network: str
    samples: int
    weight_gradient: bool
    input_gradient: bool  # with respect to the network's input


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a layer costs in one pass, forward and backward; or what an update of the weights costs."""

    network: str
    layer: str
    kind: str
    flops: int
    bytes: int
    is_product: bool = False


class _Walk:
    """Follows a map (c, h, w) through a network and lists its layers."""

    def __init__(self, c: int, h: int, w: int):
        self.c, self.h, self.w = c, h, w
        self.layers: list[Layer] = []

    @property
    def size(self) -> int:
        return self.c * self.h * self.w

    def point(self, name: str, kind: str, pad: int = 0, scale: int = 1) -> None:
        before = self.size
        self.h, self.w = (self.h + 2 * pad) * scale, (self.w + 2 * pad) * scale
        flops = _POINT_FLOPS[kind] * self.size
        self.layers.append(Layer(name=name, kind=kind, inputs=before, outputs=self.size, flops=flops))

    def conv(self, name: str, c_out: int, k: int, stride: int = 1, bias: bool = False, flops_over: float = 1.0) -> None:
        before, weights = self.size, c_out * self.c * k * k
        self.h, self.w = (self.h - k) // stride + 1, (self.w - k) // stride + 1
        flops = round(2 * weights * self.h * self.w / flops_over)
        self.c = c_out
        biases = c_out if bias else 0
        self.layers.append(
            Layer(
                name=name, kind="conv", inputs=before, outputs=self.size, flops=flops, weights=weights + biases,
                biases=biases,
            )
        )  # fmt: skip

    def linear(self, name: str, c_in: int, c_out: int) -> None:
        weights = c_in * c_out
        self.layers.append(
            Layer(name=name, kind="linear", inputs=c_in, outputs=c_out, flops=2 * weights, weights=weights)
        )

    def attention(self) -> None:
        """CAM: two classifiers of the pooled map, and the 1 x 1 convolution of the doubled map."""
        c = self.c
        self.layers.append(Layer(name="cam.pool", kind="pool", inputs=self.size, outputs=2 * c, flops=2 * self.size))
        self.linear("cam.gap_fc", c, 1)
        self.linear("cam.gmp_fc", c, 1)
        self.c = 2 * c
        self.conv("cam.conv1x1", c, 1, bias=True)
        self.point("cam.activation", "activation")


def generator_layers(
    *, ch: int, n_res: int, height: int, width: int, img_ch: int, light: bool, small_upsampling: bool = False
) -> list[Layer]:
    """The layers of `networks.ugatit.Generator`, in order."""
    walk = _Walk(img_ch, height, width)

    def block(name: str, c: int, k: int, stride: int = 1) -> None:
        walk.point(f"{name}.pad", "pad", pad=k // 2)
        walk.conv(name, c, k, stride)
        walk.point(f"{name}.norm", "norm")

    for name, c, k, stride in (("down0", ch, 7, 1), ("down1", 2 * ch, 3, 2), ("down2", 4 * ch, 3, 2)):
        block(name, c, k, stride)
        walk.point(f"{name}.activation", "activation")
    c = 4 * ch
    for kind in ("res", "adares"):
        if kind == "adares":
            walk.attention()
            if light:
                walk.layers.append(Layer(name="fc.pool", kind="pool", inputs=walk.size, outputs=c, flops=walk.size))
            walk.linear("fc1", c if light else walk.size, c)
            for name in ("fc2", "gamma", "beta"):
                walk.linear(name, c, c)
        for i in range(n_res):
            block(f"{kind}.{i}.conv1", c, 3)
            walk.point(f"{kind}.{i}.activation", "activation")
            block(f"{kind}.{i}.conv2", c, 3)
            walk.point(f"{kind}.{i}.add", "add")
    for i, c in enumerate((2 * ch, ch)):
        walk.point(f"up{i}.upsample", "upsample", scale=2)
        walk.point(f"up{i}.pad", "pad", pad=1)
        walk.conv(f"up{i}.conv", c, 3, flops_over=2.25 if small_upsampling else 1.0)
        walk.point(f"up{i}.norm", "norm")
        walk.point(f"up{i}.activation", "activation")
    walk.point("out.pad", "pad", pad=3)
    walk.conv("out", img_ch, 7)
    walk.point("out.activation", "activation")
    return walk.layers


def discriminator_layers(*, ch: int, n_layers: int, height: int, width: int, img_ch: int) -> list[Layer]:
    """The layers of `networks.ugatit.Discriminator`, in order."""
    walk = _Walk(img_ch, height, width)
    for i in range(n_layers - 1):
        walk.point(f"convs.{i}.pad", "pad", pad=1)
        walk.conv(f"convs.{i}", ch * 2**i, 4, stride=2 if i < n_layers - 2 else 1, bias=True)
        walk.point(f"convs.{i}.activation", "activation")
    walk.attention()
    walk.point("conv.pad", "pad", pad=1)
    walk.conv("conv", 1, 4)
    return walk.layers


def n_dis_for(size: int, n_dis: int) -> int:
    """The largest n_dis, from 4 to the given one, whose global discriminator takes images of `size` pixels."""
    while n_dis > 4 and size < 3 * 2 ** (n_dis - 1):
        n_dis -= 1
    return n_dis


def step_passes(batch: int, cycles: str = "apart") -> list[Pass]:
    """The passes of `training.step.Step`: the generators once for both updates, then the cycle, or joined with it."""
    passes = []
    if cycles == "joined":
        passes.append(Pass(network="genA2B", samples=batch, weight_gradient=True, input_gradient=False))
        passes.append(Pass(network="genB2A", samples=3 * batch, weight_gradient=True, input_gradient=True))
        passes.append(Pass(network="genA2B", samples=2 * batch, weight_gradient=True, input_gradient=True))
    for g in ("genA2B", "genB2A") if cycles == "apart" else ():
        passes.append(Pass(network=g, samples=2 * batch, weight_gradient=True, input_gradient=False))
        passes.append(Pass(network=g, samples=batch, weight_gradient=True, input_gradient=True))
    for d in ("disGA", "disGB", "disLA", "disLB"):
        passes.append(Pass(network=d, samples=2 * batch, weight_gradient=True, input_gradient=False))
        passes.append(Pass(network=d, samples=batch, weight_gradient=False, input_gradient=True))
    return passes


def networks(
    *, ch: int, n_res: int, n_dis: int, height: int, width: int, img_ch: int, light: bool,
    small_upsampling: bool = False,
) -> dict[str, list[Layer]]:  # fmt: skip
    """The layers of all six networks, by the networks' names."""
    size = {"height": height, "width": width, "img_ch": img_ch}
    g = generator_layers(ch=ch, n_res=n_res, light=light, small_upsampling=small_upsampling, **size)
    d_global = discriminator_layers(ch=ch, n_layers=n_dis + 1, **size)
    d_local = discriminator_layers(ch=ch, n_layers=n_dis - 1, **size)
    return {"genA2B": g, "genB2A": g, "disGA": d_global, "disGB": d_global, "disLA": d_local, "disLB": d_local}


def step_costs(
    layers: dict[str, list[Layer]], batch: int, spectral_norm: bool = True, forms: Forms = CPU
) -> list[Cost]:
    """Every cost of one step; `layers` as `networks` gives them: all passes, spectral norm, Adam, copies of weights."""
    costs = _layer_costs_of(layers, batch, forms)
    for network, its_layers in layers.items():
        weights = sum(layer.weights for layer in its_layers)
        # reads the gradient; reads and writes the weight and both moments
        costs.append(
            Cost(network=network, layer="adam", kind="adam", flops=14 * weights, bytes=7 * weights * FLOAT_BYTES)
        )
        copied = copied_weights(network, weights, forms)
        if copied:
            costs.append(Cost(network=network, layer="copy", kind="copy", flops=0, bytes=2 * copied * FLOAT_BYTES))
        if forms.half:
            costs.append(_loss_scale_cost(network, weights))
        if spectral_norm and network.startswith("dis"):
            products = [layer for layer in its_layers if layer.is_product and layer.name != "cam.conv1x1"]
            normed = sum(layer.weights - layer.biases for layer in products)
            # five products with W: W^T u and W v of the iteration, W v for sigma in two passes, u v^T for its gradient
            costs.append(
                Cost(network=network, layer="spectral_norm", kind="spectral_norm", flops=10 * normed,
                     bytes=5 * normed * FLOAT_BYTES)
            )  # fmt: skip
    return costs


def copied_weights(network: str, weights: int, forms: Forms) -> int:
    """Elements that MindSpore copies in a step because they are read several times, which it does but on the CPU.

    Counted in the compiler's graph of Ascend's forms: the discriminators' weights twice; with a loss scale five times,
    and their moments once each. The generators' few rhos are left out.
    """
    if forms.convolution == "matmul" or not network.startswith("dis"):
        return 0
    return (7 if forms.half else 2) * weights


def _loss_scale_cost(network: str, weights: int) -> Cost:
    """Of a dynamic loss scale, which float16 has by default, with the discriminators updated first.

    A gradient is divided (2), looked at (1), and made zero if the update is skipped (2). The discriminators' weights
    and moments are copied before their update (3 x 2), chosen after the generators' (3 x 3), written back (3 x 2).
    """
    moved = 5 * weights + (21 * weights if network.startswith("dis") else 0)
    return Cost(network=network, layer="loss_scale", kind="loss_scale", flops=0, bytes=moved * FLOAT_BYTES)


def _layer_costs_of(layers: dict[str, list[Layer]], batch: int, forms: Forms = CPU) -> list[Cost]:
    costs = []
    for p in step_passes(batch, forms.cycles):
        for position, layer in enumerate(layers.get(p.network, ())):
            is_half = forms.half and layer.kind == "conv"
            costs.append(_layer_cost(p, position, layer, HALF_BYTES if is_half else FLOAT_BYTES))
            if is_half:
                costs.append(_cast_cost(p, position, layer))
    return costs


def _layer_cost(p: Pass, position: int, layer: Layer, element_bytes: int = FLOAT_BYTES) -> Cost:
    moved = layer.inputs + layer.outputs
    flops, elements = layer.flops * p.samples, moved * p.samples + layer.weights
    if _gives_input_gradient(p, position):
        flops += layer.flops * p.samples
        elements += moved * p.samples + layer.weights
    if layer.weights and p.weight_gradient:
        flops += layer.flops * p.samples
        elements += moved * p.samples + layer.weights
    return Cost(
        network=p.network, layer=layer.name, kind=layer.kind, flops=flops, bytes=elements * element_bytes,
        is_product=layer.is_product,
    )  # fmt: skip


def _cast_cost(p: Pass, position: int, layer: Layer) -> Cost:
    """Of input, weight and output to the other type, and of their gradients back: each read and written once."""
    elements = (layer.inputs + layer.outputs) * p.samples + layer.weights
    elements += layer.outputs * p.samples  # the gradient that comes in
    if _gives_input_gradient(p, position):
        elements += layer.inputs * p.samples
    if p.weight_gradient:
        elements += layer.weights
    return Cost(network=p.network, layer=layer.name, kind="cast", flops=0, bytes=elements * (FLOAT_BYTES + HALF_BYTES))


def _gives_input_gradient(p: Pass, position: int) -> bool:
    return p.input_gradient or position > 1  # layers 0 and 1, padding and convolution, take the images themselves
