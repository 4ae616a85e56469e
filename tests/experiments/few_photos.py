"""Trains on a folder of few images, with what `kerascnn train` chooses and without that.

    python tests/experiments/few_photos.py --images 60,300

Of the bundled digits so many, evenly of all classes, become a folder of PNG files, which is trained
on as a user's own photos are. What comes out is judged on mnist5k's 1,000 test images: a tenth of
60 images would say little. The other settings are the recipe's batch and epochs as they are, and
with `--epochs 60,84` the batch that is chosen with so many epochs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

import kerascnn
from kerascnn import catalogue, data
from kerascnn.console import Console

NETWORKS = {
    "vgg11_bn": {
        "depths": (1, 1),
        "widths": (16, 32),
        "kernels": (5, 5),
        "grid": 0,
        "hidden": (64,),
        "dropout": 0.0,
    },
    "resnet18": {"stem_width": 8, "widths": (8, 16, 32, 64), "stem_kernel": 3, "stem_stride": 1},
}


def folder(where: Path, images: int) -> Path:
    """So many digits as files, each class in a folder of its own."""
    place = where / f"{images}-digits"
    if place.is_dir():
        return place
    train = data.load("mnist5k").train
    for digit in range(10):
        of_class = np.flatnonzero(train.labels == digit)[: images // 10]
        (place / str(digit)).mkdir(parents=True)
        for number in of_class:
            pixels, _ = train.example(int(number))
            Image.fromarray(pixels[..., 0]).save(place / str(digit) / f"{number}.png")
    return place


def error(name: str, source: str, run: Path, seed: int, **options: int) -> tuple[float, float]:
    """Of a training: the error on mnist5k's test images, and the seconds that it took."""
    found = kerascnn.Run(run)
    if not ((run / "config.json").is_file() and found.finished):
        recipe = catalogue.get(name).recipe
        assert recipe is not None
        found = kerascnn.train(
            name,
            source,
            arguments=NETWORKS[name],
            input_shape=(32, 32, 1),
            seed=seed,
            run=run,
            overwrite=True,
            record=False,
            console=Console(quiet=True),
            **options,
        )
    seconds = sum(row["seconds"] for row in found.history)
    return found.evaluate("mnist5k", echo=None)["error"], seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", default="60,300")
    parser.add_argument("--networks", default="vgg11_bn,resnet18")
    parser.add_argument("--epochs", default="", metavar="EPOCHS,EPOCHS,...")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments/few-photos"))
    given = parser.parse_args(arguments)
    print("| network | images | batch, epochs | error, median | range | training |")
    print("|---|--:|---|--:|--:|--:|")
    for name in given.networks.split(","):
        recipe = catalogue.get(name).recipe
        assert recipe is not None
        old = {"batch_size": recipe.batch_size, "epochs": recipe.epochs}
        for images in map(int, given.images.split(",")):
            source = f"folder:{folder(given.runs, images)}"
            epochs = {
                number: {"epochs": int(number)} for number in given.epochs.split(",") if number
            }
            for label, options in {"recipe": old, **epochs, "chosen": {}}.items():
                places = [given.runs / f"{name}-{images}-{label}-{s}" for s in range(given.seeds)]
                found = [
                    error(name, source, place, seed, **options) for seed, place in enumerate(places)
                ]
                used = kerascnn.Run(places[0]).config.recipe
                errors, seconds = zip(*found)
                print(
                    f"| {name} | {images} | {label}: {used.batch_size}, {used.epochs} | "
                    f"{median(errors):.1%} | {min(errors):.1%} to {max(errors):.1%} | "
                    f"{median(seconds):.0f} s |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
