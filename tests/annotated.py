"""Small folders as of PASCAL VOC and COCO, with real palettes, XML and JSON."""

import json

import numpy as np
from PIL import Image

SIZES = {"2007_000001": (20, 30), "2007_000002": (24, 24), "2007_000003": (20, 30)}  # height, width

ANNOTATION = """<annotation>
  <folder>../../elsewhere</folder>
  <filename>/etc/passwd</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  {objects}
</annotation>
"""
OBJECT = """<object>
    <name>{name}</name><pose>Left</pose><truncated>1</truncated><difficult>{difficult}</difficult>
    <bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
  </object>"""


def voc_palette():
    """PASCAL VOC's colours: the bits of a number, spread over red, green and blue."""
    colours = np.zeros((256, 3), int)
    for number in range(256):
        for bit in range(8):
            colours[number, bit % 3] |= ((number >> bit) & 1) << (7 - bit // 3)
    return colours.ravel().tolist()


def palette_png(path, mask):
    """A mask, uint8 [height, width], as PASCAL VOC stores it."""
    image = Image.fromarray(mask, "P")
    image.putpalette(voc_palette())
    image.save(path)


def noise(number, size):
    """A picture, uint8 [*size, 3]."""
    return np.random.default_rng(number).integers(0, 256, (*size, 3), "uint8")


def annotation(size, *objects):
    """XML of objects: name, (xmin, ymin, xmax, ymax), difficult."""
    text = [OBJECT.format(*box, name=name, difficult=int(hard)) for name, box, hard in objects]
    return ANNOTATION.format(height=size[0], width=size[1], objects="\n  ".join(text))


OBJECTS = {
    "2007_000001": [("cat", (1, 1, 10, 20), False), ("cat", (12, 3, 30, 9), True)],
    "2007_000002": [("dog", (2, 3, 24, 24), False), ("person", (5.5, 5, 9, 9), False)],
    "2007_000003": [("aeroplane", (3, 4, 3, 4), False)],
}


def voc_mask(number, size):
    """Class `number` in a rectangle, with a border that is void."""
    mask = np.zeros(size, "uint8")
    mask[4:12, 5:17] = 255
    mask[5:11, 6:16] = number
    return mask


def voc(root):
    """VOC2012 below `root`: two images to train, one to validate; VOC2012's folder."""
    home = root / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "Annotations"):
        (home / folder).mkdir(parents=True)
    for number, (name, size) in enumerate(SIZES.items(), start=1):
        Image.fromarray(noise(number, size)).save(home / "JPEGImages" / f"{name}.jpg")
        palette_png(home / "SegmentationClass" / f"{name}.png", voc_mask(number, size))
        (home / "Annotations" / f"{name}.xml").write_text(annotation(size, *OBJECTS[name]))
    train, val = "2007_000001\n2007_000002\n", "2007_000003\n"
    for kind in ("Segmentation", "Main"):
        (home / "ImageSets" / kind).mkdir(parents=True)
        (home / "ImageSets" / kind / "train.txt").write_text(train)
        (home / "ImageSets" / kind / "val.txt").write_text(val)
    return home


COCO = {
    "info": {"year": 2017},
    "images": [
        {"id": 42, "file_name": "b.png", "height": 20, "width": 30},
        {"id": 7, "file_name": "a.png", "height": 24, "width": 24},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "iscrowd": 0, "area": 40,
         "bbox": [2, 3, 10, 4], "segmentation": [[2, 3, 12, 3, 12, 7, 2, 7]]},
        {"id": 2, "image_id": 42, "category_id": 3, "iscrowd": 0, "area": 4,
         "bbox": [5, 5, 2, 2], "segmentation": [[5, 5, 7, 5, 7, 7, 5, 7]]},
        {"id": 3, "image_id": 42, "category_id": 18, "iscrowd": 0, "area": 100,
         "bbox": [0, 0, 10, 10],
         "segmentation": [[0, 0, 10, 0, 10, 5, 0, 5], [0, 5, 10, 5, 10, 10, 0, 10]]},
        {"id": 4, "image_id": 7, "category_id": 3, "iscrowd": 1, "area": 48,
         "bbox": [0, 0, 2, 24],
         "segmentation": {"size": [24, 24], "counts": [0, 48, 528]}},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
}  # fmt: skip


def coco(root):
    """`annotations.json` below `root`, and its two images beside it."""
    root.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(COCO["images"]):
        pixels = noise(number, (image["height"], image["width"]))
        Image.fromarray(pixels).save(root / image["file_name"])
    (root / "annotations.json").write_text(json.dumps(COCO))
    return root
