"""Reads a pickle as data: an interpreter of its opcodes to which no Python object is known.

A pickle is a program: Python's own machine calls whatever function it names, and hands it live
objects to change. This one has nothing to call. What a pickle would make by a call becomes an
`Object` that only says so; all else is fresh numbers, texts, tuples, lists and dictionaries. Its
work is bounded before it is done: so many opcodes, texts so long, and no value that the pickle
makes is ever hashed, compared or printed, however deep it is.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Any, cast

OPCODES = 2_000_000
"""The most that one pickle may have: a checkpoint of a thousand tensors has a hundred thousand."""
TEXT = 1 << 26
"""Bytes of all its texts together."""
KEY = 500
"""Letters of the longest key that is kept."""


class PickleError(ValueError):
    """It is no pickle, has too much of something, or names what no data are made of."""


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle mentions; nothing is imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Object:
    """What the pickle would make by calling `maker` with `arguments`: inert.

    Attributes:
        maker: a `Name`, or another object.
        arguments: a tuple, as the pickle has it.
        state: what `__setstate__` would get, or None.
        items: what would be set as `object[key]`, by those keys that are texts.
    """

    __slots__ = ("arguments", "items", "maker", "state")

    def __init__(self, maker: Any, arguments: Any) -> None:
        self.maker = maker
        self.arguments = arguments if type(arguments) is tuple else ()
        self.state: Any = None
        self.items: dict[str, Any] = {}


# Modules whose functions act on the machine or run code: no data are made of them, so a pickle that
# names one means harm. It could do none here, but its reader had better know.
_ACTING = {
    *("os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "pty", "commands", "runpy"),
    *("importlib", "imp", "pickle", "_pickle", "marshal", "ctypes", "code", "webbrowser", "urllib"),
    *("multiprocessing", "tempfile", "operator", "torch.serialization", "torch.hub", "torch.jit"),
    *("torch.package", "torch.utils.cpp_extension", "numpy.testing", "numpy.f2py"),
}
_BUILTINS = {
    *("set", "frozenset", "complex", "slice", "range", "bytearray", "bytes", "object", "dict"),
    *("list", "tuple", "int", "float", "str", "bool", "unicode", "long", "getattr"),
}
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg", "UserDict": "collections"}
_MAPPINGS = {
    Name("collections", "OrderedDict"),
    Name("collections", "defaultdict"),
    Name("collections", "Counter"),
    Name("builtins", "dict"),
}


def load(stream: IO[bytes], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of one pickle; the stream is left behind it.

    Args:
        stream: where it begins.
        persistent: makes a value of a persistent id; None: the pickle may have none.

    Raises:
        PickleError: see there.
    """
    machine = _Machine(persistent)
    try:
        for count, (opcode, argument, _) in enumerate(
            pickletools.genops(cast("IO[bytes]", _Bounded(stream)))
        ):
            if count >= OPCODES:
                raise PickleError(f"it has more than {OPCODES:,} opcodes")
            if opcode.name == "STOP":
                break
            run = _RUN.get(opcode.name)
            if run is None:
                raise PickleError(f"the opcode {opcode.name} is no part of data")
            run(machine, argument)
        return machine.pop()
    except PickleError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError) as error:
        raise PickleError(f"it is damaged, or no pickle ({error})") from error


class _Bounded:
    """A stream that gives no more than TEXT bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = TEXT
        self.tell = stream.tell

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise PickleError(f"it has more than {TEXT:,} bytes of text")
        self._left -= count
        return self._stream.read(count)

    def readline(self) -> bytes:
        return self._stream.readline(10_000)


class _Machine:
    """A stack, its marks and a memo."""

    def __init__(self, persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0
        self.persistent = persistent

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        """The top of the stack, which a mark protects."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleError("it takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        self.push(value := self.pop())
        return value

    def take(self, count: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def drop_marked(self) -> None:
        del self.stack[self.marks.pop() :]

    def drop(self) -> None:
        """POP, which also takes a mark."""
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise PickleError("a class is named by no text")
        module = _PYTHON_2.get(module, module)
        acting = module in _ACTING or module.partition(".")[0] in _ACTING
        if acting or (module == "builtins" and name not in _BUILTINS):
            raise PickleError(
                f"it asks for {module[:KEY]}.{name[:KEY]}, which is no part of data: refused, "
                "nothing was executed"
            )
        self.push(Name(module, name))

    def make(self, maker: Any, arguments: Any) -> None:
        """REDUCE and its kind: what would be called is written down."""
        if not isinstance(maker, (Name, Object)):
            raise PickleError("it calls what is no class or function")
        found = Object(maker, arguments)
        if maker == Name("copyreg", "__newobj__") or maker == Name("copyreg", "_reconstructor"):
            self.copy(found.arguments)
            found = Object(*_first_and_rest(found.arguments))
        if isinstance(found.maker, Name) and found.maker in _MAPPINGS:
            given = [value for value in found.arguments[:2] if type(value) in (dict, list)]
            items = given[0] if given else []
            self.copy(items)
            self.push(_mapping(items))
        else:
            self.push(found)

    def copy(self, values: Any) -> None:
        """Account for a copy: a value can be used a million times and be as long."""
        self.copied += len(values)
        if self.copied > OPCODES:
            raise PickleError("it copies its own values too often")

    def build(self, state: Any) -> None:
        """An object's state; a dictionary's is of no interest. Nothing else has one."""
        target = self.top()
        if isinstance(target, Object):
            target.state = state
        elif type(target) is not dict:
            raise PickleError("it changes the state of what has none")

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Object):
            target = target.items
        if type(target) is not dict or len(values) % 2:
            raise PickleError("it sets the items of what is no dictionary")
        target.update(_kept(zip(values[::2], values[1::2])))

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is list:
            target.extend(values)
        elif not isinstance(target, Object):  # a set's elements, say, are dropped
            raise PickleError("it appends to what is no list")


