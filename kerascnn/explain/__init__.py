"""What a network sees: projections, heat maps, best patches.

Functions take a model and images as the network takes them, preprocessed, and return float32
arrays. Their modules are called otherwise than they, so that `explain.occlusion` is the function.

targets       what is explained: a class, or units of a map.
graph         `Replay` plays a model again, in float32, with other rules for ReLU on the way back.
gradients     `deconvnet`, `guided_backprop`, `saliency`; `for_each_layer`, which all share.
variants      many changed copies of an image, seen in the units that the image itself has chosen:
averaged      `smooth_grad` and `integrated_gradients`, and
occluded      `occlusion`.
cams          `grad_cam`, `grad_cam_plus_plus`, `guided_grad_cam`.
reading       the images of a data set, once through and some of them again.
search        one pass over them, of which
strongest     keeps the k strongest activations of each map, also in a file.
patches       `top_patches`: what these images show there, and their projections.
maps          `feature_maps` and `filters`.
evolving      `evolution`: the strongest patches after some epochs of a run.
changing      `invariance`: features of images that are moved, scaled and turned.
methods       what people read of the methods; how much is shown.
explaining    `explanation`: all methods for one photo, as numbers or as a picture.
pictures      draws that picture, for which
colours       makes colours of values.
sheets        draws the others, each of many: `sheet`, `evolution_sheet`, `invariance_sheet`.
arguments     what several of these refuse.

Importing this package loads neither Keras nor TensorFlow: names are resolved when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascnn.imports import lazy

if TYPE_CHECKING:
    from kerascnn.explain.averaged import integrated_gradients, smooth_grad
    from kerascnn.explain.cams import grad_cam, grad_cam_plus_plus, guided_grad_cam
    from kerascnn.explain.changing import Invariance, invariance
    from kerascnn.explain.evolving import Evolution, evolution
    from kerascnn.explain.explaining import Explanation, explanation
    from kerascnn.explain.gradients import deconvnet, guided_backprop, saliency
    from kerascnn.explain.maps import feature_maps, filters
    from kerascnn.explain.occluded import occlusion
    from kerascnn.explain.patches import TopPatches, top_patches
    from kerascnn.explain.sheets import evolution_sheet, invariance_sheet, sheet
    from kerascnn.explain.targets import Target

_PUBLIC = {
    "Evolution": "evolving",
    "Explanation": "explaining",
    "Invariance": "changing",
    "Target": "targets",
    "TopPatches": "patches",
    "deconvnet": "gradients",
    "evolution": "evolving",
    "evolution_sheet": "sheets",
    "explanation": "explaining",
    "feature_maps": "maps",
    "filters": "maps",
    "grad_cam": "cams",
    "grad_cam_plus_plus": "cams",
    "guided_backprop": "gradients",
    "guided_grad_cam": "cams",
    "integrated_gradients": "averaged",
    "invariance": "changing",
    "invariance_sheet": "sheets",
    "occlusion": "occluded",
    "saliency": "gradients",
    "sheet": "sheets",
    "smooth_grad": "averaged",
    "top_patches": "patches",
}

__all__ = [
    "Evolution",
    "Explanation",
    "Invariance",
    "Target",
    "TopPatches",
    "deconvnet",
    "evolution",
    "evolution_sheet",
    "explanation",
    "feature_maps",
    "filters",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_backprop",
    "guided_grad_cam",
    "integrated_gradients",
    "invariance",
    "invariance_sheet",
    "occlusion",
    "saliency",
    "sheet",
    "smooth_grad",
    "top_patches",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __getattr__ = lazy(__name__, {n: f"{__name__}.{home}" for n, home in _PUBLIC.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
