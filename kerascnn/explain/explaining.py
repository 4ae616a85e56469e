"""Why a network says what it says about one photo: by all methods, as a picture or as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError
from kerascnn.explain import pictures
from kerascnn.explain.arguments import require_whole
from kerascnn.explain.averaged import integrated_gradients, smooth_grad
from kerascnn.explain.cams import grad_cam, grad_cam_plus_plus, guided_grad_cam
from kerascnn.explain.gradients import deconvnet, guided_backprop, saliency
from kerascnn.explain.graph import Replay, flat_profile
from kerascnn.explain.methods import DEFAULT, INSTEAD, MAPS, METHODS, TOP, check
from kerascnn.explain.occluded import occlusion
from kerascnn.explain.patches import spans
from kerascnn.explain.pictures import Layer, Panel, Said, StrongMap, is_whole
from kerascnn.features import MAP, encoder, endpoints
from kerascnn.preprocessing import preprocess
from kerascnn.receptive_fields import ReceptiveField
from kerascnn.style import Drawing
from kerascnn.tasks.forward import require_numbers
from kerascnn.words import printable

BACKGROUND = "background"  # as sources of masks call what is no object
LAYERS = 4  # the deepest endpoints, whose maps are shown unless others are asked for
WINDOWS = 6  # so many occluding windows side by side; neighbours overlap by half


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """Why does the network say this about this photo?

    Attributes:
        model: the network.
        image: one, as the network takes it, `[1, height, width, channels]`.
        target: the index of the class.
        layer: the layer that Grad-CAM looks at: its endpoint's name, or its own; None: there is no
            map of the image.
    """

    model: keras.Model
    image: np.ndarray
    target: int
    layer: str | None

    @property
    def window(self) -> int:
        """Side of the square that occlusion covers, in pixels."""
        return max(2, round(min(self.image.shape[1:3]) / WINDOWS))

    def ask(self, name: str) -> np.ndarray:
        """What a method answers: `[rows, columns]`, or `[height, width, channels]` of PIXELS."""
        return _ASK[name](self)[0]

    def panel(self, name: str, values: np.ndarray) -> Panel:
        """A method's values with its words."""
        method = METHODS[name]
        words = {
            "layer": self.layer,
            "window": f"{self.window}×{self.window}",
            "most": f"{float(np.abs(values).max(initial=0)):.3g}",
        }
        caption = method.caption.format(**words)
        if not values.any():
            caption = "Nothing is to be seen: it is zero everywhere."
        return Panel(
            title=method.title.format(**words),
            caption=caption,
            kind=method.kind,
            values=values,
            low=method.low.format(**words),
            high=method.high.format(**words),
        )


