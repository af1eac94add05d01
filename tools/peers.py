"""How each peer of `bench_peers.py` trains the network `gap`: the same SGD on the same images, each in its own way."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

BATCH, RATE, MOMENTUM, EPOCHS = 128, 0.1, 0.9, 10


class Training(NamedTuple):
    """A network in training; images are numpy arrays, uint8 (N, 28, 28), labels int64 (N)."""

    epoch: Callable[[], object]
    """Trains on all images once."""
    read: Callable[[Any], Any]
    """Reads images with the network as it is: digits (N)."""
    epochs: int = EPOCHS
    """The most that it is trained for."""


def with_under10k(
    images: Any, labels: Any, seed: int, precision: Literal["float32", "bfloat16"] = "float32"
) -> Training:
    """Ours: the trainer of `under10k train`, in two shards, with nothing of `default` that the others do not do."""
    from dataclasses import replace

    from under10k.recipes import Augment, Optimizer, Schedule, default

    recipe = replace(
        default(),
        epochs=EPOCHS,
        augment=Augment(),
        averaging=0.0,
        schedule=Schedule("constant"),
        optimizer=Optimizer("sgd", lr=RATE, momentum=MOMENTUM),
        precision=precision,
        seed=seed,
    )
    return _ours(recipe, images, labels)


def with_under10k_bfloat16(images: Any, labels: Any, seed: int) -> Training:
    """The same in bfloat16, which is worth while on CPUs with AMX."""
    return with_under10k(images, labels, seed, "bfloat16")


def with_default(images: Any, labels: Any, seed: int) -> Training:
    """Ours as it is meant: the recipe `default`, which trains the same network with its own rates and augmentation."""
    from dataclasses import replace

    from under10k.recipes import default

    return _ours(replace(default(), seed=seed), images, labels)


def with_fast(images: Any, labels: Any, seed: int) -> Training:
    """Ours in a hurry: the recipe `fast`, which has its own network and batches, too."""
    from dataclasses import replace

    from under10k.recipes import fast

    return _ours(replace(fast(), seed=seed), images, labels)


def with_pytorch(images: Any, labels: Any, seed: int) -> Training:
    """PyTorch's MNIST example: one picture at a time through PIL, a DataLoader, an eager loop."""
    import torch
    import torch.nn.functional as F

    loader, network = _torch_parts(images, labels, seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)

    def epoch() -> None:
        for pixels, answers in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(pixels), answers).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return Training(epoch, _reader(network))


def with_lightning(images: Any, labels: Any, seed: int) -> Training:
    """Lightning's own loop around the same DataLoader."""
    import logging

    import torch
    import torch.nn.functional as F
    from lightning import LightningModule, Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader, network = _torch_parts(images, labels, seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)  # one for all calls of `fit`

    class Lit(LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _index: int) -> Any:
            pixels, answers = batch
            return F.cross_entropy(self.network(pixels), answers)

        def configure_optimizers(self) -> Any:
            return optimizer

    module = Lit()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }

    def epoch() -> None:
        Trainer(max_epochs=1, accelerator="cpu", devices=1, **quiet).fit(module, loader)

    return Training(epoch, _reader(network))


def with_keras_jax(images: Any, labels: Any, seed: int) -> Training:
    """Keras 3 on JAX: `fit` on arrays in memory."""
    return _keras("jax", images, labels, seed)


def with_keras_torch(images: Any, labels: Any, seed: int) -> Training:
    """Keras 3 on PyTorch: the same."""
    return _keras("torch", images, labels, seed)


