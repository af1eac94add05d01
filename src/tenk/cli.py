"""The command line: one short function a verb, whose signature is its options."""

from __future__ import annotations

import contextlib
import functools
import io
import ipaddress
import itertools
import json as jsonlib
import os
import re
import shlex
import shutil
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

import tenk
from tenk.errors import DataError, TenkError, UsageError, explain_os_error, missing_library, unknown_name
from tenk.recipes import Recipe, get_recipe, list_recipes
from tenk.terminal import build_table, literal, open_console, printable, shorten

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn

    from tenk.bench.timing import Track
    from tenk.datasets import Dataset
    from tenk.digits import Digits
    from tenk.evaluation import CorruptionScore, Metrics
    from tenk.export.proof import Exported
    from tenk.prediction import Prediction


def _shown(metavar: str, *aliases: str) -> Any:
    """Show an argument's value under this name in the help, and no default where there is none to speak of."""
    return arg(
        metavar=metavar,
        aliases=aliases,
        help_behavior_hint=lambda default: "" if default in ("None", "") else f"(default: {default})",
    )


Flag = tyro.conf.FlagCreatePairsOff[bool]
"""An option that is given or not; a plain bool can be denied, too: `--no-...`."""
Weights = Annotated[Path, Positional, _shown("WEIGHTS")]
Folder = Annotated[Path | None, _shown("FOLDER")]
DataName = Annotated[str | None, _shown("DATA")]
Count = Annotated[int | None, _shown("COUNT")]
RecipeName = Annotated[
    str,
    Positional,
    arg(constructor=tyro.extras.literal_type_from_choices(list_recipes()), help_behavior_hint="(default: default)"),
]


def train(
    recipe: RecipeName = "default",
    /,
    fields: Annotated[Recipe, arg(name="")] = get_recipe("default"),  # noqa: B008 (frozen)
    data: DataName = None,
    device: str = "auto",
    out: Folder = None,
    resume: Folder = None,
    tensorboard: Flag = False,
    json: Flag = False,
) -> None:
    """Train a network and watch it learn; any field of the recipe is an option.

    Args:
        recipe: Recipe to train, named before the options; `tenk recipes` lists them.
        fields: The recipe's fields.
        data: A known name (`tenk datasets`), a folder of four IDX files, or auto: MNIST, else synthetic digits.
        device: cpu, cuda or mps; auto takes the fastest there is.
        out: Run folder to make; by default runs/RECIPE-sSEED.
        resume: Run folder to continue instead.
        tensorboard: Write TensorBoard event files too.
        json: Print the result as JSON; all else goes to standard error.
    """
    from tenk.report import ConsoleReport, Report, TensorBoardReport
    from tenk.training import train as run_training

    if resume and out:
        raise UsageError(f"--resume and --out together: {resume}, {out}. a run goes on where it is: leave out --out")
    reports: list[Report] = [ConsoleReport(open_console(stderr=json))]
    if tensorboard:
        reports.append(TensorBoardReport())
    chosen = data or _recorded_data(resume)
    result = run_training(fields, chosen, resume or out, resume is not None, device=device, reports=reports)
    if json:
        _print_json(result.to_dict())


def evaluate(
    weights: Weights,
    /,
    data: DataName = None,
    device: str = "auto",
    out: Folder = None,
    corruptions: Flag = False,
    json: Flag = False,
) -> None:
    """Score a trained network on the test images: accuracy, confusion, calibration, the misread digits.

    Args:
        weights: A run folder, a weights file, or the name of weights that come along.
        data: A known name or a folder; by default what the run was trained on.
        device: cpu, cuda or mps; auto takes the fastest there is.
        out: Folder for metrics.json and the pictures; by default RUN/evaluation, or WEIGHTS-evaluation.
        corruptions: Score it on shifted, turned, blurred, noisy and otherwise worse images too.
        json: Print all figures as JSON.
    """
    from tenk.datasets import load_digits
    from tenk.device import pick_device
    from tenk.evaluation import evaluate as score
    from tenk.files import require_folder
    from tenk.runs import load_weights

    model, facts = load_weights(weights)
    folder = out or (weights / "evaluation" if weights.is_dir() else Path(f"{weights.stem}-evaluation"))
    refusal: Exception | None = None
    try:
        require_folder(folder, "metrics.json", *_PICTURES)
    except (OSError, UsageError) as error:
        if out:
            raise
        refusal = error  # nobody has asked for pictures: the figures are printed all the same
    digits = load_digits(data or _recorded_data(weights))
    metrics = score(model.to(pick_device(device)), digits.test)
    scores = _score_corruptions(model, digits.test) if corruptions else []
    protocol = facts.protocol if facts.data_sha256 == digits.sha256() else None
    figures = _evaluation_figures(metrics, scores, digits, protocol)
    trouble: OSError | None = None
    try:  # before anything is printed: `head` may close the pipe on us
        if not refusal:
            _save_evaluation(folder, figures, metrics, scores, digits.test)
    except OSError as error:
        trouble = error
    with contextlib.suppress(BrokenPipeError) if trouble else contextlib.nullcontext():
        if json:
            _print_json(figures)
        else:
            _print_metrics(metrics, metrics.without_disputed(digits.test), digits.name, protocol)
            _print_corruptions(scores)
    if trouble:
        raise trouble
    if refusal:
        print(f"no pictures: {printable(str(folder))} cannot be written. give --out FOLDER", file=sys.stderr)
    elif not json:
        _print(f"\npictures and figures: {literal(str(folder))}")
        _print(literal(digits.note))


