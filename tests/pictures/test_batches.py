"""Many pictures at once, open files, and arrays however their axes lie: each is read as it is alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import under10k
from picture_maker import to_bytes
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.data.framing import frame
from under10k.errors import ModelError, Under10kError, UsageError
from under10k.pictures.picture import open_picture
from under10k.pictures.pixels import resize
from under10k.pictures.prediction import CHUNK, Prediction


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return under10k.create_model("early").eval()


def large(dataset: Dataset, index: int) -> Image.Image:
    """A digit as a picture of 100x100 pixels, black on white."""
    return Image.fromarray(255 - dataset.train.images[index].numpy()).resize((100, 100))


@pytest.fixture
def folder(dataset: Dataset, tmp_path: Path) -> Path:
    """Five pictures, a text and a hidden file."""
    place = tmp_path / "pictures"
    place.mkdir()
    for index in range(5):
        large(dataset, index).save(place / f"{index}.{('png', 'JPG')[index % 2]}")
    (place / "notes.txt").write_text("no picture")
    (place / ".hidden.png").write_text("no picture")
    return place


def alike(found: Prediction, other: Prediction) -> bool:
    return (
        bool(np.array_equal(found.frame, other.frame))
        and found.box == other.box
        and found.digit == other.digit
        and np.allclose(found.probabilities, other.probabilities, atol=1e-5)
    )


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_list_of_pictures_of_all_kinds_is_read_as_each_alone(
    dataset: Dataset, folder: Path, network: nn.Module, jobs: int
) -> None:
    picture = large(dataset, 7)
    sources = [folder / "0.png", str(folder / "1.JPG"), to_bytes(np.asarray(picture)), picture, np.asarray(picture)]
    sources += [dataset.train.images[index] for index in range(4)]
    found = under10k.predict(sources, network, jobs=jobs)
    assert all(alike(one, under10k.predict(source, network)) for one, source in zip(found, sources, strict=True))
    assert under10k.predict([], network) == []
    assert len(under10k.predict((picture,), network)) == 1


def test_more_pictures_than_are_held_at_a_time_come_back_in_order(dataset: Dataset, network: nn.Module) -> None:
    images = dataset.train.images[: 2 * CHUNK + 3]
    found = under10k.predict(images, network)
    assert len(found) == len(images)
    assert all(alike(found[index], under10k.predict(images[index], network)) for index in (0, CHUNK, 2 * CHUNK + 2))


def test_a_folder_is_read_picture_by_picture_in_the_order_of_names(folder: Path, network: nn.Module) -> None:
    found = under10k.predict(folder, network)
    names = ["0.png", "1.JPG", "2.png", "3.JPG", "4.png"]
    assert all(alike(one, under10k.predict(folder / name, network)) for one, name in zip(found, names, strict=True))
    assert [len(digits) for digits in under10k.predict_all(str(folder), network)] == [1] * 5
    (empty := folder / "empty").mkdir()
    with pytest.raises(Under10kError, match=r"^no pictures: .*empty has no file that ends in \.avif, "):
        under10k.predict(empty, network)


@pytest.mark.parametrize("shape", [(8, 28, 28), (8, 1, 28, 28), (8, 28, 28, 1), (3, 1, 28, 28)])
@pytest.mark.parametrize("kind", ["uint8", "float", "torch"])
def test_a_batch_in_one_array_is_read_as_each_digit_alone(
    dataset: Dataset, network: nn.Module, shape: tuple[int, ...], kind: str
) -> None:
    images = dataset.train.images[: shape[0]]
    batch: Any = images.reshape(shape)
    if kind != "torch":
        batch = batch.numpy() if kind == "uint8" else (batch / 255).numpy()
    found = under10k.predict(batch, network)
    assert all(alike(one, under10k.predict(image, network)) for one, image in zip(found, images, strict=True))


def test_an_array_that_may_be_a_batch_or_a_picture_is_refused(network: nn.Module) -> None:
    with pytest.raises(Under10kError, match=r"^two meanings: an array \(3, 28, 28\) is 3 pictures, or one of 3"):
        under10k.predict(np.zeros((3, 28, 28)), network)


def test_the_first_picture_of_a_list_that_cannot_be_read_is_named(folder: Path, network: nn.Module) -> None:
    with pytest.raises(Under10kError, match=r"notes.txt"):
        under10k.predict([folder / "0.png", folder / "notes.txt"], network)
    with pytest.raises(Under10kError, match=r"^not a picture: picture 1 is complex128"):
        under10k.predict([folder / "0.png", np.zeros((5, 5), dtype=complex)], network)


@pytest.mark.parametrize("jobs", [0, -1, 65, 1.5, "2"])
def test_a_number_of_jobs_that_is_none_is_refused(network: nn.Module, jobs: Any) -> None:
    with pytest.raises(UsageError, match=r"^jobs out of range: .*. give a whole number from 1 to 64"):
        under10k.predict([], network, jobs=jobs)


def test_the_network_is_read_onto_a_device_or_stays_where_it_is(dataset: Dataset, network: nn.Module) -> None:
    assert under10k.predict(dataset.train.images[0], "gap", device="cpu").digit is not None
    with pytest.raises(UsageError, match=r"^a device for a network that lies on one: cpu. move the network with"):
        under10k.predict(dataset.train.images[0], network, device="cpu")
    with pytest.raises(UsageError, match=r"^unknown device: 'tpu'"):
        under10k.predict(dataset.train.images[0], "gap", device="tpu")


# --- digits in MNIST's frame -------------------------------------------------------------------------------------


def test_an_array_in_mnists_frame_is_read_as_it_is_light_or_dark(dataset: Dataset, network: nn.Module) -> None:
    digits = frame(dataset.train.images[:20].float() / 255).mul(255).round().to(torch.uint8)
    framed = [image for image in digits if image.max() >= 200]
    assert len(framed) > 10
    for image in framed:
        for given in (image, image.float() / 255, 255 - image):
            found = under10k.predict(given, network)
            assert np.array_equal(found.frame, image.numpy())
            assert found.box is not None
            assert found.ink is not None
            assert found.ink.shape == (found.box[3] - found.box[1], found.box[2] - found.box[0])
        assert np.allclose(under10k.predict(255 - image, network).picture.grey, (255 - image.numpy()) / 255, atol=1e-6)


def test_a_small_array_out_of_the_frame_is_framed(dataset: Dataset, network: nn.Module) -> None:
    image = frame(dataset.train.images[:1].float() / 255).mul(255).round().to(torch.uint8)[0]
    found = under10k.predict(image.roll(3, dims=1), network)
    assert abs(int(found.frame.astype(int).sum()) - int(image.int().sum())) < 0.2 * int(image.int().sum())
    assert not np.array_equal(found.frame, image.roll(3, dims=1).numpy())


def test_a_filled_shape_in_the_frame_is_told(network: nn.Module) -> None:
    disc = np.zeros((28, 28), dtype=np.uint8)
    rows, columns = np.mgrid[:28, :28]
    disc[(rows - 13.5) ** 2 + (columns - 13.5) ** 2 <= 100] = 255
    assert "a filled shape" in str(under10k.predict(disc, network).warning)


# --- open files and axes -----------------------------------------------------------------------------------------


def test_an_open_file_is_read_and_left_open_where_it_stood(folder: Path, network: nn.Module) -> None:
    expected = under10k.predict(folder / "0.png", network)
    with (folder / "0.png").open("rb") as file:
        file.seek(5)
        assert alike(under10k.predict(file, network), expected)
        assert (file.closed, file.tell()) == (False, 5)
    memory = io.BytesIO()
    Image.open(folder / "0.png").save(memory, "PNG")
    end = memory.tell()
    assert alike(under10k.predict(memory, network), expected)
    assert (memory.closed, memory.tell()) == (False, end)


def test_a_file_that_is_closed_or_open_as_text_is_one_line(folder: Path, network: nn.Module) -> None:
    with (folder / "notes.txt").open() as file:
        with pytest.raises(Under10kError, match=r"^not a picture: the picture was opened as text. open it with open"):
            under10k.predict(file, network)
        assert not file.closed
    with pytest.raises(Under10kError, match=r"^damaged picture: the picture \(I/O operation on closed file"):
        under10k.predict(file, network)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_may_come_first(dataset: Dataset, channels: int) -> None:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    last = np.asarray(large(dataset, 3).convert(mode)).reshape(100, 100, channels)
    for first in (np.moveaxis(last, -1, 0), torch.from_numpy(last.copy()).permute(2, 0, 1)):
        assert np.array_equal(open_picture(first).grey, open_picture(last).grey)


@pytest.mark.parametrize(("source", "target"), [(257, 256), (1500, 640), (2000, 641), (3000, 1)])
def test_a_long_axis_shrinks_to_the_means_of_its_areas(source: int, target: int) -> None:
    image = np.random.default_rng(0).random((source, 3), dtype=np.float32)
    fine = np.repeat(image.astype(np.float64), target, axis=0).reshape(target, source, 3).mean(axis=1)
    assert np.allclose(resize(image, target, 3), fine, atol=1e-5)
    assert np.allclose(resize(image.T, 3, target), fine.T, atol=1e-5)


# --- the command line --------------------------------------------------------------------------------------------


def test_the_command_line_reads_folders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", str(folder), str(folder / "0.png"), "--jobs", "2", "--json"])
    answers = json.loads(capsys.readouterr().out)
    names = ["0.png", "1.JPG", "2.png", "3.JPG", "4.png", "0.png"]
    assert [answer["picture"] for answer in answers] == [str(folder / name) for name in names]
    assert answers[0]["probabilities"] == pytest.approx(answers[5]["probabilities"], abs=1e-6)


def test_a_damaged_picture_in_a_folder_does_not_stop_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SystemExit):
        main(["predict", str(folder)])
    out, told = capsys.readouterr()
    assert len([line for line in out.splitlines() if line.startswith(str(folder))]) == 4
    assert "2.png" in told


def test_weights_that_answer_with_nan_are_one_line(dataset: Dataset) -> None:
    model = under10k.create_model("gap").eval()
    with torch.no_grad():
        next(model.parameters()).fill_(1e38)
    with pytest.raises(ModelError, match=r"^not finite: "):
        under10k.predict(list(dataset.train.images[:3]), model)


def test_predictions_print_as_one_line(dataset: Dataset, network: nn.Module) -> None:
    for source in (large(dataset, 0), np.zeros((50, 50))):
        line = repr(under10k.predict(source, network))
        assert line.startswith("Prediction(")
        assert len(line) < 200
        assert "\n" not in line
