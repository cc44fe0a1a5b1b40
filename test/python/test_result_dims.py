"""Models whose data decides how many results there are: as plans, in Python and inside TensorFlow."""

import concurrent.futures

import numpy as np
import pytest

import support
from support import EngineCalls

BOXES = 60


def features(count=BOXES, seed=1, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((count, 8), np.float32)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """features [?, 8] -> the boxes that survive, their scores, where these are high, how many."""
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8], name="features")
        corner = tf.sigmoid(tf.matmul(x, rng.standard_normal((8, 2), np.float32)))
        size = tf.sigmoid(tf.matmul(x, rng.standard_normal((8, 2), np.float32)))
        boxes = tf.concat([corner, corner + size], 1)
        scores = tf.sigmoid(tf.squeeze(tf.matmul(x, rng.standard_normal((8, 1), np.float32)), 1))
        chosen = tf.image.non_max_suppression(boxes, scores, 20, 0.3, 0.2)
        tf.identity(tf.gather(boxes, chosen) * 2.0, "boxes")
        best = tf.identity(tf.gather(scores, chosen), "scores")
        tf.identity(tf.where(best > 0.7), "high")
        tf.identity(tf.boolean_mask(tf.nn.relu(x), scores > 0.5), "rows")
        tf.identity(tf.shape(chosen)[0] + 1, "count")
        path = tmp_path_factory.mktemp("detector") / "detector.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


NAMES = ("boxes", "scores", "high", "rows", "count")
FETCHES = [f"{name}:0" for name in NAMES]


class Session:
    def __init__(self, path):
        import tensorflow as tf

        v1 = tf.compat.v1
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(v1.GraphDef.FromString(path.read_bytes()), name="")
        self._session = v1.Session(graph=graph)
        self.errors = tf.errors.OpError

    def __call__(self, x):
        return dict(zip(NAMES, self._session.run(FETCHES, {"features:0": x})))


@pytest.fixture(scope="module")
def native(detector):
    return Session(detector)


@pytest.fixture(scope="module")
def plan(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "detector.plan"
    support.convert(detector, "--outputs", ",".join(FETCHES), "--plan", path)
    return path


INPUTS = {
    "many": features(),
    "few": features(5, 2),
    "one": features(1, 3),
    "none": features(0),
    "all alike": np.zeros((30, 8), np.float32),
    "low": np.full((7, 8), -50, np.float32),
}


def assert_same(values, references):
    values = {name.split(":")[0]: value for name, value in values.items()}
    for name in NAMES:
        assert values[name].dtype == references[name].dtype, name
        assert values[name].shape == references[name].shape, name
    support.assert_close(values, references)


def test_a_plan_gives_what_tensorflow_gives(plan, native):
    import graft

    engine = graft.Engine(str(plan))
    assert {b.name.split(":")[0]: b.shape for b in engine.outputs} == {
        "boxes": (None, 4), "scores": (None,), "high": (None, 1), "rows": (None, 8), "count": (),
    }
    for _ in range(2):
        for name, x in INPUTS.items():
            assert_same(engine.run({"features": x}), native(x))


def test_threads_with_different_numbers_of_results(plan, native):
    import graft

    engines = [graft.Engine(str(plan), threads=1) for _ in range(8)]
    inputs = [features(10 + i, i) for i in range(16)]
    references = [native(x) for x in inputs]

    def run(k):
        for i in range(40):
            n = (k * 5 + i) % len(inputs)
            assert_same(engines[k].run({"features": inputs[n]}), references[n])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))


def test_the_program_takes_such_plans(plan, native, tmp_path):
    np.save(tmp_path / "x.npy", INPUTS["many"])
    out, stored = tmp_path / "out", tmp_path / "stored"
    stored.mkdir()
    support.graft("run", plan, "--input", f"features={tmp_path / 'x.npy'}", "--output", out)
    reference = native(INPUTS["many"])
    for name in NAMES:
        (file,) = out.glob(f"{name}*.npy")
        assert support.relative_error(np.load(file), reference[name]) <= support.TOLERANCE
        np.save(stored / f"case_out_{file.name}", reference[name])
    np.save(stored / "case_in_features.npy", INPUTS["many"])
    bench = support.graft("bench", plan, "--duration", 0.05, "--layers", "--shapes", "features:40x8")
    assert "cpu.non_max_suppression.heap" in bench and "cpu.where.scan" in bench
    text = support.graft("inspect", plan)
    assert "non_max_suppression" in text and "4 symbols, 3 stages" in text and "at most" in text
    support.graft("plan", "verify", plan)
    assert support.graft("compare", plan, "--reference", stored).count("PASSED") == len(NAMES)


def test_engines_of_several_stages_run_inside_tensorflow(detector, native, tmp_path):
    from graft import _op_library

    _op_library.load()
    path = tmp_path / "converted.pb"
    report = support.convert(detector, "--outputs", ",".join(FETCHES), "--output", path)
    assert report["engines"] == 1
    session = Session(path)
    with EngineCalls() as engines:
        for x in INPUTS.values():
            assert_same(session(x), native(x))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            inputs = [features(10 + i, i) for i in range(32)]
            for x, values in zip(inputs, pool.map(session, inputs)):
                assert_same(values, native(x))
    assert (engines.calls, engines.fallbacks) == (len(INPUTS) + 32, 0), engines.reasons


# ---- sizes that are data

