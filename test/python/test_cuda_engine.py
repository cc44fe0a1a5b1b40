"""graft.Engine on a GPU, and plans for kinds of cards: with a driver of the tests' own, whose
device memory is the host's and whose kernels do nothing (test/gpu/stub). What a card computes,
test/gpu/run.sh looks at."""

import textwrap

import numpy as np
import pytest

import support

DRIVER = support.BUILD / "test/gpu/driver"
NO_COMPILER = support.BUILD / "test/gpu/no_compiler"

# What a library's arrays look like, over memory of NumPy's.
ARRAYS = '''
import ctypes
import os
import sys

import numpy as np

import graft

def trace():
    """What was queued since the last call."""
    path = os.environ["GRAFT_STUB_TRACE"]
    lines = open(path).read().split("\\n")[:-1] if os.path.exists(path) else []
    open(path, "w").close()
    return lines

class Interface:
    def __init__(self, array, stream=None):
        self.array, self.stream = array, stream
    @property
    def __cuda_array_interface__(self):
        return {"shape": self.array.shape, "typestr": self.array.dtype.str, "version": 3,
                "data": (self.array.ctypes.data, False), "strides": self.array.strides,
                "stream": self.stream}

class DlPack:
    def __init__(self, array, device=0):
        self.array, self.device, self.streams = array, device, []
    def __dlpack_device__(self):
        return (2, self.device)
    def __dlpack__(self, stream=None):
        self.streams.append(stream)
        capsule = self.array.__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        device = (ctypes.c_int32 * 2).from_address(pointer(capsule, b"dltensor") + 8)
        device[0], device[1] = 2, self.device
        return capsule

def host(array):
    """A device array's memory, as the stub has it."""
    interface = array.__cuda_array_interface__
    bytes_ = (ctypes.c_byte * array.nbytes).from_address(interface["data"][0])
    return np.frombuffer(bytes_, interface["typestr"]).reshape(interface["shape"])

x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
engine = graft.Engine(sys.argv[1], device="cuda:0")
'''


def run(code, plan, tmp_path, folders=(DRIVER,), **environment):
    return support.run_python(
        "-c",
        ARRAYS + textwrap.dedent(code),
        plan,
        LD_LIBRARY_PATH=":".join(map(str, folders)),
        GRAFT_STUB_TRACE=str(tmp_path / "trace"),
        **environment,
    )


def save(path, make):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 3, 4], name="x")
        tf.identity(make(tf, x), name="y")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def convert(model, plan, device, *arguments, expect=support.DONE):
    return support.graft(
        "convert", model, "--plan", plan, "--device", device, *arguments, expect=expect
    )


