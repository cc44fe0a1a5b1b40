"""The three workflows of TF-TRT's user guide, as scripts of TensorFlow 1: WORKFLOW FOLDER runs one.

Each takes a model of small_models.py from the folder, converts it, runs it in a session and saves
what it gives for small_models.images(3) as FOLDER/results.npz.
"""

import pathlib
import sys

import numpy as np
import tensorflow.compat.v1 as tf

import small_models
from graft import trt_convert as trt

tf.disable_eager_execution()


def saved_model(folder):
    output_saved_model_dir = str(folder / "converted")
    converter = trt.TrtGraphConverter(input_saved_model_dir=str(folder / "model"))
    converter.convert()
    converter.save(output_saved_model_dir)
    with tf.Session() as sess:
        meta_graph = tf.saved_model.loader.load(
            sess, [tf.saved_model.tag_constants.SERVING], output_saved_model_dir
        )
        signature = meta_graph.signature_def["serving_default"]
        outputs = {key: info.name for key, info in signature.outputs.items()}
        return sess.run(outputs, {signature.inputs["image"].name: small_models.images(3)})


def run_converted(frozen_graph):
    """What the two other workflows have in common."""
    converter = trt.TrtGraphConverter(
        input_graph_def=frozen_graph, nodes_blacklist=["logits", "classes"]
    )
    trt_graph = converter.convert()
    with tf.Graph().as_default(), tf.Session() as sess:
        image, logits, classes = tf.import_graph_def(
            trt_graph, return_elements=["image:0", "logits:0", "classes:0"]
        )
        return sess.run({"logits": logits, "classes": classes}, {image: small_models.images(3)})


def frozen_graph(folder):
    with tf.gfile.GFile(str(folder / "model.pb"), "rb") as f:
        graph = tf.GraphDef()
        graph.ParseFromString(f.read())
    return run_converted(graph)


def meta_graph(folder):
    with tf.Session() as sess:
        saver = tf.train.import_meta_graph(str(folder / "model.ckpt.meta"))
        saver.restore(sess, str(folder / "model.ckpt"))
        frozen = tf.graph_util.convert_variables_to_constants(
            sess, tf.get_default_graph().as_graph_def(), output_node_names=["logits", "classes"]
        )
    return run_converted(frozen)


def main():
    workflow, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    from support import EngineCalls

    with EngineCalls() as engines:
        results = {
            "saved_model": saved_model,
            "frozen_graph": frozen_graph,
            "meta_graph": meta_graph,
        }[workflow](folder)
    engines.assert_engine_ran()
    np.savez(folder / "results.npz", **results)


if __name__ == "__main__":
    main()
