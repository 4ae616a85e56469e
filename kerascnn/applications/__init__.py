"""The architectures: one paper, one file. Importing a name loads its file only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascnn.applications.alexnet import AlexNet, AlexNetOWT
    from kerascnn.applications.bn_inception import BNInception, GoogLeNetBN
    from kerascnn.applications.densenet import (
        DenseNet40K12CIFAR,
        DenseNet100K12CIFAR,
        DenseNet100K24CIFAR,
        DenseNet121,
        DenseNet161,
        DenseNet169,
        DenseNet201,
        DenseNet264,
        DenseNetBC100K12CIFAR,
        DenseNetBC190K40CIFAR,
        DenseNetBC250K24CIFAR,
    )
    from kerascnn.applications.googlenet import GoogLeNet
    from kerascnn.applications.lenet import LeNet5, LeNet5_1998
    from kerascnn.applications.nin import NiN, NiNCIFAR10
    from kerascnn.applications.resnet import (
        Plain18,
        Plain20CIFAR,
        Plain34,
        Plain56CIFAR,
        ResNet18,
        ResNet20CIFAR,
        ResNet32CIFAR,
        ResNet34,
        ResNet44CIFAR,
        ResNet50,
        ResNet56CIFAR,
        ResNet101,
        ResNet110CIFAR,
        ResNet152,
        ResNet1202CIFAR,
    )
    from kerascnn.applications.resnet_v2 import (
        ResNet50V2,
        ResNet101V2,
        ResNet152V2,
        ResNet164V2CIFAR,
        ResNet200V2,
        ResNet1001V2CIFAR,
    )
    from kerascnn.applications.vgg import (
        VGG11,
        VGG11BN,
        VGG11LRN,
        VGG13,
        VGG13BN,
        VGG16,
        VGG16BN,
        VGG16C,
        VGG19,
        VGG19BN,
    )
    from kerascnn.applications.zfnet import ZFNet

_MODULES = {
    "alexnet": ("AlexNet", "AlexNetOWT"),
    "nin": ("NiN", "NiNCIFAR10"),
    "vgg": (
        "VGG11",
        "VGG11BN",
        "VGG11LRN",
        "VGG13",
        "VGG13BN",
        "VGG16",
        "VGG16BN",
        "VGG16C",
        "VGG19",
        "VGG19BN",
    ),
    "zfnet": ("ZFNet",),
    "lenet": ("LeNet5", "LeNet5_1998"),
    "resnet": (
        "ResNet18",
        "ResNet34",
        "ResNet50",
        "ResNet101",
        "ResNet152",
        "Plain18",
        "Plain34",
        "ResNet20CIFAR",
        "ResNet32CIFAR",
        "ResNet44CIFAR",
        "ResNet56CIFAR",
        "ResNet110CIFAR",
        "ResNet1202CIFAR",
        "Plain20CIFAR",
        "Plain56CIFAR",
    ),
    "resnet_v2": (
        "ResNet50V2",
        "ResNet101V2",
        "ResNet152V2",
        "ResNet200V2",
        "ResNet164V2CIFAR",
        "ResNet1001V2CIFAR",
    ),
    "densenet": (
        "DenseNet121",
        "DenseNet161",
        "DenseNet169",
        "DenseNet201",
        "DenseNet264",
        "DenseNet40K12CIFAR",
        "DenseNet100K12CIFAR",
        "DenseNet100K24CIFAR",
        "DenseNetBC100K12CIFAR",
        "DenseNetBC190K40CIFAR",
        "DenseNetBC250K24CIFAR",
    ),
    "googlenet": ("GoogLeNet",),
    "bn_inception": ("BNInception", "GoogLeNetBN"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOME]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOME)
