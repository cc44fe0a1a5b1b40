"""graft.Engine: a plan in Python, without TensorFlow."""

import concurrent.futures

import numpy as np
import pytest

import small_models
import support


@pytest.fixture(scope="module")
def engine(plan):
    import graft

    return graft.Engine(str(plan))


def test_tensorflow_is_not_imported(plan):
    code = (
        "import sys, numpy, graft\n"
        "engine = graft.Engine(sys.argv[1])\n"
        "engine.run({'image': numpy.zeros((1, 16, 16, 3), 'float32')})\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    support.run_python("-c", code, plan)


def test_inputs_and_outputs_are_described(engine):
    (image,) = engine.inputs
    assert image.name in ("image", "image:0")
    assert image.binding_name == "TensorRTInputPH_0"
    assert image.dtype == np.float32
    assert image.shape == (None, 16, 16, 3)
    (classes,) = engine.outputs
    assert classes.binding_name == "TensorRTOutputPH_0"
    assert classes.dtype == np.float32
    assert classes.shape == (None, 5)


@pytest.mark.parametrize("name", ["image", "image:0", "TensorRTInputPH_0"])
def test_an_input_has_three_names(engine, name):
    (classes,) = engine.run({name: small_models.images(2)}).values()
    assert support.relative_error(classes, small_models.expected(2)["classes"]) <= support.TOLERANCE


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_one_engine_takes_any_batch(engine, batch):
    (classes,) = engine.run({"image": small_models.images(batch)}).values()
    reference = small_models.expected(batch)["classes"]
    assert support.relative_error(classes, reference) <= support.TOLERANCE


def test_an_empty_batch_gives_empty_outputs(engine):
    (classes,) = engine.run({"image": small_models.images(0)}).values()
    assert classes.shape == (0, 5)


def test_strides_of_the_callers_array_do_not_matter(engine):
    image = small_models.images(2)
    for other in (np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2]):
        (classes,) = engine.run({"image": other}).values()
        assert np.array_equal(classes, engine.run({"image": image}).popitem()[1])


@pytest.mark.parametrize(
    "feed, error, text",
    [
        ({"image": np.zeros((1, 16, 16, 3))}, TypeError, "'image' has dtype float64"),
        ({"picture": np.zeros((1, 16, 16, 3), "f4")}, ValueError, "no input 'picture'"),
        ({}, ValueError, "no array for input 'image"),
        ({"image": np.zeros((1, 16, 16), "f4")}, ValueError, "image"),
        ({"image": np.zeros((1, 16, 16, 4), "f4")}, ValueError, "image"),
    ],
    ids=["dtype", "name", "missing", "rank", "dimension"],
)
def test_a_wrong_feed_is_refused_by_name(engine, feed, error, text):
    with pytest.raises(error, match=text):
        engine.run(feed)
    engine.run({"image": small_models.images(1)})  # and the engine still works


def test_outputs_belong_to_the_caller(engine):
    (first,) = engine.run({"image": small_models.images(2)}).values()
    kept = first.copy()
    engine.run({"image": small_models.images(2, seed=2)})
    assert np.array_equal(first, kept)


def test_threads_share_an_engine(engine):
    feeds = [small_models.images(1 + i % 3, seed=i) for i in range(24)]
    alone = [engine.run({"image": feed}).popitem()[1] for feed in feeds]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda feed: engine.run({"image": feed}).popitem()[1], feeds))
    for one, other in zip(alone, together):
        assert np.array_equal(one, other)


def test_callers_do_not_wait_for_each_other(tmp_path):
    """A call that takes long leaves the engine to others."""
    import threading
    import time

    import tensorflow as tf

    import graft

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 512, 512], name="x")
        tf.matmul(tf.matmul(x, x), x, name="y")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    support.convert(tmp_path / "m.pb", "--plan", tmp_path / "m.plan")
    engine = graft.Engine(str(tmp_path / "m.plan"), threads=1)
    long, short = np.ones((60, 512, 512), np.float32), np.ones((1, 512, 512), np.float32)
    engine.run({"x": long}), engine.run({"x": short})
    begin = time.perf_counter()
    engine.run({"x": long})
    alone = time.perf_counter() - begin
    started = threading.Event()

    def work():
        started.set()
        engine.run({"x": long})

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    finished_meanwhile = 0
    for _ in range(3):
        time.sleep(alone / 50)
        engine.run({"x": short})
        finished_meanwhile += thread.is_alive()
    thread.join()
    assert finished_meanwhile > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_results(plan, engine, threads):
    import graft

    image = small_models.images(4)
    other = graft.Engine(str(plan), threads=threads)
    assert (
        support.relative_error(
            other.run({"image": image}).popitem()[1], engine.run({"image": image}).popitem()[1]
        )
        <= 1e-6
    )


def test_a_missing_plan_is_a_file_not_found(tmp_path):
    import graft

    with pytest.raises(FileNotFoundError, match="no.plan"):
        graft.Engine(str(tmp_path / "no.plan"))


def test_a_damaged_plan_is_refused(plan, tmp_path):
    import graft

    damaged = tmp_path / "damaged.plan"
    damaged.write_bytes(plan.read_bytes()[:-100])
    with pytest.raises(RuntimeError, match="damaged.plan"):
        graft.Engine(str(damaged))


def test_a_forked_child_runs_an_engine(plan):
    """Both the one its parent made and ran, and a new one."""
    code = (
        "import os, sys, numpy, graft\n"
        "image = numpy.ones((1, 16, 16, 3), 'float32')\n"
        "engine = graft.Engine(sys.argv[1], threads=2)\n"
        "expected = engine.run({'image': image}).popitem()[1]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    for e in (graft.Engine(sys.argv[1], threads=2), engine):\n"
        "        good = numpy.allclose(e.run({'image': image}).popitem()[1], expected, rtol=1e-6)\n"
        "        if not good: os._exit(1)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    support.run_python("-c", code, plan)
