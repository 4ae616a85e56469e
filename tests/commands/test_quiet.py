"""TensorFlow's log lines stay out of the terminal, unless it can't be imported."""

import os
import subprocess
import sys

import pytest

from kerascnn.quiet import captured_stderr

MAIN = "import sys; from kerascnn.cli import main; sys.argv[0] = 'kerascnn'; main()"


def kerascnn(*words, code=MAIN, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("TF_")} | environment
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_training_prints_nothing_on_stderr(tmp_path):
    small = ("--set", "widths=2,4", "--set", "hidden=8", "--batch-size", 500)
    ended = kerascnn("train", "lenet5", "--epochs", 1, "--run", tmp_path / "run", *small)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""


def test_a_notebook_has_no_greeting():
    """`create` imports TensorFlow; whoever imports it without a notebook hears it as ever."""
    create = "import kerascnn; kerascnn.create('lenet5')"
    notebook = "import sys, types; sys.modules['ipykernel'] = types.ModuleType('ipykernel'); "
    assert kerascnn(code=notebook + create).stderr == ""
    assert "oneDNN" in kerascnn(code=create).stderr


def test_a_notebook_has_no_advice_to_programmers():
    """TensorFlow sends it to standard output where Python is interactive, as notebooks are."""
    notebook = "import sys, types; sys.modules['ipykernel'] = types.ModuleType('ipykernel'); "
    notebook += "sys.ps1 = '>'; import kerascnn; kerascnn.create('lenet5'); "
    advice = "import tensorflow as tf; tf.get_logger().warning('tracing'); "
    ended = kerascnn(code=f"{notebook}{advice}tf.get_logger().error('wrong')")
    assert "tracing" not in ended.stdout + ended.stderr
    assert "wrong" in ended.stdout + ended.stderr


def test_verbose_shows_what_tensorflow_says():
    code = "from kerascnn import quiet; quiet.hush_tensorflow(); import tensorflow"
    assert "oneDNN" in kerascnn(code=code, KERASCNN_VERBOSE="1").stderr


def test_a_failing_import_shows_what_was_kept_back(tmp_path):
    broken = "import os\nos.write(2, b'no such instruction\\n')\nraise ImportError('libcuda')\n"
    (tmp_path / "tensorflow.py").write_text(broken)
    code = "from kerascnn import quiet; quiet.hush_tensorflow(); import tensorflow"
    ended = kerascnn(code=code, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert "no such instruction" in ended.stderr
    assert "ImportError: libcuda" in ended.stderr


def test_stderr_is_the_old_one_afterwards(capfd):
    with captured_stderr():
        os.write(2, b"hidden")
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
    with pytest.raises(ImportError, match="libcuda"):
        say_and_fail()
    assert capfd.readouterr().err == "shown after all"


def say_and_fail():
    with captured_stderr():
        os.write(2, b"shown after all")
        raise ImportError("libcuda")
