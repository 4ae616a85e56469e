"""JPEG files like those that cameras and programs write, whole and damaged."""

import io

import numpy as np
from PIL import Image


def photograph(seed=0, height=375, width=500):
    """Clouds of all sizes: like a photograph's, their amplitude falls with the frequency."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width, 3), 128.0)
    for side, weight in ((4, 70), (16, 30), (64, 10), (180, 4)):
        for channel in range(3):
            noise = Image.fromarray(rng.normal(size=(side * 3 // 4, side)).astype("float32"))
            large = noise.resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += weight * np.asarray(large)
    return Image.fromarray(np.clip(total, 0, 255).astype("uint8"))


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90, **options)
    return path


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def kinds(side=64):
    """A small photograph in every way that cameras and programs write it."""
    image = photograph(0, side, side + 16)
    exif = turned(1)
    exif[0x010F] = "maker"
    ways = {
        "baseline": {},
        "progressive": {"progressive": True},
        "restart": {"restart_marker_blocks": 4},
        "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
        "4:4:4": {"subsampling": 0},
        "4:2:0": {"subsampling": 2},
        "optimized": {"optimize": True},
        "exif": {"exif": exif},
    }
    found = {}
    for name, options in ways.items():
        file = io.BytesIO()
        image.save(file, "jpeg", quality=90, **options)
        found[name] = file.getvalue()
    file = io.BytesIO()
    image.convert("L").save(file, "jpeg", quality=90)
    return {**found, "grey": file.getvalue()}


def damaged(content, rng):
    """The file with a bit flipped, a marker or other bytes in it, or a part cut out."""
    content, at = bytearray(content), int(rng.integers(2, len(content)))
    match int(rng.integers(5)):
        case 0:
            content[at] ^= 1 << int(rng.integers(8))
        case 1:
            content[at : at + 4] = b"\xff\xe5\xff\xff"
        case 2:
            for place in rng.integers(2, len(content), 8):
                content[place] = rng.integers(256)
        case 3:
            content[at : at + 2] = bytes([0xFF, rng.integers(256)])
        case _:
            del content[at : at + int(rng.integers(1, 50))]
    return bytes(content)
