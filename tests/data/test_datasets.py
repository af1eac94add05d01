"""Known data sets: found in the right order, fetched from mirrors that may fail in any way, checked on each reading."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from conftest import write_digits, write_small_set
from under10k.data import download, places
from under10k.data.catalogue import DATASETS, KnownFile, KnownSet
from under10k.data.datasets import Dataset, find_dataset, load_digits
from under10k.data.digits import Digits, read_idx, write_idx
from under10k.errors import DataError, Under10kError, UsageError

NAMES = [f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


# --- a home without a user's files, and a mirror that fails on demand --------------------------------------------


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing in or beside the working folder."""
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("UNDER10K_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for module in (places, download):
        monkeypatch.setattr(module, "cache_root", lambda: tmp_path / "cache")
    return tmp_path / "cache"


class Mirror(ThreadingHTTPServer):
    """A local server: the first part of a path names how it answers, the last part a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder = folder
        self.requests: list[str] = []
        self.asked = threading.Event()
        """Set once an answer has begun."""
        self.release = threading.Event()
        """Set to let the answers that hang go on."""

    def at(self, way: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{way}/"


class Answer(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        _, way, name = self.path.split("/")
        self.server.requests.append(name)
        path = self.server.folder / name
        body = path.read_bytes() if path.is_file() else b""
        with suppress(ConnectionError):
            getattr(self, f"answer_{way}")(body)

    def begin(self, length: int, kind: str = "application/octet-stream", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.server.asked.set()

    def answer_good(self, body: bytes) -> None:
        self.begin(len(body))
        self.wfile.write(body)

    def answer_gate(self, body: bytes) -> None:
        self.server.asked.set()
        self.server.release.wait()
        self.answer_good(body)

    def answer_forbidden(self, _body: bytes) -> None:
        self.begin(0, status=403)

    def answer_missing(self, _body: bytes) -> None:
        self.begin(0, status=404)

    def answer_page(self, _body: bytes) -> None:
        page = b"<!doctype html><title>Please log in</title>"
        self.begin(len(page), "text/html; charset=utf-8")
        self.wfile.write(page)

    def answer_disguised(self, _body: bytes) -> None:
        page = b"<!doctype html><title>Please log in</title>"
        self.begin(len(page))
        self.wfile.write(page)

    def answer_hang(self, _body: bytes) -> None:
        self.server.release.wait()

    def answer_stall(self, body: bytes) -> None:
        self.begin(len(body))
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.server.release.wait()

    def answer_drip(self, _body: bytes) -> None:
        self.begin(10**6)
        while not self.server.release.wait(0.01):
            self.wfile.write(b"x")

    def answer_short(self, body: bytes) -> None:
        self.begin(len(body))
        self.wfile.write(body[:-1])

    def answer_wrong(self, body: bytes) -> None:
        content = bytearray(gzip.decompress(body))
        content[-1] ^= 1
        self.answer_good(gzip.compress(content))

    def answer_huge(self, _body: bytes) -> None:
        self.begin(10**12)

    def answer_endless(self, _body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(2**16))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(small_folder: Path) -> Iterator[Mirror]:
    with Mirror(small_folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def described(folder: Path, *mirrors: str, covers: str = "sha256", names: list[str] = NAMES) -> KnownSet:
    """Describe the small set in a folder as the table describes the known ones."""
    files = []
    for name in names:
        content = (folder / name).read_bytes()
        digest = hashlib.new(covers.removeprefix("file-"), content if "file" in covers else gzip.decompress(content))
        files.append(KnownFile(name, f"{covers}:{digest.hexdigest()}"))
    return KnownSet("mnist", "a few", "random", 60, 20, tuple(files), mirrors)


@pytest.fixture
def known(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KnownSet]:
    """Put a few random digits in MNIST's place in the table."""

    def put(*mirrors: str, covers: str = "sha256") -> KnownSet:
        entry = described(small_folder, *mirrors, covers=covers)
        monkeypatch.setitem(DATASETS, "mnist", entry)
        return entry

    return put


@pytest.fixture
def few_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "synthetic", replace(DATASETS["synthetic"], train_count=30, test_count=20))


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*") if not path.name.startswith(".lock"))