def predict(
    pictures: Annotated[list[Path], Positional, _shown("PICTURE...")],
    /,
    model: str = "robust",
    multi: Flag = False,
    invert: Flag = False,
    explain: Annotated[Path | None, _shown("OUT")] = None,
    json: Flag = False,
) -> None:
    """Read the digits in pictures: PNG, JPEG, BMP, GIF or WebP, drawn, scanned or photographed.

    Args:
        pictures: Picture files, one digit in each.
        model: Weights that come along, a run folder or a weights file.
        multi: Find every digit in a picture, and read each from left to right.
        invert: Take ink for light where it was found to be dark, and for dark where it was found to be light.
        explain: Picture to draw: the one given, what was found in it, and how likely each digit is.
        json: Print as JSON.
    """
    from tenk.files import require_file
    from tenk.prediction import predict as read
    from tenk.prediction import predict_all
    from tenk.runs import load_model

    if not pictures:
        raise UsageError("nothing to read: no picture was given. write: tenk predict digit.png")
    if explain and len(pictures) > 1:
        raise UsageError(f"--explain and several pictures: {len(pictures)}. give one picture to draw")
    if explain:
        require_file(explain)
        _refuse_same(explain, pictures[0])
    network = load_model(model)
    answers: list[dict[str, Any]] = []
    for path in pictures:
        try:
            found = predict_all(path, network, invert=invert) if multi else [read(path, network, invert=invert)]
        except TenkError as error:
            answers.append({"picture": str(path), "error": _complain(str(error))})
            continue
        if explain:
            from tenk.plots import save_explanation

            save_explanation(found, explain)
        answers += [{"picture": str(path), **one.to_dict()} for one in found]
        if not json:
            for one in found:
                _print_prediction(path, one)
    if json:
        _print_json(answers)
    if any("error" in answer for answer in answers):
        sys.stdout.flush()
        sys.exit(1)


def summary(
    model: Annotated[str, Positional, _shown("MODEL")],
    /,
    residual: Flag = False,
    head: Literal["pool", "linear"] = "pool",
    format: Literal["table", "json", "markdown"] = "table",
    json: Flag = False,
) -> None:
    """Show a network layer by layer: shapes, parameters, multiply-accumulates, receptive field.

    Args:
        model: A model's name, a run folder, a weights file, or the name of weights that come along.
        residual: Show the variant with residual connections.
        head: Show the variant with this head.
        format: How to write it.
        json: The same as --format json.
    """
    from tenk.models import MODELS, create_model
    from tenk.runs import load_model
    from tenk.summary import COLUMNS, summarise
    from tenk.weights import list_weights

    trained = model not in MODELS and (model in list_weights() or os.sep in model or _exists(Path(model)))
    if trained and (residual or head != "pool"):
        raise UsageError(f"a trained network is what it is: {model}. leave out --residual and --head")
    network = load_model(model) if trained else create_model(model, residual=residual, head=head)
    found = summarise(network, model)
    if json or format == "json":
        print(found.to_json())
    elif format == "markdown":
        print(found.to_markdown())
    else:
        _print(build_table(f"{model}: {found.parameters:,} parameters, {found.macs:,} MACs", COLUMNS, found.rows()))


