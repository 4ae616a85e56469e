"""What publishers of weights do for all networks: their pixels, addresses and protocols.

`preprocess_for` and `decode_predictions` are what a module of keras.applications has besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kerascnn.applications.common import result
from kerascnn.card import NumberedNames, Preprocessing, Result, Source, TorchNames
from kerascnn.errors import ArgumentError

# Pixels: statistics of ImageNet and CIFAR-10 as everybody rounds them; they are in no paper. For
# papers that subtract the mean image its mean colour does as well.
MEAN_RGB = Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939))
TORCH = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Preprocessing(scale=1.0, mean=(103.939, 116.779, 123.68), order="BGR")
SYMMETRIC = Preprocessing(scale=1 / 127.5, mean=(1.0,))
CIFAR = Preprocessing(scale=1.0, mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
TORCH_URL = "https://download.pytorch.org/models/"


def from_torch(
    file: str,
    digest: str,
    names: TorchNames | NumberedNames,
    preprocessing: Preprocessing = TORCH,
) -> Source:
    """A checkpoint of torchvision's own (IMAGENET1K_V1); `digest` begins its SHA-256."""
    return Source(
        publisher="torchvision",
        file=f"{TORCH_URL}{file}",
        digest=f"sha256:{digest}",
        preprocessing=preprocessing,
        names=names,
    )


def from_hub(
    name: str,
    names: TorchNames | NumberedNames,
    *,
    revision: str = "",
    requires: Mapping[str, Any] | None = None,
) -> Source:
    """timm's copy of torchvision's checkpoint of this name (IMAGENET1K_V1)."""
    return Source(
        publisher="torchvision",
        file=f"timm/{name}.tv_in1k",
        revision=revision,
        preprocessing=TORCH,
        requires=requires or {},
        names=names,
    )


def from_keras(
    path: str,
    top: str,
    no_top: str,
    preprocessing: Preprocessing,
    *,
    requires: Mapping[str, Any] | None = None,
) -> Source:
    """keras.applications' file of this path, with and without the classifier, and their MD5."""
    stem = f"{KERAS_URL}{path}_weights_tf_dim_ordering_tf_kernels"
    return Source(
        publisher="keras",
        file=f"{stem}.h5",
        digest=f"md5:{top}",
        no_top=f"{stem}_notop.h5",
        no_top_digest=f"md5:{no_top}",
        preprocessing=preprocessing,
        requires=requires or {},
    )


def torchvision(top1: float, top5: float) -> Result:
    """What torchvision's reference weights IMAGENET1K_V1 reach."""
    protocol = "224 centre crop of a shorter side of 256"
    return result((top1, top5), protocol, "torchvision IMAGENET1K_V1")


def preprocess_for(preprocessing: Preprocessing) -> Callable[..., Any]:
    """The function `preprocess_input` for published weights that expect this preprocessing."""

    def preprocess_input(x: Any, data_format: str | None = None) -> Any:
        """Pixels as the module's published weights (`weights="imagenet"`) expect them.

        Args:
            x: RGB in 0..255, `[..., height, width, 3]`: an array, which stays as it is, a tensor,
                or a symbolic tensor.
            data_format: None or "channels_last".

        Returns:
            float32 of the same shape: an array of an array, else a tensor.

        Raises:
            ArgumentError: another data format.
        """
        import numpy as np

        from kerascnn.preprocessing import preprocess

        if data_format not in (None, "channels_last"):
            raise ArgumentError(
                f'data_format must be None or "channels_last". Received: {data_format!r}.'
            )
        found = preprocess(x, preprocessing)
        return np.asarray(found) if isinstance(x, np.ndarray) else found

    return preprocess_input


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """ImageNet's names of the likeliest classes; see `kerascnn.weights.decode_predictions`."""
    from kerascnn.weights import decode_predictions as decode

    return decode(preds, top)
