"""`under10k summary`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from under10k.cli import names
from under10k.cli.output import show
from under10k.cli.parsing import Count, Flag, shown
from under10k.errors import Under10kError, UsageError


def summary(
    model: Annotated[str, shown("MODEL", complete=names.networks_and_weights)],
    /,
    *,
    residual: Flag = False,
    head: Literal["pool", "linear"] = "pool",
    views: Literal[1, 5] = 1,
    budget: Count = None,
    markdown: Flag = False,
    json: Flag = False,
) -> None:
    """Show a network layer by layer: shapes, parameters, MACs.

    MACs are multiply-accumulates for one image; the receptive field is shown too.

    Args:
        model: A model's name, your own (my_net.py:Net), a run folder, a weights file, or the name of bundled weights.
        residual: Show the variant with residual connections.
        head: Show the variant with this head.
        views: Views of an image that it averages over.
        budget: Most parameters; with more, the exit code is 1, and the costliest layers are named.
        markdown: Write the table as Markdown.
        json: Print as JSON.
    """
    from under10k.models import BY_HAND_COLUMNS, COLUMNS, MODELS, create_model, is_own, summarise
    from under10k.runs import load_model
    from under10k.terminal import build_table, literal
    from under10k.weights import list_weights

    own = is_own(model) and not _exists(Path(model))
    variant: dict[str, Any] = {"residual": residual, "head": head, "views": views}
    is_variant = variant != {"residual": False, "head": "pool", "views": 1}
    if own and is_variant:
        raise UsageError(f"no variants of your own network: {model}. leave out --residual, --head and --views")
    trained = not own and model not in MODELS and (model in list_weights() or os.sep in model or _exists(Path(model)))
    if trained and is_variant:
        raise UsageError(f"no variants of a trained network: {model}. leave out --residual, --head and --views")
    network = load_model(model) if trained else create_model(model, **({} if own else variant))
    found = summarise(network, model)
    if json:
        print(found.to_json())
    elif markdown:
        print(found.to_markdown())
    else:
        show(build_table(f"{model}: {found.parameters:,} parameters, {found.macs:,} MACs", COLUMNS, found.rows()))
        if found.counted_by_hand != found.parameters:
            show(build_table("\ncounted by hand, as in a course's table", BY_HAND_COLUMNS, found.rows_by_hand()))
        show("")
        for remark in found.remarks:
            show(literal(remark))
    if budget is not None and found.parameters > budget:
        most = ", ".join(
            f"{layer.name} {' to '.join(map(str, (layer.input[0], layer.output[0])))} ({layer.weights:,})"
            if layer.input and layer.output
            else f"{layer.name} ({layer.weights:,})"
            for layer in found.costliest()
        )
        raise Under10kError(f"over the budget: {found.parameters:,} of {budget:,} parameters. make smaller: {most}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, or a folder that may not be looked into
        return False
