"""The engines that are compared, each behind the same steps, and the process that runs one.

    python bench/runners.py convert ENGINE MODEL_FOLDER WORK_FOLDER THREADS
    python bench/runners.py serve   ENGINE MODEL_FOLDER WORK_FOLDER THREADS

`convert` makes the files an engine wants from the SavedModel, in a process of its own because
conversion takes far more memory than running. `serve` loads them, then answers one JSON line for
each on its standard input: {"verify": FILE} with the largest error against that reference, then
{"time": SECONDS} with the milliseconds of single runs on its image.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

# Engines print to standard output as they please; the answers go where it used to be.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


class Runner:
    """One engine on one model. `image` is a float32 NHWC batch of one."""

    def __init__(self, model, work, threads):
        self.model, self.work, self.threads = model, work, threads

    def convert(self):
        """Writes what `load` needs into the work folder; nothing if it is there."""

    def load(self):
        """Returns a function from image to logits."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError


class TensorFlow(Runner):
    """TensorFlow's defaults but for the number of threads, on a frozen graph: with variables it
    cannot fold the batch norms and is 10 to 25 % slower."""

    def convert(self):
        path = self.work / "frozen.pb"
        if path.exists():
            return
        import tensorflow as tf
        from tensorflow.python.framework import convert_to_constants

        loaded = tf.saved_model.load(self.model / "saved_model")
        function = loaded.signatures["serving_default"]
        frozen = convert_to_constants.convert_variables_to_constants_v2(function)
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())

    def load(self):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        graph_def = tf.compat.v1.GraphDef.FromString((self.work / "frozen.pb").read_bytes())
        imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        function = imported.prune("image:0", "Identity:0")
        return lambda image: function(tf.constant(image)).numpy()

    def version(self):
        import tensorflow as tf

        return tf.__version__


class LiteRt(Runner):
    def convert(self):
        path = self.work / "model.tflite"
        if path.exists():
            return
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(self.model / "saved_model"), signature_keys=["serving_default"]
        )
        path.write_bytes(converter.convert())

    def load(self):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(self.work / "model.tflite"), num_threads=self.threads)
        interpreter.allocate_tensors()
        image_at = interpreter.get_input_details()[0]["index"]
        logits_at = interpreter.get_output_details()[0]["index"]

        def run(image):
            interpreter.set_tensor(image_at, image)
            interpreter.invoke()
            return interpreter.get_tensor(logits_at)

        return run

    def version(self):
        import importlib.metadata

        return importlib.metadata.version("ai-edge-litert") + " (XNNPACK)"


class Onnx(Runner):
    """What ONNX Runtime and OpenVINO share: the model as ONNX, its batch fixed at one."""

    def convert(self):
        path = self.work / "model.onnx"
        if path.exists():
            return
        import onnx

        if self.model.name.startswith("vgg"):
            import vgg_onnx

            onnx.save(vgg_onnx.from_saved_model(self.model / "saved_model"), path)
            return
        subprocess.run(
            [sys.executable, "-m", "tf2onnx.convert", "--saved-model", self.model / "saved_model"]
            + ["--signature_def", "serving_default", "--opset", "17", "--output", path],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        proto = onnx.load(path)
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        onnx.save(proto, path)


class OnnxRuntime(Onnx):
    def load(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(self.work / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        return lambda image: session.run(None, {name: image})[0]

    def version(self):
        import onnxruntime

        return onnxruntime.__version__


class OpenVino(Onnx):
    def load(self):
        import openvino

        # On processors that have it OpenVINO would compute in bfloat16.
        compiled = openvino.Core().compile_model(
            self.work / "model.onnx",
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": "1",
                "INFERENCE_NUM_THREADS": str(self.threads),
            },
        )
        request = compiled.create_infer_request()
        return lambda image: request.infer([image], share_inputs=True, share_outputs=True)[0]

    def version(self):
        import openvino

        return openvino.__version__.split("-")[0] + " (f32)"


class Graft(Runner):
    """The plan is built anew each time, with an empty timing cache: its build is measured too."""

    build = pathlib.Path(__file__).resolve().parent.parent / "build/release"
    tag = ""

    def plan(self):
        return self.work / f"threads{self.threads}{self.tag}.plan"

    def convert(self):
        program = self.build / "bin/graft"
        if not program.exists():
            raise SystemExit("not built")
        subprocess.run(
            [program, "convert", self.model / "saved_model", "--signature", "serving_default"]
            + ["--plan", self.plan(), "--threads", str(self.threads)]
            + ["--json", self.plan().with_suffix(".json")],
            check=True,
            env={**os.environ, "GRAFT_CACHE": str(self.work / f"cache{self.threads}{self.tag}")},
        )

    def load(self):
        import graft

        engine = graft.Engine(str(self.plan()), threads=self.threads)
        (name,) = [tensor.name for tensor in engine.inputs]
        return lambda image: engine.run({name: image})["logits"]

    def version(self):
        import graft

        return graft.__version__


class GraftBefore(Graft):
    """Another build of Graft, whose folder bench.py gives."""

    build = pathlib.Path(os.environ.get("GRAFT_BUILD_BEFORE", ""))
    tag = "-before"

    def load(self):
        sys.path.insert(0, str(self.build / "python"))
        import graft

        assert pathlib.Path(graft.__file__).is_relative_to(self.build), graft.__file__
        return super().load()


ENGINES = {
    "Graft": Graft,
    "Graft before": GraftBefore,
    "TensorFlow": TensorFlow,
    "ONNX Runtime": OnnxRuntime,
    "OpenVINO": OpenVino,
    "LiteRT": LiteRt,
}


def answer(**fields):
    print(json.dumps(fields), file=answers, flush=True)


def serve(runner):
    started = time.perf_counter()
    run = runner.load()
    image = None
    answer(version=runner.version(), load_seconds=time.perf_counter() - started)
    for line in sys.stdin:
        request = json.loads(line)
        if "verify" in request:
            reference = np.load(request["verify"])
            image, logits = reference["image"], reference["logits"]
            answer(error=float(np.abs(run(image) - logits).max() / np.abs(logits).max()))
        else:
            times = []
            end = time.perf_counter() + request["time"]
            while not times or time.perf_counter() < end:
                begin = time.perf_counter()
                run(image)
                times.append(1e3 * (time.perf_counter() - begin))
            answer(times=times)


def main():
    mode, engine, model, work, threads = sys.argv[1:]
    runner = ENGINES[engine](pathlib.Path(model), pathlib.Path(work), int(threads))
    if mode == "convert":
        runner.convert()
    else:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
        serve(runner)


if __name__ == "__main__":
    main()