def fails(name: str | Path = "mnist", error: type[Under10kError] = DataError) -> str:
    with pytest.raises(error) as caught:
        load_digits(name)
    assert "\n" not in str(caught.value)
    assert ". " in str(caught.value), "a remedy follows"
    return str(caught.value)


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    assert list(DATASETS) == ["mnist", "fashion-mnist", "kmnist", "emnist-digits", "qmnist", "synthetic"]
    length = {"md5": 32, "sha256": 64}
    for name, entry in DATASETS.items():
        assert entry.name == name
        assert len(entry.files) == (0 if name == "synthetic" else 4)
        assert all(address.startswith("http") and address.endswith("/") for address in entry.mirrors)
        sums = [file.checksum for file in ([entry.archive] if entry.archive else entry.files)]
        for checksum in sums:
            algorithm, _, digest = checksum.removeprefix("file-").partition(":")
            assert re.fullmatch(r"[0-9a-f]+", digest)
            assert len(digest) == length[algorithm]


def test_the_module_loads_neither_network_nor_progress_bar() -> None:
    script = "import sys, under10k.data; print(*{'requests', 'pooch', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"


def test_the_real_mnist_is_read_and_verified(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDER10K_DATA", str(mnist_folder))
    data = load_digits()
    assert (data.name, len(data.train), len(data.test), data.note) == ("mnist", 60_000, 10_000, "")
    assert data.train.labels.bincount().tolist()[:3] == [5923, 6742, 5958]


# --- names and folders -------------------------------------------------------------------------------------------


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    message = fails("minst", UsageError)
    assert "did you mean mnist?" in message
    assert "qmnist, synthetic" in message


@pytest.mark.parametrize("name", ["", "a" * 5000, "/nowhere/at/all", "a\0b"])
def test_whatever_is_no_folder_is_an_unknown_name(name: str, tmp_path: Path) -> None:
    if name:
        fails(name, UsageError)
    else:
        fails(tmp_path)  # the empty path is the working folder, which holds no digits


def test_a_path_is_a_folder_even_where_a_set_is_called_that(small_folder: Path) -> None:
    shutil.copytree(small_folder, "mnist")
    assert load_digits(Path("mnist")).name == str(Path("mnist").resolve())
    assert len(load_digits("./mnist").train) == 60


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("{}-images-idx3-ubyte.gz", "{}-labels-idx1-ubyte.gz"),
        ("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"),
        ("{}-images.idx3-ubyte", "{}-labels.idx1-ubyte"),
        ("{}-images.idx3-ubyte.gz", "{}-labels.idx1-ubyte.gz"),
        ("qmnist-{}-images-idx3-ubyte.gz", "qmnist-{}-labels-idx1-ubyte.gz"),
        ("{}_images", "{}_labels"),
        ("My-{}-Images.gz", "My-{}-Labels.gz"),
    ],
)
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_a_folder_may_spell_its_files_in_many_ways(
    small_folder: Path, tmp_path: Path, images: str, labels: str, test: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "latest-images.txt").write_text("no part of the set")
    for split, name in ("train", "train"), ("t10k", test):
        write_idx(folder / images.format(name), read_idx(small_folder / f"{split}-images-idx3-ubyte.gz"))
        write_idx(folder / labels.format(name), read_idx(small_folder / f"{split}-labels-idx1-ubyte.gz"))
    data = load_digits(str(folder))
    assert data.name == str(folder)
    assert data.sha256() == load_digits(str(small_folder)).sha256()