def _occlusion(q: Question) -> np.ndarray:
    window, colour = q.window, q.image.mean(axis=(0, 1, 2))
    stride = max(1, window // 2)
    return occlusion(q.model, q.image, q.target, window=window, stride=stride, baseline=colour)


_ASK: dict[str, Callable[[Question], np.ndarray]] = {
    "grad_cam": lambda q: grad_cam(q.model, q.image, q.target, layer=q.layer),
    "grad_cam_plus_plus": lambda q: grad_cam_plus_plus(q.model, q.image, q.target, layer=q.layer),
    "occlusion": _occlusion,
    "guided_backprop": lambda q: guided_backprop(q.model, q.image, q.target),
    "guided_grad_cam": lambda q: guided_grad_cam(q.model, q.image, q.target, layer=q.layer),
    "deconvnet": lambda q: deconvnet(q.model, q.image, q.target),
    "saliency": lambda q: saliency(q.model, q.image, q.target),
    "smooth_grad": lambda q: smooth_grad(q.model, q.image, q.target),
    "integrated_gradients": lambda q: integrated_gradients(q.model, q.image, q.target).sum(axis=-1),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """What a network says about one photo, and why. A notebook shows it as its picture.

    Attributes:
        network: its name.
        name: the photo's.
        photo: as the network sees it, uint8 `[height, width, channels]`.
        class_names: one for each class.
        probabilities: of the classes, `[classes]`. Where the answer is a map: the share of its
            places that are answered with each class.
        scores: before the softmax, `[classes]`. Where the answer is a map: their sums over these
            places.
        mask: where the answer is a map, the class of each pixel, `[height, width]`, and -1 outside
            of the middle for which a network without padding answers; else None.
        target: the class that is explained.
        top: how many classes are shown.
        answers: method → its values, float32: `[rows, columns]`, or `[height, width, channels]`.
        layers: with their strongest maps and projections.
        projection: how maps were projected: "deconvnet", or "saliency" where an activation is no
            ReLU.
        question: what the methods were asked.
    """

    network: str
    name: str
    photo: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray
    scores: np.ndarray
    mask: np.ndarray | None
    target: int
    top: int
    answers: dict[str, np.ndarray]
    layers: tuple[Layer, ...]
    projection: str
    question: Question

    @property
    def likeliest(self) -> list[int]:
        """The classes that are shown, the likeliest first; the one that is explained among them."""
        order = np.argsort(-self.probabilities, kind="stable").tolist()
        first = order[: self.top]
        return first if self.target in first else [*first[: self.top - 1], self.target]

    @property
    def shown(self) -> list[tuple[str, float]]:
        """Names and probabilities of the classes that are shown."""
        return [(self.class_names[k], float(self.probabilities[k])) for k in self.likeliest]

    def figure(self) -> Drawing:
        """The picture, for `savefig`."""
        said = [
            Said(printable(self.class_names[k]), float(self.probabilities[k]), k == self.target)
            for k in self.likeliest
        ]
        best = int(self.probabilities.argmax())
        of = "" if self.mask is None else " of the pixels"
        share = pictures.share(self.probabilities[best])
        title = f"{self.network} says {printable(self.class_names[best])} ({share}{of})"
        subtitle = self.name
        if best != self.target:
            share = pictures.share(self.probabilities[self.target])
            subtitle += f"  ·  explained: {printable(self.class_names[self.target])} ({share}{of})"
        panels = [self.question.panel(n, v) for n, v in self.answers.items()]
        return pictures.picture(
            self.photo,
            said,
            panels,
            self.layers,
            title=title,
            subtitle=subtitle.strip(" ·"),
            projected=_PROJECTED[self.projection],
            there=None if self.mask is None else self.mask == self.target,
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as JSON can hold them; positions are pixels of the network's input.

        - "image", "network";
        - "explained": the class's "index", "name", "probability" and "score" (before the softmax);
          where the answer is a map, "share" of its places in place of "probability", and the sum of
          its scores there;
        - "classes": the same of the likeliest classes;
        - "methods": of each its "layer" where it has one, "shape" of its values, and "strongest":
          "row", "column" and "value" of the largest absolute value, summed over the channels;
          "positive": the share of the absolute values that is above zero;
        - "layers": of each its "maps": "map", "value", "row" and "column" of the strongest unit
          in the map, and "field": what it sees, [top, left, bottom, right].
        """
        return {
            "image": self.name,
            "network": self.network,
            "explained": self._class(self.target),
            "classes": [self._class(k) for k in self.likeliest],
            "methods": {name: self._summary(name) for name in self.answers},
            "projection": self.projection,
            "layers": {layer.name: [_numbers(one) for one in layer.maps] for layer in self.layers},
        }

    def _class(self, index: int) -> dict[str, Any]:
        return {
            "index": index,
            "name": self.class_names[index],
            "probability" if self.mask is None else "share": float(self.probabilities[index]),
            "score": float(self.scores[index]),
        }

    def _summary(self, name: str) -> dict[str, Any]:
        values = self.answers[name]
        flat = values.sum(axis=-1) if values.ndim == 3 else values
        row, column = _strongest(np.abs(flat))
        total = float(np.abs(flat).sum())
        # The middle of a unit of a coarse map, in pixels.
        scale = [size / side for size, side in zip(self.photo.shape, flat.shape)]
        return {
            **({"layer": self.question.layer} if METHODS[name].layered else {}),
            "shape": list(values.shape),
            "strongest": {
                "row": int((row + 0.5) * scale[0]),
                "column": int((column + 0.5) * scale[1]),
                "value": float(flat[row, column]),
            },
            "positive": float(np.maximum(flat, 0).sum() / total) if total else None,
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()


_PROJECTED = {"deconvnet": "projection", "saliency": "gradient, as an activation is no ReLU"}


def explanation(
    model: keras.Model,
    photo: Any,
    *,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    target: int | None = None,
    methods: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    maps: int = MAPS,
    top: int = TOP,
    name: str = "",
    network: str | None = None,
) -> Explanation:
    """Why a network says what it says about one photo.

    Args:
        model: functional, with an output of scores, or of a map of scores; the first one counts.
        photo: pixels in [0, 255] in the network's size, `[height, width, channels]`.
        preprocessing: from pixels to the network's input; default: `kerascnn.Preprocessing()`.
        class_names: one for each class; default: their numbers.
        target: the index of the class to explain; default: the likeliest. Where the answer is a
            map: the sum of its scores where it is the answer; default: that of the most places,
            unless it is called "background".
        methods: names of functions of `kerascnn.explain`, a panel each. Default: Grad-CAM,
            occlusion and guided back-projection; saliency instead of the first where there is no
            map of the image, and of the last where an activation isn't ReLU.
        layers: endpoints or layers whose strongest maps are shown; Grad-CAM looks at the last of
            them. Default: the deepest four of `C1`, `C2`, ...; Grad-CAM at its own default.
        maps: how many of each layer; 0: none.
        top: how many classes.
        name, network: what photo and network are called; default: "", the model's name.

    Returns:
        The answers: `.figure()` draws them, `.to_dict()` has numbers.

    Raises:
        ArgumentError: an argument is illegal, or doesn't fit the model.
        RunError: the model's answers are not numbers.
    """
    require_whole("maps", maps, 0)
    require_whole("top", top, 1)
    names = check(DEFAULT if methods is None else methods)
    pixels = _pixels(photo)
    preprocessing = preprocessing or Preprocessing()
    replay = Replay(model)
    image = replay.images(preprocess(pixels[None], preprocessing))
    chosen = _Layers.of(model, replay, image, layers, maps)
    require_numbers(chosen.scores[None])
    probabilities, scores, mask = _answered(replay, chosen.scores)
    names_ = _class_names(class_names, len(scores))
    if target is None:
        target = _likeliest(probabilities, names_ if mask is not None else ())
    if not 0 <= target < len(scores):
        raise ArgumentError(
            f"target must be a class from 0 to {len(scores) - 1}. Received: {target!r}."
        )
    layer = layers[-1] if layers else _last_map(model, replay)
    question = Question(model=model, image=image.numpy(), target=target, layer=layer)
    answers = dict(_answer(name, question, fixed=methods is not None) for name in names)
    if preprocessing.order == "BGR" and pixels.shape[-1] == 3:  # as the photo has its channels
        turn = slice(None, None, -1)
    else:
        turn = slice(None)
    projection, shown = chosen.projected(model, image)
    return Explanation(
        network=model.name if network is None else network,
        name=name,
        photo=pixels,
        class_names=names_,
        probabilities=probabilities,
        scores=scores,
        mask=None if mask is None else _in_pixels(mask, image.shape[1:3], chosen.stride),
        target=target,
        top=min(top, len(scores)),
        answers={n: v[..., turn] if v.ndim == 3 else v for n, v in answers.items()},
        layers=tuple(_turned(layer, turn) for layer in shown),
        projection=projection,
        question=question,
    )


def _answered(
    replay: Replay, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Probabilities and scores `[classes]`, and the mask, as `Explanation` has them.

    Args:
        replay: of the model.
        scores: `[classes]`, or of a map `[rows, columns, classes]`.
    """
    if scores.ndim == 1:
        return replay.probabilities(tf.constant(scores[None]))[0].numpy(), scores, None
    mask, classes = scores.argmax(axis=-1), scores.shape[-1]
    counts = np.bincount(mask.ravel(), minlength=classes)
    sums = np.bincount(mask.ravel(), scores.max(axis=-1).ravel(), minlength=classes)
    return (counts / mask.size).astype("float32"), sums.astype("float32"), mask


def _in_pixels(mask: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    """A mask `[rows, columns]` as large as the image; what it lacks then is around it, and -1."""
    mask = mask.repeat(stride, axis=0).repeat(stride, axis=1)[: size[0], : size[1]]
    spare = [whole - side for whole, side in zip(size, mask.shape)]
    around = [(one // 2, one - one // 2) for one in spare]
    return np.pad(mask, around, constant_values=-1)


def _likeliest(probabilities: np.ndarray, names: Sequence[str]) -> int:
    """The class that is explained unless one is asked for; the background if there is no other."""
    plain = [name == BACKGROUND for name in names] or np.zeros(len(probabilities), bool)
    others = np.where(plain, 0, probabilities)
    return int((others if others.any() else probabilities).argmax())


def _pixels(photo: Any) -> np.ndarray:
    """As uint8; anything that can't be pixels is refused."""
    found = np.asarray(photo)
    shaped = found.ndim == 3 and found.size
    if not shaped or not (found.min() >= 0 and found.max() <= 255):
        what = f"{found.min()} to {found.max()}" if shaped else f"shape {found.shape}"
        raise ArgumentError(
            "photo must be pixels from 0 to 255, [height, width, channels]; preprocessing is done "
            f"here. Received: {what}."
        )
    return np.rint(found).astype("uint8")


def deepest(model: keras.Model, count: int) -> list[str]:
    """The names of the last of a network's endpoints `C1`, `C2`, ...

    Where it goes up again, as networks do whose answer is a map, not all goes through its maps of
    the way down: these have the names of their layers.
    """
    known = {point.layer: name for name, point in endpoints(model).items() if MAP.fullmatch(name)}
    down = encoder(model).values()
    return [known.get(layer, layer) for layer in down or known][-count:]


def _last_map(model: keras.Model, replay: Replay) -> str | None:
    """What Grad-CAM looks at unless it is told: an endpoint's name, or the last map's; or none."""
    try:
        last = replay.last_map()
    except ArgumentError:  # which is told by methods that need one
        return None
    return next((n for n in endpoints(model) if replay.layer(n) == last), last)


def _turned(layer: Layer, turn: slice) -> Layer:
    maps = [replace(one, projection=one.projection[..., turn]) for one in layer.maps]
    return replace(layer, maps=maps)


def _class_names(given: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(map(str, range(count))) if given is None else tuple(given)
    if len(names) != count:
        raise ArgumentError(
            f"class_names must be {count} names, one for each class. Received: {len(names)}."
        )
    return names


def _answer(name: str, question: Question, *, fixed: bool) -> tuple[str, np.ndarray]:
    """A method's name and values; of another one where it can't be, unless it is `fixed`."""
    try:
        return name, question.ask(name)
    except ArgumentError:
        if fixed or name not in INSTEAD:
            raise
        return INSTEAD[name], question.ask(INSTEAD[name])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layers:
    """Layers whose maps are shown, and what they are for the photo.

    Attributes:
        scores: of the classes, before the softmax, `[classes]`; or a map of them.
        stride: pixels between the places of that map.
        shown: the layers with their strongest maps, without projections yet.
    """

    scores: np.ndarray
    stride: int
    shown: tuple[Layer, ...]

    @classmethod
    def of(
        cls,
        model: keras.Model,
        replay: Replay,
        image: tf.Tensor,
        names: Sequence[str] | None,
        count: int,
    ) -> _Layers:
        """Play the network once.

        Args:
            model, replay, image: what is looked at.
            names: endpoints or layers; None: the deepest whose maps have more than one unit.
            count: maps of each layer.
        """
        found = deepest(model, LAYERS) if names is None else names
        layers = [replay.layer(name) for name in found]
        scores, *maps = (each[0].numpy() for each in replay.play(image, [None, *layers]))
        measured = flat_profile(model, tuple(image.shape[1:]))
        shown = []
        for name, layer, values in zip(found, layers, maps):
            if names is None and values.size == values.shape[-1]:
                continue
            if values.ndim != 3:
                raise ArgumentError(
                    f"layers must be of maps, [rows, columns, channels]. Received: {name!r} of "
                    f"{list(values.shape)}."
                )
            field = measured[layer].receptive_field
            shown.append(_layer(name, layer, values, field, tuple(image.shape[1:3]), count))
        answer = measured[measured.outputs[0]]
        stride = max(1, int(max(answer.stride))) if answer.stride else 1
        return cls(scores=scores, stride=stride, shown=tuple(shown))

    def projected(self, model: keras.Model, image: tf.Tensor) -> tuple[str, tuple[Layer, ...]]:
        """How maps were projected, and the layers with their projections."""
        targets = [(layer.name, one.channel) for layer in self.shown for one in layer.maps]
        if not targets:
            return "deconvnet", ()
        images = np.repeat(image.numpy(), len(targets), axis=0)
        method = "deconvnet"
        try:
            found = iter(deconvnet(model, images, targets))
        except ArgumentError:  # an activation isn't ReLU
            method = "saliency"
            found = iter(saliency(model, images, targets, signed=True))
        return method, tuple(
            replace(layer, maps=[replace(one, projection=next(found)) for one in layer.maps])
            for layer in self.shown
        )


def _layer(
    name: str,
    layer: str,
    values: np.ndarray,
    field: ReceptiveField | None,
    size: tuple[int, int],
    count: int,
) -> Layer:
    """A layer's strongest maps, `[rows, columns, channels]`; those that don't fire are left out."""
    rows, columns, channels = values.shape
    peaks = values.max(axis=(0, 1))
    maps: list[StrongMap] = []
    for channel in np.argsort(-peaks, kind="stable"):
        unit = _strongest(values[..., channel])
        top, left, bottom, right = spans(field, np.array(unit), size).tolist()
        seen = (top, left, bottom, right)
        # One more where no patches need space: see `pictures`.
        whole = count > 1 and all(is_whole(each, size) for each in (seen, *(m.field for m in maps)))
        if peaks[channel] <= 0 or len(maps) >= count + whole:
            break
        maps.append(
            StrongMap(
                channel=int(channel),
                value=float(peaks[channel]),
                unit=unit,
                values=values[..., channel],
                field=seen,
                projection=np.zeros(0),
            )
        )
    wide = "all of it" if field is None else f"{field.size[0]} pixels"
    notes = (*((layer,) if layer != name else ()), f"{channels} of {rows}×{columns}", f"see {wide}")
    return Layer(name, notes, maps)


def _strongest(values: np.ndarray) -> tuple[int, int]:
    """Row and column of the largest value."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    return int(row), int(column)


def _numbers(one: StrongMap) -> dict[str, Any]:
    row, column = one.unit
    return {
        "map": one.channel,
        "value": one.value,
        "row": row,
        "column": column,
        "field": list(one.field),
    }
