"""Random TensorFlow graphs that are well-typed and well-conditioned, because every node is run while the graph grows.

Each tensor is computed three times: plainly, and with noise added to and subtracted from the result of every op that rounds, noise
larger than what any implementation's rounding may be (tolerance.inc). Their distance is how far another implementation may lie. A node
whose integers or booleans the noise changes (a comparison of almost equal numbers, floor next to an integer, an index of a maximum) is
thrown away, as is one whose result is lost in the noise, is not finite, or is very large or small. So nothing chaotic gets in, yet no op
is left out.
"""

import dataclasses
import random

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, core

from grid.case import Constant, Node, make_node_def, op_def, source_def
from grid.table import BF16, BOOL, F16, F32, F64, FLOATS, I32, I64, I8, U8

# Relative to the largest element: over the tolerance of a single op with hundreds of terms.
NOISE = {F32: 1e-4, F64: 1e-4, F16: 1e-2, BF16: 8e-2}
LOST = 0.2  # noise of this share of the largest element
LARGEST = 1e3
SMALLEST = 1e-6  # of the largest element; beyond it lie denormals, which engines count as zero
LARGEST_INTEGER = 1e5
MOST_ELEMENTS = 4096


@dataclasses.dataclass
class Value:
    """A tensor of the graph."""

    name: str  # "n3:1"
    plain: np.ndarray
    noisy: tuple  # with noise added, with the same noise subtracted

    @property
    def dtype(self):
        return self.plain.dtype.type

    @property
    def shape(self):
        return self.plain.shape

    @property
    def rank(self):
        return self.plain.ndim

    @property
    def tolerance(self):
        """How far another implementation's elements may lie; 0 for what is only moved or counted."""
        plain = self.plain.astype(F64)
        return 2 * max(float(np.abs(plain - noisy.astype(F64)).max(initial=0)) for noisy in self.noisy)


@dataclasses.dataclass
class RandomGraph:
    nodes: list  # NodeDefs, each after those it reads
    values: dict  # tensor name -> Value
    feeds: list  # names of the placeholders' tensors
    fetches: list  # tensor names

    def graph_def(self):
        return graph_pb2.GraphDef(node=self.nodes)

    def feed_dict(self):
        return {name: self.values[name].plain for name in self.feeds}


def eager_attribute(value):
    if isinstance(value, list):
        return [eager_attribute(v) for v in value]
    return tf.as_dtype(value) if isinstance(value, type) else value


