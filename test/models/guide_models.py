"""Makes the ten image classifiers that TF-TRT's user guide verified, and the models of
architectures.py, with weights that test.

    python test/models/guide_models.py NAME DIR [--frozen-pb]

writes to DIR:
    saved_model/         signatures `serving_default` (image -> logits) and `inner` (image ->
                         logits, inner_1 ... inner_3)
    frozen.pb            with --frozen-pb: the `inner` signature, its variables made constants
    frozen.json          with --frozen-pb: the names of its input and outputs
    model.json           image shape, output names, number of trained parameters
    reference_b1.npz, reference_b5.npz
                         a batch of images and what TensorFlow (without oneDNN) computes for it
    perturbed_b1.npz     the same outputs after one kernel grew by 1 %: a check that accepts them
                         checks nothing

Keras's fresh weights test nothing: biases are zero, batch norm is the identity, and two different
images give logits that hardly differ. Here every kernel is random, and every scale, bias, mean and
variance is measured layer by layer on a batch of random images, so that each layer's output has a
variance near one and depends on the image.

Results are cached by model and by the content of these files under $GRAFT_CACHE or ~/.cache/graft.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import architectures

CACHE = pathlib.Path(os.environ.get("GRAFT_CACHE", pathlib.Path.home() / ".cache/graft"))

# name -> (constructor, side of the image, millions of trained parameters, options). Constructors
# are those of keras.applications and of keras_models.py.
MODELS = {
    "mobilenet_v1": ("MobileNet", 224, 4.2, {}),
    "mobilenet_v2_1.4": ("MobileNetV2", 224, 6.1, {"alpha": 1.4}),
    "nasnet_large": ("NASNetLarge", 331, 88.7, {}),
    "nasnet_mobile": ("NASNetMobile", 224, 5.3, {}),
    "resnet50_v1.5": ("ResNet50V15", 224, 25.5, {}),
    "resnet50_v2": ("ResNet50V2", 224, 25.6, {}),
    "vgg16": ("VGG16", 224, 138, {}),
    "vgg19": ("VGG19", 224, 144, {}),
    "inception_v3": ("InceptionV3", 299, 23.8, {}),
    "inception_v4": ("InceptionV4", 299, 42.7, {}),
}


def cached(name, frozen=False):
    """The folder of one model, made in a process of its own if it is not in the cache."""
    here = pathlib.Path(__file__).resolve().parent
    files = ["guide_models.py", "conditioned.py", "keras_models.py"]
    if name in architectures.MODELS:
        files.append("architectures.py")
    digest = hashlib.sha256(b"".join((here / file).read_bytes() for file in files)).hexdigest()[:16]
    folder = CACHE / "guide-models" / f"{name}-{digest}"
    command = [sys.executable, here / "conditioned.py", name, folder]
    if frozen and not (folder / "frozen.json").exists():
        command.append("--frozen-pb")
    elif (folder / "model.json").exists():
        return folder
    # oneDNN inside TensorFlow changes results by up to 1e-2 on real models: its plain kernels are
    # the reference.
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run(command, check=True, env=environment)
    return folder


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=[*MODELS, *architectures.MODELS])
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--frozen-pb", action="store_true")
    args = parser.parse_args()
    shutil.copytree(cached(args.name, args.frozen_pb), args.dir, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
