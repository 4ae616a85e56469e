"""The papers' recipes as published, and two of today's. Data only: Keras isn't loaded.

What a source states is here as it states it; iterations became epochs with the arithmetic beside
them. What no source states is named in `unstated` and holds a choice of ours; what this package
does otherwise than the source says is in `notes`. Each is an entry point of the group
`kerascnn.recipes`, so other packages add theirs in the same way.
"""

from __future__ import annotations

from dataclasses import replace

from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe

ILSVRC_IMAGES = 1_281_167  # training images of ILSVRC-2012
CIFAR_PAD = 4 / 32  # "4 pixels are padded on each side, and a 32×32 crop is randomly sampled"

_SQUARE = "Training crops come from an image's middle square: batches have one size."

LENET5_1998 = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.0,
    schedule="step",
    # The global rate was 5e-4 in passes 1-2, 2e-4 in 3-5, 1e-4 in 6-8, 5e-5 in 9-12, then 1e-5.
    steps=((2, 0.4), (5, 0.2), (8, 0.1), (12, 0.02)),
    batch_size=1,
    epochs=20,
    initialization=(("C[15]/kernel", "uniform_fan_in:2.4"), ("F6/kernel", "uniform_fan_in:2.4")),
    loss="kerascnn.applications.lenet_layers:CompetitiveLoss",
    source="LeCun, Bottou, Bengio, Haffner, 1998, sections II.C and III.B, appendix C",
    unstated=("learning_rate",),
    notes=(
        "The paper's stochastic diagonal Levenberg-Marquardt gives each weight a rate of its own, "
        "the global rate / (0.02 + estimated curvature), between 7e-5 and 0.016 in one pass. No "
        "optimizer of Keras does that: this is plain gradient descent with the paper's ratios "
        "between passes, so its learning_rate is ours.",
    ),
    network="lenet5_1998",
)

ALEXNET = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    schedule="plateau",
    factor=0.1,
    reductions=3,
    batch_size=128,
    epochs=90,
    weight_decay=5e-4,
    decay="l2",
    dropout=0.5,
    initialization=(
        *((f"{layer}/bias", "ones") for layer in ("conv2", "conv4", "conv5", "fc6", "fc7")),
        ("*/bias", "zeros"),
        ("*/kernel", "normal:0.01"),
    ),
    augmentation=Augmentation(canvas=256 / 224, flip=True, lighting=0.1),
    evaluation=Protocol(views="10-crop"),
    source="Krizhevsky, Sutskever, Hinton, 2012, sections 4 and 5",
    unstated=("patience", "decay_on"),
    notes=(
        "The rate was divided by hand when the validation error stopped improving; here it is "
        "after `patience` epochs.",
        "Its N(0, 0.01) is for the paper's widths: in a narrower network signals die out; leave "
        "it to the architecture with --with 'initialization=()'.",
    ),
    network="alexnet",
)

ZFNET = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    schedule="plateau",
    factor=0.1,
    batch_size=128,
    epochs=70,
    dropout=0.5,
    initialization=(("*/bias", "zeros"), ("*/kernel", "normal:0.01")),
    filter_rms=0.1,
    augmentation=Augmentation(canvas=256 / 224, flip=True),
    evaluation=Protocol(views="10-crop"),
    source="Zeiler, Fergus, 2013 (arXiv:1311.2901), section 3.1",
    unstated=("patience", "factor", "reductions", "weight_decay"),
    notes=(
        "The paper trains on ten fixed crops (corners and centre, mirrored); here crops lie "
        "anywhere in the same 256×256.",
        "“All weights are initialized to 10^-2” is read as a standard deviation: equal weights "
        "would never become different.",
    ),
    network="zfnet",
)

NIN_CIFAR10 = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    schedule="step",
    # The authors' Caffe solver: a tenth at 100k of 120k iterations; 100k × 128 / 50,000 = 256.
    steps=((256, 0.1),),
    batch_size=128,
    epochs=307,  # 120k × 128 / 50,000
    weight_decay=1e-4,
    decay="l2",
    initialization=(("*/bias", "zeros"), ("*/kernel", "normal:0.05")),
    augmentation=Augmentation(pad=CIFAR_PAD, flip=True),
    source="Lin, Chen, Yan, 2013 (arXiv:1312.4400), section 4.1, and the authors' Caffe solver",
    unstated=("augmentation.pad", "decay_on"),
    notes=("Dropout of 0.5 behind the first two pooling layers is the architecture's own.",),
    network="nin_cifar10",
)

