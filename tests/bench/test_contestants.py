"""Contestants of other frameworks, of which stand-ins are installed."""

import subprocess
import sys
import textwrap

STAND_IN = """
class Model: pass
class models:
    resnet18 = staticmethod(lambda: Model())
"""


def test_contestants_of_torch_do_without_tensorflow_and_keras(tmp_path):
    """Where torch brings triton, importing it after TensorFlow ends the process."""
    (tmp_path / "torchvision.py").write_text(STAND_IN)
    code = """
        import sys
        from kerascnn.bench import digits, gpu, infer, rounds, training
        from kerascnn.bench.networks import torch_network
        assert type(torch_network("torchvision", "resnet18")).__name__ == "Model"
        assert digits._read(sys.argv[1])[1].tolist() == [3]
        print([name for name in ("tensorflow", "keras") if name in sys.modules])
    """
    write = f"import numpy; numpy.savez({str(tmp_path / 'digits.npz')!r}, [1.5], [3])"
    subprocess.run([sys.executable, "-c", write], check=True)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "digits.npz")],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout == "[]\n"
