"""Transcribes a melody twice with a real model, Spotify's Basic Pitch: in TensorFlow and converted.

The SavedModel comes from the PyPI wheel `basic-pitch` (Apache-2.0), which is downloaded once and
unpacked without its dependencies. The melody is synthesised here, so what is played is known.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import zipfile

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("GRAFT_CACHE", pathlib.Path.home() / ".cache/graft")) / "demo"
WHEEL = "basic-pitch==0.4.0"

# What the model was trained with: sound at 22050 Hz in windows just under two seconds, one row of
# its outputs every 256 samples, 88 columns for the keys of a piano.
RATE, WINDOW, HOP, LOWEST_KEY = 22050, 43844, 256, 21
# Windows overlap, because a row near the border of one sees only half of its surroundings.
OVERLAP_ROWS = 30

ONSET_THRESHOLD, FRAME_THRESHOLD, SHORTEST_ROWS = 0.85, 0.4, 8

# This script, run for one of TensorFlow's CPU paths; the latency travels beside the outputs.
PATH_COMMAND, LATENCY = "--tensorflow-path", "latency_ms"

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
BEAT, LEAD = 0.45, 0.2  # seconds a beat, and before the first
# Ode to Joy, the first line and a bass: (key as in MIDI, beat it starts on, beats it lasts).
TUNE = (64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 64, 62, 62)
MELODY = [(key, beat, 0.8) for beat, key in enumerate(TUNE)]
MELODY += [(48, 0, 3.5), (43, 4, 3.5), (48, 8, 3.5), (43, 12, 2.5)]


def note_name(key):
    return f"{NAMES[key % 12]}{key // 12 - 1}"


def fetch_model():
    """The folder of the SavedModel inside the wheel."""
    folder = CACHE / WHEEL
    model = folder / "basic_pitch/saved_models/icassp_2022/nmp"
    if not (model / "saved_model.pb").exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*download, "--disable-pip-version-check", "-d", CACHE, WHEEL], check=True)
        (wheel,) = CACHE.glob("basic_pitch-0.4.0-*.whl")
        zipfile.ZipFile(wheel).extractall(folder)
    return model


def synthesise(melody):
    """Plucked tones of eight harmonics each."""
    seconds = max(beat + beats for _, beat, beats in melody) * BEAT + 1.0
    sound = np.zeros(int(seconds * RATE), np.float32)
    for key, beat, beats in melody:
        t = np.arange(int(beats * BEAT * RATE)) / RATE
        pitch = 440.0 * 2 ** ((key - 69) / 12)
        tone = sum(0.45**n * np.sin(2 * np.pi * pitch * n * t) for n in range(1, 9))
        envelope = np.minimum(t / 0.01, 1) * np.exp(-4 * t) * np.minimum((t[-1] - t) / 0.03, 1)
        start = int((LEAD + beat * BEAT) * RATE)
        sound[start : start + len(t)] += tone * envelope
    return sound / np.abs(sound).max()


def cut_windows(sound):
    step = WINDOW - OVERLAP_ROWS * HOP
    padded = np.pad(sound, (OVERLAP_ROWS // 2 * HOP, WINDOW))
    count = -(-len(sound) // step)
    return np.stack([padded[i * step : i * step + WINDOW] for i in range(count)])[..., np.newaxis]


def join_windows(rows):
    return np.concatenate(rows[:, OVERLAP_ROWS // 2 : -OVERLAP_ROWS // 2])


def find_notes(onset, frame):
    """Notes as (row, column): a peak of the onset posterior over its threshold starts one, which
    counts if the frame posterior stays over its own long enough."""
    for row, column in zip(*np.nonzero(onset >= ONSET_THRESHOLD)):
        around = onset[max(row - 3, 0) : row + 4, column]
        held = frame[row : row + SHORTEST_ROWS, column] >= FRAME_THRESHOLD
        if onset[row, column] == around.max() and held.all():
            yield row, column


def seconds_per_row(rows_of_window):
    return (WINDOW - OVERLAP_ROWS * HOP) / RATE / (rows_of_window - OVERLAP_ROWS)


def decode(outputs):
    """Notes as (beat, key)."""
    onset, frame = join_windows(outputs["onset"]), join_windows(outputs["note"])
    seconds = seconds_per_row(outputs["onset"].shape[1])
    return sorted(
        (round((row * seconds - LEAD) / BEAT), int(column) + LOWEST_KEY)
        for row, column in find_notes(onset, frame)
    )


def describe(notes):
    return " ".join(f"{note_name(key)}@{beat}" for beat, key in notes)


def median_milliseconds(run, times=15):
    run()
    samples = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        samples.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(samples))


def run_tensorflow(model, windows):
    """Outputs by name, and the median latency. tf.saved_model.load fails on this model's optimizer slots; the v1 loader reads it."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.load(session, ["serve"], str(model))
        signature = loaded.signature_def["serving_default"]
        fetches = {key: info.name for key, info in signature.outputs.items()}
        feed = {signature.inputs["input_2"].name: windows}
        outputs = session.run(fetches, feed)
        return outputs, median_milliseconds(lambda: session.run(fetches, feed))


