"""How the papers trained their networks, as recipes. Light: neither Keras nor TensorFlow is loaded.

What a paper does not state is listed in `unstated` and chosen by us; what can't be done as the
paper did it is explained in `notes`.
"""

from __future__ import annotations

from kerascnn import Augmentation, Recipe

YOLO = Recipe(
    optimizer="sgd",
    learning_rate=1e-2,
    momentum=0.9,
    schedule="step",
    steps=((75, 0.1), (105, 0.01)),
    warmup_epochs=1.0,
    batch_size=64,
    epochs=135,
    weight_decay=5e-4,
    decay="l2",
    dropout=0.5,
    augmentation=Augmentation(
        shift=0.2, zoom=0.2, flip=True, brightness=0.5, contrast=0.5, saturation=0.5
    ),
    source="Redmon et al., 2016, section 2.2",
    notes=(
        "The first epochs raise the rate slowly from 1e-3 to 1e-2, then 75 epochs have 1e-2, 30 "
        "1e-3 and 30 1e-4. How many the first are isn't said: here it is one of the 75.",
        "Exposure and saturation change by a factor of up to 1.5 there, in HSV; here brightness, "
        "contrast and saturation by up to one half.",
        "The authors start from 20 convolutions that were trained on ImageNet for a week.",
    ),
    network="yolo",
)
