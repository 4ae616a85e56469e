import kerascnn


def test_version():
    assert kerascnn.__version__
