"""`under10k explain`: one figure of what a network sees in a digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from under10k.cli import main
from under10k.data.datasets import Dataset


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def refusal(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *arguments])
    assert ended.value.code == code
    return capsys.readouterr().err


def test_without_a_picture_a_synthetic_digit_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "--model", "early"])
    assert capsys.readouterr().out == "early explained: explain.png\n"
    width, height = size_of("explain.png")
    assert width / height == pytest.approx(16 / 9, rel=0.01)
    assert "already there: explain.png" in refusal(capsys, 2, "--model", "early")


def test_a_picture_is_explained_for_any_digit(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(255 - np.kron(dataset.test.images[0].numpy(), np.ones((5, 5), dtype=np.uint8))).save("digit.png")
    main(["explain", "digit.png", "--model", "early", "--digit", "0", "-o", "slide.png"])
    assert size_of("slide.png")[0] > 1000


def test_what_cannot_be_explained_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (80, 80), 255).save("blank.png")
    assert "no digit found" in refusal(capsys, 1, "blank.png", "--model", "early")
    assert "none.png" in refusal(capsys, 1, "none.png", "--model", "early")
    assert "no such digit: 10" in refusal(capsys, 2, "--digit", "10")
    assert "would overwrite its own input: blank.png" in refusal(capsys, 2, "blank.png", "-o", "blank.png")
    assert "not a kind of picture: a.txt" in refusal(capsys, 2, "--model", "early", "-o", "a.txt")
    assert not Path("explain.png").exists()
