"""Every figure of an evaluation, on logits that one can check by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import under10k
from under10k.data.datasets import Dataset
from under10k.data.digits import Digits, normalise, read_digits, to_unit
from under10k.errors import UsageError
from under10k.evaluation.metrics import (
    DISPUTED,
    MNIST_TEST_SHA256,
    Metrics,
    evaluate,
    evaluate_corruptions,
    predict_logits,
)
from under10k.evaluation.statistics import wilson_interval
from under10k.models.registry import MODELS, create_model

of_each_model = pytest.mark.parametrize("name", MODELS)


def reading(digit: int, confidence: float) -> list[float]:
    """Logits that read a digit with that confidence and share the rest evenly."""
    return [math.log(confidence if other == digit else (1 - confidence) / 9) for other in range(10)]


def metrics_of(*cases: tuple[int, int, float]) -> Metrics:
    """Metrics over (true digit, digit read, confidence)."""
    return Metrics(
        torch.tensor([reading(read, confidence) for _, read, confidence in cases]),
        torch.tensor([true for true, _, _ in cases]),
    )


def random_digits(count: int, seed: int = 0) -> Digits:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return Digits(images, torch.randint(0, 10, (count,), generator=generator))


FIVE = metrics_of((3, 3, 0.9), (3, 5, 0.6), (5, 5, 0.8), (5, 3, 0.95), (7, 5, 0.6))
"""Two right of five: a 3 read as 5, a 5 as 3, a 7 as 5."""


# --- figures by hand ---------------------------------------------------------------------------------------------


def test_accuracy_counts_what_is_read_right() -> None:
    assert FIVE.predictions.tolist() == [3, 5, 5, 3, 5]
    assert (FIVE.correct, FIVE.errors, FIVE.accuracy) == (2, 3, 0.4)
    assert FIVE.interval == wilson_interval(2, 5)


def test_loss_is_the_mean_surprise_at_the_true_digit() -> None:
    surprises = [0.9, 0.4 / 9, 0.8, 0.05 / 9, 0.4 / 9]
    assert FIVE.loss == pytest.approx(-sum(map(math.log, surprises)) / 5, rel=1e-6)
    uniform = Metrics(torch.zeros(3, 10), torch.tensor([0, 4, 9]))
    assert uniform.loss == pytest.approx(math.log(10))


def test_confusion_has_true_digits_down_and_read_digits_across() -> None:
    expected = torch.zeros(10, 10, dtype=torch.int64)
    for true, read in ((3, 3), (3, 5), (5, 5), (5, 3), (7, 5)):
        expected[true, read] += 1
    assert torch.equal(FIVE.confusion, expected)
    assert FIVE.confusion.sum() == 5
    assert FIVE.confusion.trace() == FIVE.correct


def test_misread_images_come_surest_mistakes_first_and_equals_in_order() -> None:
    assert FIVE.misread.tolist() == [3, 1, 4]
    assert metrics_of((1, 1, 0.9)).misread.tolist() == []


def test_each_digit_has_its_recall_precision_and_commonest_mistake() -> None:
    rows = FIVE.per_digit()
    assert [row["digit"] for row in rows] == list(range(10))
    assert rows[3] == {
        "digit": 3,
        "count": 2,
        "errors": 1,
        "recall": 1 / 2,
        "precision": 1 / 2,
        "most_often_read_as": 5,
    }
    assert rows[5] == {
        "digit": 5,
        "count": 2,
        "errors": 1,
        "recall": 1 / 2,
        "precision": 1 / 3,
        "most_often_read_as": 3,
    }


def test_a_digit_that_is_absent_has_no_recall_and_one_never_read_no_precision() -> None:
    rows = FIVE.per_digit()
    assert (rows[7]["recall"], rows[7]["precision"], rows[7]["most_often_read_as"]) == (0.0, None, 5)
    assert rows[0] == {
        "digit": 0,
        "count": 0,
        "errors": 0,
        "recall": None,
        "precision": None,
        "most_often_read_as": None,
    }
    never_there = metrics_of((2, 4, 0.7)).per_digit()[4]
    assert (never_there["recall"], never_there["precision"]) == (None, 0.0)


# --- calibration -------------------------------------------------------------------------------------------------


def test_a_model_that_knows_how_sure_to_be_has_no_calibration_error() -> None:
    sure_three_times_in_four = [(1, 1, 0.75), (2, 2, 0.75), (3, 3, 0.75), (4, 5, 0.75)]
    right_every_second_time = [(1, 1, 0.5), (2, 3, 0.5)]
    assert metrics_of(*sure_three_times_in_four, *right_every_second_time).calibration_error == pytest.approx(
        0, abs=1e-6
    )


def test_overconfidence_is_the_gap_between_confidence_and_accuracy() -> None:
    assert metrics_of((1, 1, 0.9), (2, 3, 0.9)).calibration_error == pytest.approx(0.4, abs=1e-6)
    assert metrics_of((1, 1, 0.6), (2, 2, 0.6)).calibration_error == pytest.approx(0.4, abs=1e-6)


def test_each_bin_of_confidence_counts_by_its_share_of_images() -> None:
    # bin of 0.9: 4 images, all right, gap 0.1; bin of 0.5: 2 images, all wrong, gap 0.5
    cases = [(digit, digit, 0.9) for digit in range(4)] + [(1, 2, 0.5), (3, 4, 0.5)]
    assert metrics_of(*cases).calibration_error == pytest.approx((4 * 0.1 + 2 * 0.5) / 6, abs=1e-6)


def test_gaps_of_one_bin_cancel_and_gaps_of_different_bins_do_not() -> None:
    one_bin = metrics_of((1, 1, 0.81), (2, 2, 0.81), (3, 3, 0.81), (4, 4, 0.81), (5, 6, 0.85))
    assert one_bin.calibration_error == pytest.approx(abs(4 * 0.81 + 0.85 - 4) / 5, abs=1e-6)
    two_bins = metrics_of((1, 1, 0.6), (2, 3, 0.4))
    assert two_bins.calibration_error == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize(("true", "expected"), [(0, 0.0), (1, 1.0)])
def test_full_confidence_falls_into_the_last_bin(true: int, expected: float) -> None:
    certain = Metrics(torch.tensor([[1000.0] + [0.0] * 9]), torch.tensor([true]))
    assert certain.calibration_error == expected


# --- disputed labels ---------------------------------------------------------------------------------------------


def test_fifteen_labels_are_disputed() -> None:
    assert len(set(DISPUTED)) == len(DISPUTED) == 15
    assert list(DISPUTED) == sorted(DISPUTED)
    assert 0 <= min(DISPUTED) <= max(DISPUTED) < 10_000


def test_disputed_labels_are_set_aside_on_mnists_own_test_images_only(mnist_folder: Path) -> None:
    digits = read_digits(mnist_folder / "t10k-images-idx3-ubyte.gz", mnist_folder / "t10k-labels-idx1-ubyte.gz")
    assert digits.sha256() == MNIST_TEST_SHA256
    logits = torch.nn.functional.one_hot(digits.labels, 10).float()
    logits[list(DISPUTED)] = logits[list(DISPUTED)].roll(1, dims=1)
    metrics = Metrics(logits, digits.labels)
    assert metrics.errors == 15
    without = metrics.without_disputed(digits)
    assert without is not None
    assert (len(without.labels), without.errors) == (9_985, 0)

    relabelled = digits.labels.clone()
    relabelled[0] = (relabelled[0] + 1) % 10
    assert metrics.without_disputed(replace(digits, labels=relabelled)) is None
    assert metrics.without_disputed(digits[:9_999]) is None


def test_no_label_of_other_images_is_set_aside() -> None:
    assert FIVE.without_disputed(random_digits(5)) is None


# --- as plain values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metrics",
    [
        FIVE,
        metrics_of((3, 3, 0.9)),
        metrics_of((3, 4, 0.9)),
        Metrics(torch.tensor([[1e30] + [-1e30] * 9, [0.0] * 10]), torch.tensor([1, 0])),
    ],
    ids=["five", "one right", "one wrong", "enormous"],
)
def test_everything_can_be_written_as_json_without_nan(metrics: Metrics) -> None:
    value = metrics.to_dict()
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_plain_values_are_those_of_the_metrics() -> None:
    value = FIVE.to_dict()
    assert (value["accuracy"], value["errors"], value["images"]) == (0.4, 3, 5)
    assert value["interval_95"] == [FIVE.interval.low, FIVE.interval.high]
    assert (value["loss"], value["calibration_error"]) == (FIVE.loss, FIVE.calibration_error)
    assert value["misread"] == [3, 1, 4]
    assert value["confusion"][3][5] == 1
    assert len(value["per_digit"]) == 10


# --- running a model ---------------------------------------------------------------------------------------------


def trained_a_little(name: str) -> nn.Module:
    """A model whose batch norm has seen something, with dropout that training mode would show."""
    torch.manual_seed(0)
    model = create_model(name, dropout=0.3).train()
    with torch.no_grad():
        model(normalise(to_unit(random_digits(32, seed=9).images)))
    return model


@of_each_model
@pytest.mark.parametrize("batch_size", [1, 7, 20, 23, 1000])
def test_logits_do_not_depend_on_the_batch_size(name: str, batch_size: int) -> None:
    model, images = trained_a_little(name), random_digits(23).images
    expected: Tensor = model.eval()(normalise(to_unit(images))).detach()
    found = predict_logits(model, images, batch_size)
    assert (found.dtype, found.device.type, tuple(found.shape)) == (torch.float32, "cpu", (23, 10))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@of_each_model
@pytest.mark.parametrize("training", [True, False])
def test_running_a_model_leaves_it_and_all_chance_as_they_were(name: str, training: bool) -> None:
    model, digits = trained_a_little(name).train(training), random_digits(9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images, state = digits.images.clone(), torch.get_rng_state()
    first, second = predict_logits(model, digits.images), predict_logits(model, digits.images)
    assert torch.equal(first, second), "dropout is off"
    assert torch.equal(torch.get_rng_state(), state)
    assert {part.training for part in model.modules()} == {training}
    assert torch.equal(digits.images, images)
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in model.parameters())


@of_each_model
def test_evaluating_is_running_and_comparing_with_the_labels(name: str) -> None:
    model, digits = trained_a_little(name), random_digits(40)
    metrics = evaluate(model, digits)
    assert torch.equal(metrics.logits, predict_logits(model, digits.images))
    assert torch.equal(metrics.labels, digits.labels)
    assert metrics.correct == sum(
        int(logits.argmax() == label) for logits, label in zip(metrics.logits, digits.labels, strict=True)
    )
    assert not metrics.logits.is_inference(), "the figures can be used in further computations"


def test_each_part_of_a_model_keeps_the_mode_it_was_in() -> None:
    model = create_model("gap").train()
    frozen = [part.eval() for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    evaluate(model, random_digits(4))
    assert all(part.training != (part in frozen) for part in model.modules())


@pytest.mark.parametrize("setting", [lambda: torch.autocast("cpu"), lambda: torch.device("meta"), torch.no_grad])
def test_scores_are_the_same_whatever_torch_is_set_to(setting: Any) -> None:
    model, digits = trained_a_little("gap"), random_digits(40)
    expected = evaluate(model, digits).to_dict()
    with setting():
        assert evaluate(model, digits).to_dict() == expected


def test_scores_are_the_same_under_another_default_type_and_corrupted_images_are_refused() -> None:
    model, digits = trained_a_little("gap"), random_digits(40)
    expected = evaluate(model, digits).to_dict()
    torch.set_default_dtype(torch.float64)
    try:
        assert evaluate(model, digits).to_dict() == expected
        with pytest.raises(UsageError, match="not float32"):
            evaluate_corruptions(model, digits)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_half_and_double_precision_are_evaluated_and_read_pictures(
    kind: torch.dtype, dataset: Dataset
) -> None:
    model = under10k.load_model("early").to(kind)
    metrics = under10k.evaluate(model, dataset.test)
    assert metrics.logits.dtype == torch.float32
    assert torch.allclose(metrics.logits, under10k.evaluate("early", dataset.test).logits, atol=0.5)
    assert under10k.predict(dataset.test.images[0], model).digit is not None
    assert next(model.parameters()).dtype == kind
