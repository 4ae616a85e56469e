"""What is read off a graph: stages, folds, blocks, heads, connections; totals add up."""

import keras
import numpy as np
import pytest
import tiny
from keras import layers

import kerascnn
from kerascnn import profile
from kerascnn.drawing.networks import model_of
from kerascnn.drawing.outline import MOST_STAGES, outline


def read(name, **arguments):
    return outline(kerascnn.get(name).network(arguments).profile())


def named(found):
    return {stage.name: stage for stage in found.stages}


def test_alexnet_has_the_parameters_of_the_lecture():
    """Weights as lecture notes have them, and one bias for each map or unit."""
    found = read("alexnet")
    weights = (34_848 + 96, 307_200 + 256, 884_736 + 384, 663_552 + 384, 442_368 + 256)
    convolutions = [stage for stage in found.stages if stage.kind == "conv"]
    assert tuple(stage.convolutional for stage in convolutions) == weights
    assert [stage.window for stage in convolutions] == ["11×11 / 4", "5×5", *["3×3"] * 3]
    assert [stage.groups for stage in convolutions] == [1, 2, 1, 2, 2]
    assert [stage.dense for stage in found.stages if stage.kind == "dense"] == [
        (9216 + 1) * 4096,
        (4096 + 1) * 4096,
        (4096 + 1) * 1000,
    ]
    assert (found.convolutional, found.dense) == (sum(weights), 60_965_224 - sum(weights))
    assert found.stages[1].words == ("relu", "LRN")
    assert found.designs == ()


def test_repeated_convolutions_are_folded_and_poolings_and_dense_layers_are_not():
    found = read("vgg16")
    assert [s.repeats for s in found.stages if s.kind == "conv"] == [2, 2, 3, 3, 3]
    assert [s.kind for s in found.stages].count("pool") == 5
    assert [s.name for s in found.stages if s.kind == "dense"] == ["fc1", "fc2", "logits"]
    assert "block3_conv1…3" in named(found)


def test_the_first_of_folded_convolutions_may_have_another_stride():
    stage = read("plain18").stages[4]
    assert (stage.repeats, stage.window, stage.shape) == (4, "3×3, first / 2", (28, 28, 128))


def test_resnet_is_four_stages_of_residual_blocks():
    found = read("resnet50")
    blocks = [stage for stage in found.stages if stage.kind == "block"]
    assert [stage.repeats for stage in blocks] == [3, 4, 6, 3]
    assert [stage.shape[-1] for stage in blocks] == [256, 512, 1024, 2048]
    assert all(stage.shortcut and stage.merge == "add" for stage in blocks)
    assert blocks[2].name == "conv4_block1…6"
    assert [len(design.names) for design in found.designs] == [4, 12]  # projection, identity
    identity = found.designs[1].block
    assert [unit.main.kernel for unit in identity.units] == [(1, 1), (3, 3), (1, 1), ()]
    assert identity.lanes == ((0, 1, 2), ())


def test_a_narrow_resnet_is_drawn_as_a_wide_one():
    """A layer picks the pixels of its strided 1×1 convolutions: no unit, and their stride."""

    def designs(**arguments):
        return [
            [(unit.design, unit.main.strides) for unit in design.block.units]
            for design in read("resnet50", **arguments).designs
        ]

    narrow = {"widths": (1, 2, 3, 4), "stem_width": 2}
    names = {row.name for row in kerascnn.get("resnet50").network(narrow).profile().layers}
    assert "conv3_block1_1_conv_sample" in names
    assert designs(**narrow) == designs()
    assert [(stage.name, stage.window, stage.shortcut) for stage in read("resnet50").stages] == [
        (stage.name, stage.window, stage.shortcut) for stage in read("resnet50", **narrow).stages
    ]


def test_pre_activation_stands_before_the_convolution():
    found = read("resnet50v2")
    identity = next(one.block for one in found.designs if () in one.block.lanes)
    assert [unit.before for unit in identity.units[:3]] == [("BN", "relu")] * 3
    shared = [one.block for one in found.designs if one.block.lead]
    assert [block.lead for block in shared] == [("BN", "relu")]  # both paths read it