@pytest.fixture(scope="module", autouse=True)
def needs_the_backend(tmp_path_factory):
    if not DRIVER.exists():
        pytest.skip("built without CUDA")
    model = save(tmp_path_factory.mktemp("probe") / "m.pb", lambda tf, x: tf.nn.relu(x))
    said = support.graft("ops", "--backend", "cuda:sm_90", expect=None)
    if "no run-time compiler" in said:
        pytest.skip("libnvrtc.so.13 is not on this machine")
    return model


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A plan whose output is its input in another shape: a copy, which the stub makes."""
    folder = tmp_path_factory.mktemp("moved")
    model = save(folder / "m.pb", lambda tf, x: tf.reshape(x, [-1, 12]))
    convert(model, folder / "m.plan", "cuda:sm_90")
    return folder / "m.plan"


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("computed")
    model = save(folder / "m.pb", lambda tf, x: tf.nn.softmax(tf.nn.relu(x)))
    convert(model, folder / "m.plan", "cuda:sm_90")
    return folder / "m.plan"


def test_numpy_in_and_out(moved, tmp_path):
    code = """
    assert engine.device == "cuda:0"
    (y,) = engine.run({"x": x}).values()
    assert isinstance(y, np.ndarray) and np.array_equal(y, x.reshape(2, 12))
    target = np.empty((2, 12), np.float32)
    assert engine.run({"x": x}, outputs={"y": target}).popitem()[1] is target
    assert np.array_equal(target, y)
    """
    run(code, moved, tmp_path)


def test_arrays_on_the_device_are_used_where_they_are(computed, tmp_path):
    code = """
    trace()
    given = DlPack(x)
    (y,) = engine.run({"x": given}, stream=4096).values()
    assert isinstance(y, graft.DeviceArray) and y.shape == (2, 3, 4) and y.dtype == np.float32
    assert y.device == "cuda:0" and y.__dlpack_device__() == (2, 0)
    assert given.streams == [4096]
    lines = trace()
    assert lines and all(line == "launch 0x1000" for line in lines), lines
    for use in (Interface(x), DlPack(x)):
        target = Interface(np.empty_like(x))
        result = engine.run({"x": use}, outputs={"y": target}, stream=4096)
        assert result.popitem()[1] is target
        assert not [line for line in trace() if line.startswith("copy")]
    """
    run(code, computed, tmp_path)


def test_outputs_are_handed_on(moved, tmp_path):
    code = """
    (y,) = engine.run({"x": DlPack(x)}, stream=4096).values()
    trace()
    assert np.array_equal(host(y), x.reshape(2, 12))
    assert trace() == ["wait 0x1"]  # who reads it by the interface reads on the default stream
    y.__dlpack__(stream=8192)
    assert trace() == ["wait 0x2000"]
    y.__dlpack__(stream=-1)
    assert trace() == []
    assert np.array_equal(y.numpy(), host(y)) and np.array_equal(np.asarray(y), host(y))
    class Consumed:
        def __dlpack__(self, **wanted):
            return y.__dlpack__(stream=8192)
    (again,) = engine.run({"x": x}, stream=4096).values()
    assert np.array_equal(host(again), host(y))
    """
    run(code, moved, tmp_path)


def test_a_producers_stream_is_waited_for(computed, tmp_path):
    code = """
    trace()
    engine.run({"x": Interface(x, stream=12288)}, stream=4096)
    assert trace()[0] == "wait 0x1000"
    engine.run({"x": Interface(x)})  # no stream: the default one, waited for
    assert trace()[-1].endswith(" 0x1")
    class Stream:
        cuda_stream = 0
    assert engine.run({"x": Interface(x)}, stream=Stream()).popitem()[1].device == "cuda:0"
    """
    run(code, computed, tmp_path)


def test_streams_have_contexts_of_their_own(computed, tmp_path):
    """Runs on several streams do not wait for each other, those on one share a context."""
    code = """
    for _ in range(3):
        for stream in (4096, 8192, 12288):
            engine.run({"x": Interface(x)}, stream=stream)
    lines = trace()
    assert not [line for line in lines if line.startswith("wait")], lines
    assert len({line for line in lines if line.startswith("capture")}) == 3, lines
    graphs = {line for line in lines if line.startswith("graph")}
    assert graphs == {"graph 0x1000", "graph 0x2000", "graph 0x3000"}
    """
    run(code, computed, tmp_path)


def test_recordings_are_made_on_a_stream_of_the_contexts(computed, tmp_path):
    """A default stream cannot be captured, and a caller's is others' as well."""
    code = """
    for _ in range(3):
        engine.run({"x": Interface(x)})
    lines = trace()
    assert "graph 0x1" in lines and "capture 0x1" not in lines
    """
    run(code, computed, tmp_path)


@pytest.mark.parametrize(
    "call, error, text",
    [
        ("{'x': DlPack(x, device=1)}", "ValueError", "'x' is on cuda:1, the engine runs on cuda:0"),
        ("{'x': DlPack(x.astype('f8'))}", "TypeError", "has dtype float64, the engine takes float32"),
        ("{'x': Interface(x.astype('f2'))}", "TypeError", "input 'x' has dtype float16"),
        ("{'x': Interface(x.swapaxes(1, 2))}", "ValueError", "input 'x' is not contiguous"),
        ("{'x': Interface(x[0])}", "ValueError", "x"),
        ("{'x': Interface(x)}, outputs={'y': Interface(x[:1])}", "ValueError",
         "output 'y(:0)?' has shape .2, 3, 4., the array for it .1, 3, 4."),
        ("{'x': Interface(x)}, outputs={'y': x.astype('i4')}", "TypeError", "gives float32"),
        ("{'x': Interface(x)}, outputs={'y': [1]}", "TypeError", "'y' needs a contiguous"),
        ("{'x': Interface(x)}, outputs={'z': x}", "ValueError", "there is no output 'z'"),
        ("{'x': x}, stream='main'", "TypeError", "stream: expected a handle"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(computed, tmp_path, call, error, text):
    code = f"""
    import re
    try:
        engine.run({call})
    except {error} as e:
        assert re.search({text!r}, str(e)), e
    else:
        raise AssertionError("it ran")
    engine.run({{"x": Interface(x)}})
    """
    run(code, computed, tmp_path)


def test_an_engine_on_the_cpu_takes_no_device_arrays(plan, computed, tmp_path):
    code = f"""
    cpu = graft.Engine({str(plan)!r}, device="cpu")
    assert cpu.device == "cpu"
    for call, text in (
        (lambda: cpu.run({{"image": Interface(x)}}), "CUDA device, the engine runs on the cpu"),
        (lambda: cpu.run({{"image": x}}, stream=1), "stream: the engine runs on the cpu"),
        (lambda: graft.Engine({str(plan)!r}, device="cuda:0"), "the plan is for cpu, not for cuda"),
        (lambda: graft.Engine(sys.argv[1], device="cpu"), "the plan is for cuda, not for cpu"),
        (lambda: graft.Engine(sys.argv[1], device="gpu:x"), "device 'gpu:x'"),
    ):
        try:
            call()
        except ValueError as e:
            assert text in str(e), e
        else:
            raise AssertionError(text)
    """
    run(code, computed, tmp_path)


def test_out_of_memory_leaves_the_engine_usable(computed, tmp_path):
    code = """
    os.environ["GRAFT_STUB"] = "memory"
    libc = ctypes.CDLL(None)
    libc.setenv(b"GRAFT_STUB", b"memory", 1)
    big = np.zeros((64, 3, 4), np.float32)
    for _ in range(2):
        try:
            engine.run({"x": big})
        except MemoryError as e:
            assert "out of memory" in str(e)
        else:
            raise AssertionError("there was memory")
    libc.unsetenv(b"GRAFT_STUB")
    assert engine.run({"x": big}).popitem()[1].shape == (64, 3, 4)
    """
    run(code, computed, tmp_path)


def test_a_recording_that_is_broken_off_is_no_failure(computed, tmp_path):
    code = """
    for _ in range(3):
        engine.run({"x": Interface(x)}, stream=4096)
    lines = trace()
    assert len([line for line in lines if line.startswith("capture")]) == 2
    assert not [line for line in lines if line.startswith("graph")]
    assert lines[-1] == "launch 0x1000"
    ctypes.CDLL(None).unsetenv(b"GRAFT_STUB")
    engine.run({"x": Interface(x)}, stream=4096)
    assert trace()[-1] == "graph 0x1000"
    """
    run(code, computed, tmp_path, GRAFT_STUB="capture")


# ---- Kinds of cards


@pytest.mark.parametrize("kind", ["sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_90a"])
def test_a_plan_is_made_for_a_card_that_is_not_here(kind, tmp_path, needs_the_backend):
    said = convert(needs_the_backend, tmp_path / "m.plan", f"cuda:{kind}")
    assert " 0 measured" in said
    name = kind.removesuffix("a") + ("a" if "90" in kind else "")
    assert f"no card, for {name}" in support.graft("inspect", tmp_path / "m.plan")


@pytest.mark.parametrize(
    "kind, text",
    [
        ("sm_75", "sm_75: compute capability 8.0 is needed"),
        ("sm_99", "the run-time compiler knows no sm_99: it knows "),
        ("sm_", "'sm_' is no kind of card: expected sm_90"),
    ],
)
def test_an_unknown_kind_is_refused(kind, text, tmp_path, needs_the_backend):
    said = convert(needs_the_backend, tmp_path / "m.plan", f"cuda:{kind}", expect=None)
    assert text in said and " converted, " not in said and not (tmp_path / "m.plan").exists()


def test_without_a_compiler_there_is_no_plan(tmp_path, needs_the_backend, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(NO_COMPILER))
    said = convert(
        needs_the_backend, tmp_path / "m.plan", "cuda:sm_90", expect=support.BAD_INPUT
    )
    assert "nvrtc" in said and len(said.strip().splitlines()) == 1


def test_a_plans_kernels_need_no_compiler(computed, tmp_path):
    """The stub's card is an sm_90."""
    run("engine.run({'x': x})", computed, tmp_path, folders=(NO_COMPILER, DRIVER))


