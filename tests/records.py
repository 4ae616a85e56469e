"""Records of images as TensorFlow itself writes them, and what kerascnn reads from them."""

import functools
import io

import tensorflow as tf
from PIL import Image

from kerascnn import data

load = functools.partial(data.load, echo=None, validation=0, test=0)


def png(value, size=(8, 8)):
    """A grey picture's file."""
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "png")
    return file.getvalue()


def example(value, label, text=None, image="image/encoded", name="image/class/label"):
    """A serialized example: the picture, the number of its class, and perhaps the class's name."""
    features = {
        image: tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(value)])),
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    if text:
        content = tf.train.BytesList(value=[text.encode()])
        features["image/class/text"] = tf.train.Feature(bytes_list=content)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(path, examples):
    """A file of records."""
    with tf.io.TFRecordWriter(str(path)) as file:
        for one in examples:
            file.write(one)
    return path


def labelled(value, **lists):
    """A serialized example whose label is a list of any kind, such as `int64_list`."""
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(value)])),
        "image/class/label": tf.train.Feature(**lists),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def texts(*values):
    """A feature of texts, for `labelled`."""
    return {"bytes_list": tf.train.BytesList(value=[value.encode() for value in values])}


def content(split, names):
    """Of each image the name of its class, and its first pixel."""
    return [
        (names[label], int(image[0, 0, 0]))
        for image, label in map(split.example, range(split.size))
    ]
