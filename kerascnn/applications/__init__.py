"""The architectures: one paper, one file. Importing a name loads its file only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # `as` exports a name to type checkers that are strict about it.
    from kerascnn.applications.alexnet import AlexNet as AlexNet
    from kerascnn.applications.alexnet import AlexNetOWT as AlexNetOWT
    from kerascnn.applications.bn_inception import BNInception as BNInception
    from kerascnn.applications.bn_inception import GoogLeNetBN as GoogLeNetBN
    from kerascnn.applications.densenet import DenseNet40K12CIFAR as DenseNet40K12CIFAR
    from kerascnn.applications.densenet import DenseNet100K12CIFAR as DenseNet100K12CIFAR
    from kerascnn.applications.densenet import DenseNet100K24CIFAR as DenseNet100K24CIFAR
    from kerascnn.applications.densenet import DenseNet121 as DenseNet121
    from kerascnn.applications.densenet import DenseNet161 as DenseNet161
    from kerascnn.applications.densenet import DenseNet169 as DenseNet169
    from kerascnn.applications.densenet import DenseNet201 as DenseNet201
    from kerascnn.applications.densenet import DenseNet264 as DenseNet264
    from kerascnn.applications.densenet import DenseNetBC100K12CIFAR as DenseNetBC100K12CIFAR
    from kerascnn.applications.densenet import DenseNetBC190K40CIFAR as DenseNetBC190K40CIFAR
    from kerascnn.applications.densenet import DenseNetBC250K24CIFAR as DenseNetBC250K24CIFAR
    from kerascnn.applications.googlenet import GoogLeNet as GoogLeNet
    from kerascnn.applications.lenet import LeNet5 as LeNet5
    from kerascnn.applications.lenet import LeNet5_1998 as LeNet5_1998
    from kerascnn.applications.nin import NiN as NiN
    from kerascnn.applications.nin import NiNCIFAR10 as NiNCIFAR10
    from kerascnn.applications.resnet import Plain18 as Plain18
    from kerascnn.applications.resnet import Plain20CIFAR as Plain20CIFAR
    from kerascnn.applications.resnet import Plain34 as Plain34
    from kerascnn.applications.resnet import Plain56CIFAR as Plain56CIFAR
    from kerascnn.applications.resnet import ResNet18 as ResNet18
    from kerascnn.applications.resnet import ResNet20CIFAR as ResNet20CIFAR
    from kerascnn.applications.resnet import ResNet32CIFAR as ResNet32CIFAR
    from kerascnn.applications.resnet import ResNet34 as ResNet34
    from kerascnn.applications.resnet import ResNet44CIFAR as ResNet44CIFAR
    from kerascnn.applications.resnet import ResNet50 as ResNet50
    from kerascnn.applications.resnet import ResNet56CIFAR as ResNet56CIFAR
    from kerascnn.applications.resnet import ResNet101 as ResNet101
    from kerascnn.applications.resnet import ResNet110CIFAR as ResNet110CIFAR
    from kerascnn.applications.resnet import ResNet152 as ResNet152
    from kerascnn.applications.resnet import ResNet1202CIFAR as ResNet1202CIFAR
    from kerascnn.applications.resnet_v2 import ResNet50V2 as ResNet50V2
    from kerascnn.applications.resnet_v2 import ResNet101V2 as ResNet101V2
    from kerascnn.applications.resnet_v2 import ResNet152V2 as ResNet152V2
    from kerascnn.applications.resnet_v2 import ResNet164V2CIFAR as ResNet164V2CIFAR
    from kerascnn.applications.resnet_v2 import ResNet200V2 as ResNet200V2
    from kerascnn.applications.resnet_v2 import ResNet1001V2CIFAR as ResNet1001V2CIFAR
    from kerascnn.applications.vgg import VGG11 as VGG11
    from kerascnn.applications.vgg import VGG11BN as VGG11BN
    from kerascnn.applications.vgg import VGG11LRN as VGG11LRN
    from kerascnn.applications.vgg import VGG13 as VGG13
    from kerascnn.applications.vgg import VGG13BN as VGG13BN
    from kerascnn.applications.vgg import VGG16 as VGG16
    from kerascnn.applications.vgg import VGG16BN as VGG16BN
    from kerascnn.applications.vgg import VGG16C as VGG16C
    from kerascnn.applications.vgg import VGG19 as VGG19
    from kerascnn.applications.vgg import VGG19BN as VGG19BN
    from kerascnn.applications.zfnet import ZFNet as ZFNet

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
# With `preprocess_input` and `decode_predictions`, as resnet, resnet_v2 and densenet.
_AS_IN_KERAS = ("vgg16", "vgg19", "resnet50")
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOME]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        if name in _MODULES or name in _AS_IN_KERAS:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOME)