def plot(
    folders: Annotated[list[Path], Positional, _shown("FOLDER...")],
    /,
    out: Annotated[Path, _shown("PICTURE")] = Path("curves.png"),
    batches: Flag = False,
) -> None:
    """Draw the curves of runs over each other, or the accuracy of studies against their seconds.

    Args:
        folders: Run folders, or study folders.
        out: Picture to write.
        batches: Draw the loss of every batch, and the learning rate, instead of epochs; of runs only.
    """
    from tenk.files import require_file
    from tenk.plots import save_batches, save_curves, save_tradeoff
    from tenk.study import read_points

    if not folders:
        raise UsageError("nothing to plot: no run folder was given. write: tenk plot runs/default-s0")
    require_file(out)
    studies = [folder for folder in folders if (folder / "plan.json").is_file()]
    if studies and batches:
        raise UsageError(f"a study has no batches: {studies[0]}. give runs, such as those in {studies[0] / 'runs'}")
    if not studies:
        (save_batches if batches else save_curves)(folders, out)
    elif len(studies) == len(folders):
        save_tradeoff(read_points(studies), out)
    else:
        raise UsageError(
            "runs and studies together: they have nothing to share in one picture. plot one kind at a time"
        )
    kind = "study" if studies else "run"
    kinds = kind if len(folders) == 1 else {"study": "studies", "run": "runs"}[kind]
    _print(f"{len(folders)} {kinds} drawn: {literal(str(out))}")


def export(
    weights: Weights,
    /,
    to: Literal["onnx", "c", "html"],
    out: Annotated[Path | None, _shown("OUT", "-o")] = None,
    int8: Flag = False,
    name: Annotated[str | None, _shown("NAME")] = None,
    data: DataName = None,
    json: Flag = False,
) -> None:
    """Take a trained network elsewhere, and check there that it answers as PyTorch does.

    Args:
        weights: A run folder, a weights file, or the name of weights that come along.
        to: onnx: one file for ONNX Runtime and others; c: a folder of C99 without dependencies; html: a page to use.
        out: File or folder to write; by default model.onnx, model-c or model.html in the run folder, or the like beside
            the weights file; with -int8 where that is given.
        int8: Write 8-bit integers instead of float; not for html.
        name: For c: what files, function and tables are called in C; by default tenk_ and the run's or weights' name.
        data: A known name or a folder, to check with; by default what the run was trained on.
        json: Print what was found as JSON.
    """
    from tenk.datasets import load_digits
    from tenk.runs import Run, load_weights

    model, facts = load_weights(weights)
    kind: Literal["float", "int8"] = "int8" if int8 else "float"
    suffix = "-int8" if int8 else ""
    base = weights / "model" if weights.is_dir() else weights.with_suffix("")
    target = out or Path(f"{base}{suffix}{'-c' if to == 'c' else f'.{to}'}")
    if name and to != "c":
        raise UsageError(f"a name in C for {to}: {name}. leave out --name")
    _refuse_same(target, Run(weights).model_file if weights.is_dir() else weights)
    match to:  # what can be refused is refused before the data is read and the network tried
        case "onnx":
            from tenk.export.onnx import export_onnx as write
            from tenk.export.onnx import require_onnx

            require_onnx(target)
        case "c":
            from tenk.export.c import export_c, name_in_c, require_c

            name = name or name_in_c(weights.resolve().name if weights.is_dir() else weights.stem)
            require_c(target, name)
            write = functools.partial(export_c, name=name)
        case "html":
            from tenk.export.html import export_html as write
            from tenk.export.html import require_html

            require_html(target, kind)
    digits = load_digits(data or _recorded_data(weights))
    found = write(model, facts, target, kind, digits)
    _print_json(found.to_dict()) if json else _print_export(found, digits.note)


def serve(
    weights: Annotated[Path, Positional, _shown("[WEIGHTS]")] = Path("robust"),
    /,
    host: Annotated[str, _shown("ADDRESS")] = "127.0.0.1",
    port: Annotated[int, _shown("PORT")] = 8000,
    open: bool = True,
) -> None:
    """Serve the page to draw a digit on, and an API beside it: POST a picture to /api/predict.

    Args:
        weights: A run folder, a weights file, or the name of weights that come along.
        host: Address to listen on; 0.0.0.0 for everyone on the network.
        port: Port to listen on; 0 takes any that is free.
        open: Open the page in the browser, where there is one.
    """
    try:
        from tenk.serve.app import create_app, reader
        from tenk.serve.server import listen, run
    except ImportError as error:
        raise missing_library(error.name or "the server's library", "serve") from None
    from tenk.export.html import build_page
    from tenk.runs import load_weights

    model, facts = load_weights(weights)
    app = create_app(build_page(model, facts), reader(model), host=host)
    listener = listen(host, port)
    url = _announce(listener, host)
    if open and _has_browser():
        webbrowser.open(url)
    run(app, listener)


