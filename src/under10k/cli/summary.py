"""`under10k summary`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from under10k.cli import names
from under10k.cli.output import show
from under10k.cli.parsing import Flag, shown
from under10k.errors import UsageError


def summary(
    model: Annotated[str, shown("MODEL", complete=names.networks_and_weights)],
    /,
    *,
    residual: Flag = False,
    head: Literal["pool", "linear"] = "pool",
    markdown: Flag = False,
    json: Flag = False,
) -> None:
    """Show a network layer by layer: shapes, parameters, MACs.

    MACs are multiply-accumulates for one image; the receptive field is shown too.

    Args:
        model: A model's name, your own (my_net.py:Net), a run folder, a weights file, or the name of bundled weights.
        residual: Show the variant with residual connections.
        head: Show the variant with this head.
        markdown: Write the table as Markdown.
        json: Print as JSON.
    """
    from under10k.models import COLUMNS, MODELS, create_model, is_own, summarise
    from under10k.runs import load_model
    from under10k.terminal import build_table
    from under10k.weights import list_weights

    own = is_own(model) and not _exists(Path(model))
    if own and (residual or head != "pool"):
        raise UsageError(f"no variants of your own network: {model}. leave out --residual and --head")
    trained = not own and model not in MODELS and (model in list_weights() or os.sep in model or _exists(Path(model)))
    if trained and (residual or head != "pool"):
        raise UsageError(f"no variants of a trained network: {model}. leave out --residual and --head")
    variant: dict[str, Any] = {} if own else {"residual": residual, "head": head}
    network = load_model(model) if trained else create_model(model, **variant)
    found = summarise(network, model)
    if json:
        print(found.to_json())
    elif markdown:
        print(found.to_markdown())
    else:
        show(build_table(f"{model}: {found.parameters:,} parameters, {found.macs:,} MACs", COLUMNS, found.rows()))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, or a folder that may not be looked into
        return False
