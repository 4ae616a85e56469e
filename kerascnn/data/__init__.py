"""Data sets as `tf.data` pipelines: `kerascnn.data.load("mnist5k")`.

The way of an image, module by module:

- a source finds it, or makes it: `sources`, `scenes`, `npz`, `folder` (`splitting`, `index`),
  `csv_source` (`table_rows`, `table`, `box_table`), `tfrecord` (`record_index`, `record_files`),
  `tfds` (`record_boxes`), `voc` (`mask_files`), `coco` (`json_stream`, `polygons`, `run_lengths`),
  `yolo` (`plain_yaml`), some with `objects`; what follows its name is read by `arguments`;
  `encoded` reads the files once, as far as is asked;
- it is one of the `examples` that the source hands over, with one of the `targets`, which are
  `labels`, `masks`, `boxes` (with `sentinels` for what is not there), and has a name: `names`;
- `loading` puts all together: `shares` takes validation and test images where there are none,
  `delivery` makes `splits` of the examples, in the network's size, and a `dataset` of the splits;
- an epoch's `order` says when it comes; then it is read, by `images` and `fitting` or, in training,
  by `jpeg_split` and `jpeg`, in `threads`;
- `augmentation` changes it, by random `draws`, with what `randaugment` and `erasing` do; what it is
  labelled with follows its `motion`; `mixing` makes one image, and its labels, of two.

Photos that are nobody's examples are found by `files` and read by `reading`; `checking` reads all
of a source once, and says what is wrong in it; `copying` makes folders of one, split or smaller,
which `copies` writes whole or not at all.

Importing this package loads neither Keras nor TensorFlow: names are resolved when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascnn.imports import lazy

if TYPE_CHECKING:
    from kerascnn.data.boxes import Boxes
    from kerascnn.data.checking import check
    from kerascnn.data.copies import Copied
    from kerascnn.data.copying import write_resized, write_split
    from kerascnn.data.dataset import Dataset
    from kerascnn.data.encoded import contents
    from kerascnn.data.examples import Arrays, Contents, DataSource, Encoded, Files, Options
    from kerascnn.data.fitting import PAD_LIMIT, Placement, fit, uncut
    from kerascnn.data.index import scan
    from kerascnn.data.labels import Labels
    from kerascnn.data.loading import load, load_for
    from kerascnn.data.mask_files import read_mask
    from kerascnn.data.masks import Masks
    from kerascnn.data.names import Names
    from kerascnn.data.reading import Photo, read_whole
    from kerascnn.data.sentinels import ABSENT, VOID
    from kerascnn.data.split_names import SPLIT_WORDS, SPLITS
    from kerascnn.data.splits import ArraySplit, ReadSplit, Split, joined, readable_errors
    from kerascnn.data.targets import Targets

_PUBLIC = {
    "load": "loading",
    "load_for": "loading",
    "Dataset": "dataset",
    "Split": "splits",
    "ArraySplit": "splits",
    "ReadSplit": "splits",
    "joined": "splits",
    "readable_errors": "splits",
    "DataSource": "examples",
    "Options": "examples",
    "Contents": "examples",
    "Arrays": "examples",
    "Encoded": "examples",
    "Files": "examples",
    "contents": "encoded",
    "Targets": "targets",
    "Labels": "labels",
    "Masks": "masks",
    "Boxes": "boxes",
    "VOID": "sentinels",
    "ABSENT": "sentinels",
    "Names": "names",
    "PAD_LIMIT": "fitting",
    "fit": "fitting",
    "Placement": "fitting",
    "uncut": "fitting",
    "Photo": "reading",
    "read_whole": "reading",
    "SPLITS": "split_names",
    "SPLIT_WORDS": "split_names",
    "scan": "index",
    "read_mask": "mask_files",
    "check": "checking",
    "Copied": "copies",
    "write_split": "copying",
    "write_resized": "copying",
}

__all__ = [
    "ABSENT",
    "PAD_LIMIT",
    "SPLITS",
    "SPLIT_WORDS",
    "VOID",
    "ArraySplit",
    "Arrays",
    "Boxes",
    "Contents",
    "Copied",
    "DataSource",
    "Dataset",
    "Encoded",
    "Files",
    "Labels",
    "Masks",
    "Names",
    "Options",
    "Photo",
    "Placement",
    "ReadSplit",
    "Split",
    "Targets",
    "check",
    "contents",
    "fit",
    "joined",
    "load",
    "load_for",
    "read_mask",
    "read_whole",
    "readable_errors",
    "scan",
    "uncut",
    "write_resized",
    "write_split",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __getattr__ = lazy(__name__, {n: f"{__name__}.{home}" for n, home in _PUBLIC.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
