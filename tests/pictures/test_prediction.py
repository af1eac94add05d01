"""Digits are read in pictures; what should not be trusted carries a warning; the command line answers for each file."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import under10k
from picture_maker import CONDITIONS, Scene, colour, draw, photograph, to_bytes
from random_networks import random_network
from under10k.cli import main
from under10k.data.datasets import Dataset, load_digits
from under10k.data.digits import Digits
from under10k.errors import ModelError
from under10k.pictures.prediction import CUT, DEFAULT_MODEL
from under10k.weights.sealed import save_weights


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network that has learnt nothing, but answers the same to the same."""
    torch.manual_seed(0)
    return under10k.create_model("early").eval()


@pytest.fixture(scope="module")
def reader() -> nn.Module:
    """The network that reads pictures by default."""
    try:
        return under10k.load_model(DEFAULT_MODEL)
    except ModelError:
        pytest.skip(f"the weights {DEFAULT_MODEL} are not at hand")


@pytest.fixture(scope="module")
def weights(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(path, network, {"model": "early", "options": {}})
    return path


@pytest.fixture(scope="module")
def held_out(dataset: Dataset, mnist_if_there: Path | None) -> Digits:
    """MNIST's held-out training images, or drawn digits where it is not at hand."""
    return load_digits(mnist_if_there).train[50_000:] if mnist_if_there else dataset.train


@pytest.fixture
def picture(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(plain(dataset)).save(path)
    return path


def plain(dataset: Dataset, index: int = 0) -> Any:
    ink = draw(dataset.train.images[index].numpy(), Scene(pen=16), np.random.default_rng(index))
    return to_bytes(colour(ink))


# --- what a prediction is ------------------------------------------------------------------------------------------


def test_a_prediction_tells_digit_probability_runner_up_and_place(dataset: Dataset, network: nn.Module) -> None:
    found = under10k.predict(plain(dataset), network)
    assert sum(found.probabilities) == pytest.approx(1)
    assert found.digit == int(np.argmax(found.probabilities))
    assert found.probability == found.probabilities[found.digit]
    assert found.runner_up == int(np.argsort(found.probabilities)[-2])
    assert found.frame.shape == (28, 28)
    assert found.frame.dtype == np.uint8
    assert found.box is not None
    left, top, right, bottom = found.box
    assert 185 < max(right - left, bottom - top) < 200
    assert json.loads(json.dumps(found.to_dict()))["digit"] == found.digit


@pytest.mark.parametrize(
    "blank",
    [np.zeros((1, 1)), np.ones((1, 1000)), np.full((28, 28), 77, np.uint8), np.zeros((300, 200), np.uint8)],
    ids=["1x1", "1x1000", "28x28", "300x200"],
)
def test_a_picture_without_ink_has_no_digit_and_a_warning(blank: Any, network: nn.Module) -> None:
    found = under10k.predict(blank, network)
    assert (found.digit, found.runner_up, found.confident, found.box) == (None, None, False, None)
    assert found.probabilities == (0.1,) * 10
    assert "no digit" in (found.warning or "")
    assert [one.digit for one in under10k.predict_all(blank, network)] == [None]
    assert found.to_dict()["probability"] is None


def test_a_notebook_shows_picture_frame_and_a_bar_for_each_digit(dataset: Dataset, network: nn.Module) -> None:
    for source in dataset.test.images[0], np.full((500, 20), 255, dtype=np.uint8):
        found = under10k.predict(source, network)
        page = found._repr_html_()
        encoded = re.findall(r"base64,([^\"]+)", page)
        pictures = [Image.open(BytesIO(base64.b64decode(one))) for one in encoded]
        assert [max(picture.size) for picture in pictures] == [140, 140]
        assert page.count(f"{found.probabilities[3]:.1%}") >= 1
        assert page.count("height:8px") == 10


def test_an_answer_that_is_not_finite_is_the_weights_fault(dataset: Dataset) -> None:
    network = random_network("early")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e30)
    with pytest.raises(ModelError, match="not finite"):
        under10k.predict(plain(dataset), network)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I", "F", "I;16"])
def test_one_digit_in_any_mode_is_the_same_digit(mode: str, dataset: Dataset, network: nn.Module) -> None:
    image = Image.fromarray(np.where(plain(dataset) < 128, 0, 255).astype(np.uint8)).convert("L")
    expected = under10k.predict(image, network)
    deep = Image.fromarray(np.asarray(image, dtype=np.uint16) * 257)
    other = under10k.predict(deep if mode == "I;16" else image.convert(mode), network)
    np.testing.assert_allclose(other.frame.astype(int), expected.frame.astype(int), atol=3)
    assert other.digit == expected.digit


@pytest.mark.parametrize("index", range(12))
def test_a_negative_is_read_like_the_picture(
    index: int, held_out: Digits, dataset: Dataset, network: nn.Module
) -> None:
    for digits in (held_out, dataset.train):
        image = digits.images[index].numpy()
        # equal bits on any machine: levels are exact, so 1 less the negative's are the picture's, and all else follows
        assert np.array_equal(under10k.predict(image, network).frame, under10k.predict(255 - image, network).frame)


def test_a_mask_is_read_whatever_its_type(dataset: Dataset, network: nn.Module) -> None:
    mask = plain(dataset) > 128
    expected = under10k.predict(mask, network)
    assert expected.digit is not None
    for kind in (np.uint8, np.int64, np.uint16, np.float32):
        for scale in (1, 255):
            assert np.array_equal(under10k.predict((mask * scale).astype(kind), network).frame, expected.frame)


def test_an_image_in_mnists_frame_comes_out_nearly_as_it_is(held_out: Digits, network: nn.Module) -> None:
    images = held_out.images[:60].numpy()
    frames = np.stack([under10k.predict(image, network).frame for image in images])
    change = np.abs(frames.astype(int) - images).mean(axis=(1, 2))
    assert np.median(change) < 2
    assert (change < 4).mean() > 0.7


def test_the_smallest_picture_of_all_is_read(held_out: Digits, network: nn.Module) -> None:
    eight = Image.fromarray(held_out.images[0].numpy()[4:24, 4:24]).resize((8, 8), Image.Resampling.BOX)
    assert under10k.predict(eight, network).digit is not None


def test_several_digits_are_each_read(dataset: Dataset, network: nn.Module) -> None:
    row = np.concatenate([plain(dataset, index) for index in range(4)], axis=1)
    many = under10k.predict_all(row, network)
    assert len(many) == 4
    alone = [under10k.predict(plain(dataset, index), network) for index in range(4)]
    assert [one.digit for one in many] == [one.digit for one in alone]
    assert "several" in (under10k.predict(row, network).warning or "")


def test_weights_may_be_a_file_and_a_damaged_one_is_an_error(
    weights: Path, dataset: Dataset, network: nn.Module, tmp_path: Path
) -> None:
    assert (
        under10k.predict(plain(dataset), weights).probabilities
        == under10k.predict(plain(dataset), network).probabilities
    )
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError):
        under10k.predict(plain(dataset), tmp_path / "bad.safetensors")


