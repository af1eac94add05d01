"""`under10k bench`."""

from __future__ import annotations

from typing import Annotated, Literal

from under10k.cli import names as known
from under10k.cli.output import show, show_json
from under10k.cli.parsing import DataName, Device, Flag, shown
from under10k.errors import UsageError


def bench(
    what: Annotated[Literal["train", "infer"], shown("train|infer")] = "train",
    /,
    *names: Annotated[str, shown("NAME", complete=known.recipes)],
    data: DataName = "auto",
    device: Device = "auto",
    rounds: Annotated[int, shown("COUNT")] = 5,
    json: Flag = False,
) -> None:
    """Time training and inference here, relative to plain PyTorch.

    Both take turns in one call.

    Args:
        what: train: recipes, an epoch and a whole run; infer: networks.
        names: Recipes to train, or networks to read with; by default a choice of recipes, or all networks.
        data: A known name, or a folder or file of your own.
        device: cpu, cuda or mps; auto picks cuda, else mps, else cpu.
        rounds: How many times each is timed; 1 to 1,000.
        json: Print as JSON.
    """
    if not 1 <= rounds <= 1000:
        raise UsageError(f"rounds out of range: {rounds}. give at least 1 and at most 1,000")

    from under10k.bench import bench_inference, bench_training
    from under10k.terminal import build_table, literal, track

    run = bench_training if what == "train" else bench_inference
    found = run(names, data or "auto", device, rounds=rounds, track=track)
    if json:
        show_json(found.to_dict())
        return
    for line in found.heading():
        show(literal(line))
    for table in found.tables:
        show(build_table(*table))
    show("\n" + "\n".join(map(literal, found.notes)))
