"""How R-CNN, SPPNet and Fast R-CNN were trained, as recipes; see `papers`.

Their windows are searched in each image as training shows it. Epochs are of VOC 2007's 5,011
training images.
"""

from __future__ import annotations

from kerascnn import Augmentation, Recipe

RCNN = Recipe(
    optimizer="sgd",
    learning_rate=1e-3,
    momentum=0.9,
    schedule="step",
    steps=((8, 0.1), (16, 0.01), (24, 0.001)),
    batch_size=2,
    epochs=28,
    weight_decay=5e-4,
    decay="l2",
    source="Girshick et al., 2014 (arXiv:1311.2524), section 2.3, and the authors' solver",
    notes=(
        "128 windows a step, a quarter of them positive, which the authors draw from all images: "
        "here they are of 2 images. 70,000 steps of these are 28 epochs, and 20,000 are 8.",
        "Start from the classifier: --weights backbone:PATH. Then `kerascnn svm` is the paper's "
        "last step, section 2.3 and appendices B and C.",
    ),
    network="rcnn",
)

SPPNET = Recipe(
    optimizer="sgd",
    learning_rate=1e-4,
    momentum=0.9,
    schedule="step",
    steps=((100, 0.1),),
    batch_size=2,
    epochs=120,
    weight_decay=5e-4,
    decay="l2",
    source="He et al., 2014 (arXiv:1406.4729), section 4.2",
    unstated=("batch_size", "momentum", "weight_decay", "decay"),
    notes=(
        "250,000 steps at 1e-4 and 50,000 at 1e-5; of 2 images each these are 100 and 20 epochs. "
        "A quarter of the windows is positive, how many there are isn't stated: here 64 of each "
        "image, which with 2 of them are R-CNN's 128.",
        "The convolutions don't learn: start from trained ones, --weights backbone:PATH. Then "
        "`kerascnn svm` is the paper's last step, as R-CNN's.",
    ),
    network="sppnet",
)

FAST_RCNN = Recipe(
    optimizer="sgd",
    learning_rate=1e-3,
    momentum=0.9,
    schedule="step",
    steps=((12, 0.1),),
    batch_size=2,
    epochs=16,
    weight_decay=5e-4,
    decay="l2",
    augmentation=Augmentation(flip=True),
    source="Girshick, 2015 (arXiv:1504.08083), section 2.3",
    notes=(
        "30,000 steps of 2 images at 1e-3 and 10,000 at 1e-4 are 12 and 4 epochs.",
        "Biases have twice the rate there; here they have the same, and like there no decay.",
        "Start from the classifier: --weights backbone:imagenet.",
    ),
    network="fast_rcnn",
)