# --- what the default weights read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONDITIONS)
def test_most_digits_are_read_under_each_condition(name: str, held_out: Digits, reader: nn.Module) -> None:
    count, make = 3, CONDITIONS[name]
    pictures = [make(held_out.images[i].numpy(), np.random.default_rng([1, i])) for i in range(count)]
    right = sum(under10k.predict(p, reader).digit == int(held_out.labels[i]) for i, p in enumerate(pictures))
    assert right >= count - 1


def test_noise_and_filled_shapes_carry_a_warning(reader: nn.Module) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-100:100, -100:100]
    disc = (np.hypot(x, y) > 70).astype(np.float32)
    for picture in (rng.integers(0, 256, (120, 120), dtype=np.uint8), disc, rng.random((28, 28))):
        found = under10k.predict(picture, reader)
        assert found.warning
        assert not found.confident


def reads_all_as_three(probability: float) -> nn.Module:
    """Stand in for a network that reads everything alike."""
    last = nn.Linear(784, 10)
    shares = torch.full((10,), (1 - probability) / 9)
    shares[3] = probability
    nn.init.zeros_(last.weight)
    last.bias.data = shares.log()
    return nn.Sequential(nn.Flatten(), last).eval()


def test_a_digit_among_others_is_sure_only_if_it_is_read_better_than_one_alone() -> None:
    alone = np.full((120, 240), 255, dtype=np.uint8)
    alone[30:90, 40:50] = 0
    both = alone.copy()
    both[30:90, 160:170] = 0
    for probability, expected in ((0.9, [True, False, False]), (0.96, [True] * 3)):
        network = reads_all_as_three(probability)
        read = [*under10k.predict_all(alone, network), *under10k.predict_all(both, network)]
        assert [one.confident for one in read] == expected


