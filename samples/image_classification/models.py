"""Where models come from: a name, a path or an address; each ends as a SavedModel."""

import hashlib
import os
import pathlib
import shutil
import urllib.request

import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("GRAFT_CACHE", pathlib.Path.home() / ".cache/graft")) / "models"
# The repository's own, of Fashion-MNIST; NOTICE says whose the data are.
NAMED = {path.stem: path for path in (ROOT / "test/data/fashion_mnist").glob("*.pb")}


def fetch(address, sha256):
    """The file at the address, downloaded once; ValueError unless it has that checksum."""
    if not sha256:
        raise ValueError(f"{address}: --sha256 has to say what is expected there")
    file = CACHE / sha256 / pathlib.PurePosixPath(address).name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}.part")
        with urllib.request.urlopen(address) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
        found = hashlib.sha256(part.read_bytes()).hexdigest()
        if found != sha256:
            part.unlink()
            raise ValueError(f"{address}: its SHA-256 is {found}, not {sha256}")
        part.rename(file)
    return file


def _from_frozen_graph(file, folder):
    graph_def = tf.compat.v1.GraphDef.FromString(file.read_bytes())
    read = {edge.split(":")[0].lstrip("^") for node in graph_def.node for edge in node.input}
    inputs = [node.name for node in graph_def.node if node.op == "Placeholder"]
    outputs = [n.name for n in graph_def.node if n.name not in read and n.op not in ("Placeholder", "NoOp", "Const")]

    def load():
        tf.compat.v1.import_graph_def(graph_def, name="")

    pruned = tf.compat.v1.wrap_function(load, []).prune(
        {name: f"{name}:0" for name in inputs}, {name: f"{name}:0" for name in outputs}
    )
    module = tf.Module()
    module.serve = pruned
    tf.saved_model.save(module, str(folder), signatures=pruned)


def _from_keras(file, folder):
    import keras

    keras.models.load_model(file).export(str(folder))


def as_saved_model(model, sha256, scratch):
    """The folder of a SavedModel: `model` itself, or made of it in `scratch`.

    `model` is one of NAMED, a SavedModel's folder, a frozen graph (.pb), a Keras file (.keras), an archive of a SavedModel
    (.zip, .tar.gz), or the address of such a file.
    """
    if "://" in str(model):
        model = fetch(model, sha256)
    file = pathlib.Path(NAMED.get(str(model), model))
    if file.is_dir():
        return file
    if not file.exists():
        raise ValueError(f"{model}: neither a file nor one of {', '.join(sorted(NAMED))}")
    folder = pathlib.Path(scratch) / "saved_model"
    if file.suffix == ".pb":
        _from_frozen_graph(file, folder)
    elif file.suffix == ".keras":
        _from_keras(file, folder)
    else:
        shutil.unpack_archive(file, folder, filter="data")
        (found,) = folder.rglob("saved_model.pb")
        return found.parent
    return folder