def test_kernels_of_another_kind_are_compiled_or_refused(tmp_path, needs_the_backend):
    convert(needs_the_backend, tmp_path / "m.plan", "cuda:sm_80")
    run("engine.run({'x': x})", tmp_path / "m.plan", tmp_path)
    code = """
    try:
        graft.Engine(os.environ["PLAN"])
    except NotImplementedError as e:
        assert "no kernel is at hand for sm_90a, and" in str(e) and "nvrtc" in str(e), e
    else:
        raise AssertionError("it was loaded")
    """
    plan = str(tmp_path / "m.plan")
    support.run_python(
        "-c",
        "import os, graft" + textwrap.dedent(code),
        LD_LIBRARY_PATH=f"{NO_COMPILER}:{DRIVER}",
        PLAN=plan,
    )


def test_a_plan_for_a_kind_is_tuned_when_asked(tmp_path, computed):
    code = """
    timings = os.path.join(os.environ["GRAFT_CACHE"], "timings")
    def measured():
        return open(timings).read().count("Stub sm_90a") if os.path.exists(timings) else 0
    del engine
    before = measured()
    graft.Engine(sys.argv[1], device="cuda:0").run({"x": x})
    assert measured() == before
    graft.Engine(sys.argv[1], device="cuda:0", tune=True).run({"x": x})
    assert measured() > before
    """
    run(code, computed, tmp_path, GRAFT_CACHE=str(tmp_path))


def test_a_kind_runs_nothing(computed):
    said = support.graft(
        "run", computed, "--device", "cuda:sm_90", "--random", 1, expect=None
    )
    assert "the plan is for cuda, not for cuda:sm_90" in said
