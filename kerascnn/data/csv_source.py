"""`csv:FILE`: a table of image files with their classes, or with objects in boxes.

    path,label,split               file,x1,y1,x2,y2,label
    photos/1.jpg,cat,train         photos/1.jpg,10,12,80,64,cat
    photos/2.jpg,dog,test          photos/1.jpg,0,5,20,40,dog
                                   photos/2.jpg,,,,,

The header decides: see `kerascnn.data.table` and `kerascnn.data.box_table`. Paths start from the
table's folder.
"""

from __future__ import annotations

import os

from kerascnn.data import box_table, table
from kerascnn.data.arguments import named_classes, parsed
from kerascnn.data.boxes import Boxes
from kerascnn.data.examples import Contents, DataSource, Options
from kerascnn.data.labels import Labels
from kerascnn.data.table_rows import header
from kerascnn.errors import DataError


def _best(argument: str) -> str:
    """What the header has: boxes, or labels alone."""
    file, _ = parsed(argument, "classes")
    return Boxes.kind if box_table.has_boxes(header(file)) else Labels.kind


def _csv(argument: str, options: Options) -> Contents:
    file, given = parsed(argument, "classes")
    root = os.path.dirname(file)
    if options.target == Boxes.kind or box_table.has_boxes(header(file)):
        classes = named_classes(given["classes"]) if "classes" in given else ()
        return box_table.read(file, root, options, classes)
    if given:
        raise DataError(f"{file} has no boxes; ?classes= is for tables that have.")
    return table.read(file, root, options)


CSV = DataSource(
    read=_csv,
    argument="FILE",
    targets=(Labels.kind, Boxes.kind),
    best=_best,
    licence="yours",
    help="A table of image files and labels; or of boxes, an object a row.",
)
