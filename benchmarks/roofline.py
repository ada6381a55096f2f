#!/usr/bin/env python
"""FLOPs and bytes of a training step, the floor on this machine, and projections for Ascend.

The counts come from the model's shapes (`performance/costs.py`), the floor from ceilings measured on this machine. The
Ascend figures are projections, each chip at its own precision: published ceilings at a stated efficiency, and the
launches of the step's kernels, 5 to 10 us an aclnn, 20 to 40 us an aclop. Nothing of them was measured on a card.

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


PARTS_AT = 0.3  # of the roofline: the account by part


def networks(size: int, light: bool, options: argparse.Namespace) -> dict[str, list[costs.Layer]]:
    n_dis = costs.n_dis_for(size, options.n_dis)
    return costs.networks(
        ch=options.ch, n_res=options.n_res, n_dis=n_dis, height=size, width=size, img_ch=3, light=light
    )


def results_of(size: int, light: bool, machine: roofline.Machine, options: argparse.Namespace) -> list[dict]:
    layers = networks(size, light, options)
    counted = costs.step_costs(layers, options.batch)
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
    for chip in roofline.ASCEND:
        for efficiency in EFFICIENCIES:
            projected = roofline.project(layers, options.batch, light, chip, efficiency=efficiency)
            named = {"machine": chip.name, "precision": projected.precision, "efficiency": efficiency}
            what = f"projection, {chip.name} in {projected.precision} at {efficiency:.0%} of its roofline"
            low, high = (seconds * 1e3 for seconds in projected.step_s)
            add(what, "ms", projected.layers_s * 1e3, **named)
            add(f"{what}, launches at least", "ms", low, projection=True, **named)
            add(f"{what}, launches at most", "ms", high, projection=True, **named)
            if size == 256 and efficiency == PARTS_AT:
                launches = zip(("launches at least", "launches at most"), projected.launches_s, strict=True)
                for part, seconds in (projected.parts_s | dict(launches)).items():
                    if seconds:
                        add(f"{what}: {part}", "ms", seconds * 1e3, part=part, **named)
        if not light and size == 256 and options.batch == 1 and chip.name == "Ascend 910":
            share = roofline.project(layers, 1, light, chip, efficiency=1.0).layers_s * 1e3 / roofline.USERS_MS
            add("share of the roofline that 640 ms is", "share", share, machine=chip.name)
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
    sources = {chip.name: chip.machine(chip.precision).source for chip in roofline.ASCEND}
    reported = {"original project, full, Ascend 910": roofline.USERS_MS}
    reported["model zoo's CycleGAN, Ascend 910"] = roofline.CYCLEGAN_MS
    data = {"published ceilings": sources, "ms a step at 256 px, batch 1, as reported": reported}
    record.finish("roofline", options, data, results, ["numpy", "torch"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
