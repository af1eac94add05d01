"""`under10k study`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from under10k.cli import names
from under10k.cli.fields import fields_as_options, read_fields
from under10k.cli.output import show_json
from under10k.cli.parsing import Count, DataName, Device, Flag, Quiet, load_strictly, shown
from under10k.errors import Under10kError
from under10k.files import write_atomically
from under10k.terminal import literal

if TYPE_CHECKING:
    from pathlib import Path

    Fields = dict[str, Any]
else:
    from pathlib import Path

    Fields = fields_as_options(
        without=("name", "seed", "model_sha256", "start_sha256", "teacher_sha256", "own_augment", "own_augment_sha256")
    )


def study(
    *recipes: Annotated[str, shown("RECIPE", complete=names.recipes)],
    seeds: Count = None,
    data: DataName = None,
    strict: Flag = False,
    device: Device = "auto",
    out: Annotated[Path | None, shown("STUDY", complete=names.studies)] = None,
    engine: Literal["processes", "serial", "stacked", "ray"] = "processes",
    workers: Count = None,
    threads: Count = None,
    address: Annotated[str | None, shown("HOST:PORT")] = None,
    target: Annotated[float | None, shown("PERCENT")] = None,
    within: Annotated[int | None, shown("EPOCHS")] = None,
    budget: Count = None,
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
        engine: Where runs are trained: in worker processes, in this process one by one, there all seeds of a recipe
            stacked into one network, which a GPU computes as one, or on a Ray cluster.
        workers: Runs to train at a time; by default as many as there are cores for, with --engine stacked 20.
        threads: Threads of each run; by default 1, with --engine serial or stacked all.
        address: Address of a Ray cluster, such as head:6379; by default Ray is started here.
        target: Accuracy to judge each network by, in percent, such as 99.4: reached, held in the last five epochs, and
            on average? With this or --budget, a verdict on each network is printed, and written as verdict.md.
        within: The epoch by which the target is to be reached; by default the last.
        budget: Most parameters, for the verdict.
        quiet: Print nothing but warnings and errors.
        json: Print study.json; besides that, only warnings and errors.
    """
    overrides = read_fields(fields)

    from under10k.study import Rules, StudyReport, WarningStudyReport, run_study, write_markdown

    rules = Rules(None if target is None else round(target / 100, 9), within, budget)
    report = WarningStudyReport() if quiet or json else StudyReport()
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
        report=report,
    )
    verdicts = done.judge(**asdict(rules)) if rules != Rules() else []
    if json:
        show_json({**done.to_dict(), **({"verdict": [asdict(one) for one in verdicts]} if verdicts else {})})
    if verdicts:
        for one in verdicts:
            report.say(one.to_table())
        write_atomically(done.folder / "verdict.md", write_markdown(verdicts), follow=False)
        report.say(f"\nverdict: {literal(str(done.folder / 'verdict.md'))}")
    if done.failures:
        raise Under10kError(
            f"{len(done.failures)} of {done.planned} runs failed: {done.folder}. the table says why; "
            f"the same command tries them again"
        )