def _first_and_rest(values: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    if not values or not isinstance(values[0], (Name, Object)):
        raise PickleError("it calls what is no class or function")
    return values[0], values[1:]


def _kept(pairs: Iterable[tuple[Any, Any]]) -> Iterable[tuple[str, Any]]:
    """Values by their names; other keys than texts and small numbers name nothing."""
    for key, value in pairs:
        if type(key) is int and abs(key) < 1 << 63:
            yield str(key), value
        elif type(key) is str:
            if len(key) > KEY or not key.isprintable():
                raise PickleError(f"the key {key[:40]!a} is no name")
            yield key, value


def _mapping(items: Any) -> dict[str, Any]:
    """`OrderedDict()`; Python 2's has its items as a list of pairs, a Counter as a dictionary."""
    if type(items) is dict:
        return dict(items)
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in items):
        raise PickleError("a dictionary's items are no pairs")
    return dict(_kept((pair[0], pair[1]) for pair in items))


def _persistent(machine: _Machine, _: Any) -> None:
    if machine.persistent is None:
        raise PickleError("it has a persistent id where none may be")
    machine.push(machine.persistent(machine.pop()))


def _recall(machine: _Machine, index: int) -> None:
    machine.push(machine.memo[index])


def _memorize(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.top()


def _object(machine: _Machine, _: Any) -> None:
    maker, arguments = _first_and_rest(tuple(machine.since_mark()))
    machine.make(maker, arguments)


def _instance(machine: _Machine, named: str) -> None:
    machine.name(*named.split(" ", 1))
    machine.make(machine.pop(), tuple(machine.since_mark()))


def _dictionary(machine: _Machine, _: Any) -> None:
    values = machine.since_mark()
    machine.push({})
    machine.set_items(values)


_Run = Callable[[_Machine, Any], None]
_VALUES = (
    *("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_SET = Name("builtins", "set")
_RUN: dict[str, _Run] = {
    **dict.fromkeys(_VALUES, _Machine.push),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_SET": lambda m, _: m.push(Object(_SET, ())),
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.drop(),
    "POP_MARK": lambda m, _: m.drop_marked(),
    "DUP": lambda m, _: m.push(m.top()),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push(m.take(1)),
    "TUPLE2": lambda m, _: m.push(m.take(2)),
    "TUPLE3": lambda m, _: m.push(m.take(3)),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "DICT": _dictionary,
    "FROZENSET": lambda m, _: m.push(Object(_SET, (m.since_mark(),))),
    "PUT": _memorize,
    "BINPUT": _memorize,
    "LONG_BINPUT": _memorize,
    "MEMOIZE": lambda m, _: _memorize(m, len(m.memo)),
    "GET": _recall,
    "BINGET": _recall,
    "LONG_BINGET": _recall,
    "GLOBAL": lambda m, named: m.name(*named.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.take(2)),
    "REDUCE": lambda m, _: m.make(*m.take(2)),
    "NEWOBJ": lambda m, _: m.make(*m.take(2)),
    "NEWOBJ_EX": lambda m, _: m.make(*m.take(3)[:2]),
    "OBJ": _object,
    "INST": _instance,
    "BUILD": lambda m, _: m.build(m.pop()),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.since_mark()),
    "ADDITEMS": lambda m, _: m.append(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "BINPERSID": _persistent,
}