def run_eagerly(n, arrays):
    """The node's outputs as arrays; raises what TensorFlow raises."""
    # By the names of the op's definition, which those of tf.raw_ops are not always.
    attributes = []
    # It fills in the defaults of all attributes but types.
    types = {a.name: tf.as_dtype(a.default_value.type) for a in op_def(n.op).attr if a.type == "type" and a.HasField("default_value")}
    inferred = {arg.type_attr for arg in op_def(n.op).input_arg}
    types = {key: value for key, value in types.items() if key not in inferred}
    for key, value in {**types, **n.attributes}.items():
        attributes += [key, eager_attribute(value)]
    tensors = [[tf.constant(a) for a in x] if isinstance(x, list) else tf.constant(x) for x in arrays]
    results = pywrap_tfe.TFE_Py_FastPathExecute(context.context(), n.op, None, *tensors, *attributes)
    if isinstance(results, tf.Tensor):
        results = [results]
    flat = []
    for r in results:
        flat += r if isinstance(r, list) else [r]
    # NumPy's integers would no longer say that they are quantized numbers.
    return [np.asarray(r).view(r.dtype.as_numpy_dtype) if r.dtype.is_quantized else np.asarray(r) for r in flat]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.nodes = []
        self.values = {}
        self.pool = []  # Values that nodes may read
        self.read = set()  # names of Values that some node reads
        self.feeds = []

    # ---- what proposals of ops ask for

    def choose(self, *options):
        return self.random.choice(options)

    def pick(self, fits=lambda v: True):
        """A tensor to read, later ones rather than early ones."""
        return self.pick_of([v for v in self.pool if not is_quantized(v.plain.dtype) and fits(v)])

    def pick_quantized(self):
        return self.pick_of([v for v in self.pool if is_quantized(v.plain.dtype)])

    def pick_of(self, fitting):
        if not fitting:
            raise LookupError
        weights = [i + 1 for i in range(len(fitting))]
        return self.random.choices(fitting, weights)[0]

    def pick_like(self, other):
        return self.pick(lambda v: v.dtype == other.dtype and v.shape == other.shape)

    def pick_broadcast(self, other):
        """One whose shape broadcasts with the other's."""

        def fits(v):
            if v.dtype != other.dtype:
                return False
            try:
                return np.prod(np.broadcast_shapes(v.shape, other.shape)) <= MOST_ELEMENTS
            except ValueError:
                return False

        return self.pick(fits)

    def weights(self, shape, dtype=F32, scale=1.0):
        return Constant((self.numbers.standard_normal(shape) * scale).astype(dtype))

    def constant(self, value, dtype=I32):
        return Constant(np.asarray(value, dtype))

    # ---- growing

    def add_placeholder(self, dtype, shape, known):
        name = f"x{len(self.feeds)}"
        if dtype == BOOL:
            array = self.numbers.integers(0, 2, shape).astype(BOOL)
        elif dtype in FLOATS:
            array = self.numbers.standard_normal(shape).astype(dtype)
        else:
            array = self.numbers.integers(0 if dtype == U8 else -5, 6, shape).astype(dtype)
        array = np.asarray(array)
        proto = source_def(name, array)
        dims = {"static": array.shape, "batch": (-1, *array.shape[1:]), "unknown": (-1,) * array.ndim}[known]
        proto.attr["shape"].shape.SetInParent()
        for n in dims[: array.ndim]:
            proto.attr["shape"].shape.dim.add(size=n)
        self.nodes.append(proto)
        value = Value(f"{name}:0", array, (array, array))
        self.values[value.name] = value
        self.pool.append(value)
        self.feeds.append(value.name)

    def disturb(self, below, above):
        """The same noise added to one and subtracted from the other."""
        level = NOISE.get(below.dtype.type)
        if level is None or below.size == 0 or below.shape != above.shape:
            return below, above
        with np.errstate(invalid="ignore"):
            low, high = below.astype(F64), above.astype(F64)
            noise = self.numbers.uniform(-level, level, low.shape) * np.abs(low).max()
            return (low - noise).astype(below.dtype), (high + noise).astype(above.dtype)

    def try_node(self, n, rounds, results):
        """Adds the node if TensorFlow runs it and its results are fit to be read. Whether it was added."""
        flat = lambda get: [[get(o) for o in x] if isinstance(x, list) else get(x) for x in n.operands]
        get_plain = lambda o: o.plain if isinstance(o, Value) else o.array
        get_noisy = lambda i: lambda o: o.noisy[i] if isinstance(o, Value) else o.array
        try:
            plain = run_eagerly(n, flat(get_plain))[:results]
            noisy = list(zip(*(run_eagerly(n, flat(get_noisy(i)))[:results] for i in (0, 1))))
        except (tf.errors.OpError, core._NotOkStatusException, ValueError, TypeError):
            return False
        if rounds:
            noisy = [self.disturb(*pair) for pair in noisy]
        if not all(fit(p, q) for p, pair in zip(plain, noisy) for q in pair):
            return False
        # A window that does not fit is an error in a graph; run eagerly it gives nothing.
        if "padding" in n.attributes and plain[0].size == 0:
            return False

        name = f"n{len(self.nodes)}"
        constants = 0
        inputs = []
        for operand in n.operands:
            many = operand if isinstance(operand, list) else [operand]
            names = []
            for o in many:
                if isinstance(o, Value):
                    names.append(o.name.removesuffix(":0"))
                    self.read.add(o.name)
                else:
                    names.append(f"{name}/c{constants}")
                    self.nodes.append(source_def(names[-1], o))
                    constants += 1
            inputs.append(names if isinstance(operand, list) else names[0])
        arrays = Node(n.op, flat(get_plain), n.attributes)
        self.nodes.append(make_node_def(arrays, name, inputs))
        for i, (p, q) in enumerate(zip(plain, noisy)):
            value = Value(f"{name}:{i}", p, q)
            self.values[value.name] = value
            self.pool.append(value)
        return True

    def finish(self):
        """What nobody reads is fetched, and now and then what is read too."""
        fetches = [
            v.name for v in self.pool if v.name not in self.feeds and (v.name not in self.read or self.random.random() < 0.05)
        ]
        return RandomGraph(self.nodes, self.values, self.feeds, fetches)


def is_quantized(dtype):
    return dtype.fields is not None


def fit(plain, noisy):
    if plain.shape != noisy.shape or plain.size > MOST_ELEMENTS:
        return False
    if is_quantized(plain.dtype):
        return np.array_equal(plain, noisy)
    if plain.dtype.type not in FLOATS:
        if plain.dtype.type not in (I32, I64, U8, I8, BOOL) or not np.array_equal(plain, noisy):
            return False
        return bool(np.abs(plain.astype(F64)).max(initial=0) <= LARGEST_INTEGER)
    with np.errstate(invalid="ignore"):
        plain, noisy = plain.astype(F64), noisy.astype(F64)
    if not (np.isfinite(plain).all() and np.isfinite(noisy).all()):
        return False
    largest = np.abs(plain).max(initial=0)
    if 0 < largest < SMALLEST:
        return False
    return bool(largest <= LARGEST and np.abs(plain - noisy).max(initial=0) <= LOST * max(largest, 1e-3))


def generate(seed):
    """The graph of a seed: 5 to 60 nodes besides constants and placeholders."""
    from ops import DTYPES, PROPOSALS, SHAPES

    g = Generator(seed)
    size = g.random.randint(5, 60)
    for _ in range(g.random.randint(1, 4)):
        g.add_placeholder(g.random.choice(DTYPES), g.random.choice(SHAPES), g.choose("static", "batch", "unknown"))
    added = 0
    for _ in range(size * 20):
        if added == size:
            break
        proposal = g.random.choice(PROPOSALS)
        try:
            n = proposal.make(g)
        except (LookupError, ValueError):
            continue  # no operands for it yet
        added += g.try_node(n, proposal.rounds, proposal.results)
    return g.finish()
