"""What `weights="imagenet"` can fetch: published ImageNet-1k weights, and what they expect.

One row for each architecture and publisher. Rows are tried in their order: the first whose
requirements the model's arguments meet is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerascnn.card import Preprocessing, Source
from kerascnn.errors import WeightsError

TORCH = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Preprocessing(scale=1.0, mean=(103.939, 116.779, 123.68), order="BGR")
SYMMETRIC = Preprocessing(scale=1 / 127.5, mean=(1.0,))

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
TORCH_URL = "https://download.pytorch.org/models/"


def _hub(architecture: str, **rest: Any) -> Source:
    """timm's copies of torchvision's checkpoints (IMAGENET1K_V1)."""
    return Source(
        architecture=architecture,
        publisher="torchvision",
        file=f"timm/{architecture}.tv_in1k",
        preprocessing=TORCH,
        **rest,
    )


def _keras(architecture: str, folder: str, top: str, no_top: str, **rest: Any) -> Source:
    stem = f"{KERAS_URL}{folder}/{architecture}_weights_tf_dim_ordering_tf_kernels"
    return Source(
        architecture=architecture,
        publisher="keras",
        file=f"{stem}.h5",
        digest=f"md5:{top}",
        no_top=f"{stem}_notop.h5",
        no_top_digest=f"md5:{no_top}",
        **{"preprocessing": TORCH, **rest},
    )


# keras.applications' version 2 is another network than the paper's; see resnet_v2.py.
_V2: Mapping[str, Any] = {
    "first_activation": "unit",
    "stem_pool": "keras",
    "stride_at": "last",
    "use_bias": True,
}
_V1, _V15 = {"stride_in": "1x1"}, {"stride_in": "3x3"}

SOURCES: tuple[Source, ...] = (
    Source(
        architecture="alexnet_owt",
        publisher="torchvision",
        file=f"{TORCH_URL}alexnet-owt-7be5be79.pth",
        digest="sha256:7be5be79",
        preprocessing=TORCH,
    ),
    *map(_hub, ("vgg11", "vgg13", "vgg16", "vgg19")),
    *map(_hub, ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")),
    _keras(
        "vgg16",
        "vgg16",
        "64373286793e3c8b2b4e3219cbf3544b",
        "6d6bbae143d832006294945121d1f1fc",
        preprocessing=CAFFE,
    ),
    _keras(
        "vgg19",
        "vgg19",
        "cbe5617147190e668d6c5d5026f83318",
        "253f8cb515780f3b799900260a226db6",
        preprocessing=CAFFE,
    ),
    # Ported from TensorFlow, with its pixels in [-1, 1]; torchvision converts in the model.
    Source(
        architecture="googlenet_bn",
        publisher="torchvision",
        file=f"{TORCH_URL}googlenet-1378be20.pth",
        digest="sha256:1378be20",
        preprocessing=SYMMETRIC,
    ),
    _hub("resnet18"),
    _hub("resnet34"),
    _hub("resnet50", requires=_V15),
    _hub("resnet101", requires=_V15),
    _hub("resnet152", requires=_V15),
    _keras(
        "resnet50",
        "resnet",
        "2cb95161c43110f7111970584f804107",
        "4d473c1dd8becc155b73f8504c6f6626",
        preprocessing=CAFFE,
        requires=_V1,
    ),
    _keras(
        "resnet101",
        "resnet",
        "f1aeb4b969a6efcfb50fad2f0c20cfc5",
        "88cf7a10940856eca736dc7b7e228a21",
        preprocessing=CAFFE,
        requires=_V1,
    ),
    _keras(
        "resnet152",
        "resnet",
        "100835be76be38e30d865e96f2aaae62",
        "ee4c566cf9a93f14d82f913c2dc6dd0c",
        preprocessing=CAFFE,
        requires=_V1,
    ),
    _keras(
        "resnet50v2",
        "resnet",
        "3ef43a0b657b3be2300d5770ece849e0",
        "fac2f116257151a9d068a22e544a4917",
        preprocessing=SYMMETRIC,
        requires=_V2,
    ),
    _keras(
        "resnet101v2",
        "resnet",
        "6343647c601c52e1368623803854d971",
        "c0ed64b8031c3730f411d2eb4eea35b5",
        preprocessing=SYMMETRIC,
        requires=_V2,
    ),
    _keras(
        "resnet152v2",
        "resnet",
        "a49b44d1979771252814e80f8ec446f9",
        "ed17cf2e0169df9d443503ef94b23b33",
        preprocessing=SYMMETRIC,
        requires=_V2,
    ),
    *map(_hub, ("densenet121", "densenet161", "densenet169", "densenet201")),
    _keras(
        "densenet121",
        "densenet",
        "9d60b8095a5708f2dcce2bca79d332c7",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    _keras(
        "densenet169",
        "densenet",
        "d699b8f76981ab1b30698df4c175e90b",
        "b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    _keras(
        "densenet201",
        "densenet",
        "1ceb130c1ea1b78c3bf6114dbdfd8807",
        "c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
)


def find(architecture: str, weights: str, arguments: Mapping[str, Any]) -> Source:
    """The published weights for a model.

    Args:
        architecture: its name.
        weights: "imagenet", or the name of one source, such as "imagenet:keras".
        arguments: the model's complete arguments.

    Raises:
        WeightsError: there are none; the message lists what there is.
    """
    known = [source for source in SOURCES if source.architecture == architecture]
    named = [source for source in known if weights in ("imagenet", source.name)]
    fitting = [source for source in named if source.fits(arguments)]
    if fitting:
        return fitting[0]
    if not known:
        names = ", ".join(sorted({source.architecture for source in SOURCES}))
        raise WeightsError(
            f"No ImageNet weights are published for {architecture}. There are some for: {names}."
        )
    if not named:
        names = ", ".join(repr(source.name) for source in known)
        raise WeightsError(
            f"{architecture}: weights must be 'imagenet' or one of {names}. Received: {weights!r}."
        )
    needs = "; ".join(f"{source.name} needs {_written(source.requires)}" for source in named)
    raise WeightsError(
        f"{architecture} with these arguments is not the network that the published weights were "
        f"trained for: {needs}. Pass these arguments, or weights=None."
    )


def _written(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def preprocessing(architecture: str, weights: str = "imagenet", **arguments: Any) -> Preprocessing:
    """What published weights expect of their input.

    Args:
        architecture: the architecture's name.
        weights: "imagenet", or one source's name such as "imagenet:keras".
        **arguments: those the model is built with, where they differ from the defaults.

    Raises:
        WeightsError: there are no such weights.
    """
    from kerascnn import catalogue

    space = catalogue.get(architecture).space
    return find(architecture, weights, space.validate(arguments, owner=architecture)).preprocessing
