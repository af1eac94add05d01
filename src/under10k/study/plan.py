"""What a study is of: recipes, in every combination of overridden fields, and seeds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from under10k.errors import ModelError, UsageError
from under10k.models import DrawingFrom, count_parameters, create_model, model_options
from under10k.recipes import Recipe, as_recipe, override

SEEDS = 20
"""Seeds of a study, where none are asked for."""


@dataclass(frozen=True)
class Plan:
    """What a study is of: `plan.json`."""

    variants: dict[str, Recipe]
    """Recipes by their labels; the first is what the others are compared with."""
    seeds: int
    """Each variant is trained under the seeds 0 to `seeds - 1`."""
    threads: int
    """Threads of each run, on which the last bits of its numbers depend."""
    data: dict[str, str]
    """`name` and `sha256`."""

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= 100_000:
            raise UsageError(f"seeds out of range: {self.seeds}. give at least 1 and at most 100,000")
        if not 1 <= self.threads <= 1024:
            raise UsageError(f"threads out of range: {self.threads}. give at least 1 and at most 1,024")

    def grown(self, wanted: Plan, folder: Path) -> Plan:
        """Return a plan of all that is in this one, of the study in `folder`, and in what is wanted now.

        Raises:
            UsageError: they are of different data or thread counts, or have different recipes of one name.
        """
        changes = [
            (f"{label} was another recipe", "give this one another name")
            for label in self.variants.keys() & wanted.variants.keys()
            if self.variants[label] != wanted.variants[label]
        ]
        if self.data["sha256"] != wanted.data["sha256"]:
            changes.append((f"its data was {self.data['name']}, of other content", "give that"))
        if self.threads != wanted.threads:
            changes.append((f"its runs have other threads, {self.threads} each", f"give --threads {self.threads}"))
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
        plan = json.loads(path.read_text(encoding="utf-8"))
        variants = {str(label): Recipe.from_json(json.dumps(recipe)) for label, recipe in plan["variants"].items()}
        if not variants:
            raise ValueError("it has no recipe")
        data = {key: str(plan["data"][key]) for key in ("name", "sha256")}
        return Plan(variants, int(plan["seeds"]), int(plan["threads"]), data)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"cannot read: {path} ({error.strerror}). choose another folder") from None
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
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
            raise UsageError(f"cannot override {name}: a study numbers its runs by seed. give --seeds, from 0 on")
    variants: dict[str, Recipe] = {}
    for given in recipes:
        for values in itertools.product(*overrides.values()):
            fields = dict(zip(overrides, values, strict=True))
            recipe = override(replace(as_recipe(given), seed=0), fields)
            label = " ".join([recipe.name, *sorted(f"{name}={_write_value(value)}" for name, value in fields.items())])
            if label in variants or recipe in variants.values():
                raise UsageError(f"twice in one study: {label}. give each recipe and value once, recipes by own names")
            parameters_of(recipe)  # an unknown model is refused before anything is written
            variants[label] = recipe
    return variants


def _write_value(value: Any) -> str:
    """Write a value for a label: 1 and 1.0 alike, since a field takes both for the same."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value).removesuffix(".0")


def parameters_of(recipe: Recipe) -> int:
    """Return how many numbers a recipe's network learns; `UsageError` where there is no such model."""
    with DrawingFrom(torch.Generator()):  # the caller's chance is kept
        return count_parameters(create_model(recipe.model, **model_options(recipe)))
