"""The samples, as a user runs them, on a few images."""

import functools
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

import support

SAMPLES = support.ROOT / "samples"
NETWORKS = support.ROOT / "test/data/fashion_mnist"
COUNT = 60


def run(script, *arguments, expect=0, **environment):
    done = subprocess.run(
        [sys.executable, SAMPLES / script, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pictures():
    """Images of Fashion-MNIST as they are, u8, and their labels."""
    sys.path.insert(0, str(NETWORKS))
    import dataset

    images, labels = dataset.load("t10k", COUNT)
    pixels = (images * dataset.DEVIATION + dataset.MEAN) * 255
    return np.rint(pixels).astype(np.uint8), labels


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    run("image_classification/write_data.py", folder, "--count", COUNT)
    return folder


@pytest.fixture(scope="module")
def jpegs(written):
    return written / "jpegs"


@pytest.fixture(scope="module")
def tfrecords(written):
    """Two shards in ImageNet's layout."""
    assert len(list((written / "tfrecords").iterdir())) == 2
    return written / "tfrecords"


def classify(tmp_path, *arguments, expect=0, **environment):
    """The figures of a run; with another exit code, what it printed."""
    figures = tmp_path / "figures.json"
    arguments = ("--num_warmup_iterations", 1, "--json", figures, *arguments)
    text = run("image_classification/image_classification.py", *arguments, expect=expect, **environment)
    return json.loads(figures.read_text()) if expect == 0 else text


FASHION = ("--preprocessing", "fashion_mnist", "--batch_size", 20, "--num_iterations", 3)


@pytest.mark.parametrize("reader", ["jpegs", "tfrecords"])
def test_accuracy_of_real_images_is_tensorflows(reader, request, tmp_path):
    data = request.getfixturevalue(reader)
    figures = classify(tmp_path, "--model", "residual", "--data_dir", data, *FASHION)
    assert figures["Samples"] == COUNT
    assert figures["Top-1 Accuracy (%)"] >= 85 and figures["Top-5 Accuracy (%)"] >= 98
    assert figures["Top-1 Difference to Native"] == figures["Top-5 Difference to Native"] == 0
    assert figures["Node Conversion Rate (%)"] == 100
    assert figures["Latency Mean (ms)"] > 0 and figures["Throughput (samples/sec)"] > 0


def test_integers_are_calibrated_with_the_data(jpegs, tmp_path):
    figures = classify(tmp_path, "--model", "vgg", "--precision", "INT8", "--data_dir", jpegs, *FASHION)
    assert abs(figures["Top-1 Difference to Native"]) <= 100 / COUNT + 1e-6


def test_synthetic_data_have_no_accuracy(tmp_path):
    arguments = ("--model", "mobile", "--precision", "native", "--num_iterations", 4)
    figures = classify(tmp_path, *arguments)
    assert not any("Accuracy" in name for name in figures)
    assert figures["Latency 99th_percentile (ms)"] >= figures["Latency Median (ms)"] > 0


def test_a_keras_file(tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(7)])
    model.save(tmp_path / "model.keras")
    figures = classify(tmp_path, "--model", tmp_path / "model.keras", "--num_iterations", 2)
    assert figures["Node Conversion Rate (%)"] > 0


@pytest.fixture
def server(tmp_path):
    """Serves a network; gives its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pb").write_bytes((NETWORKS / "vgg.pb").read_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}/net.pb"
        http_server.shutdown()


def test_a_model_is_downloaded_once_and_checked(server, tmp_path):
    cache = {"GRAFT_CACHE": str(tmp_path / "cache")}
    arguments = ("--model", server, "--num_iterations", 1, "--precision", "native")
    right = hashlib.sha256((NETWORKS / "vgg.pb").read_bytes()).hexdigest()
    text = classify(tmp_path, *arguments, "--sha256", "0" * 64, expect=1, **cache)
    assert f"its SHA-256 is {right}, not {'0' * 64}" in text
    assert not list((tmp_path / "cache/models").rglob("net.pb*"))
    assert "--sha256 has to say" in classify(tmp_path, *arguments, expect=1, **cache)
    classify(tmp_path, *arguments, "--sha256", right, **cache)
    (file,) = (tmp_path / "cache/models").rglob("net.pb")
    written = file.stat().st_mtime_ns
    classify(tmp_path, *arguments, "--sha256", right, **cache)
    assert file.stat().st_mtime_ns == written


def test_what_is_no_model_is_refused(tmp_path):
    text = classify(tmp_path, "--model", "resnet", expect=1)
    assert "neither a file nor one of mobile, mobile_qat, residual" in text


def test_a_plan_runs_from_c(pictures, tmp_path):
    import graft

    program = tmp_path / "run_plan"
    library = support.BUILD / "python/graft"
    source = SAMPLES / "c/run_plan.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{support.ROOT}/include", f"-L{library}"]
    flags += [f"-Wl,-rpath,{library}", "-lgraft"]
    subprocess.run(["cc", source, *flags, "-o", program], check=True)
    support.convert(NETWORKS / "mobile.pb", "--plan", tmp_path / "plan")
    images = pictures[0][:3].astype(np.float32)
    images.tofile(tmp_path / "images.f32")
    done = subprocess.run([program, tmp_path / "plan", tmp_path / "images.f32"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, *numbers = done.stdout.split()
    expected = graft.Engine(str(tmp_path / "plan")).run({"images": images})["logits"]
    assert name == "logits"
    assert np.array_equal(np.array(numbers, np.float32).reshape(expected.shape), expected)
    # What is wrong is said, and not run.
    images[:1, :5].tofile(tmp_path / "short.f32")
    done = subprocess.run([program, tmp_path / "plan", tmp_path / "short.f32"], capture_output=True, text=True)
    assert done.returncode == 2 and "elements" in done.stderr


def test_what_precisions_cost_is_told():
    """On few images; `make accuracy` takes all."""
    lines = run("image_classification/accuracy.py", "--count", 200).splitlines()
    rows = {line.split()[0]: line for line in lines if " native " in line}
    assert sorted(rows) == ["mobile", "mobile_qat", "residual", "residual_qat", "vgg", "vgg_qat"]
    assert all("FP16" in row for row in rows.values())
    assert all(name in rows["vgg"] for name in ("INT8 entropy", "INT8 percentile", "INT8 minmax", "INT8 mse"))
    assert "INT8 nodes" in rows["vgg_qat"]


def test_sound_is_transcribed_without_tensorflow(tmp_path):
    """The demo's melody, as a WAV file at twice the model's rate."""
    import wave

    sys.path.insert(0, str(support.ROOT / "tools/demo"))
    import demo

    sound = np.repeat(demo.synthesise(demo.MELODY), 2)
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(2 * demo.RATE)
        file.writeframes(np.repeat(np.rint(sound * 30000).astype("<i2"), 2).tobytes())
    text = run("audio/transcribe.py", tmp_path / "sound.wav", "--midi", tmp_path / "notes.mid")
    rows = {line.split()[0]: line for line in text.splitlines() if "█" in line}
    assert {name: row.count("█") for name, row in rows.items()} == {
        demo.note_name(key): sum(played == key for played, _, _ in demo.MELODY) for key in {k for k, _, _ in demo.MELODY}
    }
    midi = (tmp_path / "notes.mid").read_bytes()
    assert midi.startswith(b"MThd") and midi.endswith(b"\xff\x2f\0")
    assert len(midi) == 22 + int.from_bytes(midi[18:22], "big")
    assert midi.count(b"\x50") >= len(demo.MELODY)  # how hard each is struck
    (tmp_path / "cut.wav").write_bytes(b"RIFF")
    assert "transcribe: " in run("audio/transcribe.py", tmp_path / "cut.wav", expect=1)


def test_a_tokenizer_stays_native_before_its_transformer():
    lines = {
        "def convert(self, path, *arguments):": "Python",
        "raise ValueError(f'{name}: {error}')": "Python",
        "std::vector<int64_t> dims(rank);": "C++",
        "const Status status = node->Verify();": "C++",
        "What is unknown of a shape is computed when the model runs, and the engine takes it as it is.": "English",
    }
    text = run("text/line_language.py", "--steps", 60, *lines, "")  # of no tokens
    shown = [line.split()[0] for line in text.splitlines() if "%  " in line]
    assert len(shown) == len(lines) + 1
    # It is trained with the files as they are, and briefly.
    assert sum(name == right for name, right in zip(shown, lines.values())) >= 4, text
    assert "% of OPs Converted: 9" in text  # the network is nearly all of it
    assert "largest difference of a probability" in text  # and it ended with 0


@pytest.mark.models
@pytest.mark.parametrize("kind", ["npy", "png"])
def test_a_detector_finds_a_face(kind, tmp_path):
    import tensorflow as tf

    folder = pathlib.Path(os.environ.get("GRAFT_MODELS", "none"))
    if not (folder / "handtrack_ssd.pb").exists():
        pytest.skip("no handtrack_ssd.pb in $GRAFT_MODELS")
    image = folder / "handtrack_ssd/photo_astronaut_in_input_tensor.npy"
    pixels = np.load(image)
    if kind == "png":
        image = tmp_path / "image.png"
        tf.io.write_file(str(image), tf.io.encode_png(pixels[0]))
    drawn = tmp_path / "found.png"
    text = run("object_detection/hands.py", "--model", folder / "handtrack_ssd.pb", image, "--output", drawn)
    assert text.count("face          96%  at 0.043 0.310 0.360 0.578") == 2, text
    found = tf.io.decode_png(drawn.read_bytes()).numpy()
    # The box is drawn, and nothing else.
    changed = np.argwhere((found != pixels[0]).any(-1)) / 320
    assert np.allclose(changed.min(0), [0.043, 0.310], atol=0.01) and np.allclose(changed.max(0), [0.360, 0.578], atol=0.01)
