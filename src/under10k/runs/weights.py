"""The one door to trained networks: bundled weights, run folders, weights files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from under10k.data import DATASETS
from under10k.errors import DataError, ModelError, UsageError, unknown_name, wrong_type
from under10k.files import as_path
from under10k.machine import pick_device
from under10k.models import (
    EVERY_MODEL,
    DrawingFrom,
    count_views,
    create_model,
    is_own,
    list_models,
    list_variants,
    network_of,
    require_recorded,
    with_views,
)
from under10k.recipes import ViewCount
from under10k.runs.folder import Run, resume_command
from under10k.runs.reading import no_run
from under10k.typed import build
from under10k.weights import (
    Facts,
    Options,
    find_weights,
    is_bundled,
    list_weights,
    load_plain_tensors,
    load_tensors,
    restore,
    save_tensors,
)

WEIGHTS = "a run folder, a weights file or the name of bundled weights"
"""What names trained weights, for errors."""


def load_model(
    weights: str | Path, *, model: str | None = None, views: ViewCount | None = None, device: str = "cpu"
) -> nn.Module:
    """Load a trained network, in evaluation mode, on the CPU unless another `device` is named.

    `weights` is a run folder, a weights file, or the name of bundled weights (`under10k.list_weights()`). A safetensors
    file of another program's, a `state_dict` without a description, is read where `model` names its network
    (`under10k.list_models()`); variant and head follow from its tensors, dropout is 0. Weights of a network of your own
    need its file: that which the run names and which is unchanged, or `model`, such as `my_net.py:Net`. `views` says
    over how many views of an image logits are averaged, 1 or 5; by default as many as the recipe had.

    Raises:
        ModelError: there is none, it is damaged, a pickle, or its tensors do not fit its architecture.
        UsageError: the device or network is unknown, or bundled weights and a file here go by the same name.
    """
    chosen = pick_device(device)
    return load_weights(weights, model=model, views=views)[0].to(chosen)


def as_network(model: nn.Module | str | Path) -> nn.Module:
    """Return a network that is given as itself, or as anything that `load_model` takes."""
    return model if isinstance(model, nn.Module) else load_model(model)


def load_weights(
    weights: str | Path, *, model: str | None = None, views: ViewCount | None = None
) -> tuple[nn.Module, Facts]:
    """Load a network as `load_model` does, with the facts that were saved beside it."""
    network, facts = _load_recorded(weights, model)
    if views is None:
        return network, facts
    if is_own(facts.model) and views != 1:
        raise UsageError(f"views of your own network: {facts.model}. leave out views")
    facts = replace(facts, options=replace(facts.options, views=views))
    return with_views(network, views), facts


def _load_recorded(weights: str | Path, model: str | None) -> tuple[nn.Module, Facts]:
    """Load a network as it was trained."""
    path = locate_weights(weights)
    if model is not None and not is_own(model) and model not in EVERY_MODEL:
        raise unknown_name("model", str(model), list_models())
    if (plain := load_plain_tensors(path)) is not None:
        return _load_plain(path, plain, model)
    tensors, facts, network = read_weights(path)
    if network is None:
        network = _create_own(path, Path(weights), facts, model)
    elif model not in (None, facts.model):
        raise ModelError(f"not {model}: {path} holds the network {facts.model}. leave out model")
    restore(network, tensors, str(path))
    return network.eval(), facts


def read_weights(path: Path) -> tuple[dict[str, Tensor], Facts, nn.Module | None]:
    """Read a weights file of under10k's: its tensors, its facts, and its network with fresh weights.

    The network is None where it is one of the user's own.

    Raises:
        ModelError: it is missing, damaged or no such file, or its network is unknown.
    """
    tensors, written = load_tensors(path, "weights")
    try:
        facts = build(Facts, written, "description", ignore_unknown=True)
        return tensors, facts, None if is_own(facts.model) else _create(facts.model, facts.options)
    except UsageError as error:
        raise ModelError(f"cannot rebuild the model: {path} ({error}). use the under10k that wrote it") from None


def _create_own(path: Path, weights: Path, facts: Facts, model: str | None) -> nn.Module:
    """Rebuild a network of the user's own: from the file named now, or else from the one that the run names.

    Raises:
        ModelError: no file is named, and that of the run is not to be run, has changed, or is gone.
    """
    if model is not None:
        if not is_own(model):
            raise ModelError(f"not {model}: {path} holds the network {facts.model}. name its file")
        return build_on_cpu(lambda: create_model(model))
    if not weights.is_dir():
        raise ModelError(f"no network: {path} was trained with {facts.model}, whose code it does not hold. {_NAME_IT}")
    recipe = Run(weights).recipe()
    if recipe.model_sha256 != facts.model_sha256 or not recipe.has_own_network:
        raise ModelError(f"not one run: {weights} has a recipe of {recipe.network}, weights of another. {_NAME_IT}")
    require_recorded(recipe, str(weights))
    return build_on_cpu(lambda: network_of(recipe))


_NAME_IT = "name its network: model='FILE.py:NAME'"


def _load_plain(path: Path, tensors: Mapping[str, Tensor], model: str | None) -> tuple[nn.Module, Facts]:
    """Rebuild the network of a bare `state_dict`: the variant that has the most of its tensors."""
    if model is None:
        raise ModelError(
            f"no network named: {path} is a safetensors file without a description. "
            f"name its network, such as: load_model({str(path)!r}, model={list_models()[0]!r})"
        )

    if is_own(model):
        network = build_on_cpu(lambda: create_model(model))
        restore(network, tensors, str(path))
        return network.eval(), Facts(model)

    def fit(options: Options) -> int:
        expected = _create(model, options).state_dict()
        return sum(name in tensors and tensors[name].shape == one.shape for name, one in expected.items())

    facts = Facts(model, max(_variants(model, 0.0), key=fit))
    network = _create(model, facts.options)
    restore(network, tensors, str(path))
    return network.eval(), facts


def save_model(model: nn.Module, path: str | Path) -> None:
    """Write a network, trained or fine-tuned in a loop of one's own, as a file that `load_model` and all verbs read.

    The network is one of `create_model`'s or `load_model`'s: which one, and its options, are read from its layers. Its
    numbers are written as float32, wherever it lies and in whichever precision it is.

    Raises:
        UsageError: it is no such network, or `path` is a folder.
        ModelError: a weight is NaN or infinite.
        OSError: the disk is full, or the folder missing or not writable.
    """
    if not isinstance(model, nn.Module):
        raise wrong_type("network", model, "a torch.nn.Module")
    network = getattr(model, "_orig_mod", model)  # of torch.compile
    facts = Facts(*_recognise(network))
    tensors = {name: one.float() if one.is_floating_point() else one for name, one in network.state_dict().items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"not finite: the network's {name} holds NaN or infinity. train again")
    save_tensors(as_path(path, "a file"), "weights", tensors, asdict(facts))


def _recognise(network: nn.Module) -> tuple[str, Options]:
    """Return the name and options under which `create_model` builds just these layers."""
    rates = {part.p for part in network.modules() if isinstance(part, nn.Dropout)}
    dropout = max(rates, default=0.0)
    views, built = count_views(network), _layers(with_views(network, 1))
    for name in EVERY_MODEL:
        for options in _variants(name, dropout):
            if _layers(_create(name, options)) == built:
                return name, replace(options, views=views)
    raise UsageError(
        f"unknown network: {type(network).__name__} is none of {', '.join(list_models())}, in any variant. "
        "save one that create_model or load_model made"
    )


def _layers(network: nn.Module) -> list[tuple[str, type[nn.Module], str]]:
    """List what a network consists of; dropout, which a rate of 0 leaves out, does not count."""
    return [
        (name, type(part), part.extra_repr())
        for name, part in network.named_modules()
        if not isinstance(part, nn.Dropout)
    ]


def _variants(name: str, dropout: float) -> list[Options]:
    return [Options(dropout, residual, head) for residual, head in list_variants(name)]


def _create(name: str, options: Options) -> nn.Module:
    return build_on_cpu(lambda: create_model(name, **asdict(options)))


def build_on_cpu(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the CPU, whose weights are to be replaced: the caller's chance is kept."""
    with torch.inference_mode(False), torch.device("cpu"), DrawingFrom(torch.Generator()):
        return make()


