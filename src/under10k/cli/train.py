"""`under10k train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from under10k.cli import names
from under10k.cli.fields import fields_as_options, read_one_of_each
from under10k.cli.output import show_json
from under10k.cli.parsing import DataName, Device, Flag, Folder, Quiet, load_strictly, shown
from under10k.errors import UsageError
from under10k.recipes import Recipe, get_recipe, override

if TYPE_CHECKING:
    from pathlib import Path

    Fields = dict[str, Any]
else:
    from pathlib import Path

    Fields = fields_as_options(
        without=("model_sha256", "start_sha256", "teacher_sha256", "own_augment", "own_augment_sha256")
    )


def train(
    recipe: Annotated[str | None, shown("RECIPE", complete=names.recipes)] = None,
    /,
    *,
    data: DataName = None,
    strict: Flag = False,
    device: Device = "auto",
    out: Folder = None,
    resume: Annotated[Path | None, shown("RUN", complete=names.runs)] = None,
    tensorboard: Flag = False,
    watch: Flag = False,
    quiet: Quiet = False,
    json: Flag = False,
    fields: Fields = None,  # type: ignore[assignment]
) -> None:
    """Train a network; any field of a recipe is an option.

    Args:
        recipe: Recipe to train (`under10k recipes` lists them); by default the one named default.
        data: A known name (`under10k datasets`), a folder or file of your own, or auto: MNIST, else synthetic digits.
        strict: Refuse the data if one of its files cannot be read, rather than skip it.
        device: cpu, cuda or mps; auto picks cuda, else mps, else cpu.
        out: Run folder to create; by default runs/RECIPE-sSEED.
        resume: Run folder to resume.
        tensorboard: Also write TensorBoard event files.
        watch: Draw curves above the bar, and name what is misread after each epoch; in a terminal of 100 columns.
        quiet: Print nothing but warnings and errors.
        json: Print the result as JSON; besides that, only warnings and errors.
    """
    if resume and (out or recipe):
        raise _two_at_once(resume, out, recipe)
    if watch and (quiet or json):
        raise UsageError(
            f"--watch and --{'json' if json else 'quiet'} together: one draws, the other is silent. leave one out"
        )
    chosen = _choose(recipe, resume, fields)

    from under10k.training import ConsoleReport, Report, TensorBoardReport, WarningReport, WatchReport
    from under10k.training import train as run_training

    console = WatchReport if watch else ConsoleReport
    reports: list[Report] = [WarningReport() if quiet or json else console()]
    if tensorboard:
        reports.append(TensorBoardReport())
    digits = load_strictly(data) if strict else data or "auto"
    result = run_training(chosen, digits, resume or out, resume is not None, device=device, reports=reports)
    if json:
        show_json(result.to_dict())


def _two_at_once(resume: Path, out: Path | None, recipe: str | None) -> UsageError:
    if out:
        return UsageError(
            f"--resume and --out together: {resume}, {out}. a run resumes in its own folder: leave out --out"
        )
    return UsageError(f"--resume and a recipe together: {recipe}. a run keeps its recipe: leave out {recipe}")


def _choose(recipe: str | None, resume: Path | None, fields: dict[str, Any] | None) -> Recipe:
    """Return the recipe to train: that of the run to resume, or the named one; with the fields that were given."""
    changes = read_one_of_each(fields)
    if resume is None:
        return override(get_recipe(recipe or "default"), changes)
    from under10k.runs import Run

    begun = Run(resume).recipe()
    if "model" not in changes:  # nobody but the run names its network
        from under10k.models import require_recorded

        require_recorded(begun, str(resume))
    return override(begun, changes)
