"""Saved models load in a fresh process by Keras's own function, once kerascnn is imported."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import pytest

import kerascnn
from kerascnn import saving
from kerascnn.errors import ModelError

PLUGIN = {
    "theirs/__init__.py": "",
    "theirs/parts.py": """
        import keras

        @keras.saving.register_keras_serializable("elsewhere")
        class Doubling(keras.layers.Layer):
            def call(self, x):
                return 2 * x

        @keras.saving.register_keras_serializable("elsewhere")
        def cubed(x):
            return x * x * x
    """,
    "theirs/network.py": """
        from kerascnn import Architecture, Card, blocks
        from theirs.parts import Doubling, cubed

        def build(x):
            x = blocks.conv(x, 4, 3, name="conv1")
            return blocks.apply(blocks.activation(x, cubed, name="cubed"), Doubling(name="double"))

        card = Card(title="T", authors="N", year=2000, link="d", input_shape=(8, 8, 3), classes=3)
        Theirs = Architecture(name="theirs", build=build, card=card)
    """,
    "broken.py": "raise SystemExit(3)",
    "theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
    "theirs-1.0.dist-info/entry_points.txt": """
        [kerascnn.architectures]
        abroken = broken:Broken
        theirs = theirs.network:Theirs
    """,
}
# One network of each family, and their layers among them; each small.
SAVE = """
import sys, keras, numpy as np, kerascnn
import tiny
from kerascnn.exporting import with_preprocessing

lenet = kerascnn.create("lenet5")
models = [
    lenet, kerascnn.create("lenet5_1998"),
    tiny.TinyAlexNet(input_shape=(63, 63, 3), classes=4),
    tiny.TinyAlexNetOWT(input_shape=(65, 65, 3), classes=4),
    tiny.TinyZFNet(input_shape=(63, 63, 3), classes=4), tiny.TinyNiN(),
    tiny.TinyVGG(input_shape=(64, 64, 3), classes=4, grid=3, norm="lrn"),
    tiny.TinyGoogLeNet(), tiny.TinyBNInception(), tiny.TinyResNet(shortcut="A", stem_pool="caffe"),
    tiny.TinyResNetV2(), tiny.TinyDenseNet(transition_pool="avg"), kerascnn.create("theirs"),
    with_preprocessing(lenet, kerascnn.get("lenet5").card.preprocessing),
]
for number, model in enumerate(models):
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    model.compile("sgd", "categorical_crossentropy")
    model.save(f"{number}.keras")
    np.savez(f"{number}.npz", x=x, y=model(x))
models[1].save("legacy.h5")
open("lenet5_1998.json", "w").write(models[1].to_json())
print(len(models))
"""
CHECK = """
def check(load, numbers):
    import numpy as np
    for number in numbers:
        found = np.load(f"{number}.npz")
        y = np.asarray(load(f"{number}.keras")(found["x"]))
        assert np.allclose(y, found["y"], atol=1e-5), number
"""
ORDERS = {
    "kerascnn first": """
        import kerascnn, sys
        assert "keras" not in sys.modules
        import keras
        check(keras.models.load_model, [0, 1])
        assert "theirs.network" not in sys.modules, "no plugin is imported for what is ours"
        check(keras.models.load_model, range({count}))
    """,
    "kerascnn.load_model first": """
        import kerascnn, sys
        check(kerascnn.load_model, [0, 9])
        import keras
        check(keras.models.load_model, [12])
    """,
    "the modules of kerascnn first": """
        import kerascnn.keras_internals
        import keras
        check(keras.models.load_model, [1, 9])
    """,
    "keras first": """
        from keras.models import load_model, model_from_json
        import kerascnn, keras, sys
        assert "kerascnn.layers" not in sys.modules
        assert "theirs.parts" not in sys.modules
        check(load_model, [12, 1, 9, 13])
        model_from_json(open("lenet5_1998.json").read())
        check(kerascnn.load_model, [12, 1, 9])
        load_model("legacy.h5")
        assert sys.getrecursionlimit() >= 20_000, "a deep graph is read by recursion"
    """,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the files of models, and a plugin that is installed there."""
    folder = tmp_path_factory.mktemp("models")
    for name, text in PLUGIN.items():
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return folder


def python(folder, code):
    tests = Path(__file__).parent
    paths = [str(folder / "site"), str(Path(kerascnn.__file__).parents[1]), str(tests)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.fixture(scope="module")
def count(folder):
    return int(python(folder, SAVE))


@pytest.mark.parametrize("order", ORDERS)
def test_every_family_loads_in_a_fresh_process(order, folder, count):
    """In whichever order both are imported, in safe mode, plugins' layers and functions too."""
    python(folder, CHECK + textwrap.dedent(ORDERS[order]).format(count=count))


def test_what_is_registered_as_ours_is_in_the_modules_that_are_imported_for_it():
    root = Path(kerascnn.__file__).parent
    for path in root.rglob("*.py"):
        calls = (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        )
        names = {getattr(call.func, "attr", None) for call in calls}
        if "register_keras_serializable" in names:
            module = ".".join(("kerascnn", *path.relative_to(root).with_suffix("").parts))
            assert module in saving.OURS


def test_files_that_are_no_models_are_refused(tmp_path):
    model = kerascnn.create("lenet5", widths=(2, 2), hidden=(3,))
    whole = tmp_path / "model.keras"
    model.save(whole)
    data = whole.read_bytes()
    (tmp_path / "cut.keras").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty.keras").touch()
    model.save(tmp_path / "model.h5")
    unknown = keras.Sequential([keras.Input((3,)), Unknown()])
    unknown.save(tmp_path / "unknown.keras")
    keras.saving.get_custom_objects().pop("nobody>Unknown")
    code = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x + 1)])
    code.save(tmp_path / "code.keras")
    for name, message in (
        ("missing.keras", "There is no file"),
        ("", "is a directory.*Did you mean .*model.keras"),
        ("cut.keras", "cut.keras"),
        ("text.keras", "text.keras"),
        ("empty.keras", "empty.keras"),
        ("model.h5", "must end in .keras"),
        ("unknown.keras", r"needs the class 'Unknown', which neither .* Install the plugin"),
        ("code.keras", "run code"),
    ):
        with pytest.raises(ModelError, match=message) as found:
            kerascnn.load_model(tmp_path / name)
        assert len(str(found.value)) < 700
        assert "\n" not in str(found.value)
    assert kerascnn.load_model(str(whole)).count_params() == model.count_params()


@keras.saving.register_keras_serializable("nobody")
class Unknown(keras.layers.Layer):
    """A layer of a package that isn't installed where the file is read."""

    def call(self, inputs):
        return inputs