def bench(
    what: Annotated[Literal["train", "infer", "load"], Positional] = "train",
    names: Annotated[tuple[str, ...], Positional, _shown("[NAME...]")] = (),
    /,
    data: Annotated[str, _shown("DATA")] = "auto",
    device: str = "auto",
    rounds: int = 5,
    json: Flag = False,
) -> None:
    """Time training, reading digits or loading here, as ratios to the plain way in the same run.

    Args:
        what: train: recipes, by the epoch and whole; infer: networks; load: data, weights and program.
        names: Recipes to train, or networks to read with; by default all that are of interest.
        data: A known name or a folder.
        device: cpu, cuda or mps; auto takes the fastest there is.
        rounds: How often each is timed, in turn.
        json: Print as JSON.
    """
    from tenk.bench.inference import bench_inference
    from tenk.bench.loading import bench_loading
    from tenk.bench.training import bench_training

    if not 1 <= rounds <= 1000:
        raise UsageError(f"rounds out of range: {rounds}. give at least 1 and at most 1,000")
    if what == "load" and (names or device != "auto"):
        raise UsageError(f"load takes no names and no device: {' '.join(names) or device}. leave that out")
    with _bar() as track:
        if what == "load":
            found = bench_loading(data, rounds=rounds, track=track)
        else:
            run = bench_training if what == "train" else bench_inference
            found = run(names, data, device, rounds=rounds, track=track)
    if json:
        _print_json(found.to_dict())
        return
    for line in found.heading():
        _print(literal(line))
    for table in found.tables:
        _print(build_table(*table))
    _print("\n" + "\n".join(map(literal, found.notes)))


def study(
    recipes: Annotated[tuple[str, ...], Positional, _shown("[RECIPE...]")] = (),
    /,
    seeds: Count = None,
    override: Annotated[tuple[tuple[str, ...], ...], UseAppendAction, _shown("FIELD=VALUE,...")] = (),
    data: DataName = None,
    device: str = "auto",
    out: Folder = None,
    engine: Literal["processes", "serial", "ray"] = "processes",
    workers: Count = None,
    threads: Count = None,
    address: Annotated[str | None, _shown("HOST:PORT")] = None,
    json: Flag = False,
) -> None:
    """Train recipes under many seeds, and say what their differences are worth; a stopped study goes on.

    Args:
        recipes: Recipes to train; the first is what the others are compared with. None: those of the study in --out.
        seeds: How many, from seed 0 on; 20 where neither this nor the study in --out says.
        override: Fields and their values, each in every combination, such as optimizer.lr=0.1,0.3 residual=false,true.
        data: A known name or a folder; by default that of the study in --out, else auto.
        device: cpu, cuda or mps; auto takes the fastest there is.
        out: Study folder, to make or to go on with; by default studies/RECIPES.
        engine: Where runs are trained: in worker processes, in this process, or on a Ray cluster.
        workers: Runs at a time; by default as many as there are cores for.
        threads: Threads of each run; by default 1, with --engine serial all.
        address: The Ray cluster's, such as head:6379; by default Ray is started here.
        json: Print study.json; all else goes to standard error.
    """
    from tenk.plan import parse_overrides
    from tenk.study import run_study
    from tenk.study_report import StudyReport

    done = run_study(
        recipes,
        seeds,
        data,
        out,
        overrides=parse_overrides([text for texts in override for text in texts]),
        device=device,
        engine=engine,
        workers=workers,
        threads=threads,
        address=address,
        report=StudyReport(open_console(stderr=json)),
    )
    if json:
        _print_json(done.to_dict())
    if done.failures:
        raise TenkError(
            f"{len(done.failures)} of {done.planned} runs failed: {done.folder}. the table tells why; "
            f"the same command tries them again"
        )


