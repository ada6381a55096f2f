#!/usr/bin/env python
"""FLOPs and bytes of a training step, the floor on this machine, and projections for Ascend.

The counts come from the model's shapes (`performance/costs.py`), the floor from ceilings measured on this machine. The
Ascend figures are projections from published ceilings at a stated efficiency: nothing of them was measured.

    python benchmarks/roofline.py --sizes 64 128 256 --out records/roofline.json
"""

from __future__ import annotations

import argparse
import statistics
import sys

import arguments
import record

from ugatit_train.performance import ceilings, costs, roofline

EFFICIENCIES = (0.1, 0.3)  # of the roofline; networks of large convolutions reach about 0.3 to 0.5 on such processors


def count(size: int, light: bool, options: argparse.Namespace) -> list[costs.Cost]:
    n_dis = costs.n_dis_for(size, options.n_dis)
    layers = costs.networks(
        ch=options.ch, n_res=options.n_res, n_dis=n_dis, height=size, width=size, img_ch=3, light=light
    )
    return costs.step_costs(layers, options.batch)


def results_of(size: int, light: bool, machine: roofline.Machine, options: argparse.Namespace) -> list[dict]:
    counted = count(size, light, options)
    model = "light" if light else "full"
    tags = {"size": size, "model": model, "ch": options.ch, "batch": options.batch}
    found = []

    def add(what: str, unit: str, value: float, **more) -> None:
        found.append(record.result(f"{model} {size} px: {what}", unit, [value]) | {"tags": tags | more})

    products = sum(cost.flops for cost in counted if cost.is_product)
    add("products", "gflop", products / 1e9)
    add("other arithmetic", "gflop", (sum(cost.flops for cost in counted) - products) / 1e9)
    add("memory traffic at least", "gb", sum(cost.bytes for cost in counted) / 1e9)
    add("floor by products alone", "ms", products / machine.product_flop_per_s * 1e3, machine=machine.name)
    add("floor by the roofline", "ms", roofline.floor_s(counted, machine) * 1e3, machine=machine.name)
    add("of it bound by memory", "share", roofline.bound_by_memory(counted, machine), machine=machine.name)
    for ascend in roofline.ASCEND:
        floor_ms = roofline.floor_s(counted, ascend) * 1e3
        for efficiency in EFFICIENCIES:
            add(
                f"projection, {ascend.name} at {efficiency:.0%} of its roofline", "ms", floor_ms / efficiency,
                machine=ascend.name, efficiency=efficiency, projection=True,
            )  # fmt: skip
        if not light and size == 256 and options.batch == 1 and ascend.name == "Ascend 910":
            add("share of the roofline that 640 ms is", "share", floor_ms / roofline.MODEL_ZOO_MS, machine=ascend.name)
    return found


def measured_machine(scale: float, rounds: int) -> tuple[roofline.Machine, list[dict]]:
    """This machine's ceilings, and the results of measuring them. Without torch, sgemm stands for the convolution."""
    probes = ceilings.probes(scale)
    samples = {name: [probe() for _ in range(rounds)] for name, probe in probes.items()}
    results = [record.result(f"ceiling, {name}", ceilings.UNITS[name], values) for name, values in samples.items()]
    product = "convolution" if "convolution" in samples else "sgemm"
    machine = roofline.Machine(
        name="this machine",
        product_flop_per_s=statistics.median(samples[product]) * 1e9,
        bytes_per_s=statistics.median(samples["copy"]) * 1e9,
        source=f"measured: {product}, copy",
    )
    return machine, results


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__)
    arguments.add_model(parser, [64, 128, 256])
    parser.add_argument("--rounds", type=arguments.count, default=5, help="samples of each ceiling")
    parser.add_argument("--ceiling_scale", type=float, default=1.0, help="smaller probes of the ceilings, for tests")
    options = parser.parse_args(argv)
    machine, results = measured_machine(options.ceiling_scale, options.rounds)
    for size in options.sizes:
        for light in (True, False):
            results += results_of(size, light, machine, options)
    sources = {ascend.name: ascend.source for ascend in roofline.ASCEND}
    record.finish("roofline", options, {"published ceilings": sources}, results, ["numpy", "torch"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
