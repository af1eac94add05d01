"""`under10k datasets`, `under10k models`, `under10k recipes`: what there is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from under10k.cli import names
from under10k.cli.output import show_facts, show_rows
from under10k.cli.parsing import Flag, shown
from under10k.errors import UsageError
from under10k.recipes import RECIPES, get_recipe


def datasets(
    name: Annotated[str | None, shown("DATA", complete=names.data)] = None,
    /,
    *,
    sheet: Annotated[Path | None, shown("PICTURE", complete=names.files)] = None,
    strict: Flag = False,
    json: Flag = False,
) -> None:
    """List the known data sets, or inspect one.

    Args:
        name: A known name, or a folder or file of your own: show its counts, checksum and what was skipped.
        sheet: Picture to draw, with the first training images of each class.
        strict: Refuse the data if one of its files cannot be read, rather than skip it.
        json: Print as JSON.
    """
    if name is None and sheet:
        raise UsageError(
            f"--sheet without a data set: {sheet}. write: under10k datasets mnist --sheet {shlex.quote(str(sheet))}"
        )

    from under10k.data import DATASETS, load_digits

    if name is None:
        rows = [
            (known.name, known.description, _place(known.name), known.train_count, known.test_count)
            for known in DATASETS.values()
        ]
        columns = ("name", "what it shows", "where", "training", "test")
        show_rows("data sets", columns, rows, json)
        return
    if sheet:
        from under10k.files import require_file

        require_file(sheet)
    loaded = load_digits(name, strict=strict)
    if sheet:
        from under10k.plots import plot_class_sheet, save_figure

        save_figure(plot_class_sheet(loaded.train, f"{loaded.name}: training images"), sheet)
    facts = {
        "name": loaded.name,
        "training": len(loaded.train),
        "test": len(loaded.test),
        "sha256": loaded.sha256(),
        "note": loaded.note,
        "skipped": list(loaded.skipped) if json else "; ".join(loaded.skipped),
        "sheet": str(sheet) if sheet else None,
    }
    show_facts(facts, json)


def models(*, json: Flag = False) -> None:
    """List the networks and their variants.

    Args:
        json: Print as JSON.
    """
    from under10k.models import count_parameters, create_model, list_models, list_variants

    rows = [
        (name, residual, head, count_parameters(create_model(name, residual=residual, head=head)))
        for name in list_models()
        for residual, head in list_variants(name)
    ]
    show_rows("models", ("name", "residual", "head", "parameters"), rows, json)


def recipes(
    name: Annotated[str | None, shown("RECIPE", complete=names.recipes)] = None,
    /,
    *,
    json: Flag = False,
) -> None:
    """List the recipes, or show every field of one.

    Args:
        name: A recipe to show in full.
        json: Print as JSON.
    """
    if name is not None:
        shown_recipe = get_recipe(name)
        print(shown_recipe.to_json()) if json else show_facts(_flat(asdict(shown_recipe)), json)
        return
    known = [(build(), (build.__doc__ or "").partition("\n")[0]) for _, build in sorted(RECIPES.items())]
    rows = [(r.name, r.model, r.epochs, r.optimizer.name, r.protocol, about) for r, about in known]
    show_rows("recipes", ("name", "model", "epochs", "optimizer", "protocol", "what it is"), rows, json)


def _place(data_set: str) -> str:
    from under10k.data import find_dataset

    if data_set == "synthetic":
        return "drawn when needed"
    return str(find_dataset(data_set) or "not downloaded yet")


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested fields as `optimizer.lr`, the way the command line names them."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat.update(_flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": str(item)})
    return flat
