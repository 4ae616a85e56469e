"""What holds for every family where the conformance suite doesn't go.

The suite draws arguments from what a search tries; here are some that only a user would pass.
"""

import numpy as np
import pytest
import tiny

import kerascnn
from kerascnn.applications.googlenet import Widths
from kerascnn.cost import Cost
from kerascnn.keras_internals import without_values

NARROW = dict.fromkeys(Widths._fields, (4,) * 9)
KERAS_FORM = {"first_activation": "unit", "stem_pool": "keras", "stride_at": "last"}
TWO_BLOCKS = {
    "widths": (32, 64),
    "hidden_widths": (16, 24),
    "output_widths": (8,),
    "kernels": (3,),
    "pools": ("max",),
    "dropouts": (0.0,),
    "stem_stride": 2,
}
ARGUMENTS = [
    ("alexnet", {"groups": 4, "norm": "batch", "order": "conv-act-bn", "hidden": (128,)}),
    ("alexnet", {"stem_kernel": 7, "stem_stride": 2, "kernels": (3, 5, 3, 1), "pool": "avg"}),
    ("alexnet", {"widths": (8, 16, 24, 32, 40), "pool_size": 2, "norm": "none", "grid": 3}),
    ("alexnet_owt", {"stem_kernel": 9, "stem_stride": 3, "norm": "batch", "activation": "gelu"}),
    ("alexnet_owt", {"kernels": (3, 3, 5, 5), "pool": "avg", "grid": 0, "dropout": 0.0}),
    ("zfnet", {"widths": (96, 256, 512, 1024, 512)}),  # table 2's larger layers 3 to 5
    ("zfnet", {"norm": "batch", "order": "conv-act-bn", "hidden": (64, 32, 16)}),
    ("zfnet", {"norm": "none", "pool_size": 2, "grid": 4, "dropout": 0.0, "activation": "silu"}),
    ("nin_cifar10", {"norm": "batch", "order": "conv-act-bn", "stem_kernel": 7}),
    ("nin_cifar10", TWO_BLOCKS),
    ("nin", {"stem_kernel": 7, "norm": "batch", "activation": "elu"}),
    ("vgg11", {"norm": "lrn", "dropout": 0.0}),
    ("vgg11_bn", {"order": "conv-act-bn", "activation": "gelu", "hidden": (64,)}),
    ("vgg16", {"depths": (1, 2, 3), "widths": (16, 32, 48), "pointwise_blocks": 2}),
    ("vgg16_c", {"kernels": (7, 5, 3, 3, 3), "pool": "avg"}),
    ("vgg19", {"norm": "batch", "grid": 3}),
    ("googlenet", {"auxiliary": True, "depths": (1, 4, 4), **NARROW}),
    ("googlenet_bn", {"auxiliary": True, "auxiliary_pool": "window", **NARROW}),
    ("tiny_googlenet", {"reduce": False, "module_pool": "avg", "dropout": 0.0}),
    ("tiny_googlenet", {"normalization": "batch", "order": "conv-act-bn", "use_bias": False}),
    ("tiny_googlenet", {"kernels_5x5": (4, 6), "stem_kernel": 6, "last_pool": 2}),
    ("tiny_googlenet", {"depths": (2,), "stem_widths": (3, 5, 7), "activation": "gelu"}),
    ("tiny_bn_inception", {"conv_1x1": (0, 4), "pool_proj": (4, 0)}),
    ("tiny_bn_inception", {"kernels_double": (3, 5), "stem_kernel": 4, "use_bias": True}),
    ("tiny_bn_inception", {"depths": (2,), "activation": "silu", "dropout": 0.3}),
    ("tiny_resnet", {"bottleneck_ratio": 2, "stride_in": "3x3", "use_bias": True}),
    ("tiny_resnet", {"kernels": (5, 2), "stem_kernel": 6, "stem_stride": 1, "stem_pool": "caffe"}),
    ("tiny_resnet", {"output_stride": 8, "stem_stride": 4, "block": "basic", "kernels": (5, 2)}),
    ("resnet18", {"depths": (1,), "widths": (24,), "kernels": (3,), "shortcut": "C"}),
    ("resnet20_cifar", {"widths": (16, 16, 48), "activation": "silu", "order": "conv-act-bn"}),
    ("resnet20_cifar", {"block": "bottleneck", "stem_pool": "keras"}),
    ("plain20_cifar", {"widths": (32, 8, 20), "depths": (1, 2, 1)}),
    ("tiny_resnet_v2", {"use_bias": True, "depths": (2, 2), **KERAS_FORM}),
    ("tiny_resnet_v2", {"block": "basic", "shortcut": "A", "widths": (6, 6), "stride_in": "1x1"}),
    ("tiny_resnet_v2", {"kernels": (5, 2), "bottleneck_ratio": 1, "shortcut": "C"}),
    ("resnet164v2_cifar", {"depths": (1, 2, 1), "widths": (8, 4, 12), "activation": "gelu"}),
    ("tiny_densenet", {"bottleneck_ratio": 2, "compression": 0.37, "use_bias": True}),
    ("tiny_densenet", {"kernels": (5, 2), "stem_stride": 1, "stem_pool": "caffe"}),
    ("tiny_densenet", {"transition_pool": "max", "activation": "elu", "bottleneck": False}),
    ("densenet40_k12_cifar", {"depths": (1, 2), "kernels": (3, 5), "growth_rate": 5}),
    ("densenetbc100_k12_cifar", {"depths": (3,), "kernels": (1,)}),
]
TINY = {architecture.name: architecture for architecture in tiny.ALL.values()}


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_cost_is_that_of_the_built_model_at_an_odd_size(name, arguments):
    architecture = TINY.get(name) or kerascnn.get(name)
    shape = (131, 160, 2)
    with without_values():
        model = architecture(input_shape=shape, classes=7, **arguments)
    profile = kerascnn.profile(model)
    assert architecture.cost(shape, 7, **arguments) == Cost(profile.params, profile.macs)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((name, {}) for name in TINY),
        ("tiny_googlenet", {"normalization": "batch", "module_pool": "avg"}),
        ("tiny_resnet", {"stem_pool": "caffe"}),
        ("tiny_resnet", {"shortcut": "A", "widths": (4, 8)}),
        ("tiny_resnet_v2", {"depths": (2, 1), **KERAS_FORM}),
        ("tiny_resnet_v2", {"depths": (2, 1), "shortcut": "A"}),
        ("tiny_resnet_v2", {"depths": (2, 1), "shortcut": "C"}),
        ("tiny_densenet", {"transition_pool": "max", "bottleneck": False}),
    ],
)
def test_a_network_of_unknown_size_gives_the_maps_of_the_known_size(name, arguments):
    architecture = TINY[name]
    free = architecture(include_top=False, **arguments)
    fixed = architecture(include_top=False, input_shape=(67, 91, 3), **arguments)
    fixed.set_weights(free.get_weights())
    image = np.random.default_rng(0).normal(size=(1, 67, 91, 3)).astype("float32")
    np.testing.assert_allclose(free(image), fixed(image), rtol=1e-4, atol=1e-5)
