"""A user's own files in every form that is taken: class folders, zips, npz, tables, Parquet, torchvision's folder."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import under10k
from conftest import write_digits
from short_runs import KilledError, StopAt, kill
from under10k.cli import main
from under10k.data import class_folders, tables, zips
from under10k.data.datasets import Dataset, load_digits
from under10k.data.digits import Digits, write_idx
from under10k.errors import DataError, UsageError
from under10k.pictures import predict

FEW = 40
"""Images of a part: four of each digit."""


@pytest.fixture
def few(dataset: Dataset) -> Dataset:
    """Four digits of each class to train on, two to test with, in the order that class folders have them."""

    def take(digits: Digits, each: int) -> Digits:
        order = torch.cat([(digits.labels == digit).nonzero().flatten()[:each] for digit in range(10)])
        return digits[order]

    return Dataset("few", take(dataset.train, 4), take(dataset.test, 2))


def encode(frame: torch.Tensor, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame.numpy()).save(file, kind)
    return file.getvalue()


def write_pictures(folder: Path, digits: Digits) -> Path:
    """Write a picture of each digit into the folder of its class, named so that they sort as they come."""
    for index, (frame, label) in enumerate(zip(digits.images, digits.labels.tolist(), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / str(label) / f"{index:04}.png").write_bytes(encode(frame))
    return folder


def zipped(folder: Path, target: Path, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                bundle.write(path, f"{top}{path.relative_to(folder).as_posix()}")
    return target


def same(found: Digits, expected: Digits) -> bool:
    return found.sha256() == expected.sha256()


# --- what people have --------------------------------------------------------------------------------------------


def as_class_folders(few: Dataset, place: Path) -> Path:
    write_pictures(place / "train", few.train)
    write_pictures(place / "test", few.test)
    return place


def as_nested_class_folders(few: Dataset, place: Path) -> Path:
    write_pictures(place / "mnist_png" / "training", few.train)
    write_pictures(place / "mnist_png" / "Testing", few.test)
    return place


def as_zip(few: Dataset, place: Path) -> Path:
    return zipped(as_class_folders(few, place / "digits"), place / "my-digits.zip", top="my-digits/")


def as_npz(few: Dataset, place: Path) -> Path:
    np.savez_compressed(
        place / "mnist.npz",
        x_train=few.train.images.numpy(),
        y_train=few.train.labels.numpy().astype(np.uint8),
        x_test=few.test.images.numpy(),
        y_test=few.test.labels.numpy(),
    )
    return place / "mnist.npz"


def table_of(digits: Digits, head: bool = True) -> str:
    names = ",".join(["label", *(f"pixel{index}" for index in range(784))]) + "\n"
    rows = torch.cat([digits.labels[:, None], digits.images.flatten(1).long()], dim=1).tolist()
    return (names if head else "") + "".join(",".join(map(str, row)) + "\n" for row in rows)


def as_tables(few: Dataset, place: Path) -> Path:
    (place / "mnist_train.csv").write_text(table_of(few.train, head=False))
    (place / "mnist_test.csv").write_text(table_of(few.test, head=False))
    return place


def as_packed_tables(few: Dataset, place: Path) -> Path:
    (place / "train.csv.gz").write_bytes(gzip.compress(table_of(few.train).encode()))
    (place / "test.csv.gz").write_bytes(gzip.compress(table_of(few.test).encode()))
    return place


def as_torchvision_root(few: Dataset, place: Path) -> Path:
    (place / "MNIST").mkdir()
    write_digits(place / "MNIST" / "raw", few)
    return place


def as_shouting_idx(few: Dataset, place: Path) -> Path:
    folder = write_digits(place / "idx", few)
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.upper())
    return folder


def as_parquet(few: Dataset, place: Path) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (place / "data").mkdir()
    for part, digits in ("train", few.train), ("test", few.test):
        images = [{"bytes": encode(frame), "path": None} for frame in digits.images]
        table = arrow.table({"image": images, "label": digits.labels.tolist()})
        parquet.write_table(table, place / "data" / f"{part}-00000-of-00001.parquet")
    return place


FORMS = [
    as_class_folders,
    as_nested_class_folders,
    as_zip,
    as_npz,
    as_tables,
    as_packed_tables,
    as_torchvision_root,
    as_shouting_idx,
    as_parquet,
]


@pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__)
def test_the_same_digits_are_read_from_whatever_people_have_them_in(
    few: Dataset, tmp_path: Path, write: Callable[[Dataset, Path], Path]
) -> None:
    found = load_digits(write(few, tmp_path))
    assert same(found.train, few.train)
    assert same(found.test, few.test)
    assert (found.note, found.skipped) == ("", ())


@pytest.mark.mnist
def test_a_folder_of_mnists_pictures_is_mnist_byte_for_byte(mnist_folder: Path, tmp_path: Path) -> None:
    digits = load_digits(mnist_folder).test[:300]
    digits = digits[torch.argsort(digits.labels, stable=True)]
    write_pictures(tmp_path / "train", digits)
    write_pictures(tmp_path / "test", digits)
    assert same(load_digits(tmp_path).train, digits)


def test_pictures_of_any_format_and_size_are_framed_as_predict_frames_them(few: Dataset, tmp_path: Path) -> None:
    for index, kind in enumerate(["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF"]):
        drawn = 255 - few.train.images[index].numpy()
        picture = Image.new("RGB", (300, 200 + 20 * index), "white")
        picture.paste(Image.fromarray(drawn).convert("RGB").resize((140, 140)), (60, 30))
        (tmp_path / "5").mkdir(exist_ok=True)
        picture.save(tmp_path / "5" / f"{index}.{kind.lower()}", kind)
    found = load_digits(tmp_path)
    assert len(found.train) + len(found.test) == 7
    expected = {predict(path).frame.tobytes() for path in (tmp_path / "5").iterdir()}
    assert {frame.numpy().tobytes() for half in (found.train, found.test) for frame in half.images} == expected


def test_without_a_test_part_a_fifth_of_each_digit_is_cut_off_and_it_is_said(few: Dataset, tmp_path: Path) -> None:
    write_pictures(tmp_path, few.train)
    found, again = load_digits(tmp_path), load_digits(str(tmp_path))
    assert torch.bincount(found.test.labels).tolist() == [1] * 10
    assert len(found.train) == 30
    assert found.sha256() == again.sha256()
    assert found.note == "No test part: 10 of the 40 images, a fifth of each digit, were drawn as one (seed 0)."
    everything = sorted(image.numpy().tobytes() for half in (found.train, found.test) for image in half.images)
    assert everything == sorted(image.numpy().tobytes() for image in few.train.images)


def test_the_note_on_the_test_part_is_in_the_record_of_a_run(
    few: Dataset, tmp_path: Path, undrawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pictures(tmp_path / "mine", few.train)
    run = tmp_path / "run"
    main(["train", "fast", "--data", str(folder), "--epochs", "1", "--batch-size", "16", "--out", str(run)])
    assert "No test part: 10 of the 40 images" in " ".join(capsys.readouterr().out.split())
    assert "No test part" in (run / "environment.json").read_text() + (run / "result.json").read_text()


def test_idx_files_without_a_test_part_are_split(few: Dataset, tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "idx", few)
    for path in folder.glob("t10k*"):
        path.unlink()
    assert len(load_digits(folder).test) == 10


def test_kaggles_test_table_without_labels_is_left_out_and_named(few: Dataset, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(table_of(few.train))
    (tmp_path / "test.csv").write_text("".join(line.partition(",")[2] + "\n" for line in table_of(few.test).split()))
    found = load_digits(tmp_path)
    assert len(found.train) + len(found.test) == FEW
    assert found.note.startswith("test.csv has no labels and was left out. No test part:")


def test_a_training_takes_a_zip_of_class_folders_as_it_is(few: Dataset, tmp_path: Path, undrawn: None) -> None:
    recipe = under10k.recipes.override(under10k.recipes.fast(), {"epochs": 1, "batch_size": 16})
    result = under10k.train(recipe, as_zip(few, tmp_path), tmp_path / "run", reports=[])
    assert (result.data.train, result.data.test) == (40, 20)


def test_a_run_on_a_zip_resumes_without_being_told_the_data(few: Dataset, tmp_path: Path, undrawn: None) -> None:
    recipe = under10k.recipes.override(under10k.recipes.fast(), {"epochs": 1, "batch_size": 16})
    with pytest.raises(KilledError):
        under10k.train(recipe, as_zip(few, tmp_path), tmp_path / "run", reports=[StopAt(0, 1, kill)])
    assert under10k.train(recipe, run_dir=tmp_path / "run", resume=True, reports=[]).data.train == 40
    assert len(under10k.evaluate_run(tmp_path / "run").metrics.labels) == 20


# --- what cannot be read -----------------------------------------------------------------------------------------


def spoil(folder: Path) -> Path:
    """Put files that are no pictures of digits among those that are."""
    (folder / "3" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "3" / "notes.txt").write_text("seven threes")
    (folder / "4" / "blank.png").write_bytes(encode(torch.full((50, 50), 255, dtype=torch.uint8)))
    (folder / "4" / "empty.png").touch()
    (folder / "letter").mkdir()
    (folder / "letter" / "a.png").write_bytes(encode(torch.zeros(28, 28, dtype=torch.uint8)))
    (folder / "README.txt").write_text("about these digits")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_each_bad_file_is_named_and_skipped_or_refuses_all(few: Dataset, tmp_path: Path, packed: bool) -> None:
    data = spoil(write_pictures(tmp_path / "mine", few.train))
    if packed:
        data = zipped(data, tmp_path / "mine.zip")
    found = load_digits(data)
    assert len(found.train) + len(found.test) == FEW
    named = sorted(one.partition(" (")[0] for one in found.skipped)
    assert named == ["3/broken.png", "3/notes.txt", "4/blank.png", "4/empty.png", "letter/a.png"]
    assert "5 files were skipped: " in found.note
    assert "and 2 more" in found.note
    with pytest.raises(DataError, match=r"^unreadable files: .* or skip them, without strict"):
        load_digits(data, strict=True)


def test_the_command_line_names_what_it_skips_draws_the_rest_and_refuses_all_with_strict(
    few: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(spoil(write_pictures(tmp_path / "mine", few.train)))
    main(["datasets", data, "--json", "--sheet", str(tmp_path / "sheet.png")])
    assert len(json.loads(capsys.readouterr().out)["skipped"]) == 5
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 500
    main(["datasets", data])
    assert "4/blank.png (no digit found" in capsys.readouterr().out
    verbs = ["train", "fast"], ["evaluate", "early"], ["study", "fast"]
    for words in ["datasets", data, "--strict"], *([*verb, "--data", data, "--strict"] for verb in verbs):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 3
        assert capsys.readouterr().err.startswith("error: unreadable files: ")
    for verb in verbs:
        with pytest.raises(SystemExit):
            main([*verb, "--strict"])
        assert capsys.readouterr().err.startswith("error: --strict without --data: ")


def test_a_person_who_waits_for_pictures_sees_a_bar(few: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("pty")
    from terminals import show

    place = write_pictures(tmp_path / "mine", few.train)
    code, shown = show([sys.executable, "-m", "under10k", "datasets", str(place)])
    assert code == 0
    assert "pictures" in shown
    assert f"0/{len(few.train)}" in shown


def test_a_link_in_a_class_folder_is_not_followed(few: Dataset, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "mine", few.train)
    secret = shutil.move(folder / "1" / next((folder / "1").iterdir()).name, tmp_path / "secret.png")
    (folder / "1" / "link.png").symlink_to(secret)
    assert load_digits(folder).skipped == ("1/link.png (a link)",)


def write_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members:
            bundle.writestr(name, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "told"),
    [
        ("../3/a.png", "leads out of it"),
        ("/3/a.png", "leads out of it"),
        ("x/../../3/a.png", "leads out of it"),
        ("C:/3/a.png", "leads out of it"),
        (link("3/a.png"), "holds a link"),
    ],
    ids=["above", "absolute", "through", "drive", "link"],
)
def test_a_zip_with_a_link_or_a_path_out_of_it_is_refused(
    few: Dataset, tmp_path: Path, member: str | zipfile.ZipInfo, told: str
) -> None:
    good = encode(few.train.images[0])
    with pytest.raises(DataError, match=told):
        load_digits(write_zip(tmp_path / "bad.zip", ("3/b.png", good), (member, good)))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [(f"{index % 2}/{index}.png", encode(few.train.images[index])) for index in range(4)]
    found = load_digits(write_zip(tmp_path / "ratio.zip", *good, ("0/bomb.png", bytes(10**7))))
    assert found.skipped == ("0/bomb.png (unpacks to more than 200 times its size)",)
    monkeypatch.setattr(class_folders, "MAXIMUM_ZIP_BYTES", 10**6)
    with pytest.raises(DataError, match=r"^zip too large: .* unpacks to 10,00\d,\d{3} bytes"):
        load_digits(tmp_path / "ratio.zip")
    monkeypatch.setattr(class_folders, "MAXIMUM_PICTURES", 3)
    with pytest.raises(DataError, match=r"^too many files: .* has 4"):
        load_digits(write_zip(tmp_path / "count.zip", *good))
    monkeypatch.setattr(zips, "MAXIMUM_DIRECTORY", 100)
    with pytest.raises(DataError, match=r"^too many files"):
        load_digits(tmp_path / "count.zip")


def test_a_table_npz_or_parquet_of_too_many_is_refused(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAXIMUM_IMAGES", 10)
    monkeypatch.setattr("under10k.data.datasets.MAXIMUM_IMAGES", 10)
    for number, write in enumerate([as_npz, as_parquet]):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DataError, match=r"^(too many images|file too large)"):
            load_digits(write(few, tmp_path / str(number)))


def damaged(name: str, place: Path) -> Path:
    """Write a file or folder that cannot be read, by name."""
    pixels = ",".join(["0"] * 784)
    contents: dict[str, str | bytes] = {
        "cut.npz": b"PK\x03\x04 and no more",
        "cut.zip": b"PK\x03\x04 and no more",
        "cut.parquet": b"PAR1 and no more",
        "cut.csv.gz": gzip.compress(pixels.encode() * 99)[:60],
        "narrow.csv": "label,pixel0\n3,0\n",
        "letters.csv": f"3,{pixels}\nx,{pixels}\n",
        "bright.csv": f"3,{pixels}\n4,300,{pixels[2:]}\n",
        "eleven.csv": f"11,{pixels}\n",
        "only-head.csv": "label," + ",".join(f"pixel{i}" for i in range(784)) + "\n",
        "digits.txt": "3",
    }
    if name in contents:
        content = contents[name]
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    elif name == "objects.npz":
        np.savez(place / name, x_train=np.array([{}], dtype=object), y_train=np.zeros(1, np.uint8))
    elif name == "other.npz":
        np.savez(place / name, images=np.zeros(3))
    elif name == "floats.npz":
        np.savez(place / name, x_train=np.zeros((3, 28, 28)), y_train=np.zeros(3, np.uint8))
    elif name == "single":
        write_pictures(place / name, Digits(torch.full((2, 28, 28), 9, dtype=torch.uint8), torch.tensor([0, 1])))
    elif name == "blank":
        write_pictures(place / name, Digits(torch.zeros(2, 28, 28, dtype=torch.uint8), torch.tensor([0, 1])))
    elif name == "empty":
        (place / name).mkdir()
    elif name == "two roots":
        for root in "MNIST", "KMNIST":
            write_idx(place / name / root / "raw" / "train-images-idx3-ubyte", np.zeros((1, 28, 28), np.uint8))
    return place / name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cut.npz", "damaged zip: "),
        ("cut.zip", "damaged zip: "),
        ("cut.parquet", "unreadable file: "),
        ("cut.csv.gz", "unreadable file: "),
        ("narrow.csv", "not a table of digits: "),
        ("letters.csv", "damaged table: "),
        ("bright.csv", "not a pixel: "),
        ("eleven.csv", "label out of range: 11 at index 0"),
        ("only-head.csv", "no images: "),
        ("digits.txt", "not a data set: "),
        ("objects.npz", "not digits: "),
        ("other.npz", "missing arrays: "),
        ("floats.npz", "not digits: "),
        ("blank", "no pictures to train on: "),
        ("empty", "no digits: "),
        ("two roots", "several data sets: "),
        ("missing/folder", "no such folder or file: "),
    ],
)
def test_what_cannot_be_read_is_one_line_with_what_to_do(name: str, told: str, tmp_path: Path) -> None:
    if name == "two roots":
        for root in "MNIST", "KMNIST":
            (tmp_path / name / root / "raw").mkdir(parents=True)
    with pytest.raises((DataError, UsageError)) as caught:
        load_digits(str(damaged(name, tmp_path)))
    message = str(caught.value)
    assert message.startswith(told)
    assert "\n" not in message
    assert ". " in message


def test_a_name_with_an_ending_is_a_file_that_is_not_there_and_one_without_no_data_set() -> None:
    with pytest.raises(UsageError, match=r"no such folder or file: my-digits\.zip"):
        load_digits("my-digits.zip")
    with pytest.raises(UsageError, match="unknown data set: 'minst'"):
        load_digits("minst")