NIN = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    schedule="exponential",
    factor=0.1,
    every=10.0,  # 200k × 64 / 1,281,167
    batch_size=64,
    epochs=22,  # 450k × 64 / 1,281,167
    weight_decay=5e-4,
    decay="l2",
    initialization=(
        ("*/bias", "zeros"),
        *((f"{layer}/kernel", "normal:0.01") for layer in ("conv1", "conv3", "logits")),
        ("*/kernel", "normal:0.05"),
    ),
    augmentation=Augmentation(canvas=256 / 224, flip=True),
    source="the authors' ImageNet model in the Caffe Model Zoo; it is in no paper",
    unstated=("augmentation", "decay_on"),
    notes=("Dropout of 0.5 in front of the last block is the architecture's own.",),
    network="nin",
)

VGG = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    schedule="plateau",
    factor=0.1,
    reductions=3,
    batch_size=256,
    epochs=74,  # the paper's own count for its 370k iterations
    weight_decay=5e-4,
    decay="l2",
    dropout=0.5,
    # "The random initialisation procedure of Glorot & Bengio" also does, as the paper found later.
    initialization=(("*/bias", "zeros"), ("*/kernel", "glorot_uniform")),
    augmentation=Augmentation(
        canvas=512 / 224, resize=(256 / 224, 512 / 224), flip=True, lighting=0.1
    ),
    evaluation=Protocol(views="dense", resize=(256 / 224, 384 / 224, 512 / 224), flip=True),
    source="Simonyan, Zisserman, 2014 (arXiv:1409.1556), sections 3 and 4",
    unstated=("patience", "decay_on", "augmentation.lighting"),
    notes=(
        "The paper starts its deeper networks from the trained 11-layer one; Glorot's "
        "initialisation made that needless, as it says itself.",
        f"{_SQUARE} The paper's come from all of a rectangle.",
        "Evaluated densely; for the paper's 150 crops: --protocol vgg --views 50-crop.",
    ),
    network="vgg16",
)

GOOGLENET = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    schedule="exponential",
    factor=0.96,  # "decreasing the learning rate by 4% every 8 epochs"
    every=8.0,
    batch_size=32,
    epochs=60,  # 2.4M × 32 / 1,281,167, BVLC's
    weight_decay=2e-4,
    decay="l2",
    dropout=0.4,
    ema=0.9999,
    augmentation=Augmentation(
        canvas=256 / 224,
        area=(0.08, 1.0),
        aspect=(3 / 4, 4 / 3),
        flip=True,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
    ),
    evaluation=Protocol(views="144-crop"),
    auxiliary_weight=0.3,
    source="Szegedy et al., 2014 (arXiv:1409.4842), sections 5 to 7; rate, batch, decay and "
    "epochs: BVLC's Caffe release, as the paper has none",
    unstated=(
        *("ema", "decay_on", "augmentation.flip"),
        *("augmentation.brightness", "augmentation.contrast", "augmentation.saturation"),
    ),
    notes=(
        "Polyak averaging is stated, its decay isn't.",
        "Photometric distortions are stated, their sizes aren't; the random choice of "
        "interpolation late in training is left out.",
        "Trained synchronously; the paper's gradient descent was asynchronous.",
        f"{_SQUARE}",
    ),
    network="googlenet",
)

BN_INCEPTION = replace(
    GOOGLENET,
    learning_rate=0.045,  # BN-x30
    every=8 / 6,  # "6 times faster" than Inception's
    epochs=10,
    weight_decay=4e-5,  # "reduce the L2 weight regularization by a factor of 5"
    dropout=0.0,
    ema=None,
    augmentation=Augmentation(canvas=256 / 224, area=(0.08, 1.0), flip=True),
    evaluation=Protocol(),  # the paper's comparisons are of single crops
    source="Ioffe, Szegedy, 2015 (arXiv:1502.03167), section 4.2, the variant BN-x30; what it "
    "changes relative to Inception is relative to the recipe `googlenet`",
    unstated=("epochs", "decay_on", "augmentation"),
    notes=(
        "The paper reduces the photometric distortions, to what it doesn't say; here there are "
        "none.",
        "Images are shuffled globally, which goes further than the paper's shuffling in shards.",
        f"{_SQUARE}",
        "Single crops; for the paper's 144: --protocol googlenet.",
    ),
    network="bn_inception",
)

RESNET = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    schedule="plateau",
    factor=0.1,
    batch_size=256,
    epochs=120,  # up to 60e4 × 256 / 1,281,167
    weight_decay=1e-4,
    decay="l2",
    initialization=(("*/kernel", "he_normal"),),
    augmentation=Augmentation(
        canvas=480 / 224, resize=(256 / 224, 480 / 224), flip=True, lighting=0.1
    ),
    evaluation=Protocol(
        views="dense", resize=tuple(side / 224 for side in (224, 256, 384, 480, 640))
    ),
    source="He, Zhang, Ren, Sun, 2015 (arXiv:1512.03385), section 3.4",
    unstated=("patience", "reductions", "decay_on"),
    notes=(
        f"{_SQUARE} The paper's come from all of a rectangle.",
        "Evaluated as for the paper's best figures, fully convolutionally at five scales; for its "
        "comparisons in 10-crop: --views 10-crop --resize 256.",
    ),
    network="resnet50",
)

