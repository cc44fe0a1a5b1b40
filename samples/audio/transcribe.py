"""Transcribes sound by Spotify's Basic Pitch in a plan: a WAV file in, a piano roll and a MIDI file out.

    python transcribe.py [SOUND.wav] [--midi NOTES.mid]

Without a file it listens to the melody of `make demo`. TensorFlow is not needed.
"""

import argparse
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import wave

import numpy as np

import graft

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/demo"))
import demo  # what the model was trained with, and how its outputs are read

MODEL = ROOT / "test/data/models/basic_pitch.pb"
COLUMN = 0.15  # seconds of a sign of the piano roll
TICKS = 480  # of MIDI, a half second


def read_wav(path):
    """The mean of the channels, from -1 to 1, at the rate of the model."""
    with wave.open(str(path)) as file:
        rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
        frames = file.readframes(file.getnframes())
    if width != 2:
        raise ValueError(f"{path}: {8 * width} bits a sample; 16 are read")
    sound = np.frombuffer(frames, "<i2").reshape(-1, channels).mean(1) / 32768
    seconds = len(sound) / rate
    if rate > demo.RATE:  # what the lower rate cannot hold would come back as other tones
        spectrum = np.fft.rfft(sound)
        spectrum[int(len(spectrum) * demo.RATE / rate) :] = 0
        sound = np.fft.irfft(spectrum, len(sound))
    at = np.arange(int(seconds * demo.RATE)) * (rate / demo.RATE)
    return np.interp(at, np.arange(len(sound)), sound).astype(np.float32)


def load(folder):
    plan = pathlib.Path(folder) / "plan"
    command = [ROOT / "build/release/bin/graft", "convert", MODEL, "--plan", plan, "--opt-level", "0"]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return graft.Engine(str(plan))


def listen(engine, sound):
    """The notes, as (begin in seconds, end, key as in MIDI). Onset and frame are posteriors [rows, 88 keys]."""
    windows = demo.cut_windows(sound)
    outputs = engine.run({"input_2": windows})
    onset, frame = (demo.join_windows(outputs[name]) for name in ("Identity_2", "Identity_1"))
    seconds = demo.seconds_per_row(outputs["Identity_2"].shape[1])
    notes = []
    for row, column in demo.find_notes(onset, frame):
        held = frame[row:, column] >= demo.FRAME_THRESHOLD
        rows = len(held) if held.all() else int(held.argmin())
        notes.append((row * seconds, (row + rows) * seconds, int(column) + demo.LOWEST_KEY))
    return sorted(notes)


def piano_roll(notes):
    """A line for each key, a sign for each COLUMN: its begin, then as long as it sounds."""
    lines = []
    for key in sorted({key for _, _, key in notes}, reverse=True):
        signs = [" "] * (int(max(end for _, end, _ in notes) / COLUMN) + 1)
        for begin, end, _ in (note for note in notes if note[2] == key):
            first = int(begin / COLUMN)
            signs[first : int(end / COLUMN) + 1] = "█" + "─" * (int(end / COLUMN) - first)
        lines.append(f"{demo.note_name(key):>4} {''.join(signs)}".rstrip())
    return "\n".join(lines)


def midi(notes):
    """A MIDI file of one track."""

    def length(ticks):
        """A number in sevens of bits, the high ones first."""
        sevens = [ticks & 0x7F]
        while ticks := ticks >> 7:
            sevens.append(ticks & 0x7F | 0x80)
        return bytes(reversed(sevens))

    events = [(begin, 0x90, key) for begin, _, key in notes] + [(end, 0x80, key) for _, end, key in notes]
    track, now = b"", 0
    for seconds, event, key in sorted(events):
        ticks = round(seconds * 2 * TICKS)
        track += length(ticks - now) + bytes([event, key, 80])
        now = ticks
    track += b"\0\xff\x2f\0"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sound", nargs="?", metavar="SOUND.wav")
    parser.add_argument("--midi", metavar="NOTES.mid", help="also write the notes there")
    options = parser.parse_args()
    sound = read_wav(options.sound) if options.sound else demo.synthesise(demo.MELODY)
    with tempfile.TemporaryDirectory() as scratch:
        notes = listen(load(scratch), sound)
    print(piano_roll(notes))
    print(f"{len(notes)} notes in {len(sound) / demo.RATE:.1f} s")
    if options.midi:
        part = f"{options.midi}.part"
        pathlib.Path(part).write_bytes(midi(notes))
        os.replace(part, options.midi)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, EOFError, wave.Error) as error:
        sys.exit(f"transcribe: {error}")
