"""Checkpoints: the state of a training to disk and back, and what a run may be resumed under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from under10k.data import DataIdentity
from under10k.errors import ModelError
from under10k.recipes import Recipe
from under10k.runs import Batch, Position, Run
from under10k.training.state import State
from under10k.training.steps import batch_size_of, steps_of
from under10k.typed import build
from under10k.weights import restore


def save_checkpoint(state: State, recipe: Recipe, data: DataIdentity, run: Run) -> None:
    """Save the state, then record the batches since the last time.

    They are part of the checkpoint: where a kill comes between the two, they are recorded on resuming.
    """
    parts: dict[str, dict[str, Tensor]] = {"model": state.model.state_dict(), "best": state.best}
    if state.average:
        parts["average"] = state.average.model.state_dict()
    if recipe.skip_easy:
        parts["losses"] = {"before": state.losses_before, "now": state.losses}
    since = torch.tensor([batch[2:] for batch in state.batches], dtype=torch.float64).view(-1, 3)
    parts["batches"] = {"since": since}
    for index, moments in state.optimizer.state_dict()["state"].items():
        parts[f"optimizer/{index}"] = moments
    tensors = {
        f"{part}/{name}": tensor
        for part, named in parts.items()
        for name, tensor in named.items()
        if tensor is not None
    }
    facts = {"recipe": asdict(recipe), "data": asdict(data), "position": asdict(state.at)}
    run.save_checkpoint(state.at.epoch, state.at.step, tensors, facts)
    run.append_batches(state.batches)
    state.batches = []


def restore_checkpoint(state: State, recipe: Recipe, data: DataIdentity, run: Run) -> None:
    """Bring a first state to the run's newest checkpoint, if it has one.

    Raises:
        ModelError: no checkpoint can be used, or it is of another recipe or other data.
    """
    checkpoint = run.load_checkpoint()
    if checkpoint is None:
        return
    try:  # its seal says that it is whole, not that it makes sense
        _restore(state, recipe, data, run.folder, *checkpoint)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"no checkpoint to resume from: {run.folder} ({reason}). train anew") from None


def require_equal(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume under anything that would change the result; name the first that differs.

    Raises:
        ModelError: something differs.
    """
    for key, value in now.items():
        if before.get(key) != value:
            remedies = {
                "threads": f"set OMP_NUM_THREADS={before.get(key)}",
                "under10k": "finish it with the under10k that began it",
            }
            remedy = remedies.get(key, "resume as it was begun")
            raise ModelError(
                f"cannot resume {folder}: {key} was {before.get(key)}, is now {value}. {remedy}, or train anew"
            )


def _restore(
    state: State, recipe: Recipe, data: DataIdentity, folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    saved = build(Recipe, facts["recipe"], "recipe")
    require_equal(folder, saved.flat(), recipe.flat())
    require_equal(folder, {"data": build(DataIdentity, facts["data"], "data").sha256}, {"data": data.sha256})
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, key = name.rpartition("/")
        parts.setdefault(part, {})[key] = tensor
    where = f"checkpoint of {folder}"
    restore(state.model, parts.pop("model", {}), where)
    if state.average:
        restore(state.average.model, parts.pop("average", {}), where)
    if recipe.skip_easy:
        losses = parts.pop("losses", {})
        for name, mine in ("before", state.losses_before), ("now", state.losses):
            mine.copy_(_require_shape(losses[name], mine))
    state.best = parts.pop("best", {})
    since = parts.pop("batches")["since"]
    _restore_optimizer(state, parts)
    state.at = build(Position, facts["position"], "position")
    _check_position(state.at, recipe, len(state.losses))
    state.batches = _number(since, state.at, recipe, len(state.losses))


def _restore_optimizer(state: State, parts: Mapping[str, dict[str, Tensor]]) -> None:
    moments = {int(part.removeprefix("optimizer/")): named for part, named in parts.items()}
    parameters = list(state.model.parameters())
    if moments and moments.keys() != set(range(len(parameters))):
        raise ValueError("the optimizer's state is not of all parameters")
    for number, named in moments.items():
        for tensor in named.values():
            _require_shape(tensor, parameters[number])
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})


def _check_position(at: Position, recipe: Recipe, images: int) -> None:
    """Refuse a position that no training of this recipe on so many images reaches: it might never end."""
    possible = 0 <= at.epoch <= recipe.epochs and 0 <= at.best_epoch <= at.epoch
    possible = possible and 0 <= at.step <= steps_of(recipe, images, at.epoch)
    done = sum(steps_of(recipe, images, epoch) for epoch in range(at.epoch)) + at.step if possible else -1
    seen = at.step * batch_size_of(recipe, images, at.epoch) if possible else -1
    if (
        (at.total_steps, at.seen) != (done, seen)
        or len(at.history) != at.epoch
        or at.seconds.keys() != Position().seconds.keys()
    ):
        raise ValueError(f"no such position: epoch {at.epoch}, step {at.step}, {at.total_steps} steps in all")


def _number(since: Tensor, at: Position, recipe: Recipe, images: int) -> list[Batch]:
    """Return the batches of a checkpoint with their epoch and steps: the last ones up to its position, of one epoch."""
    epoch, last = (at.epoch + 1, at.step) if at.step else (at.epoch, steps_of(recipe, images, at.epoch - 1))
    first = last - len(since)
    if since.dtype != torch.float64 or since.shape != (len(since), 3) or first < 0 or len(since) > at.total_steps:
        raise ValueError(f"batches are {since.dtype} {tuple(since.shape)}, at most {last} of them are possible")
    return [Batch(epoch, first + number, *row) for number, row in enumerate(since.tolist(), start=1)]


def _require_shape(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor that has the shape and type of another, or is a single number such as a count of steps."""
    if tensor.dtype != torch.float32 or tensor.shape not in (like.shape, torch.Size([])):
        raise ValueError(f"a tensor is {tensor.dtype} {tuple(tensor.shape)}, expected {like.dtype} {tuple(like.shape)}")
    return tensor