def test_what_is_cut_off_another_digit_is_not_sure() -> None:
    paper = np.full((100, 300), 255, dtype=np.uint8)
    paper[20:80, 40:80] = paper[20:80, 86:126] = paper[48:52, 80:86] = paper[20:80, 200:240] = 0
    read = under10k.predict_all(paper, reads_all_as_three(0.99))
    assert [(one.confident, CUT in (one.warning or "")) for one in read] == [
        (False, True),
        (False, True),
        (True, False),
    ]


# --- the command line ----------------------------------------------------------------------------------------------


def test_each_file_is_answered_and_a_bad_one_is_an_error_at_the_end(
    picture: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, folder = picture.with_name("text.png"), picture.with_name("empty")
    folder.mkdir()
    text.write_text("hello")
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(text), str(picture), str(folder), "none.png", str(picture), "--model", str(weights)])
    captured = capsys.readouterr()
    assert ended.value.code == 1
    assert captured.out.count(f"{picture}: ") == 2
    lines = captured.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error"] * 3
    assert str(text) in lines[0]


def test_json_holds_an_answer_for_each_file(picture: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(picture), "none.png", "--json", "--model", str(weights)])
    good, bad = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert set(good) == {
        "picture", "digit", "probability", "runner_up", "confident", "warning", "probabilities", "box",
    }  # fmt: skip
    assert bad["picture"] == "none.png"
    assert "no such picture" in bad["error"]


