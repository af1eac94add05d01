"""The known data sets: who made each, its files, their checksums and mirrors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownFile:
    """A file as it is published."""

    name: str
    """File name, the same on every mirror."""
    checksum: str = ""
    """`sha256:` of the decompressed bytes, `file-sha256:` or `file-md5:` of the file itself; empty: not published."""


@dataclass(frozen=True)
class KnownSet:
    """A data set with a name, and all that is needed to get it."""

    name: str
    """What `--data` takes."""
    description: str
    """What it shows, in one line."""
    source: str
    """Who made it, its licence, and where the checksums come from."""
    train_count: int
    """Number of training images."""
    test_count: int
    """Number of test images."""
    files: tuple[KnownFile, ...] = ()
    """Training images, training labels, test images, test labels; empty for digits that are drawn."""
    mirrors: tuple[str, ...] = ()
    """URLs that a file name is appended to, in the order they are tried."""
    archive: KnownFile | None = None
    """The zip that holds the files, in its folder `gzip/`, where they are not published one by one."""


def _mnist_files(*checksums: str) -> tuple[KnownFile, ...]:
    names = (f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
    return tuple(KnownFile(name, checksum) for name, checksum in zip(names, checksums, strict=True))


DATASETS: dict[str, KnownSet] = {
    known.name: known
    for known in (
        KnownSet(
            "mnist",
            "handwritten digits; the benchmark",
            "Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0. SHA-256 of the original files, decompressed",
            60_000,
            10_000,
            _mnist_files(
                "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://raw.githubusercontent.com/fgnt/mnist/master/",
                "https://azureopendatastorage.blob.core.windows.net/mnist/",
            ),
        ),
        KnownSet(
            "fashion-mnist",
            "photographs of clothes in MNIST's format",
            "H. Xiao, K. Rasul, R. Vollgraf (github.com/zalandoresearch/fashion-mnist); MIT. SHA-256 of the "
            "decompressed files, from github.com/SomeB1oody/dataset-core, "
            "crates/dataset-ml/src/dataset/fashion_mnist.rs",
            60_000,
            10_000,
            _mnist_files(
                "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            (
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
        ),
        KnownSet(
            "kmnist",
            "ten hiragana in cursive handwriting, in MNIST's format",
            "KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset (created by NIJL and others), "
            "doi:10.20676/00000341; CC BY-SA 4.0. SHA-256 of the compressed files, from github.com/ankane/"
            "torchvision-ruby, lib/torchvision/datasets/kmnist.rb",
            60_000,
            10_000,
            _mnist_files(
                "file-sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                "file-sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                "file-sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                "file-sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
            ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        ),
        KnownSet(
            "emnist-digits",
            "280,000 handwritten digits from NIST's forms",
            "G. Cohen, S. Afshar, J. Tapson, A. van Schaik (arXiv:1702.05373), from NIST Special Database 19. "
            "SHA-256 of the zip, from github.com/tensorflow/datasets, tensorflow_datasets/url_checksums/emnist.txt",
            240_000,
            40_000,
            (
                KnownFile("emnist-digits-train-images-idx3-ubyte.gz"),
                KnownFile("emnist-digits-train-labels-idx1-ubyte.gz"),
                KnownFile("emnist-digits-test-images-idx3-ubyte.gz"),
                KnownFile("emnist-digits-test-labels-idx1-ubyte.gz"),
            ),
            (
                "https://biometrics.nist.gov/cs_links/EMNIST/",
                "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
            ),
            KnownFile("gzip.zip", "file-sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
        ),
        KnownSet(
            "qmnist",
            "MNIST rebuilt from NIST's forms, with 60,000 test images",
            "C. Yadav, L. Bottou (github.com/facebookresearch/qmnist); BSD style. MD5 of the compressed files, from "
            "github.com/pytorch/vision, torchvision/datasets/mnist.py",
            60_000,
            60_000,
            (
                KnownFile("qmnist-train-images-idx3-ubyte.gz", "file-md5:ed72d4157d28c017586c42bc6afe6370"),
                KnownFile("qmnist-train-labels-idx2-int.gz", "file-md5:0058f8dd561b90ffdd0f734c6a30e5e4"),
                KnownFile("qmnist-test-images-idx3-ubyte.gz", "file-md5:1394631089c404de565df7b7aeaf9412"),
                KnownFile("qmnist-test-labels-idx2-int.gz", "file-md5:5b5b05890a5e13444e108efe57b788aa"),
            ),
            ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
        ),
        KnownSet("synthetic", "digits drawn by strokes; no file needed", "part of under10k", 60_000, 10_000),
    )
}
"""The known data sets by name."""
