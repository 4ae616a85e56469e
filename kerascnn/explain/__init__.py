"""What a network sees: projections, heat maps, best patches.

Every function takes a model and images as the network takes them, preprocessed, and returns float32
arrays. `targets` says what is explained; `graph` plays the model again, with other rules on the way
back, on which `gradients`, `averaged`, `cams` and `occluded` stand. `pictures` and `sheets` draw.

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