def test_googlenet_has_one_kind_of_module_and_two_heads():
    """Figure 2b of the paper, and its figure 3."""
    found = read("googlenet", auxiliary=True)
    (design,) = found.designs
    assert len(design.names) == 9
    kernels = [[design.block.units[i].main.kernel[0] for i in lane] for lane in design.block.lanes]
    assert kernels == [[1], [1, 3], [1, 5], [3, 1]]
    assert design.block.merge == "concat"
    taps = [found.stages[head.stage].name for head in found.heads]
    assert taps == ["inception_4a", "inception_4b…4d"]
    # 1×1 convolution to 128 maps, 2048 values to 1024 units, 1000 classes
    assert found.heads[0].convolutional == (512 + 1) * 128
    assert found.heads[0].dense == (2048 + 1) * 1024 + (1024 + 1) * 1000


def test_a_dense_block_says_how_its_maps_grow():
    found = read("densenet121", depths=(3, 4, 6, 5))
    blocks = [stage for stage in found.stages if stage.kind == "block"]
    assert [stage.repeats for stage in blocks] == [3, 4, 6, 5]
    assert [design.growth for design in found.designs] == [32]
    assert all(stage.merge == "concat" and stage.shortcut for stage in blocks)


def test_a_head_that_begins_in_another_stands_where_that_begins():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="stem")(inputs)
    beside = layers.Conv2D(2, 1, name="beside")(x)
    ends = [layers.Flatten()(layers.Conv2D(8, 6, name="main")(x))]
    ends += [layers.Dense(units, name=f"d{units}")(layers.Flatten()(beside)) for units in (2, 3)]
    found = outline(profile(keras.Model(inputs, ends)))
    assert [found.stages[head.stage].name for head in found.heads] == ["stem", "stem"]
    assert [head.name for head in found.heads] == ["d2", "d3"]
    assert [head.convolutional for head in found.heads] == [(4 + 1) * 2, 0]  # shared: once


@pytest.mark.parametrize("name", tiny.ALL)
def test_parameters_of_the_stages_and_heads_are_those_of_the_model(name):
    model = model_of(tiny.ALL[name])
    found = outline(profile(model))
    parts = [*found.stages, *found.heads]
    total = sum(part.convolutional + part.dense for part in parts)
    assert total == sum(np.prod(weight.shape) for weight in model.trainable_weights)


def small_u_net():
    inputs = keras.Input((32, 32, 3))
    x, kept = inputs, []
    for width in (4, 8):
        x = layers.Conv2D(width, 3, padding="same", name=f"down{width}")(x)
        kept.append(x)
        x = layers.MaxPooling2D(name=f"halve{width}")(x)
    for width in (8, 4):
        x = layers.Conv2DTranspose(width, 2, 2, name=f"up{width}")(x)
        x = layers.Concatenate(name=f"join{width}")([kept.pop(), x])
        for number in range(5):
            x = layers.Conv2D(width, (3, 2 * number + 1), padding="same")(x)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="scores")(x))


def test_a_u_net_is_a_row_with_connections():
    found = outline(profile(small_u_net()))
    pairs = [tuple(found.stages[n].name for n in pair) for pair in found.connections]
    assert pairs == [("down4", "join4"), ("down8", "join8")]


def test_a_crop_on_the_way_up_is_no_unit():
    inputs = keras.Input((32, 32, 3))
    x, kept = inputs, []
    for level in (1, 2, 3, 4):
        for number in (1, 2):
            x = layers.Conv2D(4 * level, 3, padding="same", name=f"down{level}_conv{number}")(x)
        kept.append(x)
        x = layers.MaxPooling2D(name=f"down{level}_pool")(x)
    for level in (4, 3, 2, 1):
        x = layers.Conv2DTranspose(4 * level, 2, 2, name=f"up{level}_conv_transpose")(x)
        skip = layers.Cropping2D(0, name=f"up{level}_crop")(kept.pop())
        x = layers.Concatenate(name=f"up{level}_concat")([skip, x])
        x = layers.Conv2D(4 * level, 3, padding="same", name=f"up{level}_conv")(x)
    found = outline(profile(keras.Model(inputs, x)))
    names = [f"{way}{level}" for way in ("down", "up") for level in (1, 2, 3, 4)]
    assert sorted(stage.name for stage in found.stages[1:]) == names
    kinds = [[unit.main.kind for unit in design.block.units] for design in found.designs]
    assert kinds == [
        ["Conv2D", "Conv2D", "MaxPooling2D"],
        ["Conv2DTranspose", "Concatenate", "Conv2D"],
    ]