def test_a_blank_picture_is_a_warning_and_no_error(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    main(["predict", str(tmp_path / "blank.png"), "--model", str(weights)])
    assert "warning: no digit found" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a\nb.png", "\x1b[31mred.png", "-x.png", "\udcff.png", "[bold].png", "ü 7.png"])
def test_odd_file_names_are_printed_harmlessly(
    name: str, picture: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    os.link(picture, name)
    main(["predict", f"./{name}", "--model", str(weights)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert ".png: " in out.splitlines()[0]
    main(["predict", f"./{name}", "--json", "--model", str(weights)])
    assert Path(json.loads(capsys.readouterr().out)[0]["picture"]) == Path(name)


def test_a_reader_that_stops_listening_is_no_error(picture: Path, weights: Path) -> None:
    command = [sys.executable, "-m", "under10k", "predict", *[str(picture)] * 3, "--model", str(weights)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=120) in (0, 141)


def test_a_row_of_digits_is_read_and_drawn(
    dataset: Dataset, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    row = np.concatenate([draw(image.numpy(), Scene(pen=9), rng) for image in dataset.train.images[:2]], axis=1)
    photograph(row, rng).save(tmp_path / "row.jpg")
    shown = tmp_path / "shown.png"
    main(["predict", str(tmp_path / "row.jpg"), "--multi", "--explain", str(shown), "--model", str(weights)])
    first, *each = [line for line in capsys.readouterr().out.splitlines() if "warning:" not in line]
    text = first.removeprefix(f"{tmp_path / 'row.jpg'}: ")
    assert len(text) == 2
    assert [line.split()[0] for line in each] == list(text)
    with Image.open(shown) as image:
        assert min(image.size) > 300


def page_of(dataset: Dataset, rows: list[int]) -> Image.Image:
    """Digits in rows of so many, black on white, with room between them."""
    digits = iter(dataset.train.images)
    page = np.zeros((40 * len(rows), 40 * max(rows)), dtype=np.uint8)
    for top, count in enumerate(rows):
        for left in range(count):
            page[40 * top + 6 :, 40 * left + 6 :][:28, :28] = next(digits).numpy()
    return Image.fromarray(255 - page).resize((160 * max(rows), 160 * len(rows)))


def test_several_digits_are_shown_as_they_are_written_row_by_row(
    dataset: Dataset, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page_of(dataset, [3, 2]).save(tmp_path / "page.png")
    command = ["predict", str(tmp_path / "page.png"), "--multi", "--model", str(weights)]
    main([*command, "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert [len(row) for row in found["rows"]] == [3, 2]
    assert [digit["row"] for digit in found["digits"]] == [0, 0, 0, 1, 1]
    assert "".join(str(digit["digit"]) for digit in found["digits"]) == "".join(found["rows"])
    boxes = [digit["box"] for digit in found["digits"]]
    assert [box[0] for box in boxes[:3]] == sorted(box[0] for box in boxes[:3])
    assert max(box[1] for box in boxes[:3]) < min(box[1] for box in boxes[3:])
    main(command)
    lines = [line for line in capsys.readouterr().out.splitlines() if "warning:" not in line]
    assert lines[:2] == [f"{tmp_path / 'page.png'}: {row}" for row in found["rows"]]
    assert len(lines) == 2 + 5


def test_one_digit_asked_for_where_there_are_several_names_the_option_that_reads_each(
    dataset: Dataset, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page_of(dataset, [3, 2]).save(tmp_path / "page.png")
    main(["predict", str(tmp_path / "page.png"), "--model", str(weights)])
    assert "--multi reads each" in capsys.readouterr().out


def test_a_picture_may_come_through_a_pipe(picture: Path, weights: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = 'predict - <(cat "$PICTURE") pipe --model "$WEIGHTS" < "$PICTURE" & cat "$PICTURE" > pipe; wait $!'
    done = subprocess.run(
        ["bash", "-c", f'"$0" -m under10k {words}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "WEIGHTS": str(weights), "PICTURE": str(picture)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [line for line in done.stdout.splitlines() if not line.startswith(" ")]  # which a warning does
    for line, name in zip(answers, ("-", "/dev/fd/", "pipe"), strict=True):
        assert line.startswith(name)


@contextmanager
def standard_input(blocks: Iterable[bytes]) -> Iterator[None]:
    """Let a pipe that brings these bytes be the standard input."""
    kept, (end, feeding) = os.dup(0), os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(feeding, "wb") as file:
            file.writelines(blocks)

    feeder = threading.Thread(target=feed)
    os.dup2(end, 0)
    os.close(end)
    feeder.start()
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        feeder.join()


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ([], "empty picture: - has no bytes"),
        ([bytes(300)], "not a picture"),
        (repeat(bytes(2**20), 257), "picture too large: - has more than 268,435,456 bytes"),
    ],
    ids=["nothing", "zeros", "too much"],
)
def test_a_pipe_that_brings_no_picture_is_one_line(
    blocks: Iterable[bytes], told: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with standard_input(blocks), pytest.raises(SystemExit) as ended:
        main(["predict", "--model", str(weights), "-"])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (1, "", 1)
    assert told in captured.err


def test_a_blank_picture_is_drawn_too(weights: Path, tmp_path: Path) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    main(["predict", str(tmp_path / "blank.png"), "--explain", str(tmp_path / "e.png"), "--model", str(weights)])
    assert (tmp_path / "e.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["predict"], 2),
        (["predict", "{picture}", "{picture}", "--explain", "a.png"], 2),
        (["predict", "{picture}", "--explain", "a.txt"], 2),
        (["predict", "{picture}", "--model", "nowhere"], 4),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], code: int, picture: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(picture=picture) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(given if "--model" in given else [*given, "--model", str(weights)])
    captured = capsys.readouterr()
    assert ended.value.code == code
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
