"""`under10k study`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from under10k.cli import names
from under10k.cli.fields import fields_as_options, read_fields
from under10k.cli.output import show_json
from under10k.cli.parsing import Count, DataName, Device, Flag, Quiet, load_strictly, shown
from under10k.errors import Under10kError

if TYPE_CHECKING:
    from pathlib import Path

    Fields = dict[str, Any]
else:
    from pathlib import Path

    Fields = fields_as_options(without=("name", "seed", "model_sha256", "start_sha256"))


def study(
    *recipes: Annotated[str, shown("RECIPE", complete=names.recipes)],
    seeds: Count = None,
    data: DataName = None,
    strict: Flag = False,
    device: Device = "auto",
    out: Annotated[Path | None, shown("STUDY", complete=names.studies)] = None,
    engine: Literal["processes", "serial", "ray"] = "processes",
    workers: Count = None,
    threads: Count = None,
    address: Annotated[str | None, shown("HOST:PORT")] = None,
    quiet: Quiet = False,
    json: Flag = False,
    fields: Fields = None,  # type: ignore[assignment]
) -> None:
    """Train recipes under many seeds: means, intervals, comparisons.

    Any field of a recipe is an option, and a list makes a grid: every value is trained with every other.

        under10k study default --epochs 3,5 --optimizer.lr 0.1,0.3 --residual true,false

    A stopped study resumes where it was.

    Args:
        recipes: Recipes to train; the others are compared with the first. By default those of the study in --out.
        seeds: Number of seeds, from 0 on; by default that of the study in --out, else 20.
        data: A known name, or a folder or file of your own; by default that of the study in --out, else auto.
        strict: Refuse the data if one of its files cannot be read, rather than skip it.
        device: cpu, cuda or mps; auto picks cuda, else mps, else cpu.
        out: Study folder to create or resume; by default studies/RECIPES.
        engine: Where runs are trained: in worker processes, in this process, or on a Ray cluster.
        workers: Runs to train at a time; by default as many as there are cores for.
        threads: Threads of each run; by default 1, with --engine serial all.
        address: Address of a Ray cluster, such as head:6379; by default Ray is started here.
        quiet: Print nothing but warnings and errors.
        json: Print study.json; besides that, only warnings and errors.
    """
    overrides = read_fields(fields)

    from under10k.study import StudyReport, WarningStudyReport, run_study

    done = run_study(
        recipes,
        seeds,
        load_strictly(data) if strict else data,
        out,
        overrides=overrides,
        device=device,
        engine=engine,
        workers=workers,
        threads=threads,
        address=address,
        report=WarningStudyReport() if quiet or json else StudyReport(),
    )
    if json:
        show_json(done.to_dict())
    if done.failures:
        raise Under10kError(
            f"{len(done.failures)} of {done.planned} runs failed: {done.folder}. the table says why; "
            f"the same command tries them again"
        )
