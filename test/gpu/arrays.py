"""arrays.py PLAN: graft.Engine on a card with arrays of NumPy, torch, cupy and jax, as far as they
are installed, on streams and in threads; prints a line for each check and exits with 1 when one
failed. The plan's inputs are floats."""

import concurrent.futures
import sys
import time
import traceback

import numpy as np

import graft

engine = graft.Engine(sys.argv[1], device="cuda:0")
rng = np.random.default_rng(1)


def feed(batch):
    return {
        b.name: rng.uniform(-1, 1, [batch if n is None else n for n in b.shape]).astype(b.dtype)
        for b in engine.inputs
    }


host = feed(2)
expected = engine.run(host)
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def same(outputs, to_numpy=np.asarray):
    assert sorted(outputs) == sorted(expected)
    for name, value in outputs.items():
        assert np.array_equal(to_numpy(value), expected[name]), name


@check
def numpy_again_and_into_arrays_of_the_callers():
    same(engine.run(host))
    targets = {name: np.empty_like(value) for name, value in expected.items()}
    same(engine.run(host, outputs=targets))
    assert all(np.array_equal(targets[name], expected[name]) for name in targets)


@check
def torch_on_the_default_stream():
    import torch

    inputs = {name: torch.from_numpy(value).cuda() for name, value in host.items()}
    outputs = engine.run(inputs)
    tensors = {name: torch.from_dlpack(value) for name, value in outputs.items()}
    for name, value in outputs.items():
        assert tensors[name].data_ptr() == value.__cuda_array_interface__["data"][0], "a copy"
    same(tensors, lambda t: t.cpu().numpy())
    same(outputs)
    targets = {name: torch.empty(value.shape, device="cuda") for name, value in expected.items()}
    results = engine.run(inputs, outputs=targets)
    assert all(results[name] is targets[name] for name in targets)
    same(targets, lambda t: t.cpu().numpy())


@check
def torch_on_a_stream():
    import torch

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(100):
            # Made, used and freed in the stream's order, the results read after.
            inputs = {
                name: torch.from_numpy(value).cuda(non_blocking=True) * 1
                for name, value in host.items()
            }
            outputs = engine.run(inputs, stream=stream)
            tensors = {name: torch.from_dlpack(value) * 1 for name, value in outputs.items()}
            del inputs, outputs
        stream.synchronize()
        same(tensors, lambda t: t.cpu().numpy())


@check
def torch_streams_in_threads():
    import torch

    def work(_):
        streams = [torch.cuda.Stream() for _ in range(8)]
        inputs = {name: torch.from_numpy(value).cuda() for name, value in host.items()}
        # Not of the device: CUDA refuses that while another thread's run is being recorded.
        torch.cuda.current_stream().synchronize()
        kept = []
        for _ in range(10):
            for stream in streams:
                with torch.cuda.stream(stream):
                    kept.append(engine.run(inputs, stream=stream))
        for outputs in kept:
            same(outputs)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@check
def cupy_arrays():
    import cupy

    inputs = {name: cupy.asarray(value) for name, value in host.items()}
    outputs = engine.run(inputs)
    same({name: cupy.asarray(value) for name, value in outputs.items()}, cupy.asnumpy)
    same({name: cupy.from_dlpack(value) for name, value in outputs.items()}, cupy.asnumpy)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        outputs = engine.run({n: cupy.asarray(v) for n, v in host.items()}, stream=stream)
        same({name: cupy.from_dlpack(value) for name, value in outputs.items()}, cupy.asnumpy)


class Interface:
    """Nothing but the older protocol."""

    def __init__(self, array):
        self.__cuda_array_interface__ = array.__cuda_array_interface__


@check
def arrays_by_the_cuda_array_interface():
    import cupy

    inputs = {name: cupy.asarray(value) for name, value in host.items()}
    same(engine.run({name: Interface(value) for name, value in inputs.items()}))


@check
def jax_arrays():
    import jax

    inputs = {name: jax.device_put(value) for name, value in host.items()}
    if next(iter(inputs.values())).device.platform != "gpu":
        raise ImportError("jax has no GPU here")
    outputs = engine.run(inputs)
    same({name: jax.dlpack.from_dlpack(value) for name, value in outputs.items()})


@check
def mixed_spaces():
    import torch

    name = engine.inputs[0].name
    inputs = dict(host) | {name: torch.from_numpy(host[name]).cuda()}
    same(engine.run(inputs))
    targets = {name: np.empty_like(value) for name, value in expected.items()}
    engine.run(inputs, outputs=targets)
    same(targets)


@check
def what_does_not_fit_is_named():
    import torch

    name = engine.inputs[0].name
    good = torch.from_numpy(host[name]).cuda()
    cases = [
        (good.double(), TypeError, "float64"),
        (good.transpose(-1, -2), ValueError, "contiguous"),
    ]
    if torch.cuda.device_count() > 1:
        cases.append((good.to("cuda:1"), ValueError, "is on cuda:1, the engine runs on cuda:0"))
    for bad, error, text in cases:
        try:
            engine.run(dict(host) | {name: bad})
        except error as e:
            assert text in str(e) and name in str(e), e
        else:
            raise AssertionError(f"{text}: it ran")
    same(engine.run(host))


@check
def the_other_card():
    import torch

    if torch.cuda.device_count() < 2:
        raise ImportError("one card")
    other = graft.Engine(sys.argv[1], device="cuda:1")
    inputs = {name: torch.from_numpy(value).to("cuda:1") for name, value in host.items()}
    outputs = other.run(inputs)
    assert next(iter(outputs.values())).device == "cuda:1"
    tensors = {name: torch.from_dlpack(value) for name, value in outputs.items()}
    assert all(t.device.index == 1 for t in tensors.values())
    same(tensors, lambda t: t.cpu().numpy())


@check
def memory_comes_back():
    import torch

    def used():
        free, total = torch.cuda.mem_get_info()
        return total - free

    inputs = {name: torch.from_numpy(value).cuda() for name, value in host.items()}
    for _ in range(20):
        engine.run(inputs)
    torch.cuda.synchronize()
    before = used()
    for _ in range(500):
        engine.run(inputs)
    torch.cuda.synchronize()
    assert used() - before < 8e6, f"{(used() - before) / 1e6} MB more"


@check
def the_time_of_a_call():
    import torch

    stream = torch.cuda.Stream()
    inputs = {name: torch.from_numpy(value).cuda() for name, value in feed(1).items()}
    outputs = {
        name: torch.empty((1, *value.shape[1:]), device="cuda") for name, value in expected.items()
    }
    best = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        for _ in range(4):
            engine.run(inputs, outputs=outputs, stream=stream)
        best = min(best, (time.perf_counter() - start) / 4)
        stream.synchronize()
    print(f"  a call from Python on a stream takes the host {best * 1e6:.1f} us")


failed = False
for function in CHECKS:
    name = function.__name__.replace("_", " ")
    try:
        function()
        print(f"{name:50} ok")
    except ImportError as e:
        print(f"{name:50} not run: {e}")
    except Exception:
        failed = True
        print(f"{name:50} FAILED")
        traceback.print_exc()
sys.exit(failed)
