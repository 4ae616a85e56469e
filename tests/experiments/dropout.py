"""Compares dropout with outputs times 0.5 at test time and inverted dropout, on a trained AlexNet.

    python tests/experiments/dropout.py

The paper's (Krizhevsky et al., 2012, section 4.2) sets half of a layer's outputs to 0 in training;
at test time it uses all of them, times 0.5. Keras's layer, and with it every network here, is
inverted: it divides by 0.5 in training what it keeps, and does nothing at test time. Weights that
read dropped outputs have to be twice as large under the paper's rule: then both say the same, in
training and at test time. The paper's is computed here in NumPy, ours by the network itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import answers
import keras
import numpy as np
from trained import trained

from kerascnn import feature_extractor

KEPT = 0.5
HIDDEN = ("fc6", "fc7")


def paper(
    features: np.ndarray,
    weights: Sequence[tuple[np.ndarray, np.ndarray]],
    masks: Sequence[np.ndarray] | None = None,
    *,
    factor: float = KEPT,
) -> np.ndarray:
    """Probabilities after the dense layers, `[images, classes]`, under the paper's rule.

    Args:
        features: `[images, units]`.
        weights: kernel and bias of each layer; no ReLU and no dropout behind the last.
        masks: 0 or 1 for each output of each hidden layer, as in training; None: test time.
        factor: of the outputs at test time.
    """
    *hidden, (last, last_bias) = weights
    outputs = features
    for number, (kernel, bias) in enumerate(hidden):
        outputs = np.maximum(outputs @ kernel + bias, 0)
        outputs = outputs * (factor if masks is None else masks[number])
    logits = outputs @ last + last_bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def paper_weights(model: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the dense layers would have learned without the division by 0.5, in float64."""
    found = []
    for number, name in enumerate((*HIDDEN, "logits")):
        kernel, bias = (part.astype("float64") for part in model.get_layer(name).get_weights())
        found.append((kernel / KEPT if number else kernel, bias))
    return found


def rows(model: Any, images: np.ndarray, labels: np.ndarray, thinned: int) -> list[answers.Row]:
    """The network under each rule, with the largest difference of a probability from ours."""
    weights = paper_weights(model)
    network = feature_extractor(model, ["flatten", *(f"{n}_dropout" for n in HIDDEN), "logits"])

    def ours(training: bool) -> list[np.ndarray]:
        return [np.asarray(part, "float64") for part in network(images, training=training)]

    features, *dropped, training = ours(training=True)
    masks = [outputs != 0 for outputs in dropped]  # where ReLU gave 0, a mask changes nothing
    *_, tested = ours(training=False)
    rng = np.random.default_rng(0)
    shapes = [outputs.shape for outputs in dropped]
    networks = [
        paper(features, weights, [rng.random(shape) < KEPT for shape in shapes])
        for _ in range(thinned)
    ]
    rules = {
        "inverted, training": (training, training),
        "the paper's, training, same units dropped": (paper(features, weights, masks), training),
        "inverted, test": (tested, tested),
        "the paper's, test, outputs · 0.5": (paper(features, weights), tested),
        "the paper's, test, · 0.5 forgotten": (paper(features, weights, factor=1.0), tested),
        f"mean of {thinned} networks as in training": (np.mean(networks, axis=0), tested),
    }
    return [
        {
            "dropout": rule,
            "largest_difference": float(np.abs(found - reference).max()),
            "error_percent": 100 * float(np.mean(found.argmax(axis=1) != labels)),
            "mean_largest_probability": float(found.max(axis=1).mean()),
        }
        for rule, (found, reference) in rules.items()
    ]


if __name__ == "__main__":
    parser = answers.parser(__doc__)
    parser.add_argument("--thinned", type=int, default=100, help="Networks to take the mean of.")
    given = parser.parse_args()
    keras.utils.set_random_seed(0)  # of the network's own dropout
    found = trained(1000)
    table = rows(found.model, found.images, found.labels, given.thinned)
    answers.show(table, as_json=given.json)