def datasets(
    name: Annotated[str | None, Positional, _shown("[DATA]")] = None,
    /,
    sheet: Annotated[Path | None, _shown("PICTURE")] = None,
    json: Flag = False,
) -> None:
    """List the known data sets, or look into one.

    Args:
        name: A known name or a folder: read it, count it, and show its checksum.
        sheet: Draw the first training images of each class into this picture.
        json: Print as JSON.
    """
    from tenk.datasets import DATASETS, load_digits
    from tenk.files import require_file

    if name is None and sheet:
        raise UsageError(
            f"--sheet of no data set: {sheet}. write: tenk datasets mnist --sheet {shlex.quote(str(sheet))}"
        )
    if name is None:
        rows = [
            (known.name, known.description, _place(known.name), known.train_count, known.test_count)
            for known in DATASETS.values()
        ]
        columns = ("name", "what it shows", "where", "training", "test")
        _print_rows("data sets", columns, rows, json)
        return
    if sheet:
        require_file(sheet)
    loaded = load_digits(name)
    if sheet:
        from tenk.plots import save_class_sheet

        save_class_sheet(loaded.train, sheet, f"{loaded.name}: training images")
    facts = {
        "name": loaded.name,
        "training": len(loaded.train),
        "test": len(loaded.test),
        "sha256": loaded.sha256(),
        "note": loaded.note,
        "sheet": str(sheet) if sheet else None,
    }
    _print_facts(facts, json)


def models(json: Flag = False) -> None:
    """List the networks and their variants.

    Args:
        json: Print as JSON.
    """
    from tenk.models import count_parameters, create_model, list_models

    variants = itertools.product(list_models(), (False, True), ("pool", "linear"))
    rows = [
        (*variant, count_parameters(create_model(variant[0], residual=variant[1], head=variant[2])))
        for variant in variants
    ]
    _print_rows("models", ("name", "residual", "head", "parameters"), rows, json)


def recipes(name: Annotated[str | None, Positional, _shown("[RECIPE]")] = None, /, json: Flag = False) -> None:
    """List the recipes, or show every field of one.

    Args:
        name: A recipe: show it whole.
        json: Print as JSON.
    """
    if name is not None:
        shown = get_recipe(name)
        print(shown.to_json()) if json else _print_facts(_flat(asdict(shown)), json)
        return
    from tenk.recipes import RECIPES

    known = [(build(), (build.__doc__ or "").partition("\n")[0]) for _, build in sorted(RECIPES.items())]
    rows = [(r.name, r.model, r.epochs, r.optimizer.name, r.protocol, about) for r, about in known]
    _print_rows("recipes", ("name", "model", "epochs", "optimizer", "protocol", "what it is"), rows, json)


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Positional], /) -> None:
    """Print the completion script of a shell; bash: eval "$(tenk completion bash)".

    Args:
        shell: The shell to complete in.
    """
    script = io.StringIO()
    verbs = {name: verb for name, verb in VERBS.items() if verb is not completion}
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(script):
        tyro.extras.subcommand_cli_from_dict(verbs, prog="tenk", args=["--tyro-print-completion", shell])
    print(script.getvalue(), end="")


VERBS: dict[str, Callable[..., None]] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "summary": summary,
    "plot": plot,
    "export": export,
    "serve": serve,
    "bench": bench,
    "study": study,
    "datasets": datasets,
    "models": models,
    "recipes": recipes,
    "completion": completion,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with a documented exit code, and one line where something failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    _prepare_output()
    _prepare_threads()
    try:
        _run([argument for argument in given if argument != "--debug"])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        _drop_output()
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        message, code = _explain(error)
        _complain(message)
        _drop_output()
        sys.exit(code)