# Each output, and the node that an impossible size is reported of.
NODE_OF = {"head": "Slice", "middle": "strided_slice", "counted": "range", "filled": "Fill", "tiled": "tiled", "shaped": "reshape|add"}
SIZED = tuple(NODE_OF)


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """x [?, 8] and integers, whose sum n says how much of x there is in each output."""
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8], name="x")
        n = tf.reduce_sum(v1.placeholder(tf.int32, [None], name="parts"))
        tf.nn.relu(tf.slice(x, [0, 0], tf.stack([n, 8])), "head")
        tf.identity(x[n // 2 : n] * 2.0, "middle")
        tf.cast(tf.range(n), tf.float32, "counted")
        tf.identity(tf.fill([n, 1000000], x[0, 0]) + 1.0, "filled")
        tf.tile(x, tf.stack([1, n]), "tiled")
        tf.identity(tf.reshape(x[:6], tf.stack([n, -1])) + 1.0, "shaped")
        path = tmp_path_factory.mktemp("sized") / "sized.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def feed(n, rows=12):
    """Four parts whose sum is n, wrapping round as integers do."""
    first = np.array([7, -3, 1], np.int64)
    last = (n - first.sum() + 2**31) % 2**32 - 2**31
    return {"x": features(rows), "parts": np.array([*first, last], np.int32)}


class SizedSession(Session):
    def __call__(self, feeds, names=SIZED):
        fed = {f"{name}:0": value for name, value in feeds.items()}
        return dict(zip(names, self._session.run([f"{name}:0" for name in names], fed)))


HOSTILE = [-1, -(2**31), 13, 7, 2**31 - 8, 2**31 - 1]



@pytest.mark.parametrize("name", SIZED)
def test_sizes_that_are_data(sized, name, tmp_path):
    import graft

    support.convert(sized, "--outputs", f"{name}:0", "--plan", tmp_path / "sized.plan")
    engine = graft.Engine(str(tmp_path / "sized.plan"))
    native = SizedSession(sized)
    fed = {b.name.split(":")[0] for b in engine.inputs}
    for n in [3, 12, 1, 6, *HOSTILE, 3]:
        if name in ("counted", "tiled") and n > 100:
            continue  # gigabytes that a machine may have
        feeds = {key: value for key, value in feed(n).items() if key in fed}
        try:
            # TensorFlow would ask the machine for petabytes.
            expected = None if name == "filled" and n > 100 else native(feed(n), (name,))[name]
        except native.errors:
            expected = None
        if expected is None:
            with pytest.raises(ValueError, match=NODE_OF[name]):
                engine.run(feeds)
            continue
        (value,) = engine.run(feeds).values()
        assert value.shape == expected.shape, n
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_sizes_that_are_data_inside_tensorflow(sized, tmp_path):
    from graft import _op_library

    _op_library.load()
    path = tmp_path / "converted.pb"
    names = ("head", "middle", "counted")
    report = support.convert(sized, "--outputs", ",".join(f"{name}:0" for name in names), "--output", path)
    assert report["engines"] == 1
    converted, native = SizedSession(path), SizedSession(sized)
    sizes = [3, 12, 1, 0, 6, 3]
    with EngineCalls() as engines:
        for n in sizes:
            for name, expected in native(feed(n), names).items():
                np.testing.assert_array_equal(converted(feed(n), names)[name], expected)
    assert engines.fallbacks == 0, engines.reasons
    # The error is TensorFlow's, from the native segment.
    with EngineCalls() as engines:
        for n in (-1, 13):
            with pytest.raises(native.errors, match="Slice|slice|Range|limit|size"):
                converted(feed(n), names)
        converted(feed(4), names)
    assert (engines.calls, engines.fallbacks) == (1, 2), engines.reasons


def test_thresholds_that_are_data(tmp_path):
    import graft
    import tensorflow as tf
    from graft import _op_library

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        boxes, scores = v1.placeholder(tf.float32, [None, 4], "boxes"), v1.placeholder(tf.float32, [None], "scores")
        overlap, least = v1.placeholder(tf.float32, [], "overlap"), v1.placeholder(tf.float32, [], "least")
        chosen = tf.image.non_max_suppression(boxes, scores, 20, overlap, least)
        tf.identity(tf.gather(boxes, chosen) * 2.0, "y")
        (tmp_path / "nms.pb").write_bytes(graph.as_graph_def().SerializeToString())
    low = np.random.default_rng(1).uniform(size=(BOXES, 2)).astype(np.float32)
    fed = {"boxes": np.concatenate([low, low + 0.25], 1), "scores": low[:, 0]}
    support.convert(tmp_path / "nms.pb", "--outputs", "y:0", "--plan", tmp_path / "nms.plan")
    support.convert(tmp_path / "nms.pb", "--outputs", "y:0", "--output", tmp_path / "converted.pb")
    engine = graft.Engine(str(tmp_path / "nms.plan"))
    _op_library.load()
    native, converted = SizedSession(tmp_path / "nms.pb"), SizedSession(tmp_path / "converted.pb")
    with EngineCalls() as engines:
        for values in [(0.5, 0.1), (0.0, 0.5), (1.0, -np.inf), (0.2, np.nan), (0.3, np.inf)]:
            feeds = fed | {"overlap": np.float32(values[0]), "least": np.float32(values[1])}
            expected = native(feeds, ("y",))["y"]
            np.testing.assert_array_equal(engine.run(feeds)["y"], expected)
            np.testing.assert_array_equal(converted(feeds, ("y",))["y"], expected)
    assert (engines.calls, engines.fallbacks) == (5, 0), engines.reasons
    for value in (-0.5, 1.5, np.nan):
        feeds = fed | {"overlap": np.float32(value), "least": np.float32(0)}
        with pytest.raises(ValueError, match="NonMaxSuppressionV3.*iou_threshold"):
            engine.run(feeds)
        with pytest.raises(native.errors, match="iou_threshold must be in"):
            converted(feeds, ("y",))
