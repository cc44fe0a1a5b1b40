"""A small image classifier, saved in each form that the converter reads.

image [?, 16, 16, 3] -> logits [?, 5], classes [?, 5]: two convolutions, pooling, a dense layer.
"""

import numpy as np

SIDE, CLASSES = 16, 5


def images(batch, seed=1):
    return np.random.default_rng(seed).standard_normal((batch, SIDE, SIDE, 3), np.float32)


def _weights():
    rng = np.random.default_rng(0)
    shapes = {
        "conv1": (3, 3, 3, 8),
        "bias1": (8,),
        "conv2": (3, 3, 8, 16),
        "bias2": (16,),
        "dense": (16, CLASSES),
    }
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def _layers(image, weights):
    """The features, and the logits of them."""
    import tensorflow as tf

    x = tf.nn.conv2d(image, weights["conv1"], 1, "SAME", name="conv1")
    x = tf.nn.relu(tf.nn.bias_add(x, weights["bias1"], name="add1"), name="relu1")
    x = tf.nn.max_pool2d(x, 2, 2, "SAME", name="pool")
    x = tf.nn.conv2d(x, weights["conv2"], 1, "SAME", name="conv2")
    x = tf.nn.relu(tf.nn.bias_add(x, weights["bias2"], name="add2"), name="relu2")
    features = tf.reduce_mean(x, [1, 2], name="features")
    return features, tf.matmul(features, weights["dense"], name="logits")


def _v1_graph(weights):
    """In the default graph."""
    import tensorflow as tf

    image = tf.compat.v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], name="image")
    _, logits = _layers(image, weights)
    classes = tf.nn.softmax(logits, name="classes")
    return image, logits, classes


def _v1_variables():
    import tensorflow as tf

    return {
        name: tf.compat.v1.get_variable(f"weights/{name}", initializer=value, use_resource=False)
        for name, value in _weights().items()
    }


def save_frozen_graph(path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        _v1_graph(_weights())
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def save_v1(folder):
    """A SavedModel of TensorFlow 1, with variables."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image, logits, classes = _v1_graph(_v1_variables())
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(
            session, str(folder), {"image": image}, {"logits": logits, "classes": classes}
        )
    return folder


def save_checkpoint(prefix):
    """PREFIX.meta and a checkpoint."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        _v1_graph(_v1_variables())
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(prefix), write_state=False)
    return prefix


def save_v2(folder):
    """A SavedModel of TensorFlow 2 with the signatures serving_default and features."""
    import tensorflow as tf

    class Classifier(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = {n: tf.Variable(v, name=n) for n, v in _weights().items()}

        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, "image")])
        def classify(self, image):
            logits = _layers(image, self.weights)[1]
            return {"logits": logits, "classes": tf.nn.softmax(logits)}

        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, "image")])
        def features(self, image):
            return {"features": _layers(image, self.weights)[0]}

    model = Classifier()
    signatures = {"serving_default": model.classify, "features": model.features}
    tf.saved_model.save(model, str(folder), signatures)
    return folder


def expected(batch, seed=1):
    """What TensorFlow computes: logits, classes, and the second signature's features."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        features, logits = _layers(tf.constant(images(batch, seed)), _weights())
        fetches = {"logits": logits, "classes": tf.nn.softmax(logits), "features": features}
        return session.run(fetches)
