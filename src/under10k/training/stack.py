"""Trainings of one recipe under several seeds, computed as one: a GPU has room for all of them in a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from under10k.data import Digits, augment, to_input, to_unit
from under10k.errors import DivergedError, UsageError
from under10k.recipes import Recipe
from under10k.runs import Position
from under10k.training.layout import rearrange
from under10k.training.norms import unfold_norms
from under10k.training.optimizers import Average, Update, create_optimizer
from under10k.training.recording import Recording
from under10k.training.shards import image_losses, may_be_recorded
from under10k.training.signals import StopSignals
from under10k.training.steps import averaging_decay, learning_rate, mix_seed, steps_of
from under10k.training.trainer import Trainer, stopped_at


def require_stackable(recipe: Recipe) -> None:
    """Refuse a recipe whose trainings cannot be computed as one.

    Raises:
        UsageError: they may end at different steps, draw random numbers in the network, or run code of the user's.
    """
    reasons = (
        (recipe.target_accuracy is not None, f"target_accuracy {recipe.target_accuracy}, which some reach first"),
        (recipe.patience_epochs is not None, f"patience_epochs {recipe.patience_epochs}, which some lose first"),
        (recipe.dropout > 0, f"dropout {recipe.dropout}"),
        (recipe.precision != "float32", f"precision {recipe.precision}"),
        (recipe.batch_size % recipe.shards > 0, f"shards {recipe.shards} of different sizes"),
        (recipe.has_own_network or recipe.own_augment is not None, "code of your own"),
    )
    for refused, what in reasons:
        if refused:
            raise UsageError(f"cannot be stacked: {recipe.name} has {what}. choose engine processes")


class Stack:
    """Trainings that stand at the same step, as lanes of one.

    Each weight, statistic and momentum is one tensor, lane by lane. A training's own tensors are views of its lane, so
    that it scores, saves and finishes as it would alone. It draws the random numbers that it would draw alone, too:
    what comes of it is the same up to rounding.
    """

    def __init__(self, trainers: Sequence[Trainer], teacher: nn.Module | None) -> None:
        """Stack the states of trainings that have begun, of one recipe but for the seed; all learn from `teacher`."""
        self.recipe: Recipe = trainers[0].recipe
        self.going = list(trainers)
        self.failed: dict[Trainer, DivergedError] = {}
        """Those that diverged, which leaves the others alone; their lanes are computed on, and looked at no more."""
        self._trainers, device = trainers, trainers[0].device
        self._teacher = None if teacher is None else rearrange(teacher.to(device))
        self._images, self._starts = _gather([trainer.images for trainer in trainers])
        states = [trainer.state for trainer in trainers]
        self._losses = torch.stack([state.losses for state in states])
        for state, lane in zip(states, self._losses, strict=True):
            state.losses = lane
        self._model = copy.deepcopy(states[0].model).train()
        unfold_norms(self._model)
        _stack(self._model, [state.model for state in states])
        decay = averaging_decay(self.recipe, len(trainers[0].images))
        average = Average(self._model, decay) if decay else None
        if average:
            _stack(average.model, [state.scored for state in states])
            average.follow(self._model)
        self._optimizer = create_optimizer(self.recipe, self._model)
        self._gather_moments()
        self._records = device.type == "cuda" and may_be_recorded(self.recipe, teacher)
        self._recording: Recording | None = None
        self._update = Update(self._optimizer, average, records=self._records)
        self._generators = [Generator(device) for _ in range(len(trainers) * self.recipe.shards)]

    def fit(self, signals: StopSignals) -> None:
        """Train all that stay finite to the last epoch.

        Raises:
            StoppedError: a signal arrived; all are saved.
        """
        recipe, images = self.recipe, len(self._trainers[0].images)
        while self.going and self._at.epoch < recipe.epochs:
            order = torch.stack([self._whole(trainer).order() for trainer in self._trainers])
            while self.going and self._at.step < steps_of(recipe, images, self._at.epoch):
                start = self._at.step * recipe.batch_size
                batch = order[:, start : start + recipe.batch_size]
                rate = learning_rate(recipe, self._at.total_steps, self._trainers[0].steps)
                losses, sums = self._differentiate_all(batch)
                self._losses.scatter_(1, batch, losses)
                self._record(sums, batch.shape[1], rate)
                if self.going:
                    self._update.take(rate, first=self.going[0].is_first_step())
                if signals.received and self.going:
                    self._save(signals.received)
            self._spread_moments()
            for trainer in self.going:
                trainer.book_time("train")
            self._each(Trainer.finish_epoch)
            for trainer in self.going:
                trainer.book_time("evaluate")  # the others' too, for which it waited

    @property
    def _at(self) -> Position:
        return self.going[0].state.at

    def _whole(self, trainer: Trainer) -> Trainer:
        """Return a training, or one that is still going in the place of one that has failed."""
        return self.going[0] if trainer in self.failed else trainer

    def _each(self, work: Callable[[Trainer], object]) -> None:
        """Do work on all that are still going."""
        for trainer in tuple(self.going):
            try:
                work(trainer)
            except DivergedError as error:
                self.failed[trainer] = error
                self.going.remove(trainer)

    def _record(self, sums: Tensor, count: int, rate: float) -> None:
        """Record a step of `count` images a lane; `sums` is (3, N), as `_differentiate` returns it."""
        of_lanes = dict(zip(self._trainers, sums.T.tolist(), strict=True))  # one wait for CUDA

        def record(trainer: Trainer) -> None:
            loss, norm, correct = of_lanes[trainer]
            trainer.record_step(loss, norm, int(correct), count, rate)

        self._each(record)

    def _save(self, signal_number: int) -> None:
        """Save all, and stop."""
        self._spread_moments()
        for trainer in self.going:
            trainer.book_time("train")
            trainer.save_checkpoint()
        raise stopped_at(self._at, self.going[0].run.folder, signal_number)

    def _differentiate_all(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Leave the gradients of a step in the model; `batch` is int64 (N, B), for each lane indices of its images."""
        at, shards = self._at, self.recipe.shards
        places = ((trainer.recipe.seed, shard) for trainer in self._trainers for shard in range(shards))
        for generator, (seed, shard) in zip(self._generators, places, strict=True):
            generator.manual_seed(mix_seed("step", seed, at.epoch, at.step * shards + shard))
        chosen = batch + self._starts
        if not self._records:
            return self._differentiate(self._model, chosen)
        if self._recording is None:
            spare = copy.deepcopy(self._model)
            self._recording = Recording(
                lambda chosen: self._differentiate(self._model, chosen),
                chosen,
                rehearse=lambda chosen: self._differentiate(spare, chosen),
                generators=self._generators,
            )
            return self._differentiate_all(batch)
        losses, sums = self._recording.replay(chosen)
        return losses, sums

    def _differentiate(self, model: nn.Module, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return each image's loss (N, B), and each lane's mean loss, norm of the gradient and number right (3, N)."""
        lanes, count = chosen.shape
        places = chosen.flatten()
        pixels = augment(to_unit(self._images.images[places]), self._generators, self.recipe.augment)
        seen, labels = to_input(pixels), self._images.labels[places]
        logits = self._logits(model, seen.view(len(self._generators), -1, *seen.shape[1:])).flatten(0, 1)
        with torch.no_grad():
            taught = None if self._teacher is None else self._teacher(seen).float()
        losses = image_losses(logits, labels, self.recipe.label_smoothing, taught).view(lanes, count)
        means = losses.mean(dim=1)
        model.zero_grad()
        means.sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            squares = [p.grad.flatten(1).square().sum(dim=1) for p in model.parameters() if p.grad is not None]
            right = (logits.argmax(dim=1) == labels).view(lanes, count).sum(dim=1)
            sums = torch.stack((means, torch.stack(squares).sum(dim=0).sqrt(), right.float()))
        return losses.detach(), sums

    def _logits(self, model: nn.Module, seen: Tensor) -> Tensor:
        """Return the logits of each lane's shards: (N * S, B / S, 1, 28, 28) -> (N * S, B / S, 10)."""
        shards = self.recipe.shards
        weights = {name: weight.repeat_interleave(shards, 0) for name, weight in model.named_parameters()}
        statistics = {name: buffer.repeat_interleave(shards, 0) for name, buffer in model.named_buffers()}

        def one(weights: dict[str, Tensor], statistics: dict[str, Tensor], seen: Tensor) -> Tensor:
            logits: Tensor = functional_call(model, (weights, statistics), (seen,))
            return logits

        logits: Tensor = vmap(one)(weights, statistics, seen)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                of_shards = statistics[name].view(-1, shards, *buffer.shape[1:])
                buffer.copy_(of_shards.mean(dim=1) if buffer.is_floating_point() else of_shards[:, 0])
        return logits

    def _gather_moments(self) -> None:
        """Stack the states of the trainings' optimizers."""
        each = [trainer.state.optimizer.state_dict()["state"] for trainer in self._trainers]
        stacked = {
            number: {
                key: torch.stack([one[number][key] for one in each]) if own.dim() else own for key, own in named.items()
            }
            for number, named in each[0].items()
        }
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": stacked})

    def _spread_moments(self) -> None:
        """Give each training its lane of the optimizer's state."""
        stacked = self._optimizer.state_dict()["state"]
        for lane, trainer in enumerate(self._trainers):
            own = trainer.state.optimizer
            of_lane = {
                number: {key: each[lane] if each.dim() else each for key, each in named.items()}
                for number, named in stacked.items()
            }
            own.load_state_dict({**own.state_dict(), "state": of_lane})


def _stack(stacked: nn.Module, models: Sequence[nn.Module]) -> None:
    """Make each tensor of a network that of the models, one after the other, and theirs views of it."""
    for mine, *each in zip(_tensors(stacked), *map(_tensors, models), strict=True):
        mine.data = torch.stack([one.data for one in each])
        for lane, one in enumerate(each):
            one.data = mine.data[lane]


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _gather(sets: Sequence[Digits]) -> tuple[Digits, Tensor]:
    """Return the images of all lanes, and where each lane's begin, int64 (N, 1); shared ones are there once."""
    first, device = sets[0], sets[0].images.device
    if all(each.images.data_ptr() == first.images.data_ptr() for each in sets):
        return first, torch.zeros(len(sets), 1, dtype=torch.int64, device=device)
    together = Digits(torch.cat([each.images for each in sets]), torch.cat([each.labels for each in sets]))
    return together, torch.arange(len(sets), device=device)[:, None] * len(first)
