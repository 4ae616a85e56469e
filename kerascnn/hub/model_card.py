"""The README.md of a repository: what a run was trained on, what it is worth, how to use it."""

from __future__ import annotations

from typing import Any

from kerascnn.hub.address import SCHEME
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.config import RunConfig
from kerascnn.runs.run import Run
from kerascnn.tasks.measure import TEST
from kerascnn.words import listed, printable

# What the hub calls the tasks that it knows.
PIPELINES = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
}
MOST_CLASSES = 50  # that are listed

TEXT = """\
# {name}, trained on {data}

{title}{paper}: {parameters} trainable parameters, images of {shape}, {classes} classes{names}.
Trained with kerascnn {version} on Keras {keras} and
TensorFlow {tensorflow}.

{results}

## Use it

```sh
pip install "kerascnn[weights]"
kerascnn pull {address} --run runs/{short}
kerascnn predict runs/{short} photo.jpg
```

```python
import kerascnn

run = kerascnn.load("{address}")  # a revision is named by {address}@COMMIT
model = run.model()  # a keras.Model
answers = run.predict(images)  # pixels in 0..255, [batch, {height}, {width}, {channels}]
```

## Training

`config.json` has all of it: arguments, recipe, seed, versions.

| | |
|---|---|
| data | {data}: {sizes} |
| recipe | {recipe} |
| licence of the weights | {licence} |
"""


def card(run: Run, repository: str, config: RunConfig, licence: str | None) -> Any:
    """A `huggingface_hub.ModelCard`: YAML for the hub, text for people.

    Args:
        run: finished.
        repository: "owner/name".
        config: as it is published.
        licence: of the weights, as the hub names it; None: not stated.
    """
    from huggingface_hub import ModelCard, ModelCardData

    pipeline, figure = PIPELINES.get(config.task), _figure(run)
    data = ModelCardData(
        license=licence,
        library_name="keras",
        pipeline_tag=pipeline,
        tags=["kerascnn", config.name],
        model_name=repository.partition("/")[2],
        metrics=[figure[0]] if figure else None,
        eval_results=_results(run, config, pipeline),
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_text(run, repository, config, licence)}")


def _figure(run: Run) -> tuple[str, float] | None:
    """The main figure of the test images as the hub has it: an accuracy, not an error."""
    main = run.task.main
    value = main.of(run.metrics, TEST)
    if value is None:
        return None
    return (main.complement, 1 - value) if main.complement else (main.name, value)


def _results(run: Run, config: RunConfig, pipeline: str | None) -> list[Any] | None:
    from huggingface_hub import EvalResult

    figure = _figure(run)
    if figure is None or pipeline is None:
        return None
    return [
        EvalResult(
            task_type=pipeline,
            dataset_type=config.data.source.partition(":")[0],
            dataset_name=config.data.source,
            dataset_split="test",
            metric_type=figure[0],
            metric_value=round(figure[1], 6),
        )
    ]


def _text(run: Run, repository: str, config: RunConfig, licence: str | None) -> str:
    architecture = run.architecture()
    card = architecture.card if architecture else None
    height, width, channels = config.input_shape
    metrics, main = run.metrics, run.task.main
    value = main.of(metrics, TEST)
    sizes = config.data.sizes
    result = "It has not been evaluated on test images."
    if value is not None:
        epoch = metrics.get("epoch")
        result = (
            f"{main.title} on the {sizes.get('test', 0):,} test images: **{main.written(value)}**"
            f"{f' (epoch {epoch})' if epoch else ''}."
        )
    names = ""
    if config.class_names and config.classes <= MOST_CLASSES:
        names = f": {listed(printable(name) for name in config.class_names)}"
    return TEXT.format(
        name=config.name,
        title=card.title if card else config.name,
        paper=f" ({card.authors}, {card.year}; {card.link})" if card else "",
        parameters=f"{metrics.get('trainable_params', 0):,}",
        shape=f"{height}×{width}×{channels}",
        height=height,
        width=width,
        channels=channels,
        classes=config.classes,
        names=names,
        version=config.versions.get("kerascnn", "?"),
        keras=config.versions.get("keras", "?"),
        tensorflow=config.versions.get("tensorflow", "?"),
        results=result,
        address=f"{SCHEME}{repository}",
        short=repository.partition("/")[2],
        data=printable(config.data.source),
        sizes=", ".join(f"{size:,} for {name}" for name, size in sizes.items()),
        recipe=_recipe(config.recipe),
        licence=licence or "not stated",
    )


def _recipe(recipe: Recipe) -> str:
    return (
        f"{recipe.name or 'of its own'}: {recipe.epochs} epochs of batches of {recipe.batch_size}, "
        f"{recipe.optimizer}, learning rate {recipe.learning_rate:g}, {recipe.schedule}"
    )
