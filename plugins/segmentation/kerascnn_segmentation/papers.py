"""How the papers trained their networks, as recipes. Light: neither Keras nor TensorFlow is loaded.

What a paper does not state is listed in `unstated` and chosen by us; what can't be done as the
paper did it is explained in `notes`.
"""

from __future__ import annotations

from kerascnn import Augmentation, Recipe

UNET = Recipe(
    optimizer="sgd",
    learning_rate=0.001,
    momentum=0.99,
    schedule="constant",
    batch_size=1,
    epochs=300,
    class_weight="balanced",
    loss="kerascnn_segmentation.losses:BorderCrossEntropy",
    augmentation=Augmentation(
        elastic=10 / 572,
        elastic_grid=3,
        shift=0.1,
        rotation=180.0,
        brightness=0.1,
        contrast=0.1,
        border="mirror",
    ),
    source="Ronneberger, Fischer, Brox, 2015 (arXiv:1505.04597), sections 3 and 3.1",
    unstated=(
        *("learning_rate", "schedule", "epochs", "weight_decay", "augmentation.shift"),
        *("augmentation.rotation", "augmentation.brightness", "augmentation.contrast"),
    ),
    notes=(
        "The loss is the mean over the pixels of the answer: the paper adds up an energy, but "
        "doesn't state the learning rate that goes with it.",
        "Weights of classes are computed of the whole training set, those of borders of each mask "
        "after it was deformed; the paper computes both once for each mask.",
        "“10 pixels standard deviation” is of the input's 572; of another input it is as large a "
        "share.",
        "Mirroring takes place at the border of the canvas; the outermost pixels come twice.",
        "For objects of one class that touch each other; several classes of objects get the same "
        "weight between them.",
    ),
    network="unet",
)