def with_flax(images: Any, labels: Any, seed: int) -> Training:
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

    model = Net(nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.sgd(RATE, MOMENTUM), wrt=nnx.Param)
    chance = np.random.default_rng(seed)

    @nnx.jit  # type: ignore[untyped-decorator]
    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        def loss_of(model: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        loss, gradient = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradient)
        return loss

    pixels = _normalised(images)[..., None]

    def epoch() -> None:
        model.train()
        for batch in chance.permutation(len(pixels))[: len(pixels) // BATCH * BATCH].reshape(-1, BATCH):
            loss = step(model, optimizer, jnp.asarray(pixels[batch]), jnp.asarray(labels[batch]))
        loss.block_until_ready()

    def read(images: Any) -> Any:
        model.eval()
        return np.asarray(model(jnp.asarray(_normalised(images)[..., None])).argmax(axis=1))

    return Training(epoch, read)


def with_tinygrad(images: Any, labels: Any, seed: int) -> Training:
    """tinygrad's beautiful_mnist: a captured step that draws its own batch, with replacement, from all images."""
    os.environ |= {"PARALLEL": "0", "CCACHE": "0"}  # compile here, where it is counted, and anew as the others do
    from tinygrad import Context, Tensor, TinyJit, nn

    def block(inputs: int, outputs: int, padding: int = 1) -> list[Callable[[Any], Any]]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False)
        return [convolution, nn.BatchNorm(outputs), Tensor.relu]

    Tensor.manual_seed(seed)
    layers = [
        *block(1, 8),
        *block(8, 16),
        Tensor.max_pool2d,
        *block(16, 16),
        *block(16, 16),
        Tensor.max_pool2d,
        *block(16, 16, padding=0),
        nn.Conv2d(16, 10, 3, bias=False),
        lambda maps: maps.mean((2, 3)),
    ]
    optimizer = nn.optim.SGD(nn.state.get_parameters(layers), lr=RATE, momentum=MOMENTUM)
    pixels, answers = Tensor(_normalised(images)[:, None]), Tensor(labels)

    @TinyJit  # type: ignore[untyped-decorator]
    @Context(TRAINING=1)  # type: ignore[untyped-decorator]
    def step() -> Any:
        optimizer.zero_grad()
        batch = Tensor.randint(BATCH, high=len(images))
        loss = pixels[batch].sequential(layers).sparse_categorical_crossentropy(answers[batch]).backward()
        return loss.realize(*optimizer.schedule_step())

    def epoch() -> None:
        for _ in range(len(images) // BATCH):
            loss = step()
        loss.item()

    return Training(epoch, lambda images: Tensor(_normalised(images)[:, None]).sequential(layers).argmax(1).numpy())


def with_scikit_learn(images: Any, labels: Any, seed: int) -> Training:
    """The floor of effort: scikit-learn's MLPClassifier as it comes, 79,510 parameters and Adam, on flat pixels."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    chance = np.random.RandomState(seed)  # a number would begin each call of `partial_fit` with the same order
    model = MLPClassifier(batch_size=BATCH, random_state=chance)
    pixels = _normalised(images).reshape(len(images), -1)
    return Training(
        lambda: model.partial_fit(pixels, labels, classes=range(10)),
        lambda images: model.predict(_normalised(images).reshape(len(images), -1)),
    )


PEERS: dict[str, Callable[[Any, Any, int], Training]] = {
    "under10k": with_under10k,
    "under10k, bfloat16": with_under10k_bfloat16,
    "pytorch": with_pytorch,
    "lightning": with_lightning,
    "keras, jax": with_keras_jax,
    "keras, torch": with_keras_torch,
    "flax": with_flax,
    "tinygrad": with_tinygrad,
    "scikit-learn": with_scikit_learn,
}
RACERS = {**PEERS, "under10k, default": with_default, "under10k, fast": with_fast}


def _ours(recipe: Any, images: Any, labels: Any) -> Training:
    from dataclasses import replace

    import torch

    from under10k.data import Dataset, Digits
    from under10k.machine import keep_freed_memory
    from under10k.runs import Run
    from under10k.training import Trainer

    keep_freed_memory()
    digits = Digits(torch.from_numpy(images), torch.from_numpy(labels))
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    trainer = Trainer(recipe, Dataset("peers", digits, digits[:1]), torch.device("cpu"), Run(Path(folder.name)))
    trainer.begin(resume=False)

    def epoch() -> None:
        trainer.recipe = replace(recipe, epochs=trainer.state.at.epoch + 1)  # which is where `fit` stops
        trainer.fit()

    def read(images: Any) -> Any:
        unlabelled = Digits(torch.from_numpy(images), torch.zeros(len(images), dtype=torch.int64))
        return trainer.shards.evaluate(trainer.state.scored, unlabelled).predictions.numpy()

    return Training(epoch, read, recipe.epochs)


def _torch_parts(images: Any, labels: Any, seed: int) -> tuple[Any, Any]:
    """Return a DataLoader of pictures, as torchvision serves MNIST, and the network in the default layout."""
    import torch
    from torch.utils.data import DataLoader

    from under10k.bench.plain import Pictures
    from under10k.data import Digits
    from under10k.models import create_model

    torch.manual_seed(seed)
    pictures = Pictures(Digits(torch.from_numpy(images), torch.from_numpy(labels)))
    return DataLoader(pictures, batch_size=BATCH, shuffle=True), create_model("gap", dropout=0.0).train()


def _reader(network: Any) -> Callable[[Any], Any]:
    import torch

    @torch.no_grad()
    def read(images: Any) -> Any:
        network.eval()
        digits = network(torch.from_numpy(_normalised(images)).unsqueeze(1)).argmax(dim=1).numpy()
        network.train()
        return digits

    return read


def _keras(backend: str, images: Any, labels: Any, seed: int) -> Training:
    os.environ["KERAS_BACKEND"] = backend
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)

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
    return Training(
        lambda: model.fit(pixels, labels, batch_size=BATCH, epochs=1, verbose=0),
        lambda images: model.predict(_normalised(images)[..., None], verbose=0).argmax(axis=1),
    )


def _normalised(images: Any) -> Any:
    return ((images / 255 - 0.1307) / 0.3081).astype("float32")
