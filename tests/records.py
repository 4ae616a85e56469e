"""Records of images as TensorFlow itself writes them."""

import io

import tensorflow as tf
from PIL import Image


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
