"""What a result shows: one line, a table in a notebook, and what was recorded on the way as arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import under10k
from under10k.data.datasets import Dataset
from under10k.errors import ModelError
from under10k.recipes import Optimizer
from under10k.runs.result import Result


@pytest.fixture(scope="module")
def result(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Result:
    recipe = replace(under10k.recipes.default(), epochs=2, batch_size=64, optimizer=Optimizer("sgd", lr=0.1))
    return under10k.train(recipe, dataset, tmp_path_factory.mktemp("runs") / "run", reports=[])


def test_a_result_has_its_history_as_arrays(result: Result) -> None:
    history = result.history
    assert history.epochs["epoch"].tolist() == [1, 2]
    assert history.epochs["train_loss"].dtype == np.float64
    assert np.isnan(history.epochs["accuracy"]).all(), "nothing is scored on the way under the protocol fixed"
    assert len(history.batches["loss"]) == len(history.batches["learning_rate"]) == 12
    assert set(history.batches["epoch"].tolist()) == {1, 2}
    assert repr(history) == "History(2 epochs, 12 batches)"


def test_the_history_of_a_run_that_is_gone_is_one_line(result: Result, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^no such run folder: .*gone. check its name"):
        _ = replace(result, run_dir=str(tmp_path / "gone")).history


def test_results_and_metrics_print_as_one_line_and_as_tables(result: Result, dataset: Dataset) -> None:
    metrics = under10k.evaluate("early", dataset.test)
    for shown in result, metrics, under10k.predict(dataset.test.images[0], "early"):
        line = repr(shown)
        assert line.startswith(type(shown).__name__ + "(")
        assert len(line) < 400
        assert "\n" not in line
        assert shown._repr_html_().startswith("<table><caption>")


def test_a_table_holds_no_markup_of_others(result: Result) -> None:
    page = replace(result, recipe="<script>")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
