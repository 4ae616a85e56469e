"""How the papers trained their networks, as recipes. Light: neither Keras nor TensorFlow is loaded.

What a paper does not state is listed in `unstated` and chosen by us; what can't be done as the
paper did it is explained in `notes`.
"""

from __future__ import annotations

from dataclasses import replace

from kerascnn import Augmentation, Recipe

# The authors of FCN add up the losses of an image's pixels, where ours is their mean: at 500×500
# their rate times so many, and their decay divided by it, are the same steps.
_PIXELS = 500 * 500
_SBD = 8498  # training images, of which they show one in each iteration

FCN32S = Recipe(
    optimizer="sgd",
    learning_rate=1e-10 * _PIXELS,
    momentum=0.99,
    schedule="constant",
    batch_size=1,
    epochs=round(100_000 / _SBD),
    weight_decay=5e-4 / _PIXELS,
    decay="l2",
    source="Shelhamer, Long, Darrell, 2017 (arXiv:1605.06211), and the authors' solvers",
    notes=(
        "The rate of 1e-10 is for a loss that is added up over the pixels. Of their mean it is "
        "1e-10 × 250,000 = 2.5e-5, and the decay of 5e-4 is 5e-4 / 250,000 = 2e-9, for images of "
        "500×500; with fewer labelled pixels steps are larger than the authors'.",
        "Biases have twice the rate there. Here they have the same, and like there no decay.",
        "100,000 iterations of one image are 12 epochs of their 8,498 (SBD).",
        "Start from the classifier: --weights backbone:imagenet.",
    ),
    network="fcn32s",
)

FCN16S = replace(
    FCN32S,
    learning_rate=1e-12 * _PIXELS,
    notes=(
        FCN32S.notes[0].replace("1e-10", "1e-12").replace("2.5e-5", "2.5e-7"),
        *FCN32S.notes[1:3],
        "Start from a trained fcn32s: --weights RUN. The new map's scores begin at zero.",
    ),
    network="fcn16s",
)

FCN8S = replace(
    FCN32S,
    learning_rate=1e-14 * _PIXELS,
    notes=(
        FCN32S.notes[0].replace("1e-10", "1e-14").replace("2.5e-5", "2.5e-9"),
        *FCN32S.notes[1:3],
        "Start from a trained fcn16s: --weights RUN. The new map's scores begin at zero.",
    ),
    network="fcn8s",
)

FCN8S_AT_ONCE = replace(
    FCN32S,
    epochs=round(300_000 / _SBD),
    notes=(
        *FCN32S.notes[:2],
        "300,000 iterations of one image are 35 epochs of their 8,498 (SBD).",
        "For fcn8s with --set at_once=true --weights backbone:imagenet: all in one stage.",
    ),
    network="",
)

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
        "Border weights are on the background alone, as they are for the gaps between objects; "
        "equation 2 has them at every pixel, within objects too.",
        "Weights of classes are computed once, of the training set (of 200 masks, if it has more), "
        "those of borders of each mask after it was deformed; the paper computes both once for "
        "each mask.",
        "“10 pixels standard deviation” is of the input's 572; of another input it is as large a "
        "share.",
        "Mirroring takes place at the border of the canvas; the outermost pixels come twice.",
        "For objects of one class that touch each other; several classes of objects get the same "
        "weight between them.",
    ),
    network="unet",
)