def test_a_nested_model_is_taken_apart_each_time_it_is_called():
    inside = keras.Input((8, 8, 4))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(inside)
    inner = keras.Model(inside, layers.Add(name="sum")([inside, y]), name="inner")
    inputs = keras.Input((8, 8, 4))
    model = keras.Model(inputs, layers.GlobalMaxPooling2D(name="pool")(inner(inner(inputs))))
    found = outline(profile(model))
    assert [stage.name for stage in found.stages][1:] == ["inner/sum", "inner/sum#2", "pool"]
    assert [stage.convolutional for stage in found.stages] == [0, 4 * 4 * 9 + 4, 0, 0]
    assert found.designs[0].block.units[0].behind == ("relu",)


def test_layers_of_one_name_are_a_block_where_there_are_too_many():
    """As in MobileNetV2, whose blocks have a sum only where the shape stays."""
    inputs = keras.Input((32, 32, 8))
    x = inputs
    for number in range(1, 11):
        y = layers.Conv2D(16, 1, name=f"block_{number}_expand")(x)
        y = layers.DepthwiseConv2D(3, padding="same", name=f"block_{number}_depthwise")(y)
        y = layers.Conv2D(8, 1, name=f"block_{number}_project")(y)
        x = layers.Add(name=f"block_{number}_add")([x, y]) if number % 2 == 0 else y
    (_, stage) = outline(profile(keras.Model(inputs, x))).stages
    assert (stage.name, stage.repeats, stage.shortcut) == ("block_1…10", 10, True)


def test_separable_convolutions_are_blocks_where_there_are_too_many():
    """As in MobileNet."""
    inputs = keras.Input((32, 32, 8))
    x = inputs
    for number in range(12):
        x = layers.DepthwiseConv2D(3, 2 if number == 6 else 1, padding="same")(x)
        x = layers.Conv2D(8, 1, activation="relu")(x)
    found = outline(profile(keras.Model(inputs, x)))
    assert [stage.kind for stage in found.stages] == ["input", "block", "block"]
    assert [stage.repeats for stage in found.stages] == [1, 6, 6]
    (design,) = found.designs
    assert [unit.main.kernel for unit in design.block.units] == [(3, 3), (1, 1)]


def test_what_is_too_long_for_a_row_is_cut_and_said():
    inputs = keras.Input((4,))
    x = inputs
    for units in range(5, 60):
        x = layers.Dense(units)(x)
    found = outline(profile(keras.Model(inputs, x)))
    assert len(found.stages) == MOST_STAGES
    (cut,) = [stage for stage in found.stages if stage.kind == "left out"]
    assert cut.repeats == 56 - (MOST_STAGES - 1)
    assert any(f"{cut.repeats} stages" in note for note in found.notes)
    weights = sum((before + 1) * (before + 1) for before in range(4, 59))  # and a bias each
    assert sum(stage.dense for stage in found.stages) == weights


def test_layers_of_one_map_size_are_one_where_that_is_what_helps():
    inputs = keras.Input((16, 16, 3))
    x = inputs
    for width in range(4, 40):
        x = layers.Conv2D(width, 3, 2 if width == 20 else 1, padding="same")(x)
    found = outline(profile(keras.Model(inputs, x)))
    assert [stage.kind for stage in found.stages] == ["input", "several", "several"]
    assert [stage.repeats for stage in found.stages[1:]] == [16, 20]
    assert "37 stages are folded into 3" in found.notes[0]
