"""One declaration of every argument of a family: defaults, validation, search space and help.

A `Param` states an argument once. From it come the builder's defaults, the check of what a user
passes and its error message, the scalar parameters a tuner sees, and the command line's help.
"""

from __future__ import annotations

import ast
import hashlib
import math
import numbers
import operator
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from kerascnn.errors import ArgumentError
from kerascnn.files import shortened
from kerascnn.words import did_you_mean

Rule = Callable[[Mapping[str, Any]], str | None]
"""A condition over all arguments together: the reason why they are illegal, or None."""


@dataclass(frozen=True)
class Range:
    """An inclusive range of numbers; `step` and `log` say how a search walks through it."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"Range expects low <= high. Received: {self.low} > {self.high}.")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def grid(self) -> tuple[float, ...] | None:
        """The values a search visits, or None if the range is continuous."""
        if self.log or (self.step is None and isinstance(self.low, float)):
            return None
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.low + i * step for i in range(count))


@dataclass(frozen=True)
class Param:
    """One argument of a family.

    A tuple as default means one value per stage: the tuple's elements are checked, and searched,
    one by one.

    Attributes:
        name: the keyword of the builder or head.
        default: the paper's value.
        search: the values or the range that a search tries, and a default outside of them, such
            as a variant's, as well; None: not searched.
        legal: the values or the range that the builder accepts, at least as wide as `search`;
            None: what `search` says, or anything of the default's type if that is None too.
        when: `(name of an earlier argument, its values)` under which this one has an effect.
        kernel: whether it is the side of convolutions. One above the default must not be larger
            than the map it slides over: see `kerascnn.cost.cost`.
        per: an earlier tuple to whose length this one's is equal; a single value counts for all of
            them, and so does a default that is the same everywhere.
        off: the value of a network that does without it, such as 0.0 of a dropout; None: there is
            none. Of a tuple, that of each element.
        idea: what is left out then, where its name doesn't say it: "overlapping_pooling" of a
            window's side.
        formerly: the name that it had in earlier versions, by which runs of that time call it.
        help: one line for the command line and the documentation.
    """

    name: str
    default: Any
    search: Range | tuple[Any, ...] | None = None
    _: KW_ONLY
    legal: Range | tuple[Any, ...] | None = None
    when: tuple[str, tuple[Any, ...]] | None = None
    kernel: bool = False
    per: str | None = None
    off: Any = None
    idea: str = ""
    formerly: str | None = None
    help: str = ""

    @property
    def per_stage(self) -> bool:
        """Whether the argument is a tuple with a value for each stage."""
        return isinstance(self.default, tuple)

    @property
    def accepted(self) -> Range | tuple[Any, ...] | None:
        """What the builder accepts, of a single value."""
        return self.search if self.legal is None else self.legal

    def expected(self) -> str:
        """What the builder accepts, in words."""
        example = self.default[0] if self.per_stage and self.default else self.default
        kind = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}.get(
            type(example), type(example).__name__
        )
        if isinstance(self.accepted, Range):
            kind = f"{kind} from {self.accepted}"
        elif self.accepted is not None:
            kind = "one of " + ", ".join(repr(value) for value in self.accepted)
        if self.per:
            return f"{kind}, or a sequence of such, one for each of {self.per}"
        return f"a sequence, each {kind}" if self.per_stage else kind

    def check(self, value: Any, *, owner: str, count: int | None = None) -> Any:
        """The value in the default's type.

        Args:
            value: what the user gave.
            owner: whose argument it is, for the message.
            count: of what `per` names; a single value is repeated so often. Default: the default's
                own length.

        Raises:
            ArgumentError: it has another type or isn't legal.
        """
        try:
            if not self.per_stage:
                return self._check_one(value, self.default)
            single = isinstance(value, (str, bytes)) or not isinstance(value, Sequence)
            if self.per and single:
                return (self._check_one(value, self.default[0]),) * (count or len(self.default))
            if single or not value:
                raise TypeError
            return tuple(self._check_one(item, self.default[0]) for item in value)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{owner}: {self.name} must be {self.expected()}. Received: {value!r}."
            ) from None

    def _check_one(self, value: Any, like: Any) -> Any:
        if isinstance(like, bool):
            if not isinstance(value, bool):
                raise TypeError
        elif isinstance(like, int):
            if isinstance(value, bool):
                raise TypeError
            value = operator.index(value)
        elif isinstance(like, float):
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise TypeError
            value = float(value)
        elif not isinstance(value, type(like)):
            raise TypeError
        if self.accepted is not None and value not in self.accepted:
            raise ValueError
        return value

    def fitted(self, count: int) -> Any:
        """The default for `count` of what `per` names, if it is the same for all of them."""
        return self.default[:1] * count if len(set(self.default)) == 1 else self.default

    def elements(self) -> tuple[Param, ...]:
        """Scalar parameters: itself, or one for each stage, named `widths_1`, `widths_2`..."""
        if not self.per_stage:
            return (self._reaching(),)
        return tuple(
            replace(self, name=f"{self.name}_{index}", default=value, per=None)._reaching()
            for index, value in enumerate(self.default, start=1)
        )

    def _reaching(self) -> Param:
        """The scalar, a continuous search widened to its default."""
        search = self.search
        if self.searched_values() is not None or not isinstance(search, Range):
            return self
        low, high = sorted((search.low, search.high, self.default))[::2]
        return replace(self, search=replace(search, low=low, high=high))

    def searched_values(self) -> tuple[Any, ...] | None:
        """The values a search visits for a scalar, its default too; None: they are a continuum."""
        if self.search is None:
            return (self.default,)
        values = self.search if isinstance(self.search, tuple) else self._grid(self.search)
        if values is None or self.default in values:
            return values
        joined = (*values, self.default)
        return joined if isinstance(self.default, str) else tuple(sorted(joined))

    def _grid(self, searched: Range) -> tuple[float, ...] | None:
        if isinstance(self.default, int):
            searched = replace(searched, step=searched.step or 1, log=False)
        return searched.grid()

    def searched(self) -> tuple[Any, ...]:
        """The listed values, or the ends of the range, that a search tries, of a single value."""
        if isinstance(self.search, Range):
            return (self.search.low, self.search.high)
        return self.search or ()

    def draw(self, rng: random.Random) -> Any:
        """A random searched value of a scalar."""
        values = self.searched_values()
        if values is not None:
            value = rng.choice(values)
            return int(value) if type(self.default) is int else value
        assert isinstance(self.search, Range)
        low, high = self.search.low, self.search.high
        if self.search.log:
            return math.exp(rng.uniform(math.log(low), math.log(high)))
        return rng.uniform(low, high)


@dataclass(frozen=True)
class Space:
    """All arguments of a family, in the order of their declaration, and rules over them together.

    Raises:
        ValueError: a name is declared twice, a parent, or what `per` names, is declared after its
            child, or a default or a searched value is not legal.
    """

    params: tuple[Param, ...] = ()
    rules: tuple[Rule, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for param in self.params:
            if param.name in seen:
                raise ValueError(f"{param.name!r} is declared twice in one Space.")
            for earlier in (param.when and param.when[0], param.per):
                if earlier and earlier not in seen:
                    raise ValueError(f"{param.name!r}: declare its parent {earlier!r} before it.")
            seen.add(param.name)
        lengths = {param.name: len(param.default) for param in self.params if param.per_stage}
        fitted = (
            replace(param, default=param.fitted(lengths[param.per])) if param.per else param
            for param in self.params
        )
        object.__setattr__(self, "params", tuple(fitted))
        for param in self.params:
            param.check(param.default, owner="Space")
            for value in param.searched():
                param.elements()[0].check(value, owner="Space")
            if param.off is not None:
                param.elements()[0].check(param.off, owner="Space")
        self.validate({}, owner="Space")

    def __iter__(self) -> Iterator[Param]:
        return iter(self.params)

    def __getitem__(self, name: str) -> Param:
        return next(param for param in self.params if param.name == name)

    def __contains__(self, name: object) -> bool:
        return any(param.name == name for param in self.params)

    def renamed(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """The same by today's names, where these still call an argument by its former one.

        Raises:
            ArgumentError: both names of one argument are there.
        """
        found: dict[str, Any] = {}
        for name, value in named.items():
            for today in self._today(name):
                if today in found or (today != name and today in named):
                    raise ArgumentError(
                        f"{today} was formerly called {name}: give one of them. "
                        f"Received: {', '.join(named)}."
                    )
                found[today] = value
        return found

    def _today(self, name: str) -> list[str]:
        """What an argument is called now, or the arguments that it has become."""
        if name in self:
            return [name]
        return [param.name for param in self.params if param.formerly == name] or [name]

    def require_known(
        self, named: Iterable[str], *, owner: str, common: Sequence[str] = ()
    ) -> None:
        """Refuse names that no argument has today.

        Args:
            named: what a user wrote.
            owner: whose arguments these are, for the message.
            common: names that are legal beside its own, where they are.

        Raises:
            ArgumentError: the message suggests near names and lists all.
        """
        own = list(self.defaults())
        for name in named:
            if name in own or name in common:
                continue
            others = f" Those of every architecture: {', '.join(common)}." if common else ""
            raise ArgumentError(
                f"{owner} has no argument {shortened(name)}."
                f"{did_you_mean(name, [*own, *common])} "
                f"Its own arguments: {', '.join(own) or 'none'}.{others}"
            )

    def defaults(self) -> dict[str, Any]:
        """The default of every argument."""
        return {param.name: param.default for param in self.params}

    def with_defaults(self, config: Mapping[str, Any], *, owner: str) -> Space:
        """The same space with a variant's values as defaults.

        Raises:
            ArgumentError: a value is unknown or illegal.
        """
        values = self.validate(config, owner=owner)
        return Space(tuple(replace(p, default=values[p.name]) for p in self.params), self.rules)

    def read(self, assignments: Iterable[str], *, what: str) -> dict[str, Any]:
        """Arguments that were written as text, not checked yet: `["widths=12,32", "pool=max"]`.

        Args:
            assignments: `argument=value` each; commas make a sequence, where it isn't text.
            what: an assignment is called in the message.

        Raises:
            ArgumentError: an assignment has no `=`.
        """
        params = {param.name: param for param in self.params}
        found: dict[str, Any] = {}
        for assignment in assignments:
            name, _, written = assignment.partition("=")
            if not name or not written:
                raise ArgumentError(f"{what} must be argument=value. Received: {assignment!r}.")
            param = params.get(name)
            if param and isinstance(param.default, str):
                found[name] = written
                continue
            value = _read(written)
            sequence = param and param.per_stage and not param.per
            found[name] = (value,) if sequence and not isinstance(value, tuple) else value
        return found

    def validate(self, arguments: Mapping[str, Any], *, owner: str) -> dict[str, Any]:
        """All arguments: those given, checked, and the defaults of the others.

        Args:
            arguments: what the user gave; former names are understood.
            owner: whose arguments these are, for the message.

        Raises:
            ArgumentError: one is unknown or illegal, or a rule forbids the combination.
        """
        given = self.renamed(arguments)
        self.require_known(given, owner=owner)
        values: dict[str, Any] = {}
        for param in self.params:
            count = len(values[param.per]) if param.per else None
            if param.name in given:
                values[param.name] = param.check(given[param.name], owner=owner, count=count)
            else:
                values[param.name] = param.default if count is None else param.fitted(count)
        if reason := self.broken_rule(values):
            raise ArgumentError(f"{owner}: {reason}")
        return values

    def broken_rule(self, values: Mapping[str, Any]) -> str | None:
        """Why the rules forbid these complete arguments, or None."""
        if reason := next((reason for rule in self.rules if (reason := rule(values))), None):
            return reason
        for param in self.params:
            if param.per and len(values[param.name]) != (count := len(values[param.per])):
                return (
                    f"{param.name} needs {count} values, one for each of {param.per}. "
                    f"Received: {values[param.name]}."
                )
        return None

    def with_own_kernels(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same complete arguments, each kernel above its default lowered to it."""
        return {
            **values,
            **{p.name: _at_most(values[p.name], p.default) for p in self.params if p.kernel},
        }

    def scalars(self) -> tuple[Param, ...]:
        """Every argument as scalar parameters, per-stage tuples taken apart."""
        return tuple(element for param in self.params for element in param.elements())

    def assemble(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments from scalar values (`widths_1`, ...); what is missing keeps its default."""
        arguments: dict[str, Any] = {}
        for param in self.params:
            parts = tuple(values.get(e.name, e.default) for e in param.elements())
            arguments[param.name] = parts if param.per_stage else parts[0]
        return arguments

    def narrow(
        self,
        *,
        fix: Mapping[str, Any] | None = None,
        choose: Mapping[str, Sequence[Any]] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> Space:
        """The same space with a narrower search.

        Args:
            fix: name → the only value.
            choose: name → the values to try.
            ranges: name → (low, high) to search.

        Raises:
            ArgumentError: an unknown name, or values the builder does not accept.
        """
        fix, choose, ranges = (self.renamed(named or {}) for named in (fix, choose, ranges))
        named = [*fix, *choose, *ranges]
        self.require_known(named, owner="The search")
        for name in named:
            if named.count(name) > 1:
                raise ArgumentError(
                    f"search: {name} can be fixed, chosen from values or given a range, but only "
                    "one of them."
                )
        return Space(
            tuple(_narrowed(p, fix=fix, choose=choose, ranges=ranges) for p in self.params),
            self.rules,
        )

    def size(self) -> float:
        """How many configurations a search could visit; infinite if a range is continuous."""
        sizes = [param.searched_values() for param in self.scalars()]
        return math.prod(math.inf if values is None else len(values) for values in sizes)

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Random arguments from the searched values; the rules may still forbid them."""
        return self.assemble({param.name: param.draw(rng) for param in self.scalars()})

    def fingerprint(self) -> str:
        """A short hash that changes when the declaration does."""
        declared = [(p.name, p.default, p.search, p.accepted, p.when) for p in self.params]
        return hashlib.sha256(repr(declared).encode()).hexdigest()[:16]


def _read(text: str) -> Any:
    """A number, a boolean, a sequence of them, or the text itself."""
    if "," in text:
        return tuple(_read(part) for part in text.strip("()[]").split(",") if part)
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text


def _at_most(value: Any, default: Any) -> Any:
    """The smaller of both; stage by stage, where stages without a default have the last one's."""
    if not isinstance(value, tuple):
        return min(value, default)
    missing = len(value) - len(default)
    return tuple(min(pair) for pair in zip(value, (*default, *default[-1:] * missing)))


def _narrowed(
    param: Param,
    *,
    fix: Mapping[str, Any],
    choose: Mapping[str, Sequence[Any]],
    ranges: Mapping[str, tuple[float, float]],
) -> Param:
    legal = param.accepted
    if param.name in fix:
        value = param.check(fix[param.name], owner="search")
        return replace(param, default=value, search=None, legal=legal)
    if param.name in choose:
        searched: Any = _values(param, choose[param.name])
    elif param.name in ranges:
        searched = _range(param, *ranges[param.name])
    else:
        return param
    moved = _moved(param.default, searched)
    return replace(param, default=moved, search=searched, legal=legal)


def _values(param: Param, values: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
        raise ArgumentError(
            f"search: the values of {param.name} must be a list that isn't empty. "
            f"Received: {values!r}."
        )
    probe = replace(param.elements()[0], name=param.name)
    return tuple(probe.check(value, owner="search") for value in values)


def _range(param: Param, low: float, high: float) -> Range | tuple[Any, ...]:
    """The range, with the step of the old one; of listed values those that lie in it."""
    probe = replace(param.elements()[0], name=param.name)
    if isinstance(probe.default, bool) or not isinstance(probe.default, (int, float)):
        raise ArgumentError(
            f"search: {param.name} is no number and has no range; list the values to try. "
            f"Received: {low!r} to {high!r}."
        )
    inside: tuple[Any, ...] = ()
    if isinstance(param.search, tuple):
        inside = tuple(value for value in param.search if low <= value <= high)
    if low > high or (isinstance(param.search, tuple) and not inside):
        raise ArgumentError(
            f"search: the range of {param.name} is empty. Received: {low!r} to {high!r}."
        )
    if inside:
        return inside
    low, high = probe.check(low, owner="search"), probe.check(high, owner="search")
    old = param.search if isinstance(param.search, Range) else Range(low, high)
    return replace(old, low=low, high=high)


def _moved(default: Any, searched: Range | tuple[Any, ...]) -> Any:
    """The default, moved into the searched values where it lies outside of them."""
    if isinstance(default, tuple):
        return tuple(_moved(value, searched) for value in default)
    if default in searched:
        return default
    return type(default)(searched.low) if isinstance(searched, Range) else searched[0]
