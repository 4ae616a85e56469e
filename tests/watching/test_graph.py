"""TensorBoard's graph has a node for each layer, in the folds of its stage and block."""

import pytest

import kerascnn
from kerascnn.watching.graph import folded, layer_graph


@pytest.mark.parametrize(
    "name",
    [
        "conv2/conv2_block1/conv2_block1_1_conv",
        "inception_3/inception_3a/inception_3a_3x3_reduce",
        "block1/block1_conv1/block1_conv1_relu",
        "block2/block2a/block2a_expand_conv",
        "conv1/conv1_relu",
        "fpn/fpn_c2",
        "backbone/conv1/conv1_relu",
    ],
)
def test_a_layer_is_behind_its_stage_and_block(name):
    *folds, layer = name.split("/")
    models = [fold for fold in folds if fold == "backbone"]
    own = "/".join([*models, layer])
    assert folded([own, own + "_2"])[own] == name


def test_a_stage_of_one_layer_has_no_fold_and_names_stay_apart():
    assert folded(["pool1_pool", "logits", "cls_score"]) == {
        "pool1_pool": "pool1_pool",
        "logits": "logits",
        "cls_score": "cls_score",
    }
    names = folded(["fc6", "fc6_relu", "rpn_conv", "rpn_conv#2"])
    assert list(names.values()) == ["fc6", "fc6/fc6_relu", "rpn/rpn_conv", "rpn/rpn_conv_call2"]


def test_the_graph_of_a_network_is_its_layers():
    model = kerascnn.create("resnet20_cifar", widths=(4, 8, 16), stem_width=4)
    graph = layer_graph(model, model.input_shape[1:])
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(model.layers)
    assert {name.partition("/")[0] for name in nodes} == {
        "input", "conv1", "conv2", "conv3", "conv4", "avg_pool", "logits",
    }  # fmt: skip
    add = nodes["conv3/conv3_block1/conv3_block1_add"]
    assert add.op == "Add"
    assert len(add.input) == 2
    assert set(add.input) <= set(nodes)
    assert [axis.size for axis in add.attr["_output_shapes"].list.shape[0].dim] == [-1, 16, 16, 8]
    assert nodes["conv1/conv1_conv"].attr["kernel"].s == b"(3, 3)"
