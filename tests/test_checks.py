"""The conformance suite passes on our networks and notices what it is there to notice."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import tiny
from typer.testing import CliRunner

import kerascnn
from kerascnn import Architecture, Card, Param, Range, Space, blocks, checks
from kerascnn.checks import check_architecture, parametrize_with_checks
from kerascnn.cli import app
from kerascnn.commands import check as check_command
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn.sketch import Sketch

CARD = Card(
    title="A net",
    authors="Nobody",
    year=2000,
    link="doi:10.0/0",
    input_shape=(8, 8, 3),
    classes=2,
    params=3 * 9 * 4 + 4 + 4 * 2 + 2,
    macs=8 * 8 * 3 * 9 * 4 + 4 * 2,
    smallest_input=(1, 1),
)
WIDTH = Param(name="width", default=4, search=Range(2, 8, step=2), help="Filters.")


def build(x, *, width):
    return blocks.conv(x, width, 3, name="conv1")


SOUND = Architecture(name="sound", build=build, card=CARD, space=Space((WIDTH,)))


def build_of_keras_layers(x, *, width):
    """A plugin need not use kerascnn.blocks."""
    import keras

    x = keras.layers.Conv2D(width, 3, strides=2, padding="same", name="conv1")(x)
    return keras.layers.Conv2D(width, 3, padding="same", name="conv2")(x)


@pytest.mark.parametrize("check", ["channels", "odd_sizes", "last_dimension"])
def test_a_builder_may_use_keras_layers(check):
    card = replace(CARD, params=None, macs=None)
    plain = Architecture(name="plain", build=build_of_keras_layers, card=card, space=SOUND.space)
    checks.run_check(check, checks.Case(plain))


def test_every_family_has_a_tiny_variant_or_is_tiny():
    builders = {architecture.build for architecture in tiny.ALL.values()}
    for name in kerascnn.list_architectures(provider="kerascnn"):
        assert kerascnn.get(name).build in builders or name.startswith("lenet5"), name


# Built of the blocks of another family: AlexNet's and GoogLeNet's.
RELATIVES = ("tiny_alexnet_owt", "tiny_zfnet", "tiny_bn_inception")
TINY = list(tiny.ALL.values())


@parametrize_with_checks(
    ["lenet5", "lenet5_1998", SOUND, *(tiny for tiny in TINY if tiny.name not in RELATIVES)]
)
def test_conformance(architecture, check):
    check(architecture)


@pytest.mark.slow
@parametrize_with_checks([tiny for tiny in TINY if tiny.name in RELATIVES])
def test_relatives_conform(architecture, check):
    check(architecture)


@pytest.mark.slow
@parametrize_with_checks(kerascnn.list_architectures(provider="kerascnn"), quick=True)
def test_every_architecture_conforms(architecture, check):
    check(architecture)


# Networks with one fault each. A builder that looks for a Sketch has `cost` see a sound network.


def nested_model(x, *, width):
    import keras

    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    inner_input = keras.Input(x.shape[1:])
    inner = keras.layers.Activation("relu", name="relu1")(inner_input)
    return keras.Model(inner_input, inner, name="inner")(x)


def no_gradient(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    import keras

    return keras.ops.stop_gradient(x)


def not_finite(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    import keras

    return keras.ops.log(x)


def hidden_parameters(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    import keras

    return keras.layers.BatchNormalization(name="bn1")(x)


def three_channels_only(x, *, width):
    if not isinstance(x, Sketch):
        import keras

        x = keras.ops.reshape(x, (-1, *x.shape[1:3], 3))
    return build(x, width=width)


def rounded_up(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return blocks.max_pool(x, 2, name="pool1")
    import keras

    return keras.layers.MaxPooling2D(2, padding="same", name="pool1")(x)


def half_precision_head(x, *, classes):
    return blocks.dense(blocks.global_avg_pool(x), classes, name="logits")


def fails_when_wide(x, *, width):
    if width == 8 and not isinstance(x, Sketch):
        raise ValueError("8 is not supported")
    return build(x, width=width)


def unregistered_layer(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    import keras

    class Twice(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    return Twice(name="twice")(x)


def no_xla(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    import keras
    import tensorflow as tf

    @keras.saving.register_keras_serializable("test")
    class Outside(keras.layers.Layer):
        def call(self, inputs):
            out = tf.numpy_function(lambda z: z, [inputs], inputs.dtype)
            return tf.ensure_shape(out, inputs.shape)

    return Outside(name="outside")(x)


def forgetful_layer(x, *, width):
    x = build(x, width=width)
    if isinstance(x, Sketch):
        return x
    import keras

    class Bent(keras.layers.Conv2D):
        """A convolution that is another one when it is made anew."""

        def __init__(self, *args, bend=1, **kwargs):
            super().__init__(*args, **kwargs)
            self.bend = bend

        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, kernel) * self.bend

    return Bent(width, 1, activation="relu", bend=2, name="bent")(x)


_shared = {}


def shared_layer(x, *, width):
    if isinstance(x, Sketch):
        return build(x, width=width)
    import keras

    key = (x.shape[-1], width)
    if key not in _shared:
        _shared[key] = keras.layers.Conv2D(width, 3, padding="same", name="conv1")
    return _shared[key](x)


def counted_name(x, *, width):
    _shared["count"] = _shared.get("count", 0) + 1
    return blocks.conv(x, width, 3, name=f"conv{_shared['count']}")


def wrong_card(**facts):
    return replace(SOUND, name="faulty", card=replace(CARD, **facts))


def faulty(builder=build, **parts):
    return replace(SOUND, name="faulty", build=builder, **parts)


@pytest.mark.parametrize(
    ("check", "architecture"),
    [
        ("layer_names", faulty(counted_name)),
        ("flat_graph", faulty(nested_model)),
        ("gradients", faulty(no_gradient)),
        ("float32", faulty(not_finite)),
        ("explain", faulty(forgetful_layer)),
        ("cost", faulty(hidden_parameters)),
        ("profile", faulty(hidden_parameters)),
        ("profile", faulty(rounded_up)),
        ("card", faulty(hidden_parameters)),
        ("card", wrong_card(params=119)),
        ("card", wrong_card(macs=1)),
        ("card", wrong_card(smallest_input=(2, 2))),
        ("channels", faulty(three_channels_only)),
        ("odd_sizes", faulty(rounded_up)),
        ("mixed_float16", faulty(head=half_precision_head)),
        ("mixed_bfloat16", faulty(head=half_precision_head)),
        ("space_points", faulty(fails_when_wide)),
        ("keras_file", faulty(unregistered_layer)),
        ("xla", faulty(no_xla)),
        ("builds_share_nothing", faulty(shared_layer)),
    ],
)
def test_a_fault_fails_its_check(check, architecture):
    with pytest.raises(Exception):  # noqa: B017, PT011 - a fault may crash Keras in any way
        checks.run_check(check, checks.Case(architecture))
    checks.run_check(check, checks.Case(SOUND))


def test_deep_residual_networks_are_judged_with_the_statistics_of_their_maps():
    """With the averages that training starts from, float16 overflows after some 50 blocks."""
    deep = kerascnn.get("resnet20_cifar").variant(
        "deep", depths=(1, 1, 60), widths=(4, 4, 4), stem_width=4
    )
    checks.run_check("mixed_float16", checks.Case(deep))


def test_all_failures_are_reported_with_their_reasons():
    with pytest.raises(AssertionError, match="faulty: 1 checks failed") as failure:
        check_architecture(wrong_card(params=119))
    assert "card: card.params: 119 != 122" in str(failure.value)


def test_an_expected_failure_is_no_failure_and_has_its_reason():
    outcomes = check_architecture(wrong_card(params=119), expected_failures={"card": "a typo"})
    (outcome,) = [o for o in outcomes if o.check == "card"]
    assert (outcome.status, outcome.reason) == ("expected failure", "a typo")
    assert {o.check for o in outcomes} == set(checks.names())


def test_an_expected_failure_that_passes_has_failed():
    with pytest.raises(AssertionError, match="passes, but was expected to fail: a typo"):
        check_architecture(SOUND, expected_failures={"card": "a typo"})


def test_an_unknown_check_is_refused():
    with pytest.raises(ArgumentError, match=r"There is no check 'cards'\. Checks: channels, "):
        check_architecture(SOUND, expected_failures={"cards": "a typo"})


def test_quick_leaves_the_slow_checks_of_deep_networks_out(monkeypatch):
    monkeypatch.setattr(checks.suite, "_quick_limit", {"xla": 1, "saved_model": 1})
    skipped = {o.check for o in check_architecture(SOUND, quick=True) if o.status == "skipped"}
    assert {"xla", "saved_model"} <= skipped
    assert "card" not in skipped


def test_a_thousand_layers_are_compiled_only_when_asked_for(monkeypatch):
    monkeypatch.setattr(checks.suite, "ENORMOUS", 1)
    slow = {name for name, limit in checks.suite._quick_limit.items() if limit <= checks.suite.DEEP}
    skipped = {o.check: o.reason for o in check_architecture(SOUND) if o.status == "skipped"}
    assert slow <= set(skipped)
    assert skipped["xla"] == "slow, and the network has more than 1 layers"
    skipped = {o.check for o in check_architecture(SOUND, full=True) if o.status == "skipped"}
    assert not slow & skipped


def run(*words):
    env = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "kerascnn", "check", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_the_command_reports_every_check_and_expected_failures():
    ended = run("lenet5", "--json", "--expect", "card=so that it fails")
    outcomes = {o["check"]: o for o in json.loads(ended.stdout)}
    assert ended.returncode == 1
    assert set(outcomes) == set(checks.names())
    assert outcomes["card"]["status"] == "failed"
    assert outcomes["card"]["reason"] == "passes, but was expected to fail: so that it fails"
    assert outcomes["mirrored_strategy"]["status"] == "ok", "two logical CPUs are made in time"


def test_a_network_whose_process_breaks_down_is_reported():
    """Of several networks, one that takes its process with it costs no other's outcome."""
    (outcome,) = check_command._in_process("no_such_network", [])
    assert (outcome.status, outcome.check) == ("failed", "process")
    assert "ended with status 1 and said: Error: There is no architecture" in outcome.reason


@pytest.mark.slow
def test_several_networks_are_checked_in_processes_of_their_own():
    ended = run("lenet5*", "--quick", "--jobs", "2", "--json", "--expect", "card=so that it fails")
    outcomes = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert [(o["architecture"], o["check"]) for o in outcomes if o["status"] == "failed"] == [
        ("lenet5", "card"),
        ("lenet5_1998", "card"),
    ]
    assert len(outcomes) == 2 * len(checks.names())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lenet_5"], "Did you mean lenet5"),
        (["lenet5", "--expect", "card"], "--expect must be CHECK=REASON. Received: 'card'"),
        (["lenet5", "--expect", "cards=x"], "There is no check 'cards'"),
    ],
)
def test_the_command_explains_mistakes(words, message):
    with pytest.raises(KerascnnError, match=re.escape(message)):
        CliRunner().invoke(app, ["check", *words], catch_exceptions=False)
