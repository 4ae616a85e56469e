"""A small network of each family, for tests that build, save or train one of each."""

from dataclasses import replace

from kerascnn.applications.alexnet import AlexNet, AlexNetOWT
from kerascnn.applications.bn_inception import BNInception, Module
from kerascnn.applications.densenet import DenseNet121
from kerascnn.applications.googlenet import GoogLeNet, Widths
from kerascnn.applications.nin import NiNCIFAR10
from kerascnn.applications.resnet import ResNet50
from kerascnn.applications.resnet_v2 import ResNet50V2
from kerascnn.applications.vgg import VGG11
from kerascnn.applications.zfnet import ZFNet


def _card(architecture, smallest):
    """For 32×32 pixels and ten classes."""
    return replace(
        architecture.card,
        input_shape=(32, 32, 3),
        classes=10,
        params=None,
        macs=None,
        smallest_input=(smallest, smallest),
        results=(),
    )


FIVE = {"hidden": (32, 32)}
TinyAlexNet = AlexNet.variant("tiny_alexnet", widths=(8, 16, 24, 24, 16), **FIVE)
TinyAlexNetOWT = AlexNetOWT.variant("tiny_alexnet_owt", widths=(8, 16, 24, 16, 16), grid=2, **FIVE)
TinyZFNet = ZFNet.variant("tiny_zfnet", widths=(8, 16, 24, 24, 16), **FIVE)
TinyNiN = NiNCIFAR10.variant(
    "tiny_nin", widths=(8, 12, 16), hidden_widths=(8, 12, 16), output_widths=(8, 12)
)
TinyVGG = VGG11.variant("tiny_vgg", widths=(4, 8, 8, 16, 16), hidden=(16, 16))

INCEPTION = {"depths": (1, 1), "stem_widths": (4, 4, 8), "stem_kernel": 3}
TinyGoogLeNet = GoogLeNet.variant(
    "tiny_googlenet",
    card=_card(GoogLeNet, 23),
    **INCEPTION,
    **dict.fromkeys(Widths._fields, (4, 4)),
)
TinyBNInception = BNInception.variant(
    "tiny_bn_inception",
    card=_card(BNInception, 15),
    **INCEPTION,
    **dict.fromkeys(Module._fields[:-1], (4, 4)),
    module_pools=("max", "avg"),
)

STAGES = {"depths": (1, 1), "widths": (4, 8), "kernels": (3, 3), "stem_width": 4, "stem_kernel": 3}
TinyResNet = ResNet50.variant("tiny_resnet", card=_card(ResNet50, 5), **STAGES)
TinyResNetV2 = ResNet50V2.variant("tiny_resnet_v2", card=_card(ResNet50V2, 5), **STAGES)
TinyDenseNet = DenseNet121.variant(
    "tiny_densenet",
    card=_card(DenseNet121, 5),
    depths=(2, 2),
    kernels=(3, 3),
    growth_rate=4,
    stem_width=8,
    stem_kernel=3,
)

ALL = {name: value for name, value in globals().items() if name.startswith("Tiny")}
"""By the names above."""
