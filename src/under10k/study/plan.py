"""The plan of a study: recipes, in every combination of overridden fields, and seeds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from under10k.data import DataIdentity
from under10k.errors import ModelError, UsageError
from under10k.files import read_inside
from under10k.models import DrawingFrom, Summary, is_loaded, network_of, require_network, summarise, with_network
from under10k.recipes import Recipe, as_recipe, override
from under10k.runs import pin_start, pin_teacher
from under10k.typed import Between, Typed, build

SEEDS = 20
"""Seeds of a study by default."""


@dataclass(frozen=True)
class Plan(Typed):
    """Recipes, seeds, threads and data of a study: `plan.json`."""

    variants: dict[str, Recipe]
    """Recipes by their labels; the first is what the others are compared with."""
    seeds: Annotated[int, Between(1, 100_000)]
    """Each variant is trained under the seeds 0 to `seeds - 1`."""
    threads: Annotated[int, Between(1, 1024)]
    """Threads of each run, on which the last bits of its numbers depend."""
    data: DataIdentity

    def grown(self, wanted: Plan, folder: Path) -> Plan:
        """Return the plan of the study in `folder`, this one, with what is wanted now added.

        Raises:
            UsageError: they have different data or thread counts, or different recipes of one name.
        """
        changes = [
            (f"{label} was another recipe", "give this one another name")
            for label in self.variants.keys() & wanted.variants.keys()
            if self.variants[label] != wanted.variants[label]
        ]
        if self.data.sha256 != wanted.data.sha256:
            changes.append((f"its data was {self.data.name}, of other content", "give that"))
        if self.threads != wanted.threads:
            changes.append((f"its runs have other threads, {self.threads} each", f"give threads={self.threads}"))
        for change, remedy in changes:
            raise UsageError(f"another study: {folder}: {change}. {remedy}, or choose another folder")
        new = {label: recipe for label, recipe in wanted.variants.items() if recipe not in self.variants.values()}
        return replace(self, variants=self.variants | new, seeds=max(self.seeds, wanted.seeds))


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of the study in a folder; None where there is none.

    Raises:
        ModelError: it is damaged.
    """
    path = folder / "plan.json"
    try:
        plan = build(Plan, json.loads(read_inside(path)), "plan", ignore_unknown=True)
        if not plan.variants:
            raise ValueError("it has no recipe")
        return plan
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"cannot read: {path} ({error.strerror}). choose another folder") from None
    except (RecursionError, ValueError) as error:
        raise ModelError(
            f"cannot read the plan: {path} ({error}). "
            "use the under10k that wrote it, restore it from a copy, or choose another folder"
        ) from None


def expand(recipes: Sequence[str | Recipe], overrides: Mapping[str, Sequence[Any]]) -> dict[str, Recipe]:
    """Return each recipe in each combination of overridden fields, by labels such as `default optimizer.lr=0.1`.

    Raises:
        UsageError: a recipe, field, value or model is unknown or out of range, or one is given twice.
    """
    for name in ("name", "seed"):
        if name in overrides:
            raise UsageError(f"cannot override {name}: a study numbers its runs by seed. give how many seeds")
    variants: dict[str, Recipe] = {}
    for given in recipes:
        for values in itertools.product(*overrides.values()):
            fields = dict(zip(overrides, values, strict=True))
            model = fields.pop("model", None)
            recipe = override(replace(as_recipe(given), seed=0), fields)
            if "model" in overrides:
                recipe = with_network(recipe, model)
                fields["model"] = recipe.model
            label = " ".join([recipe.name, *sorted(f"{name}={_write_value(value)}" for name, value in fields.items())])
            recipe = pin_teacher(pin_start(require_network(recipe)))  # before anything is written
            if label in variants or recipe in variants.values():
                raise UsageError(f"twice in one study: {label}. give each recipe and value once, recipes by own names")
            variants[label] = recipe
    return variants


def _write_value(value: Any) -> str:
    """Write a value for a label: 1 and 1.0 alike, since they are the same to a field."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value).removesuffix(".0")


def summary_of(recipe: Recipe) -> Summary | None:
    """Return the table of a recipe's network; None where somebody's code would have to run for that.

    Raises:
        UsageError: there is no such network.
    """
    if recipe.has_own_network and not is_loaded(recipe):
        return None
    with DrawingFrom(torch.Generator()):  # the caller's chance is kept
        return summarise(network_of(recipe))