def locate_weights(weights: str | Path) -> Path:
    """Return the file that the weights are in, wherever they come from.

    Raises:
        ModelError: there is none.
        UsageError: bundled weights and a file here go by the same name.
    """
    path, ours = as_path(weights, WEIGHTS), list_weights()
    if is_bundled(str(weights)):
        if path.exists():
            raise UsageError(f"two meanings: {weights} is bundled and is here, too. for that write ./{path}")
        return find_weights(str(weights))
    try:
        if not path.exists():
            raise ModelError(
                f"no such weights: {path}. give a run folder, a weights file, or one of: {', '.join(ours)}"
            )
        if not path.is_dir():
            return path
        if not Run.is_run(path):
            raise no_run(path, "recipe.json")
        if Run(path).model_file.is_symlink():
            raise ModelError(f"a link in a run folder: {Run(path).model_file}. put what it leads to in its place")
        if not Run(path).model_file.exists():
            raise ModelError(f"run not finished: {path} has no weights yet. finish it with: {resume_command(path)}")
    except OSError as error:  # a name too long, or a folder that may not be looked into
        raise ModelError(f"cannot read: {path} ({error.strerror}). give a run folder or a weights file") from None
    return Run(path).model_file


def recorded_data(run: Path | None) -> str:
    """Return the data that a run was trained on; `auto` where there is no run.

    Raises:
        DataError: it was a folder or file, which is gone.
        ModelError: the run's record is damaged.
    """
    if run is None or not Run.is_run(run):
        return "auto"
    name = Run(run).data().name
    if name not in DATASETS and not Path(name).exists():
        raise DataError(f"the data of {run} is gone: {name}. give data=PLACE")
    return name
