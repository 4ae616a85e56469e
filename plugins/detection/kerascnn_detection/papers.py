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

_VOC2007 = 5011  # trainval images, of which they show one in each iteration

FASTER_RCNN = Recipe(
    optimizer="sgd",
    learning_rate=1e-3,
    momentum=0.9,
    schedule="step",
    steps=((10, 0.1),),
    batch_size=1,
    epochs=round(70_000 / _VOC2007),
    weight_decay=5e-4,
    decay="l2",
    augmentation=Augmentation(flip=True),
    source="Ren, He, Girshick, Sun, 2015 (arXiv:1506.01497), section 3.1.3, and the authors' "
    "solver of their joint training (py-faster-rcnn, VGG16/faster_rcnn_end2end)",
    notes=(
        "70,000 iterations of one image are 14 epochs of VOC 2007's 5,011, and the step at 50,000 "
        "is the end of the tenth.",
        "Biases have twice the rate there. Here they have the same, and like there no decay.",
        "Shorter sides of 600 pixels there; here all images have the network's input.",
        "Start from the classifier: --weights backbone:imagenet.",
    ),
    network="faster_rcnn",
)

FASTER_RCNN_FPN = Recipe(
    optimizer="sgd",
    learning_rate=0.02,
    momentum=0.9,
    schedule="step",
    steps=((16, 0.1), (22, 0.01)),
    warmup_epochs=0.14,
    batch_size=16,
    epochs=26,
    weight_decay=1e-4,
    decay="l2",
    decay_on="all",
    augmentation=Augmentation(flip=True),
    source="torchvision's references/detection, for COCO: 8 processes of 2 images",
    notes=(
        "The rate grows over 1,000 steps of 117,266 images: 0.14 epochs.",
        "Batch normalization is trained here; torchvision keeps it, the first convolution and the "
        "first stage as ImageNet left them.",
        "Start from the classifier: --weights backbone:imagenet.",
    ),
    network="faster_rcnn_resnet50_fpn",
)
