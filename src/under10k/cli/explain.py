"""`under10k explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from under10k.cli import names
from under10k.cli.output import choose_picture, refuse_same, show
from under10k.cli.parsing import Count, shown
from under10k.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = Path("explain.png")


def explain(
    picture: Annotated[Path | None, shown("PICTURE", complete=names.files)] = None,
    /,
    *,
    model: Annotated[str, shown("WEIGHTS", complete=names.weights)] = "robust",
    digit: Count = None,
    out: Annotated[Path | None, shown("PICTURE", "-o", complete=names.files)] = None,
) -> None:
    """Draw what a network sees in a digit: filters, maps, what counts.

    Without a picture, a synthetic 4 is shown to it. `under10k predict --explain` draws how a digit is found in a photo.

    Args:
        picture: Picture of one digit: drawn, scanned or photographed.
        model: Bundled weights, a run folder or a weights file.
        digit: The digit to ask about, 0 to 9; by default the one that the network reads.
        out: Picture to write, replacing an existing one; by default explain.png, which must not exist yet.
    """
    target = choose_picture(out, DEFAULT)
    if digit is not None and not 0 <= digit <= 9:
        raise UsageError(f"no such digit: {digit}. give one from 0 to 9")

    from under10k.files import require_file

    require_file(target)
    if picture:
        refuse_same(target, picture)

    from under10k.plots import plot_insight, save_figure
    from under10k.terminal import literal

    save_figure(plot_insight(model, picture or _synthetic_four(), digit), target)
    show(f"{literal(model)} explained: {literal(str(target))}")


def _synthetic_four() -> Tensor:
    """Return a digit to look at where nobody has brought one: uint8 (28, 28)."""
    from under10k.data import draw_digits

    digits = draw_digits(8, seed=3)
    return digits.images[digits.labels == 4][0]
