"""Train the network `gap` with what people would use instead, beside under10k: python tools/bench_peers.py [ROUNDS].

Run it with the Python of an environment that has the peers (pip install . lightning keras jax flax optax); one
that is missing is left out, and said so. Each peer is a process of its own on one core, and all take turns. Each trains
the same network on the same noise, in batches of 128 with the same SGD, without dropout or augmentation, the
way its documentation shows for MNIST. Counted is the processor's time, which other programs change less than the
clock's: of an epoch of steps, after one that warms up, and of all that a process does besides: imports, compilers.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

BATCH, STEPS, ROUNDS = 128, 60, 3
RATE, MOMENTUM = 0.1, 0.9

Numbers = tuple[Any, Any]
"""Images uint8 (N, 28, 28) and labels int64 (N), as numpy arrays."""

Epoch = Callable[[], None]
"""Trains on all images once."""


def with_under10k(images: Any, labels: Any, precision: Literal["float32", "bfloat16"] = "float32") -> Epoch:
    """Ours: the trainer of `under10k train`, in two shards, with nothing of `default` that the others do not do."""
    import tempfile
    from contextlib import closing
    from dataclasses import replace
    from pathlib import Path

    import torch

    from under10k.data import Dataset, Digits
    from under10k.machine import keep_freed_memory
    from under10k.recipes import Augment, Optimizer, Schedule, default
    from under10k.runs import Run
    from under10k.training import Trainer

    keep_freed_memory()
    digits = Digits(torch.from_numpy(images), torch.from_numpy(labels))
    recipe = replace(
        default(),
        epochs=1,
        augment=Augment(),
        averaging=0.0,
        schedule=Schedule("constant"),
        optimizer=Optimizer("sgd", lr=RATE, momentum=MOMENTUM),
        precision=precision,
    )

    def epoch() -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(recipe, Dataset("peers", digits, digits[:1]), torch.device("cpu"), Run(Path(folder)))
            with closing(trainer.shards):
                trainer.begin(resume=False)
                trainer.fit()

    return epoch


def with_under10k_bfloat16(images: Any, labels: Any) -> Epoch:
    """The same in bfloat16, which is worth while on CPUs with AMX."""
    return with_under10k(images, labels, "bfloat16")


def with_pytorch(images: Any, labels: Any) -> Epoch:
    """PyTorch's MNIST example: one picture at a time through PIL, a DataLoader, an eager loop."""
    import torch
    import torch.nn.functional as F

    loader, network = _torch_parts(images, labels)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)

    def epoch() -> None:
        for pixels, answers in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(pixels), answers).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def with_lightning(images: Any, labels: Any) -> Epoch:
    """Lightning's own loop around the same DataLoader."""
    import logging

    import torch
    import torch.nn.functional as F
    from lightning import LightningModule, Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader, network = _torch_parts(images, labels)

    class Lit(LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _index: int) -> Any:
            pixels, answers = batch
            return F.cross_entropy(self.network(pixels), answers)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

    module = Lit()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }

    def epoch() -> None:
        Trainer(max_epochs=1, accelerator="cpu", devices=1, **quiet).fit(module, loader)

    return epoch


def with_keras_jax(images: Any, labels: Any) -> Epoch:
    """Keras 3 on JAX: `fit` on arrays in memory."""
    return _keras("jax", images, labels)


def with_keras_torch(images: Any, labels: Any) -> Epoch:
    """Keras 3 on PyTorch: the same."""
    return _keras("torch", images, labels)


