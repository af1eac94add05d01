"""Digits of a user's own: from arrays, tensors and torch data sets; what is none is one line with what to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import under10k
from under10k.data.datasets import Dataset
from under10k.data.digits import Digits
from under10k.data.own import as_dataset, as_digits
from under10k.errors import DataError, Under10kError, UsageError
from under10k.recipes import Optimizer


def forms(digits: Digits) -> list[Any]:
    """The same digits in every form that is taken."""
    images, labels = digits.images, digits.labels
    unit = images.float() / 255
    return [
        digits,
        (images, labels),
        (images.numpy(), labels.numpy().astype(np.uint8)),
        (unit.unsqueeze(1), labels.to(torch.int32)),
        (unit.double().numpy(), labels.tolist()),
        TensorDataset(unit.unsqueeze(1), labels),
        [(Image.fromarray(image.numpy()), int(label)) for image, label in zip(images, labels, strict=True)],
    ]


@pytest.mark.parametrize("form", range(7))
def test_digits_are_taken_from_arrays_tensors_and_torch_data_sets(dataset: Dataset, form: int) -> None:
    digits = dataset.test[:10]
    assert as_digits(forms(digits)[form]).sha256() == digits.sha256()


@pytest.mark.parametrize("form", range(7))
def test_a_network_is_scored_on_digits_of_any_form(dataset: Dataset, form: int) -> None:
    expected = under10k.evaluate("early", dataset.test[:10]).logits
    assert torch.equal(under10k.evaluate("early", forms(dataset.test[:10])[form]).logits, expected)


def test_a_training_takes_a_pair_of_own_digits(dataset: Dataset, tmp_path: Path) -> None:
    recipe = replace(under10k.recipes.default(), epochs=1, batch_size=64, optimizer=Optimizer("sgd", lr=0.1))
    pair = TensorDataset(dataset.train.images, dataset.train.labels), (dataset.test.images, dataset.test.labels)
    result = under10k.train(recipe, pair, tmp_path / "own", reports=[])
    same = under10k.train(recipe, dataset, tmp_path / "same", reports=[])
    assert (result.test_errors, result.data.sha256) == (same.test_errors, same.data.sha256)


def test_names_work_from_python_wherever_the_command_line_takes_them(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("under10k.data.own.load_digits", lambda _: dataset)
    expected = under10k.evaluate(under10k.load_model("robust"), dataset.test)
    for digits in "mnist", dataset, dataset.test:
        assert torch.equal(under10k.evaluate("robust", digits).logits, expected.logits)
    score = under10k.evaluate_corruptions("early", dataset, "blur")
    assert [one.corruption.name for one in score] == ["blur"]
    short = replace(under10k.recipes.fast(), epochs=1)
    monkeypatch.setitem(under10k.recipes.RECIPES, "fast", lambda: short)
    assert under10k.train("fast", "mnist", tmp_path / "run", reports=[]).recipe == "fast"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (3, "wrong type of data: int. give a known name, a folder, a Dataset, or a pair (train, test)"),
        ("digits", "no test images: there is one set of digits. give a pair, (train, test)"),
        ("arrays", "no test images: there is one set of digits. give a pair, (train, test)"),
        ("large", "not digit images: shape (4, 32, 32). give (N, 28, 28)"),
        ("normalised", "not pixels: a value of -0.42"),
        ("0 to 255", "not pixels: a float of 255. divide by 255, or give uint8"),
        ("labels", "not labels: float32. give whole numbers from 0 to 9"),
        ("mixed", "not digits: the images of the data set differ in size or type"),
        ("no pairs", "not digits: an item of the data set is no pair. give items of (image, label)"),
    ],
)
def test_data_that_cannot_be_trained_on_is_one_line(dataset: Dataset, data: Any, told: str) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    made = {
        "digits": dataset.train,
        "arrays": (dataset.train.images, dataset.train.labels),
        "large": ((torch.zeros(4, 32, 32), labels), dataset.test),
        "normalised": ((torch.full((4, 28, 28), -0.42), labels), dataset.test),
        "0 to 255": ((torch.full((4, 28, 28), 255.0), labels), dataset.test),
        "labels": ((torch.zeros(4, 28, 28), labels.float()), dataset.test),
        "mixed": ([(torch.zeros(28, 28), 0), (torch.zeros(9, 9), 1), (torch.zeros(28, 28), 0)], dataset.test),
        "no pairs": ([torch.zeros(28, 28)] * 3, dataset.test),
    }
    given = made[data] if isinstance(data, str) else data
    with pytest.raises(UsageError) as caught:
        as_dataset(given)  # type: ignore[arg-type]
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_their_images_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"^images and labels differ in number: 96 images, 95 labels"):
        as_digits((dataset.test.images, dataset.test.labels[1:]))
    with pytest.raises(DataError, match=r"^label out of range: 10 at index 0"):
        as_digits((dataset.test.images[:1], np.array([10])))
    with pytest.raises(DataError, match=r"^no images"):
        as_digits([])


@pytest.mark.parametrize("wrong", [3, 2.5, None, b"fast", ["x"], object(), {}])
def test_an_argument_of_a_wrong_type_is_the_projects_own_error(
    wrong: Any, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[Callable[[], Any]] = [
        lambda: under10k.train(wrong, dataset),
        lambda: under10k.evaluate("robust", wrong),
        lambda: under10k.evaluate(wrong, dataset),
        lambda: under10k.evaluate_corruptions("robust", dataset, [wrong]),
        lambda: under10k.evaluate_run(wrong, dataset),
        lambda: under10k.load_digits(wrong),
        lambda: under10k.load_model(wrong),
        lambda: under10k.create_model(wrong),
        lambda: under10k.create_model("gap", dropout=wrong),
        lambda: under10k.create_model("gap", head=wrong),
        lambda: under10k.normalise(wrong),
        lambda: under10k.save_model(wrong, tmp_path / "x"),
        lambda: under10k.save_model(under10k.create_model("gap"), wrong),
        lambda: under10k.summarise(wrong),
        lambda: under10k.run_study([wrong], folder="s"),
        lambda: under10k.recipes.get_recipe(wrong),
    ]
    if wrong is not None:  # which stands for the default
        calls += [
            lambda: under10k.predict(dataset.test.images[0], wrong),
            lambda: under10k.train("fast", wrong),
            lambda: under10k.train("fast", dataset, wrong),
        ]
    for number, call in enumerate(calls):
        with pytest.raises(Under10kError) as caught:
            call()
        assert "\n" not in str(caught.value), number
    assert not list(tmp_path.iterdir())
