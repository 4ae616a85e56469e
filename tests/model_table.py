"""The README's table of networks, from cards, facts and the proofs that tests/ holds.

`python tests/model_table.py` writes it into README.md; tests/test_readme.py fails if it is old.
"""

import importlib.util
from pathlib import Path

from facts import FACTS

from kerascnn import get, list_architectures
from kerascnn.commands.compare import comparable
from kerascnn.registry import in_order

TESTS = Path(__file__).parent
README = TESTS.parent / "README.md"
START, END = "<!-- networks: begin -->", "<!-- networks: end -->"
FAMILIES = (
    *("lenet", "alexnet", "zfnet", "nin", "vgg", "googlenet", "bn_inception"),
    *("plain", "resnet", "densenet"),
)


def table():
    """Markdown: a row for each of our networks, with the proofs that it is exact."""
    networks = sorted(
        (get(name) for name in list_architectures(provider="kerascnn")),
        key=lambda n: (_family(n.name), n.card.input_shape[0] < 224, in_order(n.name)),
    )
    torchvision = {ours for ours, _ in _module("weights/test_torchvision.py").OURS.values()}
    keras = {ours for ours, _ in _module("weights/test_keras_applications.py").PAIRS.values()}
    errors = {}
    for native in {network.card.input_shape for network in networks}:
        alike = [network for network in networks if network.card.input_shape == native]
        found = comparable([network.card for network in alike])
        errors |= {network.name: error for network, error in zip(alike, found)}
    lines = [
        "| name | input | parameters | MACs | field | published error | proof |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    for network in networks:
        card, name = network.card, network.name
        field = FACTS[name].field if name in FACTS else None
        proofs = [
            *(["layers"] if name in FACTS else []),
            *(["torchvision"] if name in torchvision else []),
            *(["keras"] if name in keras else []),
        ]
        cells = [
            f"`{name}`",
            "×".join(map(str, card.input_shape)),
            f"{card.params:,}",
            f"{card.macs / 1e6:,.1f} M",
            str(field["size"]) if field else "",
            _published(errors[name]),
            ", ".join(proofs) or "arguments",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _published(error):
    if error is None:
        return ""
    return f"{error.percent:g}% {error.metric.removesuffix(' error')}, {error.protocol}".replace(
        "error, ", ""
    )


def _family(name):
    return next(i for i, family in enumerate(FAMILIES) if name.startswith(family))


def _module(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def between(text):
    """What stands in the README between the markers."""
    return text.split(START)[1].split(END)[0].strip()


if __name__ == "__main__":
    before, rest = README.read_text().split(START)
    after = rest.split(END)[1]
    README.write_text(f"{before}{START}\n{table()}\n{END}{after}")