def run_tensorflow_path(onednn, model, windows):
    """run_tensorflow in a process of its own, by the kernels of oneDNN or by TensorFlow's plain
    ones: which of them it takes is decided once in a process."""
    given, found = CACHE / "windows.npy", CACHE / "tensorflow.npz"
    np.save(given, windows)
    subprocess.run(
        [sys.executable, __file__, PATH_COMMAND, model, given, found],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": str(int(onednn))},
        check=True,
    )
    with np.load(found) as arrays:
        outputs = dict(arrays)
    return outputs, float(outputs.pop(LATENCY))


def write_tensorflow_path(model, given, found):
    outputs, latency = run_tensorflow(model, np.load(given))
    np.savez(found, **outputs, **{LATENCY: latency})


def convert(model, windows):
    """Runs the graft program; returns the plan and the report."""
    plan, report = CACHE / "basic-pitch.plan", CACHE / "basic-pitch.json"
    program = ROOT / "build/release/bin/graft"
    command = [program, "convert", model, "--plan", plan, "--output", CACHE / "converted"]
    # What it will run on: all windows at once.
    command += ["--shapes", f"{windows}x{WINDOW}x1"]
    subprocess.run([*command, "--json", report], check=True)
    return plan, json.loads(report.read_text())


def run_graft(plan, windows):
    """Outputs by name, and the median latency."""
    import graft

    engine = graft.Engine(str(plan))
    (name,) = [tensor.name for tensor in engine.inputs]
    outputs = engine.run({name: windows})
    return outputs, median_milliseconds(lambda: engine.run({name: windows}))


def largest_difference(a, b):
    return max(np.abs(a[key] - value).max() for key, value in b.items())


def main():
    model = fetch_model()
    sound = synthesise(MELODY)
    windows = cut_windows(sound)
    print(f"Basic Pitch, {len(sound) / RATE:.1f} s of sound in {len(windows)} windows")
    plan, report = convert(model, len(windows))
    plain, plain_ms = run_tensorflow_path(False, model, windows)
    onednn, onednn_ms = run_tensorflow_path(True, model, windows)
    by_graft, graft_ms = run_graft(plan, windows)

    played = sorted((beat, key) for key, beat, _ in MELODY)
    heard = {"TensorFlow": decode(plain), "Graft": decode(by_graft)}
    print(f"notes (name@beat), onset over {ONSET_THRESHOLD}, frame over {FRAME_THRESHOLD}:")
    print(f"  played        {describe(played)}")
    for engine, notes in heard.items():
        print(f"  by {engine:10} {describe(notes)}")
    share = report["converted_ops"] / report["total_ops"]
    print(
        f"ops replaced: {report['converted_ops']} of {report['total_ops']} ({share:.0%}),", end=" "
    )
    print(f"nodes {report['nodes_before']} -> {report['nodes_after']}")
    print("largest difference of an output:", end=" ")
    print(f"Graft and TensorFlow with oneDNN {largest_difference(by_graft, onednn):.1e},", end=" ")
    print(f"without it {largest_difference(by_graft, plain):.1e};")
    print(f"  TensorFlow with and without it {largest_difference(onednn, plain):.1e}")
    tensorflow_ms = min(plain_ms, onednn_ms)
    print(f"latency: TensorFlow {tensorflow_ms:.1f} ms, Graft {graft_ms:.1f} ms,", end=" ")
    print(f"{tensorflow_ms / graft_ms:.2f} x as fast")
    if any(notes != played for notes in heard.values()):
        sys.exit("the notes differ")


if __name__ == "__main__":
    if sys.argv[1:2] == [PATH_COMMAND]:
        write_tensorflow_path(*sys.argv[2:])
    else:
        main()