RESNET_CIFAR = replace(
    RESNET,
    schedule="step",
    # A tenth at 32k and 48k iterations, an end at 64k, with 45,000 images: 128 / 45,000 each.
    steps=((91.0, 0.1), (136.5, 0.01)),
    batch_size=128,
    epochs=182,
    augmentation=Augmentation(pad=CIFAR_PAD, flip=True),
    evaluation=Protocol(),
    source="He, Zhang, Ren, Sun, 2015 (arXiv:1512.03385), section 4.2",
    unstated=("decay_on",),
    notes=(
        "ResNet-110 begins with a rate of 0.01 until the training error is below 80%, about 400 "
        "iterations; the recipe `resnet_v2_cifar` does the same.",
    ),
    network="resnet20_cifar",
)

RESNET_V2 = replace(
    RESNET,
    schedule="step",
    steps=((30, 0.1), (60, 0.01)),
    epochs=90,
    evaluation=Protocol(),
    source="He, Zhang, Ren, Sun, 2016 (arXiv:1603.05027), section 5 and appendix",
    unstated=("epochs", "decay_on", "augmentation", "evaluation"),
    notes=(f"{_SQUARE} Augmentation as in `resnet`.",),
    network="resnet50v2",
)

RESNET_V2_CIFAR = replace(
    RESNET_CIFAR,
    # 0.01 for the first 400 iterations: 400 × 128 / 45,000 = 1.14 epochs.
    steps=((0.0, 0.1), (1.14, 1.0), (91.0, 0.1), (136.5, 0.01)),
    source="He, Zhang, Ren, Sun, 2016 (arXiv:1603.05027), appendix",
    unstated=("epochs", "decay_on"),
    notes=("The end at 64k iterations is that of the first ResNet paper.",),
    network="resnet164v2_cifar",
)

DENSENET = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    schedule="step",
    steps=((30, 0.1), (60, 0.01)),
    batch_size=256,
    epochs=90,
    weight_decay=1e-4,
    decay="l2",
    initialization=(("*/kernel", "he_normal"),),
    augmentation=Augmentation(
        canvas=256 / 224,
        area=(0.08, 1.0),
        flip=True,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        lighting=0.1,
    ),
    source="Huang, Liu, van der Maaten, Weinberger, 2016 (arXiv:1608.06993), section 4.2; "
    "augmentation: fb.resnet.torch, which it refers to",
    unstated=("decay_on",),
    notes=(
        "Brightness, contrast and saturation change in this order; fb.resnet.torch draws it.",
        f"{_SQUARE}",
    ),
    network="densenet121",
)

DENSENET_CIFAR = replace(
    DENSENET,
    steps=((150, 0.1), (225, 0.01)),  # at 50% and 75% of the epochs
    batch_size=64,
    epochs=300,
    dropout=0.0,
    augmentation=Augmentation(pad=CIFAR_PAD, flip=True),
    source="Huang, Liu, van der Maaten, Weinberger, 2016 (arXiv:1608.06993), section 4.2",
    unstated=("decay_on",),
    notes=(
        "As for CIFAR-10+ and CIFAR-100+. Without augmentation the paper uses dropout of 0.2: "
        "--with augmentation.flip=false --with augmentation.pad=0 --with dropout=0.2.",
    ),
    network="densenet40_k12_cifar",
)

MODERN = Recipe(
    optimizer="adamw",
    learning_rate=1e-3,
    schedule="cosine",
    warmup_epochs=5.0,
    batch_size=128,
    epochs=100,
    weight_decay=0.05,
    label_smoothing=0.1,
    clip_norm=1.0,
    augmentation=Augmentation(pad=1 / 8, flip=True, randaugment=2, magnitude=9.0),
    source="ours, of parts that are common today: AdamW (Loshchilov, Hutter, 2017), cosine decay "
    "with warm-up, label smoothing, RandAugment (Cubuk et al., 2019)",
    notes=(
        "For networks with batch normalization also good: --with optimizer=sgd --with "
        "nesterov=true --with decay=l2 --learning-rate 0.1 --weight-decay 5e-4.",
        "Digits and letters must not be mirrored: --with augmentation.flip=false.",
    ),
)

FINETUNE = Recipe(
    optimizer="adamw",
    learning_rate=3e-4,
    schedule="cosine",
    warmup_epochs=0.5,
    batch_size=64,
    epochs=12,
    weight_decay=0.01,
    label_smoothing=0.1,
    clip_norm=1.0,
    freeze_epochs=2,
    augmentation=Augmentation(canvas=256 / 224, area=(0.35, 1.0), flip=True),
    source="ours, for `--weights imagenet` or the weights of an earlier run: two epochs for the "
    "new classifier, then everything learns",
    notes=("Digits and letters must not be mirrored: --with augmentation.flip=false.",),
)