def with_flax(images: Any, labels: Any) -> Epoch:
    """Flax NNX and Optax: a compiled step, on batches cut from arrays in memory."""
    import jax.numpy as jnp
    import numpy as np
    import optax
    from flax import nnx

    class Net(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            widths = [(1, 8, "SAME"), (8, 16, "SAME"), (16, 16, "SAME"), (16, 16, "SAME"), (16, 16, "VALID")]
            convolutions = [nnx.Conv(i, o, (3, 3), padding=pad, use_bias=False, rngs=rngs) for i, o, pad in widths]
            self.convolutions = nnx.List(convolutions)
            self.norms = nnx.List([nnx.BatchNorm(o, rngs=rngs) for _, o, _ in widths])
            self.last = nnx.Conv(16, 10, (3, 3), padding="VALID", use_bias=False, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
                x = nnx.relu(norm(convolution(x)))
                if number in (1, 3):
                    x = nnx.max_pool(x, (2, 2), strides=(2, 2))
            return self.last(x).mean(axis=(1, 2))

    model = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(RATE, MOMENTUM), wrt=nnx.Param)
    chance = np.random.default_rng(0)

    @nnx.jit  # type: ignore[untyped-decorator]
    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        def loss_of(model: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        loss, gradient = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradient)
        return loss

    pixels = _normalised(images)[..., None]

    def epoch() -> None:
        for batch in chance.permutation(len(pixels)).reshape(-1, BATCH):
            loss = step(model, optimizer, jnp.asarray(pixels[batch]), jnp.asarray(labels[batch]))
        loss.block_until_ready()

    return epoch


PEERS: dict[str, Callable[[Any, Any], Epoch]] = {
    "under10k": with_under10k,
    "under10k, bfloat16": with_under10k_bfloat16,
    "pytorch": with_pytorch,
    "lightning": with_lightning,
    "keras, jax": with_keras_jax,
    "keras, torch": with_keras_torch,
    "flax": with_flax,
}


def main(rounds: int) -> None:
    """Print a table: what each takes, and how it compares with PyTorch's example in the same round."""
    names = [name for name in PEERS if importlib.util.find_spec(name.partition(",")[0].replace("pytorch", "torch"))]
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, __file__, name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ourselves)
            if done.returncode:
                sys.exit(f"{name}: {done.stderr.strip()}")
            taken[name].append([float(word) for word in done.stdout.split()[-2:]])
    print("| trained by | images/s | times as fast | least | most | start, seconds |\n|---|---:|---:|---:|---:|---:|")
    for name, rows in taken.items():
        ratios = sorted(theirs[0] / ours[0] for theirs, ours in zip(taken["pytorch"], rows, strict=True))
        rate, before = (statistics.median(column) for column in zip(*rows, strict=True))
        spread = f"{statistics.median(ratios):.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f}"
        print(f"| {name} | {BATCH * STEPS / rate:,.0f} | {spread} | {before:.1f} |")
    packages = ("torch", "lightning", "keras", "jax", "flax", "optax")
    print(
        ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages if importlib.util.find_spec(name))
    )
    print("not installed: " + (", ".join(name for name in PEERS if name not in names) or "none"))


def time_one(name: str) -> None:
    """Print the processor's seconds of an epoch, and of what the process has done besides before it."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy as np

    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (BATCH * STEPS, 28, 28), dtype=np.uint8)
    epoch = PEERS[name](images, chance.integers(0, 10, BATCH * STEPS))
    epoch()
    began = time.process_time()
    epoch()
    taken = time.process_time() - began
    print(taken, began - taken)


def _torch_parts(images: Any, labels: Any) -> Numbers:
    """Return a DataLoader of pictures, as torchvision serves MNIST, and the network in the default layout."""
    import torch
    from torch.utils.data import DataLoader

    from under10k.bench.plain import Pictures
    from under10k.data import Digits
    from under10k.models import create_model

    pictures = Pictures(Digits(torch.from_numpy(images), torch.from_numpy(labels)))
    return DataLoader(pictures, batch_size=BATCH, shuffle=True), create_model("gap", dropout=0.0).train()


def _keras(backend: str, images: Any, labels: Any) -> Epoch:
    os.environ["KERAS_BACKEND"] = backend
    import keras
    from keras import layers

    def block(width: int, padding: str = "same") -> list[Any]:
        convolution = layers.Conv2D(width, 3, padding=padding, use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.ReLU()]

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *block(8),
            *block(16),
            layers.MaxPooling2D(),
            *block(16),
            *block(16),
            layers.MaxPooling2D(),
            *block(16, "valid"),
            layers.Conv2D(10, 3, use_bias=False),
            layers.GlobalAveragePooling2D(),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(RATE, MOMENTUM), loss=loss)
    pixels = _normalised(images)[..., None]
    return lambda: model.fit(pixels, labels, batch_size=BATCH, epochs=1, verbose=0)


def _normalised(images: Any) -> Any:
    return ((images / 255 - 0.1307) / 0.3081).astype("float32")


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in PEERS:
        time_one(sys.argv[1])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
