"""The public API is what tests/api.txt lists: a change of it is seen in the diff.

`python tests/test_api.py` writes the list anew.
"""

import inspect
from pathlib import Path

import kerascnn

LIST = Path(__file__).with_name("api.txt")
# Defaults that are shown as they are; of others it is shown that there is one.
PLAIN = (bool, int, float, str, tuple, type(None), type(inspect.Parameter.empty))


def described(path, value):
    """A line for a name, and one for each public name in it."""
    if inspect.ismodule(value):
        yield path
        for name in public(value):
            yield from described(f"{path}.{name}", getattr(value, name))
    elif inspect.isclass(value):
        yield f"{path}{signature(value)}"
        for name in sorted(name for name in vars(value) if not name.startswith("_")):
            member = inspect.getattr_static(value, name)
            if isinstance(member, classmethod | staticmethod) or inspect.isfunction(member):
                yield from described(f"{path}.{name}", getattr(value, name))
            elif isinstance(member, property) or not hasattr(value, "__dataclass_fields__"):
                yield f"{path}.{name}"
    elif callable(value):
        yield f"{path}{signature(value)}"
    else:
        yield path


def public(module):
    """What it exports, or defines where it doesn't say what it exports."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    return sorted(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


def signature(value):
    """Names, kinds and plain defaults of the parameters."""
    if inspect.isclass(value):
        value = value.__init__
        if not getattr(value, "__module__", "").startswith("kerascnn"):
            return ""  # a base class's, of another package
    found = inspect.signature(value).parameters
    bare = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default if isinstance(parameter.default, PLAIN) else ...,
        )
        for name, parameter in found.items()
        if name != "self"
    ]
    return str(inspect.Signature(bare)).replace("=Ellipsis", "=...")


def api():
    return "".join(
        f"{line}\n"
        for name in sorted(kerascnn.__all__)
        for line in described(name, getattr(kerascnn, name))
    )


def test_the_public_api_is_the_one_that_is_listed():
    assert api() == LIST.read_text("utf-8"), "if it is meant: python tests/test_api.py"


if __name__ == "__main__":
    LIST.write_text(api(), "utf-8")