def _drop_output() -> None:
    """Let go of what cannot be printed: Python would try once more at its end, complain, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_output() -> None:
    """Make printing safe where an output is closed, or cannot show every letter."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (it stays open)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _prepare_threads() -> None:
    """Let torch's threads wait for each other in a loop for a shorter while before they sleep, unless told otherwise.

    With libgomp's own 300,000 turns, where any other program takes a core, a training takes some fifteen times as long
    instead of four; on a machine with nothing else to do, the shorter while costs a twentieth. libgomp reads this as
    torch is imported, which has not happened yet.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")


def _run(arguments: list[str]) -> None:
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return
    verb, rest = arguments[0], arguments[1:]
    if verb in ("-V", "--version", "version"):
        print(f"tenk {tenk.__version__}")
        return
    if verb not in VERBS:
        raise unknown_name("verb", verb, VERBS)
    if "" in rest:
        raise UsageError(f"an empty argument behind {verb}. give it a value, or leave it out")
    function = functools.partial(train, fields=_base_recipe(rest)) if verb == "train" else VERBS[verb]
    _parse(function, verb, rest)()


def _usage() -> str:
    lines = [f"  {name:<11} {(verb.__doc__ or '').partition(chr(10))[0]}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            f"tenk {tenk.__version__}: {tenk.__doc__ and tenk.__doc__.splitlines()[0]}",
            "",
            "usage: tenk VERB [OPTIONS]        start with: tenk train",
            "",
            *lines,
            "",
            "  tenk VERB --help shows a verb's options; --debug shows the traceback of an error.",
            "exit codes: 0 done, 1 run-time, 2 usage, 3 data, 4 checkpoint or model, 5 diverged, 6 folder busy,",
            "            130 interrupted, 143 terminated",
        ]
    )


def _parse(function: Callable[..., None], verb: str, arguments: list[str]) -> Callable[[], None]:
    """Let tyro parse, turning what it prints about wrong usage into one line; return the call it comes to."""
    complaint = io.StringIO()

    @functools.wraps(function)
    def prepare(*positional: Any, **named: Any) -> functools.partial[None]:
        return functools.partial(function, *positional, **named)

    prepare.__doc__ = VERBS[verb].__doc__

    try:
        with contextlib.redirect_stderr(complaint), _columns_for_tyro(arguments):
            call: functools.partial[None] = tyro.cli(prepare, prog=f"tenk {verb}", args=arguments)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(f"{_one_line(complaint.getvalue())} see: tenk {verb} --help") from None
    if verb == "train" and call.args and call.args[0] not in ("default", *arguments[:1]):
        raise UsageError(
            f"recipe named behind the options: {call.args[0]}. write: tenk train {call.args[0]} --OPTION ..."
        )
    return call


@contextlib.contextmanager
def _columns_for_tyro(arguments: Sequence[str]) -> Iterator[None]:
    """Give tyro room: help needs 40 columns (with 4, tyro never ends), and a complaint must not be cut into lines."""
    before = os.environ.get("COLUMNS")
    helps = {"-h", "--help"} & set(arguments)
    os.environ["COLUMNS"] = str(max(40, shutil.get_terminal_size().columns) if helps else 10_000)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _one_line(complaint: str) -> str:
    """Take message and suggestion out of the box that tyro draws around them, in words for people."""
    lines = [line[1:-1].rstrip() for line in complaint.splitlines()[1:-1]]
    lines = ["" if set(line.strip()) <= set("─-+") else line for line in lines]  # a rule between parts: a blank line
    first = list(itertools.takewhile(bool, itertools.dropwhile(lambda line: not line, lines)))
    message = " ".join(" ".join(first).split()).rstrip(".")
    if message.startswith("Missing from"):
        message = "missing: " + ", ".join(line.strip() for line in first if re.match(r" {5}\S", line))
    elif found := re.match(r"Missing value for argument '(.*?)'", message):
        option = found[1].startswith("-")
        message = f"missing value: {found[1]}" if option else f"an unknown option where {found[1]} should be"
    elif found := re.match(r"Error parsing (\S+): .*?\b(integer|int|float)\b.*?('.*')?\]?$", message, re.IGNORECASE):
        kind = "a number" if found[2].lower() == "float" else "a whole number"
        message = f"not {kind}: {found[1]} {found[3] or ''}".rstrip()
    suggestion = re.search(r"Perhaps you meant:\s+(\S+)", "\n".join(lines))
    did_you_mean = f" did you mean {suggestion[1].rstrip(',')}?" if suggestion else ""
    return f"{message[:1].lower()}{message[1:]}.{did_you_mean}"


def _base_recipe(arguments: Sequence[str]) -> Recipe:
    """Return the recipe whose fields the options change: that of the run to resume, or the one named first."""
    from tenk.runs import Run

    named = arguments[0] if arguments and not arguments[0].startswith("-") else None
    for argument, following in itertools.pairwise([*arguments, ""]):
        option, _, value = argument.partition("=")
        if option == "--resume" and (value or following):
            if named:
                raise UsageError(f"--resume and a recipe together: {named}. a run has its recipe: leave out {named}")
            return Run(Path(value or following)).recipe()
    return get_recipe(named or "default")


def _recorded_data(run: Path | None) -> str:
    """Return the data that a run was trained on; `auto` where there is no run."""
    from tenk.datasets import DATASETS
    from tenk.runs import Run

    if run is None or not Run.is_run(run):
        return "auto"
    name = Run(run).data()["name"]
    if name not in DATASETS and not Path(name).is_dir():
        raise DataError(f"the data of {run} is gone: {name}. give --data FOLDER")
    return name


def _explain(error: BaseException) -> tuple[str, int]:
    """Return one line for a person, and the exit code."""
    if isinstance(error, TenkError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted.", 130
    if isinstance(error, OSError):
        return explain_os_error(error), 1
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return "out of memory. close other programs, or allow more: ulimit -v unlimited", 1
    if type(error).__name__ == "OutOfMemoryError":
        return "out of device memory. lower --batch-size, or give --device cpu", 1
    return f"{type(error).__name__}: {error}. this is a fault of tenk's: --debug shows where", 1


_NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "failed to map segment", "can't start new thread")
"""What torch, the loader of libraries and threads say where there is none; none of them has an error of its own."""


def _complain(message: str) -> str:
    """Print an error on standard error, where that takes anything, and return it as printed."""
    line = shorten(printable(message))
    with contextlib.suppress(OSError):
        print(f"error: {line}", file=sys.stderr)
    return line


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, or a folder that may not be looked into
        return False


def _refuse_same(out: Path, source: Path) -> None:
    """Keep from writing over what is read."""
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"the same file to read and to write: {out}. give another name to write to")


def _print(what: str | Table) -> None:
    if what:
        open_console().print(what, soft_wrap=isinstance(what, str))


def _print_json(value: Any) -> None:
    print(jsonlib.dumps(value, indent=2, allow_nan=False))


def _print_facts(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(facts)
    else:
        _print(build_table("", (), [(name, str(value)) for name, value in facts.items() if value not in (None, "")]))


def _print_rows(title: str, columns: tuple[str, ...], rows: Sequence[Sequence[object]], as_json: bool) -> None:
    if as_json:
        _print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        _print(build_table(title, columns, rows))


@contextlib.contextmanager
def _bar() -> Iterator[Track]:
    """Show a bar on standard error where that is a terminal, drawn between two pieces of work and never in one."""
    from rich.progress import Progress

    console = open_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal, auto_refresh=False) as progress:
        yield progress.track


def _score_corruptions(model: nn.Module, test: Digits) -> list[CorruptionScore]:
    """Score a model under all corruptions, with a bar on standard error where that is a terminal."""
    from rich.progress import Progress

    from tenk.corruptions import CORRUPTIONS
    from tenk.evaluation import evaluate_corruptions

    console = open_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        return evaluate_corruptions(model, test, progress.track(CORRUPTIONS, description="corruptions"))


def _evaluation_figures(
    metrics: Metrics, scores: Sequence[CorruptionScore], digits: Dataset, protocol: str | None
) -> dict[str, Any]:
    from tenk.evaluation import mean_corruption_accuracy

    disputed = metrics.without_disputed(digits.test)
    return {
        "data": digits.name,
        "note": digits.note,
        "protocol": protocol,
        **metrics.to_dict(),
        "without_disputed": disputed and disputed.to_dict(),
        "mean_corruption_accuracy": mean_corruption_accuracy(scores) if scores else None,
        "corruptions": [score.to_dict() for score in scores] or None,
    }


_PICTURES = ("confusion.png", "misread.png", "corruptions.png", "corruptions-examples.png")
"""All that an evaluation may draw."""


def _save_evaluation(
    folder: Path, figures: dict[str, Any], metrics: Metrics, scores: Sequence[CorruptionScore], test: Digits
) -> None:
    """Write figures and pictures together: those of one evaluation never lie beside those of another."""
    from tenk.files import write_json, writing_together
    from tenk.plots import save_confusion, save_corruption_examples, save_corruptions, save_misread

    with writing_together(folder, stale=_PICTURES) as place:
        write_json(place / "metrics.json", figures)
        save_confusion(metrics, place / "confusion.png")
        save_misread(metrics, test, place / "misread.png")
        if scores:
            save_corruptions(metrics.interval, scores, place / "corruptions.png")
            save_corruption_examples(test.images[0], place / "corruptions-examples.png")


def _print_corruptions(scores: Sequence[CorruptionScore]) -> None:
    from tenk.evaluation import mean_corruption_accuracy

    if not scores:
        return
    rows = [
        (
            score.corruption.name,
            score.corruption.unit,
            *(
                f"{strength:>3g}: {100 * accuracy.value:4.1f}"
                for strength, accuracy in zip(score.corruption.strengths, score.accuracies, strict=True)
            ),
        )
        for score in scores
    ]
    title = f"\ncorrupted images, strength: accuracy %; mean of all {100 * mean_corruption_accuracy(scores):.2f}"
    _print(build_table(title, ("corruption", "unit", "mildest", "", "", "", "hardest"), rows))


def _print_metrics(metrics: Metrics, disputed: Metrics | None, data: str, protocol: str | None) -> None:
    from tenk.report import PROTOCOL_NOTES

    known = (
        f"{protocol}: {PROTOCOL_NOTES[protocol]}" if protocol in PROTOCOL_NOTES else "trained on other data than this"
    )
    facts = [("accuracy", _accuracy(metrics)), ("errors", f"{metrics.errors:,} of {len(metrics.labels):,}")]
    if disputed:
        set_aside = len(metrics.labels) - len(disputed.labels)
        facts.append((f"without the {set_aside} disputed labels", _accuracy(disputed)))
    facts += [
        ("loss", f"{metrics.loss:.4f}"),
        ("expected calibration error", f"{metrics.calibration_error:.2%}"),
        ("protocol", known),
    ]
    _print(build_table(f"test images of {data}", (), facts))
    rows = [
        (d["digit"], d["count"], d["errors"], _percent(d["recall"]), _percent(d["precision"]), d["most_often_read_as"])
        for d in metrics.per_digit()
    ]
    _print(build_table("\nby digit", ("digit", "images", "errors", "recall %", "precision %", "read as"), rows))
    matrix = [(true, *(count or None for count in row)) for true, row in enumerate(metrics.confusion.tolist())]
    _print(build_table("\nconfusion: true digits down, read digits across", ("", *map(str, range(10))), matrix))


def _print_export(found: Exported, note: str) -> None:
    facts = [
        (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
        for name, value in found.notes.items()
    ]
    if found.agreement is None:
        facts.append(("checked", "no: there is no C compiler here. where there is one, run: make test"))
    else:
        checked = found.agreement
        facts += [
            ("checked on", f"{checked.images:,} test images of {checked.data}"),
            ("largest difference of a logit", f"{checked.largest_difference:.2g}"),
            ("read differently from PyTorch", f"{checked.differing:,}"),
            ("accuracy", f"{checked.accuracy:.2%} (PyTorch: {checked.torch_accuracy:.2%})"),
        ]
    sizes = [(f"{name}, bytes", f"{size:,}") for name, size in found.sizes.items()]
    _print(build_table(f"written: {printable(str(found.path))}", (), [*sizes, *facts]))
    _print(literal(note))


def _announce(listener: socket.socket, host: str) -> str:
    """Say where the server is, and whether others can reach it; return the page's address."""
    address, port = listener.getsockname()[:2]
    own = ipaddress.ip_address(address)
    name = socket.gethostname() if own.is_unspecified else f"[{address}]" if own.version == 6 else address
    if not own.is_loopback:
        print(f"warning: listening on {host}: whoever reaches this machine can use it", file=sys.stderr)
    _print(f"draw a digit: http://{name}:{port}/")
    _print("stop with Ctrl-C")
    sys.stdout.flush()
    return f"http://{name}:{port}/"


def _has_browser() -> bool:
    """Tell whether someone sits at a screen: elsewhere, a browser made of text might take over the terminal."""
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    return sys.stdout.isatty() and bool(screen)


def _print_prediction(path: Path, found: Prediction) -> None:
    name = printable(str(path))
    if found.digit is None or found.runner_up is None:
        print(f"{name}: -")
    else:
        runner_up = f"{found.runner_up}: {found.probabilities[found.runner_up]:.1%}"
        print(f"{name}: {found.digit}  {found.probability:.1%}  ({runner_up})")
    if found.warning:
        print(f"  warning: {printable(found.warning)}")


def _accuracy(metrics: Metrics) -> str:
    interval = metrics.interval
    return f"{interval.value:.2%}  ({interval.low:.2%} to {interval.high:.2%}, 95 % interval)"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _place(data_set: str) -> str:
    from tenk.datasets import find_dataset

    if data_set == "synthetic":
        return "drawn when needed"
    return str(find_dataset(data_set) or "to be downloaded")


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested fields as `optimizer.lr`, the way the command line names them."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat.update(_flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": str(item)})
    return flat
