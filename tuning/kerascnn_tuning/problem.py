"""A plan with everything looked up: the space to search, and which of its points are allowed."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import kerascnn
from kerascnn import Architecture, Recipe, Space
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn.tasks import Measure
from kerascnn_tuning.objectives import reported
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.rates import settled, with_own_rates
from kerascnn_tuning.space import joint_space, narrowed, register, tidy

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

    from kerascnn import Cost, Network

STEPS = 20
"""On the way from a configuration that is over the budget to the smallest one."""
DRAWS = 500
"""Random points to try where that way leads nowhere."""
COUNTABLE = 10_000
"""Larger spaces are not counted: their size is the product of their parameters' values."""


@dataclass(frozen=True)
class Configuration:
    """One point of the space: the architecture's arguments and the training's values."""

    arguments: dict[str, Any]
    training: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """What a search works on.

    Attributes:
        plan: the plan.
        architecture, recipe: what the plan names.
        space: the architecture's and the recipe's parameters together, narrowed by the plan.
        input_shape, classes: of the network.
    """

    plan: Plan
    architecture: Architecture
    recipe: Recipe
    space: Space
    input_shape: tuple[int, int, int]
    classes: int

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Name → measure of all that its trials report."""
        return reported(self.plan.task)

    def worth(self, metrics: Mapping[str, float]) -> list[float]:
        """A trial's objectives, those of which more is better with a minus: less is better."""
        return [self.measures[name].sign * metrics[name] for name in self.plan.objectives]

    @classmethod
    def of(cls, plan: Plan, classes: int | None = None) -> Problem:
        """Look everything up.

        Args:
            plan: the plan.
            classes: of the data; default: the architecture's.

        Raises:
            UnknownNameError: there is no such architecture.
            ArgumentError: the plan narrows something unknown, or to something illegal.
        """
        architecture = kerascnn.get(plan.architecture)
        recipe = architecture.recipe or Recipe()
        if plan.epochs is not None:
            recipe = replace(recipe, epochs=plan.epochs)
        return cls(
            plan=plan,
            architecture=architecture,
            recipe=recipe,
            space=narrowed(with_own_rates(joint_space(architecture, recipe), recipe, plan), plan),
            input_shape=plan.input_shape or architecture.card.input_shape,
            classes=classes or architecture.card.classes,
        )

    def configuration(self, values: Mapping[str, Any]) -> Configuration:
        """Complete arguments from a trial's hyperparameters; what is inactive has its default.

        Raises:
            ArgumentError: one of them is none of this space, but of an earlier version's.
        """
        known = {p.name for p in self.space.scalars()}
        if unknown := [n for n in values if n not in known and not n.startswith("tuner/")]:
            raise ArgumentError(
                f"A trial has a value for {', '.join(unknown)}, which the space of "
                f"{self.architecture.name} doesn't have: it was searched with another version of "
                f"the declaration. Its runs can still be used, the search begins anew. The space "
                f"has: {', '.join(sorted(known))}."
            )
        scalars = {
            p.name: tidy(p, values[p.name]) for p in self.space.scalars() if p.name in values
        }
        arguments = self.space.assemble(scalars)
        names = {param.name for param in self.architecture.space}
        return Configuration(
            arguments={k: v for k, v in arguments.items() if k in names},
            training=settled({k: v for k, v in arguments.items() if k not in names}),
        )

    def network(self, arguments: Mapping[str, Any]) -> Network:
        """The architecture with these arguments, for the data's images and classes.

        Raises:
            ArgumentError: one of them is illegal.
        """
        return self.architecture.network(
            arguments, input_shape=self.input_shape, classes=self.classes
        )

    def memory(self, cost: Cost, batch_size: int) -> int:
        """Bytes of a training step, estimated.

        Weights, gradients and two slots of the optimizer; every activation once, in float32.
        The work space of kernels is not included.
        """
        return 16 * cost.params + 4 * cost.activations * batch_size

    def refusal(self, values: Mapping[str, Any]) -> str | None:
        """Why this point can't be a trial, before anything is built; None if it can."""
        found = self.configuration(values)
        if reason := self.space.broken_rule({**found.arguments, **found.training}):
            return reason
        try:
            cost = self.network(found.arguments).cost()
        except KerascnnError as error:
            return str(error)
        plan = self.plan
        memory = self.memory(cost, found.training["batch_size"])
        for name, value, largest in (
            ("parameters", cost.params, plan.max_params),
            ("MACs", cost.macs, plan.max_macs),
            ("bytes", memory, plan.max_memory),
        ):
            if largest is not None and value > largest:
                return f"{value:,} {name}, over the budget of {largest:,}"
        return None

    def smaller(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """These values if they can be a trial; else the nearest smaller ones that can.

        All of the architecture's parameters move alike towards their smallest values. If that
        leads nowhere, the first of some random points is taken; None if there is none.
        """
        if self.refusal(values) is None:
            return dict(values)
        point = self.hyperparameters()
        moved = [p for p in self.space if p.name in self.architecture.space]
        if self.plan.max_memory:
            moved.append(self.space["batch_size"])
        own = {element.name for param in moved for element in param.elements()}
        # A Range's upper end would be beyond the last of its values.
        places = [min(hp.value_to_prob(values.get(hp.name, hp.default)), 1.0) for hp in point.space]

        def moved_to(scale: Callable[[], float], factor: float) -> dict[str, Any]:
            found: dict[str, Any] = {}
            point.values = found
            for hp, place in zip(point.space, places):
                if point.is_active(hp):
                    where = place * scale() * factor if hp.name in own else place
                    found[hp.name] = hp.prob_to_value(min(where, 1.0 - 1e-9))
            return found

        for step in reversed(range(STEPS)):
            found = moved_to(lambda: 1.0, step / STEPS)
            if self.refusal(found) is None:
                return found
        rng = random.Random(json.dumps(dict(values), sort_keys=True))
        places = [1.0 if hp.name in own else at for hp, at in zip(point.space, places)]
        for _ in range(DRAWS):
            found = moved_to(rng.random, rng.random())
            if self.refusal(found) is None:
                return found
        return None

    def size(self) -> float:
        """How many configurations there are; beyond `COUNTABLE`, at most so many.

        Values of parameters that have no effect, as their parent excludes them, make no difference.
        """
        product = self.space.size()
        if product > COUNTABLE:
            return product
        point = self.hyperparameters()
        found = set()
        for values in itertools.product(*(hp.values for hp in point.space)):
            point.values = {hp.name: value for hp, value in zip(point.space, values)}
            active = (point.is_active(hp) for hp in point.space)
            found.add(tuple(value if on else None for value, on in zip(values, active)))
        return len(found)

    def share_allowed(self, samples: int = 200) -> float:
        """The share of the space that can be built within the budget, from random samples."""
        rng = random.Random(self.plan.seed)
        allowed = sum(
            self.refusal({p.name: p.draw(rng) for p in self.space.scalars()}) is None
            for _ in range(samples)
        )
        return allowed / samples

    def hyperparameters(self) -> HyperParameters:
        """The searched parameters as KerasTuner has them, the inactive ones included."""
        from keras_tuner import HyperParameters

        hp = HyperParameters()
        register(self.space, hp)
        return hp