def test_a_folder_that_holds_a_file_packed_and_unpacked_is_not_ambiguous(small_folder: Path) -> None:
    for path in list(small_folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert len(load_digits(small_folder).train) == 60


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(small_folder: Path, name: str) -> None:
    (small_folder / name).unlink()
    split, kind = ("train" if name.startswith("train") else "test"), ("images" if "images" in name else "labels")
    message = fails(small_folder)
    assert message.startswith(f"missing {split} {kind}: {small_folder}")
    assert name in message


def test_two_files_for_one_part_are_named(small_folder: Path) -> None:
    shutil.copy(small_folder / NAMES[0], small_folder / "emnist-digits-train-images-idx3-ubyte.gz")
    message = fails(small_folder)
    assert message.startswith("ambiguous train images")
    assert "emnist-digits-train-images-idx3-ubyte.gz" in message
    assert NAMES[0] in message


def test_the_hash_of_a_set_changes_with_either_half(small_folder: Path, tmp_path: Path) -> None:
    data, other = load_digits(small_folder), load_digits(write_small_set(tmp_path / "other", seed=1))
    hashes = {data.sha256(), replace(data, test=other.test).sha256(), replace(data, train=other.train).sha256()}
    assert len(hashes) == 3


# --- finding -----------------------------------------------------------------------------------------------------


def test_places_are_searched_in_the_order_promised(
    known: Callable[..., KnownSet], small_folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known()
    monkeypatch.setenv("UNDER10K_DATA", str(tmp_path / "mine"))
    places = [tmp_path / "mine" / "mnist", tmp_path / "mine", Path("data/mnist"), Path("../shared/mnist")]
    places.append(cache / "mnist")
    for place in places:
        shutil.copytree(small_folder, place, dirs_exist_ok=True)
    for place in places:
        assert find_dataset("mnist") == place
        assert len(load_digits("mnist").test) == 20
        (place / NAMES[3]).unlink()
    assert find_dataset("mnist") is None


def test_a_place_with_three_files_of_four_is_passed_over(known: Callable[..., KnownSet], small_folder: Path) -> None:
    known()
    shutil.copytree(small_folder, "data/mnist")
    shutil.copytree(small_folder, "../shared/mnist")
    Path("data/mnist", NAMES[1]).unlink()
    assert find_dataset("mnist") == Path("../shared/mnist")


def test_nothing_is_found_of_an_unknown_or_a_drawn_set() -> None:
    assert find_dataset("synthetic") is None
    with pytest.raises(UsageError, match="did you mean qmnist"):
        find_dataset("qmist")


@pytest.mark.parametrize("covers", ["sha256", "file-sha256", "file-md5"])
def test_an_edited_file_is_told_with_both_checksums(
    known: Callable[..., KnownSet], small_folder: Path, covers: str
) -> None:
    entry = known(covers=covers)
    shutil.copytree(small_folder, "data/mnist")
    assert len(load_digits("mnist").train) == 60
    images = read_idx(small_folder / NAMES[2]).copy()
    images[7, 14, 14] ^= 1
    write_idx(Path("data/mnist", NAMES[2]), images)
    message = fails()
    assert str(Path("data/mnist", NAMES[2])) in message
    assert entry.files[2].checksum.rpartition(":")[2] in message
    assert re.search(f"has {covers} [0-9a-f]+, expected", message)


def test_files_compressed_anew_or_not_at_all_pass_where_the_checksum_is_of_their_content(
    known: Callable[..., KnownSet], small_folder: Path
) -> None:
    known()
    Path("data/mnist").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        content = gzip.decompress((small_folder / name).read_bytes())
        path = Path("data/mnist", name if number % 2 else name.removesuffix(".gz"))
        path.write_bytes(gzip.compress(content, 1) if number % 2 else content)
    assert load_digits("mnist").sha256() == load_digits(small_folder).sha256()


def test_an_unpacked_file_without_a_checksum_is_checked_by_its_numbers(
    known: Callable[..., KnownSet], small_folder: Path, tmp_path: Path
) -> None:
    known(covers="file-md5")
    for folder, expected in (small_folder, 60), (write_small_set(tmp_path / "fewer", train=59), None):
        shutil.rmtree("data/mnist", ignore_errors=True)
        Path("data/mnist").mkdir(parents=True)
        for name in NAMES:
            Path("data/mnist", name.removesuffix(".gz")).write_bytes(gzip.decompress((folder / name).read_bytes()))
        if expected:
            assert len(load_digits("mnist").train) == expected
        else:
            assert "59 to train and 20 to test, mnist 60 and 20" in fails()


def test_a_file_that_changes_while_it_is_read_is_refused(known: Callable[..., KnownSet], small_folder: Path) -> None:
    entry = known(covers="file-sha256")
    with pytest.raises(DataError, match="changed while it was read"):
        places.verify(small_folder / NAMES[1], b"other bytes", entry.files[1].checksum)


# --- downloading -------------------------------------------------------------------------------------------------


def test_a_set_is_downloaded_once_and_then_read_from_the_cache(
    known: Callable[..., KnownSet], mirror: Mirror, small_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known(mirror.at("good"))
    data = load_digits("mnist")
    assert data.sha256() == load_digits(small_folder).sha256()
    assert mirror.requests == NAMES
    assert visible(cache / "mnist") == sorted(NAMES)
    assert not hidden(cache / "mnist")
    assert capsys.readouterr().err.splitlines()[0] == f"downloading {mirror.at('good')}{NAMES[0]}"
    load_digits("mnist")
    assert len(mirror.requests) == 4


FAULTS = {
    "forbidden": "403 Forbidden",
    "missing": "404 Not Found",
    "page": "a web page instead of the file",
    "disguised": "not an IDX file",
    "hang": "no answer in time",
    "stall": "no answer in time",
    "drip": "too slow",
    "short": "broken off",
    "wrong": "wrong checksum",
    "huge": "more than",
    "endless": "more than",
}


@pytest.mark.parametrize("way", FAULTS)
def test_a_mirror_that_fails_is_told_and_the_next_one_is_asked(
    known: Callable[..., KnownSet], mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way in ("hang", "stall"):
        monkeypatch.setattr(download, "READ_SECONDS", 0.4)
    if way == "drip":
        monkeypatch.setattr(download, "SLOW_SECONDS", 0.05)
    known(mirror.at(way))
    message = fails()
    assert f"cannot download mnist: {NAMES[0]} (127.0.0.1:{mirror.server_port}: {FAULTS[way]}" in message
    assert "place train-images-idx3-ubyte.gz, " in message
    assert mirror.requests == [NAMES[0]] * download.TRIES
    assert not visible(cache / "mnist")
    assert not hidden(cache / "mnist")

    mirror.requests.clear()
    known(mirror.at(way), mirror.at("good"))
    assert len(load_digits("mnist").train) == 60
    assert mirror.requests == [NAMES[0]] * download.TRIES + NAMES, "it is not asked again for the other files"


def test_a_wrong_checksum_shows_what_came_and_what_should_have(
    known: Callable[..., KnownSet], mirror: Mirror, small_folder: Path
) -> None:
    entry = known(mirror.at("wrong"))
    content = bytearray(gzip.decompress((small_folder / NAMES[0]).read_bytes()))
    content[-1] ^= 1
    message = fails()
    assert f"{NAMES[0]} has sha256 {hashlib.sha256(content).hexdigest()}" in message
    assert f"expected {entry.files[0].checksum.removeprefix('sha256:')}" in message


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("offline")
def test_offline_every_mirror_is_listed_and_the_way_to_do_without() -> None:
    message = fails()
    for mirror in DATASETS["mnist"].mirrors:
        assert f"{mirror.split('/')[2]}: no connection" in message
    assert "data/mnist" in message
    assert "UNDER10K_DATA" in message


@pytest.mark.usefixtures("offline")
def test_offline_what_is_in_the_cache_is_read(known: Callable[..., KnownSet], small_folder: Path, cache: Path) -> None:
    known("https://example.org/")
    shutil.copytree(small_folder, cache / "mnist")
    assert len(load_digits("mnist").train) == 60


@pytest.mark.usefixtures("offline", "few_synthetic")
def test_auto_draws_digits_where_mnist_is_out_of_reach_and_says_so() -> None:
    data = load_digits()
    assert (data.name, len(data.train), len(data.test)) == ("synthetic", 30, 20)
    assert data.note.startswith("MNIST can be neither found nor downloaded, so digits drawn by strokes take its place")
    assert "ossci-datasets.s3.amazonaws.com: no connection" in data.note
    assert data.note.endswith("in data/mnist, or in a folder that UNDER10K_DATA names."), "and what to do"
    assert data.sha256() == load_digits("synthetic").sha256()
    assert load_digits("synthetic").note == ""


def test_the_drawn_set_is_as_large_as_mnist() -> None:
    assert (DATASETS["synthetic"].train_count, DATASETS["synthetic"].test_count) == (60_000, 10_000)


def test_auto_takes_mnist_where_it_is_found(known: Callable[..., KnownSet], small_folder: Path) -> None:
    known()
    shutil.copytree(small_folder, "data/mnist")
    assert load_digits().name == "mnist"


@pytest.mark.usefixtures("few_synthetic")
def test_auto_does_not_hide_a_damaged_mnist(known: Callable[..., KnownSet], small_folder: Path) -> None:
    known()
    shutil.copytree(small_folder, "data/mnist")
    Path("data/mnist", NAMES[0]).write_bytes(b"")
    assert NAMES[0] in fails("auto")


@pytest.mark.usefixtures("few_synthetic")
def test_a_cache_that_cannot_be_written_is_told(
    known: Callable[..., KnownSet], mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(mirror.at("good"))
    (tmp_path / "file").write_text("no folder")
    for module in (places, download):
        monkeypatch.setattr(module, "cache_root", lambda: tmp_path / "file" / "under10k")
    message = fails(error=Under10kError)
    assert message.startswith(f"cannot write the cache: {tmp_path / 'file'}")
    assert Under10kError.exit_code == 1
    assert "cannot write the cache" in load_digits().note


def test_a_full_disk_leaves_nothing(
    known: Callable[..., KnownSet], mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    known(mirror.at("good"))
    monkeypatch.setattr(download, "write_atomically", full)
    assert "No space left on device" in fails(error=Under10kError)
    assert not visible(cache / "mnist")
    assert not hidden(cache / "mnist")


def test_a_bar_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with download._progress("http://host/a.gz", 2_000_000) as show:
        show(1_000_000)
    assert "a.gz" in terminal.getvalue()


# --- several processes -------------------------------------------------------------------------------------------

DRIVER = """
import json, sys
from pathlib import Path
from under10k.data import catalogue, datasets, download, places
order = json.loads(sys.argv[1])
files = tuple(catalogue.KnownFile(*file) for file in order["files"])
catalogue.DATASETS["mnist"] = catalogue.KnownSet("mnist", "", "", 60, 20, files, (order["mirror"],))
places.cache_root = download.cache_root = lambda: Path(order["cache"])
download.READ_SECONDS = 60.0
print("ready", flush=True)
print(datasets.load_digits("mnist").sha256())
"""


def drive(entry: KnownSet, cache: Path) -> subprocess.Popen[str]:
    files = [(file.name, file.checksum) for file in entry.files]
    order = json.dumps({"files": files, "mirror": entry.mirrors[0], "cache": str(cache)})
    command = [sys.executable, "-c", DRIVER, order]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_download_that_is_killed_leaves_nothing_visible_and_the_next_one_works(
    known: Callable[..., KnownSet], mirror: Mirror, cache: Path
) -> None:
    with drive(known(mirror.at("gate")), cache) as process:
        assert mirror.asked.wait(60)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not visible(cache / "mnist")
    assert [name.startswith(".download-") for name in hidden(cache / "mnist")] == [True]

    known(mirror.at("good"))
    assert len(load_digits("mnist").train) == 60
    assert not hidden(cache / "mnist")


def test_two_processes_that_download_at_once_both_succeed_and_fetch_once(
    known: Callable[..., KnownSet], mirror: Mirror, small_folder: Path, cache: Path
) -> None:
    entry = known(mirror.at("gate"))
    with drive(entry, cache) as one, drive(entry, cache) as two:
        for process in one, two:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        assert mirror.asked.wait(60)
        mirror.release.set()
        results = [process.communicate(timeout=60) for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], results
    assert {output for output, _ in results} == {load_digits(small_folder).sha256() + "\n"}
    assert mirror.requests == NAMES


# --- EMNIST and QMNIST -------------------------------------------------------------------------------------------

EMNIST_NAMES = [file.name for file in DATASETS["emnist-digits"].files]


@pytest.fixture
def emnist(mirror: Mirror, small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> KnownSet:
    """EMNIST's archive in small, its images lying on their side, beside a file that is not wanted."""
    with zipfile.ZipFile(small_folder / "gzip.zip", "w") as bundle:
        bundle.writestr("gzip/emnist-letters-train-images-idx3-ubyte.gz", b"not wanted")
        for name, original in zip(EMNIST_NAMES, NAMES, strict=True):
            values = read_idx(small_folder / original)
            path = small_folder / name
            write_idx(path, values.transpose(0, 2, 1) if values.ndim == 3 else values)
            bundle.write(path, f"gzip/{name}")
            path.unlink()
    archive = KnownFile(
        "gzip.zip", f"file-sha256:{hashlib.sha256((small_folder / 'gzip.zip').read_bytes()).hexdigest()}"
    )
    entry = replace(
        DATASETS["emnist-digits"], train_count=60, test_count=20, mirrors=(mirror.at("good"),), archive=archive
    )
    monkeypatch.setitem(DATASETS, "emnist-digits", entry)
    return entry


@pytest.mark.usefixtures("emnist")
def test_emnist_is_taken_from_its_archive_and_set_upright(mirror: Mirror, small_folder: Path, cache: Path) -> None:
    data = load_digits("emnist-digits")
    assert data.sha256() == load_digits(small_folder).sha256()
    assert mirror.requests == ["gzip.zip"]
    assert visible(cache / "emnist-digits") == sorted(EMNIST_NAMES)
    assert not hidden(cache / "emnist-digits")
    assert load_digits(cache / "emnist-digits").sha256() == data.sha256(), "by its path, it is set upright as well"


@pytest.mark.parametrize("rename", [str.upper, str.title, lambda name: f"my-{name}"])
@pytest.mark.usefixtures("emnist")
def test_emnist_is_set_upright_in_whatever_case_its_files_are_named(
    rename: Callable[[str], str], small_folder: Path, cache: Path
) -> None:
    expected = load_digits("emnist-digits")
    folder = cache / "emnist-digits"
    for name in EMNIST_NAMES:
        (folder / name).rename(folder / rename(name.removesuffix(".gz")))
    found = load_digits(folder)
    assert (found.sha256(), found.note) == (expected.sha256(), "")


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("is_sideways", [True, False])
def test_digits_on_their_side_are_set_upright_where_there_are_as_many_as_emnist_has(
    is_sideways: bool, is_counted: bool, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_counted:
        monkeypatch.setattr("under10k.data.datasets.EMNIST_COUNTS", (len(dataset.train), len(dataset.test)))
    train, test = (Digits(half.images.transpose(1, 2), half.labels) for half in (dataset.train, dataset.test))
    written = Dataset("sideways", train, test) if is_sideways else dataset
    found = load_digits(write_digits(tmp_path / "renamed", written))
    assert (found.sha256() == dataset.sha256()) == (is_counted or not is_sideways)
    assert ("set upright" in found.note) == (is_counted and is_sideways)


def test_an_archive_that_was_changed_is_refused(emnist: KnownSet, small_folder: Path, cache: Path) -> None:
    (small_folder / "gzip.zip").write_bytes((small_folder / "gzip.zip").read_bytes() + b"x")
    message = fails("emnist-digits")
    assert "wrong checksum: gzip.zip has file-sha256" in message
    assert emnist.archive
    assert emnist.archive.checksum.rpartition(":")[2] in message
    assert not visible(cache / "emnist-digits")


def test_qmnist_is_read_with_its_table_of_labels(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [file.name for file in DATASETS["qmnist"].files]
    folder = Path("data/qmnist")
    folder.mkdir(parents=True)
    for name, original in zip(names, NAMES, strict=True):
        values = read_idx(small_folder / original)
        if values.ndim == 3:
            write_idx(folder / name, values)
        else:
            table = np.full((len(values), 8), 99, dtype=">i4")
            table[:, 0] = values
            header = struct.pack(">HBB2I", 0, 0x0C, 2, *table.shape)
            (folder / name).write_bytes(gzip.compress(header + table.tobytes()))
    entry = described(folder, covers="file-md5", names=names)
    monkeypatch.setitem(DATASETS, "qmnist", replace(entry, name="qmnist"))
    assert load_digits("qmnist").sha256() == load_digits(small_folder).sha256()
    assert load_digits(folder).sha256() == load_digits(small_folder).sha256()
