"""`under10k plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from under10k.cli import names
from under10k.cli.output import choose_picture, show
from under10k.cli.parsing import Flag, shown
from under10k.errors import UsageError

DEFAULT = Path("curves.png")


def plot(
    *folders: Annotated[Path, shown("FOLDER", complete=names.runs_and_studies, required=True)],
    out: Annotated[Path | None, shown("PICTURE", "-o", complete=names.files)] = None,
    batches: Flag = False,
    frontier: Flag = False,
) -> None:
    """Plot the curves of runs in one picture, or compare studies.

    Studies are plotted as accuracy against seconds a run, or, with --frontier, against the size of the network.

    Args:
        folders: Run folders or study folders.
        out: Picture to write, replacing an existing one; by default curves.png, which must not exist yet.
        batches: Plot the loss of every batch and the learning rate instead of epochs; for runs only.
        frontier: Plot accuracy against parameters, and against multiply-accumulates; for studies only.
    """
    target = choose_picture(out, DEFAULT)
    studies = [folder for folder in folders if (folder / "plan.json").is_file()]
    if studies and len(studies) < len(folders):
        raise UsageError("runs and studies together: they do not fit in one picture. plot one kind at a time")
    if studies and batches:
        raise UsageError(f"a study has no batches: {studies[0]}. give runs, such as those in {studies[0] / 'runs'}")

    if frontier and not studies:
        raise UsageError(f"not a study: {folders[0]}. give studies' folders with --frontier")

    from under10k.files import require_file
    from under10k.plots import plot_batches, plot_curves, plot_frontier, plot_tradeoff, save_figure
    from under10k.study import read_networks, read_points
    from under10k.terminal import literal

    require_file(target)
    if frontier:
        figure = plot_frontier(read_networks(studies))
    elif studies:
        figure = plot_tradeoff(read_points(studies))
    else:
        figure = (plot_batches if batches else plot_curves)(folders)
    save_figure(figure, target)
    kind = "study" if studies else "run"
    kinds = kind if len(folders) == 1 else {"study": "studies", "run": "runs"}[kind]
    show(f"{len(folders)} {kinds} drawn: {literal(str(target))}")
