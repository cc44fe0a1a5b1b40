"""Converts situations by both Python converters: convert_all.py FOLDER NAME…

FOLDER/NAME/v1, and FOLDER/NAME/v2-SIGNATURE for each signature; what it says goes to FOLDER/NAME/python.json.
"""

import json
import pathlib
import pickle
import sys

import tensorflow as tf

from graft import trt_convert as trt


def attempt(results, variant, convert, folder):
    try:
        converter = convert()
        report = converter._report
        results[variant] = {
            "engines": report["engines"],
            "ops": report["total_ops"],
            "converted": report["converted_ops"],
        }
        converter.save(str(folder / variant))
    except Exception as error:
        results[variant] = {"error": f"{type(error).__name__}: {error}"}


def main():
    for name in sys.argv[2:]:
        folder = pathlib.Path(sys.argv[1]) / name
        about = json.loads((folder / "about.json").read_text())
        results = {}
        arguments = {
            "input_saved_model_dir": str(folder / "native"),
            "input_saved_model_tags": about["tags"],
        }
        feeds = pickle.loads((folder / "feeds.pkl").read_bytes())

        def convert_1():
            with tf.Graph().as_default():
                converter = trt.TrtGraphConverter(
                    **arguments, input_saved_model_signature_key=next(iter(feeds))
                )
                converter.convert()
            return converter

        def convert_2(key):
            converter = trt.TrtGraphConverterV2(**arguments, input_saved_model_signature_key=key)
            converter.convert()
            return converter

        attempt(results, "v1", convert_1, folder)
        for key in feeds:
            attempt(results, f"v2-{key}", lambda key=key: convert_2(key), folder)
        (folder / "python.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
