"""Every picture comes out, of odd runs and scores too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import under10k
from short_runs import KilledError, StopAt, kill, small
from under10k import plots
from under10k.data.datasets import Dataset
from under10k.errors import UsageError
from under10k.evaluation.corruptions import CORRUPTIONS
from under10k.evaluation.metrics import CorruptionScore, Metrics
from under10k.evaluation.statistics import wilson_interval
from under10k.plots import (
    Drawing,
    Networks,
    Points,
    Runs,
    plot_batches,
    plot_class_sheet,
    plot_confusion,
    plot_corruption_examples,
    plot_corruptions,
    plot_curves,
    plot_frontier,
    plot_insight,
    plot_misread,
    plot_strip,
    plot_tradeoff,
    save_figure,
    show,
)
from under10k.plots.curves import _running_mean, _stack
from under10k.recipes import Protocol, Recipe
from under10k.runs.folder import Run
from under10k.runs.records import Batch
from under10k.training.start import train

Finished = Callable[[Recipe], Path]


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG" and min(picture.size) > 100 and len(picture.getcolors(2**24) or []) > 3


def has_colours(figure: Drawing) -> bool:
    with Image.open(BytesIO(figure._repr_png_())) as picture:
        return len(picture.getcolors(2**24) or []) > 3


def metrics_with(errors: int, dataset: Dataset) -> Metrics:
    labels = dataset.test.labels
    read = labels.clone()
    read[:errors] = (read[:errors] + 1) % 10
    return Metrics(torch.nn.functional.one_hot(read, 10).float() * 9, labels)


@pytest.mark.parametrize("protocol", ["watched", "held-out", "fixed"])
def test_curves_of_each_protocol_are_drawn(protocol: Protocol, finished: Finished, tmp_path: Path) -> None:
    save_figure(plot_curves([finished(small(protocol=protocol))]), tmp_path / "curves.png")
    assert is_picture(tmp_path / "curves.png")


def test_names_of_any_letters_are_drawn_as_they_are(dataset: Dataset, finished: Finished, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("日本", "$\\frac{$", "_hidden", "a\nb", "\udcff", "[b]")]
    for run in runs:
        shutil.copytree(finished(small()), run)
    save_figure(plot_curves(runs), tmp_path / "new folder" / "curves.png")
    save_figure(plot_class_sheet(dataset.train, " ".join(run.name for run in runs)), tmp_path / "sheet.png")
    assert is_picture(tmp_path / "new folder" / "curves.png")
    assert is_picture(tmp_path / "sheet.png")


def test_curves_of_losses_near_the_largest_number_are_drawn_without_a_warning(
    finished: Finished, tmp_path: Path
) -> None:
    run = Run(shutil.copytree(finished(small(epochs=3)), tmp_path / "run"))
    first, second, third = run.history()
    for largest in 1e307, 1.7e308:
        run.write_history([first, replace(second, train_loss=largest), third])
        run.append_batches(
            [Batch(4, 1, largest, 0.5, 0.1), Batch(4, 2, largest, 0.5, 0.1), Batch(4, 3, 0.1, 0.5, largest)]
        )
        save_figure(plot_curves([tmp_path / "run"]), tmp_path / "curves.png")
        save_figure(plot_batches([tmp_path / "run"]), tmp_path / "batches.png")
        assert is_picture(tmp_path / "curves.png")
        assert is_picture(tmp_path / "batches.png")


def test_curves_of_an_unfinished_run_and_of_many_runs_are_drawn(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small(), dataset, tmp_path / "run", reports=[StopAt(1, 1, kill)])
    save_figure(plot_curves([tmp_path / "run"]), tmp_path / "one.png")
    save_figure(plot_curves([tmp_path / "run"] * 8), tmp_path / "many.png")
    assert is_picture(tmp_path / "one.png")
    assert is_picture(tmp_path / "many.png")


@pytest.mark.parametrize("epoch", [0, 1])
def test_batches_of_a_run_under_way_and_of_many_runs_are_drawn(epoch: int, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small(), dataset, tmp_path / "run", reports=[StopAt(epoch, 1, kill)])
    save_figure(plot_batches([tmp_path / "run"]), tmp_path / "one.png")
    save_figure(plot_batches([tmp_path / "run"] * 8), tmp_path / "many.png")
    assert is_picture(tmp_path / "one.png")
    assert is_picture(tmp_path / "many.png")


@pytest.mark.parametrize("window", [1, 2, 5, 100])
def test_a_smoothed_value_is_the_mean_of_those_around_it(window: int) -> None:
    values = np.random.default_rng(0).random(30)
    means = [values[max(0, n - window // 2) : n + (window + 1) // 2].mean() for n in range(30)]
    assert _running_mean(values, window) == pytest.approx(means)


def test_curves_of_a_run_without_an_epoch_are_drawn(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small(), dataset, tmp_path / "run", reports=[StopAt(0, 1, kill)])
    save_figure(plot_curves([tmp_path / "run"]), tmp_path / "none.png")
    assert is_picture(tmp_path / "none.png")


@pytest.mark.parametrize("errors", [0, 1, 11, 96])
def test_confusion_and_misread_are_drawn_for_any_number_of_mistakes(
    errors: int, dataset: Dataset, tmp_path: Path
) -> None:
    metrics = metrics_with(errors, dataset)
    assert metrics.errors == errors
    save_figure(plot_confusion(metrics), tmp_path / "confusion.png")
    save_figure(plot_misread(metrics, dataset.test), tmp_path / "misread.png")
    assert is_picture(tmp_path / "confusion.png")
    assert (tmp_path / "misread.png").read_bytes().startswith(b"\x89PNG")


def test_a_sheet_shows_classes_that_are_there(dataset: Dataset, tmp_path: Path) -> None:
    save_figure(plot_class_sheet(dataset.test[:3], "three digits"), tmp_path / "sheet.png")
    assert is_picture(tmp_path / "sheet.png")


@pytest.mark.parametrize(("count", "right"), [(1, 0), (5, 10), (len(CORRUPTIONS), 0)])
def test_scores_of_any_number_of_corruptions_are_drawn(count: int, right: int, tmp_path: Path) -> None:
    interval = wilson_interval(right, 10)
    scores = [CorruptionScore(corruption, (interval,) * 5) for corruption in list(CORRUPTIONS.values())[:count]]
    save_figure(plot_corruptions(wilson_interval(10, 10), scores), tmp_path / "corruptions.png")
    assert is_picture(tmp_path / "corruptions.png")


def test_a_digit_is_drawn_under_each_corruption_the_same_way_each_time(dataset: Dataset, tmp_path: Path) -> None:
    for name in "one.png", "again.png":
        save_figure(plot_corruption_examples(dataset.test.images[0]), tmp_path / name)
    assert is_picture(tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_a_failed_drawing_leaves_the_old_picture(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sheet.png"
    save_figure(plot_class_sheet(dataset.test, "old"), path)
    old = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("under10k.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_figure(plot_class_sheet(dataset.test, "new"), path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


STUDIES: list[dict[str, Points]] = [
    {"test accuracy (%)": {"one": [(10.0, 0.99)]}},
    {"test accuracy (%)": {"equal": [(10.0, 0.99)] * 20, "all right": [(10.0, 1.0), (11.0, 1.0)]}},
    {
        "test accuracy (%)": {f"recipe-{n} optimizer.lr=0.{n}": [(n, 0.99), (n + 1, 0.995)] for n in range(1, 13)},
        "validation accuracy (%)": {"odd [name] $x_1$ <&>": [(1.0, 0.5), (2.0, 0.75), (9.0, 0.5)]},
    },
]


@pytest.mark.parametrize("panels", STUDIES)
def test_studies_of_any_size_are_drawn(panels: dict[str, Points], tmp_path: Path) -> None:
    save_figure(plot_strip(panels), tmp_path / "strip.png")
    save_figure(plot_tradeoff(panels), tmp_path / "tradeoff.png")
    assert is_picture(tmp_path / "strip.png")
    assert is_picture(tmp_path / "tradeoff.png")


@pytest.mark.parametrize(
    "networks",
    [
        {"one, fixed": (9720, 1_933_344, [0.9953])},
        {"mine, held-out": (7000, None, [0.994, 0.995])},
        {f"net $x_{n}$, fixed": (500 * n, 10**5 * n if n % 2 else None, [0.99, 0.99, 1.0]) for n in range(1, 9)},
    ],
    ids=["one", "own", "many"],
)
def test_networks_of_any_size_are_drawn_by_their_means(networks: Networks, tmp_path: Path) -> None:
    save_figure(plot_frontier(networks), tmp_path / "frontier.png")
    assert is_picture(tmp_path / "frontier.png")


def test_equal_scores_lie_side_by_side() -> None:
    assert _stack([1, 2, 1, 1, 2]) == pytest.approx([0, 0, 0.1, -0.1, 0.1])


@pytest.mark.parametrize("shape", [(28, 28), (7, 28, 28), (7, 1, 28, 28)])
@pytest.mark.parametrize("as_float", [False, True])
def test_digits_of_any_form_are_shown_on_a_sheet(shape: tuple[int, ...], as_float: bool, dataset: Dataset) -> None:
    count = int(np.prod(shape)) // 28**2
    images = dataset.test.images[:count].reshape(shape)
    assert has_colours(show(images / 255 if as_float else images.numpy(), ["a"] * count))
    assert has_colours(show(images))


def test_digits_bring_their_labels_to_the_sheet(dataset: Dataset) -> None:
    titles = [text.get_text() for text in show(dataset.test[:12]).axes[0].texts]
    assert [title for title in titles if title] == [str(int(label)) for label in dataset.test.labels[:12]]


def test_a_sheet_asks_for_as_many_labels_as_images_and_no_more_than_fit(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="differ in number: 3, 2"):
        show(dataset.test.images[:3], [1, 2])
    with pytest.raises(UsageError, match=r"too many digits for a sheet: 384. show some of them: images\[:200\]"):
        show(dataset.train)


def test_curves_are_a_figure_that_can_be_changed_and_shows_itself(
    finished: Finished,
) -> None:
    run = finished(small())
    result = Run(run).result()
    assert result
    given: list[Runs] = [result, run, [result, str(run)]]
    for runs in given:
        figure = plots.plot_curves(runs)
        figure.axes[0].set_title("mine")
        assert has_colours(figure)
    with pytest.raises(UsageError, match="no run was given"):
        plots.plot_curves([])


@pytest.mark.parametrize("name", ["early", "gap", "transition"])
def test_what_a_network_makes_of_a_digit_is_drawn(name: str, dataset: Dataset) -> None:
    figure = plot_insight(name, dataset.test.images[0])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    last = max(name for name in under10k.filters(name))
    assert any(text.startswith(f"{last}: 10 maps") for text in texts)
    assert texts[-10:] == [str(digit) for digit in range(10)]
    assert has_colours(figure)


def test_what_a_network_of_ones_own_makes_of_a_blank_image_is_drawn() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 40), nn.ReLU(), nn.Linear(40, 10))
    assert has_colours(plot_insight(network, torch.zeros(28, 28, dtype=torch.uint8), digit=3))
