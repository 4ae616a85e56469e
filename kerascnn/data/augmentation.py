"""Random changes of training images, inside tf.data and for a whole batch at once.

Each image's change is a pure function of (seed, epoch, index of the image): resumed runs, other
batch sizes and other numbers of workers see the same images. Keras' random layers draw from one
generator for a batch, so what they do to an image depends on its neighbours; hence these.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.data.draws import Draw
from kerascnn.data.erasing import erased
from kerascnn.data.motion import Motion
from kerascnn.data.randaugment import OPERATIONS, blended, contrasted, grey
from kerascnn.data.splits import Crops, Split
from kerascnn.data.targets import Targets, many
from kerascnn.data.threads import threads
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import Augmentation

SAMPLE = 500  # images of which the principal components of colour are computed

# Streams of random numbers, of 64 for each seed.
_TURN, _GROW, _RIGHT, _DOWN, _SLANT, _MIRROR, _LEFT, _TOP, _SIZE, _ASPECT = range(10)
_JITTER, _ELASTIC, _LIGHTING, _RANDAUGMENT = 10, 13, 16, 32


def augment(
    images: Any,
    index: Any,
    epoch: Any,
    *,
    seed: int,
    augmentation: Augmentation,
    size: tuple[int, int] | None = None,
) -> Any:
    """A crop of each image, turned, mirrored and so on in a single resampling; then its colours.

    At last a rectangle is erased, if the recipe does that.

    Args:
        images: `[batch, height, width, channels]` of the canvas, uint8 or float in 0..255.
        index, epoch: int64 `[batch]`, each image's number in its split, and its epoch.
        seed: the run's seed.
        augmentation: the largest changes.
        size: `(height, width)` of the result; default: what the canvas was made for.

    Returns:
        float32 images `[batch, *size, channels]`.

    Raises:
        ArgumentError: `lighting` without `components`; see `with_components`.
    """
    canvas = tuple(images.shape[1:3])
    size = size or tuple(round(side / augmentation.canvas) for side in canvas)
    images = tf.cast(images, tf.float32)
    moved = motion(index, epoch, seed=seed, augmentation=augmentation, canvas=canvas, size=size)
    if moved is not None:
        images = moved.pixels(images)
    draw = Draw(index, epoch, seed)
    for layer in range(augmentation.randaugment):
        images = _randaugment(images, draw, _RANDAUGMENT + 2 * layer, augmentation.magnitude / 10)
    images = _coloured(images, draw, augmentation)
    return erased(images, draw, augmentation, seed) if augmentation.erase else images


def motion(
    index: Any,
    epoch: Any,
    *,
    seed: int,
    augmentation: Augmentation,
    canvas: tuple[int, int],
    size: tuple[int, int],
) -> Motion | None:
    """How `augment` moves images of a canvas, so that what they are labelled with can follow.

    The operations of RandAugment, which move some images too, aren't part of it.

    Args:
        index, epoch, seed, augmentation: see `augment`.
        canvas: `(height, width)` of the images.
        size: `(height, width)` of the results.

    Returns:
        None, if every image stays as it is.
    """
    if size == canvas and not _moves(augmentation):
        return None
    draw = Draw(index, epoch, seed)
    return Motion(
        matrices=_geometry(draw, augmentation, canvas, size),
        displacement=_elastic(draw, augmentation, canvas, size),
        size=size,
        border=augmentation.border,
    )


def refuse_strays(augmentation: Augmentation, targets: type[Targets]) -> None:
    """Refuse what moves images where their targets can't follow.

    Raises:
        ArgumentError: says what is to be left out of the recipe.
    """
    for name, way, follows in (
        ("randaugment", "RandAugment moves images", not targets.moves),
        ("erase", "Random erasing hides parts of images", not targets.moves),
        ("elastic", "An elastic deformation bends images", targets.bends or not targets.moves),
    ):
        if getattr(augmentation, name) and not follows:
            raise ArgumentError(
                f"{way}, and their {many(targets.kind)} can't follow. "
                f"Leave it out: --with augmentation.{name}=0."
            )
    if augmentation.border != "zero" and targets.moves and not targets.bends:
        raise ArgumentError(
            "A mirrored border shows what is near it a second time, which "
            f"{many(targets.kind)} don't. Leave it out: --with augmentation.border=zero."
        )


def crops(
    augmentation: Augmentation, *, seed: int, canvas: tuple[int, int], size: tuple[int, int]
) -> tuple[Crops | None, Augmentation]:
    """The part of `augment` that the data can do while reading, and what is left to do.

    Crops on whole pixels, and mirroring; None, if the recipe moves images in other ways.
    """
    flip = augmentation.flip
    left_over = replace(augmentation, canvas=1.0, flip=False)
    if _moves(left_over) or (size == canvas and not flip) or min(np.subtract(canvas, size)) < 0:
        return None, augmentation

    def choose(index: Any, epoch: Any) -> tuple[Any, Any, Any]:
        draw = Draw(index, epoch, seed)
        top, left = (
            tf.cast(_place(draw(stream), side, kept, 0, True), tf.int32)
            for stream, side, kept in zip((_TOP, _LEFT), canvas, size)
        )
        mirrored = draw(_MIRROR) > 0 if flip else tf.zeros_like(top, tf.bool)
        return top, left, mirrored

    return Crops(size, choose), left_over


def central(images: Any, augmentation: Augmentation, size: tuple[int, int]) -> Any:
    """The middle of each canvas, as evaluation sees it.

    Where training scales the canvas (`resize`), the middle is taken at the mean of its scales, as
    VGG's single-scale evaluation does.

    Args:
        images: `[batch, height, width, channels]` of the canvas.
        augmentation: of the training.
        size: `(height, width)` of the result.

    Returns:
        Images `[batch, *size, channels]`: of the same dtype if it is a plain crop, else float32.
    """
    height, width = images.shape[1:3]
    rows, columns = _middle(augmentation, (height, width), size)
    top, left = (height - rows) // 2, (width - columns) // 2
    images = images[:, top : top + rows, left : left + columns]
    return images if (rows, columns) == size else tf.image.resize(images, size, antialias=True)


def central_targets(
    kind: type[Targets],
    batch: Any,
    augmentation: Augmentation,
    canvas: tuple[int, int],
    size: tuple[int, int],
) -> Any:
    """A batch of targets on a canvas, as `central` sees their images.

    Args:
        kind: of the targets.
        batch: `[batch, ...]`, of the canvas.
        augmentation: of the training.
        canvas: `(height, width)` of the images.
        size: `(height, width)` of the result.
    """
    rows, columns = _middle(augmentation, canvas, size)
    top, left = (canvas[0] - rows) // 2, (canvas[1] - columns) // 2
    many = tf.shape(batch)[:1]
    if (rows, columns) == size:
        upright = tf.zeros(many, tf.bool)
        return kind.cut(batch, tf.fill(many, top), tf.fill(many, left), upright, size)
    down, right = rows / size[0], columns / size[1]  # canvas pixels in one of the result
    matrix = [[right, 0, left + (right - 1) / 2], [0, down, top + (down - 1) / 2]]
    matrices = tf.tile(tf.constant([matrix], tf.float32), [many[0], 1, 1])
    return kind.moved(batch, Motion(matrices=matrices, size=size))


def _middle(
    augmentation: Augmentation, canvas: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int]:
    """Height and width of the part of a canvas that evaluation sees."""
    (height, width), (rows, columns) = canvas, size
    if augmentation.resize:
        middle = sum(augmentation.resize) / 2
        rows, columns = round(height / middle), round(width / middle)
    return min(rows, height), min(columns, width)


def with_components(augmentation: Augmentation, split: Split) -> Augmentation:
    """With the principal components of the images' colours, if `lighting` needs them.

    Of the covariance of the channels over all pixels of `SAMPLE` images evenly spread over the
    split (AlexNet, section 4.1, which takes all images): one row for each eigenvector, times its
    eigenvalue, for pixels in [0, 1].
    """
    if not augmentation.lighting or augmentation.components:
        return augmentation
    chosen = np.linspace(0, split.size - 1, min(SAMPLE, split.size)).astype(int)
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for image, _ in threads().map(split.example, chosen.tolist()):
        pixels = image.reshape(-1, image.shape[-1]).astype("float64") / 255
        count, total, squares = (
            count + len(pixels),
            total + pixels.sum(0),
            squares + pixels.T @ pixels,
        )
    mean = total / count
    variances, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    rows = (variances * vectors).T[::-1]
    return replace(augmentation, components=tuple(map(tuple, rows.tolist())))


def _moves(augmentation: Augmentation) -> bool:
    fields = ("resize", "area", "pad", "shift", "rotation", "zoom", "shear", "elastic", "flip")
    return any(getattr(augmentation, name) for name in fields)


def _geometry(draw: Draw, changes: Augmentation, canvas: Any, size: tuple[int, int]) -> Any:
    """From a pixel of the result to one of the canvas, `[batch, 2, 3]`.

    A window of the canvas is scaled to the result; within it the image is mirrored, sheared, then
    turned and scaled, all around the window's centre, and shifted.
    """
    height, width = size
    tall, wide = _window(draw, changes, canvas, size)
    whole = not (changes.resize or changes.area)  # such crops lie on whole pixels and stay sharp
    top = _place(draw(_TOP), canvas[0], tall, round(changes.pad * height), whole)
    left = _place(draw(_LEFT), canvas[1], wide, round(changes.pad * width), whole)
    down, right = tall / height, wide / width  # canvas pixels in one of the result

    angle = draw(_TURN) * (changes.rotation * math.pi / 180)
    scale = 1 / (1 + draw(_GROW) * changes.zoom)
    slant = draw(_SLANT) * changes.shear
    mirrored = tf.where(draw(_MIRROR) > 0, -1.0, 1.0) if changes.flip else tf.ones_like(scale)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    xx, xy = cos * mirrored * right, (cos * slant - sin) * right
    yx, yy = sin * mirrored * down, (sin * slant + cos) * down
    x, y = (width - 1) / 2, (height - 1) / 2
    dx = left + (wide - 1) / 2 - xx * x - xy * y + draw(_RIGHT) * changes.shift * wide
    dy = top + (tall - 1) / 2 - yx * x - yy * y + draw(_DOWN) * changes.shift * tall
    return tf.reshape(tf.stack([xx, xy, dx, yx, yy, dy], axis=1), [-1, 2, 3])


def _elastic(draw: Draw, changes: Augmentation, canvas: Any, size: tuple[int, int]) -> Any:
    """Smooth random displacements in canvas pixels, `[batch, *size, 2]` (U-Net, section 3.1).

    Drawn on a coarse grid that spans the result from edge to edge; between its points they are
    interpolated bicubically. None: nothing is deformed.
    """
    if not changes.elastic:
        return None
    tall, wide = _window(draw, changes, canvas, size)
    lengths = changes.elastic * tf.stack([wide, tall], axis=1)
    grid = changes.elastic_grid
    knots = tf.reshape(draw.normals(_ELASTIC, grid * grid * 2), [-1, grid, grid, 2])
    knots *= lengths[:, None, None, :]
    down, right = (tf.constant(_bicubic(side, grid), tf.float32)[:, :, None] for side in size)
    # Sums of a few products, as the rounding of a matrix product depends on the batch.
    rows = [sum(down[:, k] * knots[:, None, k, j] for k in range(grid)) for j in range(grid)]
    return sum(right[:, k] * row[:, :, None] for k, row in enumerate(rows))


def _bicubic(side: int, grid: int) -> np.ndarray:
    """The share of each of `grid` points in each of `side` pixels, `[side, grid]`.

    Keys' cubic convolution (1981) with a = -1/2; beyond the first and last point their values go
    on. These lie in the middles of the first and last pixel.
    """
    place = np.linspace(0, grid - 1, side)
    shares = np.zeros((side, grid))
    for knot in range(-2, grid + 2):
        t = np.abs(place - knot)
        near, far = 1 - 2.5 * t**2 + 1.5 * t**3, 2 - 4 * t + 2.5 * t**2 - 0.5 * t**3
        shares[:, np.clip(knot, 0, grid - 1)] += np.where(t < 1, near, np.where(t < 2, far, 0))
    return shares


def _window(draw: Draw, changes: Augmentation, canvas: Any, size: tuple[int, int]) -> Any:
    """Height and width of the crops, in pixels of the canvas, `[batch]` each."""
    height, width = canvas
    if changes.area:
        area = draw.between(*changes.area, _SIZE) * (height * width)
        low, high = changes.aspect
        aspect = tf.exp(draw.between(math.log(low), math.log(high), _ASPECT))
        # A shape that doesn't fit is cut, where others would draw again.
        return tf.minimum(tf.sqrt(area / aspect), height), tf.minimum(tf.sqrt(area * aspect), width)
    if changes.resize:
        side = draw.between(*changes.resize, _SIZE)
        return height / side, width / side
    one = tf.ones_like(draw(_SIZE))
    return min(size[0], height) * one, min(size[1], width) * one


def _place(random: Any, side: int, window: Any, pad: int, whole: bool) -> Any:
    """Where a window begins on a side of the canvas with `pad` zeros around it."""
    room = side + 2 * pad - window
    share = (random + 1) / 2
    return (tf.floor(share * (room + 1)) if whole else share * room) - pad


def _coloured(images: Any, draw: Draw, changes: Augmentation) -> Any:
    """Brightness, contrast and saturation in this order, then AlexNet's shift of colours."""
    if changes.brightness:
        images = blended(images, 0.0, 1 + draw(_JITTER) * changes.brightness)
    if changes.contrast:
        images = contrasted(images, 1 + draw(_JITTER + 1) * changes.contrast)
    if changes.saturation:
        images = blended(images, grey(images), 1 + draw(_JITTER + 2) * changes.saturation)
    if not changes.lighting:
        return images
    if changes.components is None:
        raise ArgumentError(
            "augmentation.lighting needs the principal components of the training images' colours. "
            "Received: components=None. See kerascnn.data.augmentation.with_components."
        )
    count = len(changes.components)
    strengths = tf.stack([draw.normal(_LIGHTING + i) for i in range(count)], axis=1)
    shifts = changes.lighting * strengths @ tf.constant(changes.components, tf.float32)
    return images + 255 * shifts[:, None, None, :]


def _randaugment(images: Any, draw: Draw, stream: int, strength: float) -> Any:
    """One operation for each image, drawn from all of them (Cubuk et al., 2019, section 3)."""
    chosen = tf.cast(draw.between(0, len(OPERATIONS), stream), tf.int32)
    strengths = tf.where(draw(stream + 1) > 0, strength, -strength)
    positions = tf.dynamic_partition(tf.range(tf.shape(images)[0]), chosen, len(OPERATIONS))
    parts = [
        operation(tf.gather(images, where), tf.gather(strengths, where))
        for operation, where in zip(OPERATIONS, positions)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(positions, parts), images.shape)
