"""One node with its operands, as TensorFlow's NodeDefs, and what TensorFlow's CPU computes for it."""

import dataclasses
import functools
import typing
import zlib

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2, op_def_pb2
from tensorflow.python.framework import kernels, op_def_registry

STATIC, UNKNOWN = "static", "unknown"


@dataclasses.dataclass
class Constant:
    """An operand that is part of the graph; every other one is fed."""

    array: np.ndarray


@dataclasses.dataclass
class Sized:
    """A fed operand whose shape is always known: a shape of unknown length would be a result of unknown rank."""

    array: np.ndarray


@dataclasses.dataclass
class Node:
    """An op with its operands: arrays (fed), Sized, Constants, and lists of them for `N * T`."""

    op: str
    operands: list
    attributes: dict


def node(op, *operands, **attributes):
    return Node(op, list(operands), attributes)


def const(value, dtype=None):
    return Constant(np.asarray(value, dtype))


def array_of(operand):
    return operand.array if isinstance(operand, (Constant, Sized)) else operand


@dataclasses.dataclass
class Case:
    node: Node
    oracle: Node | None = None  # the same in a form that TensorFlow's CPU kernels know
    finish: typing.Callable | None = None  # the oracle's outputs -> the node's
    outputs: tuple | None = None  # indices of those compared; none: all
    shapes: tuple = (STATIC, UNKNOWN)
    point: dict = dataclasses.field(default_factory=dict)  # of the op's axes, for messages

    @property
    def op(self):
        return self.node.op

    def __str__(self):
        point = ", ".join(f"{k}={show(v)}" for k, v in self.point.items() if k != "op")
        return f"{self.op}({point})"


def show(value):
    if isinstance(value, type) and issubclass(value, np.generic):
        return np.dtype(value).name
    return value.__name__ if callable(value) else str(value)


# ---- TensorFlow's protocol buffers


# TensorFlow registers it only where it was built for GPUs.
GPU_ONLY = text_format.Parse(
    """
    name: "FusedConv2DBiasActivation"
    input_arg { name: "conv_input" type_attr: "T" } input_arg { name: "filter" type_attr: "T" }
    input_arg { name: "bias" type_attr: "Tbias" } input_arg { name: "side_input" type_attr: "T" }
    input_arg { name: "conv_input_scale" type: DT_FLOAT } input_arg { name: "side_input_scale" type: DT_FLOAT }
    output_arg { name: "output" type_attr: "T" }
    attr { name: "T" type: "type" } attr { name: "Tbias" type: "type" } attr { name: "padding" type: "string" }
    attr { name: "strides" type: "list(int)" } attr { name: "dilations" type: "list(int)" }
    attr { name: "data_format" type: "string" } attr { name: "filter_format" type: "string" }
    attr { name: "activation_mode" type: "string" }
    """,
    op_def_pb2.OpDef(),
)


@functools.cache
def op_def(op):
    found = GPU_ONLY if op == GPU_ONLY.name else op_def_registry.get(op)
    if found is None:
        raise LookupError(f"TensorFlow does not know {op}")
    return found


def type_enum(dtype):
    return tf.as_dtype(dtype).as_datatype_enum


def encode(kind, value):
    """A Python value as an attribute of the kind that the op's definition names."""
    attr = attr_value_pb2.AttrValue()
    if kind.startswith("list("):
        target = attr.list
        target.SetInParent()
        add = {
            "list(int)": target.i, "list(float)": target.f, "list(bool)": target.b,
            "list(string)": target.s, "list(type)": target.type,
        }[kind]
        for v in value:
            add.append(v.encode() if kind == "list(string)" else type_enum(v) if kind == "list(type)" else v)
    elif kind == "int":
        attr.i = value
    elif kind == "float":
        attr.f = value
    elif kind == "bool":
        attr.b = value
    elif kind == "string":
        attr.s = value.encode()
    elif kind == "type":
        attr.type = type_enum(value)
    elif kind == "shape":
        attr.shape.CopyFrom(tf.TensorShape(value).as_proto())
    else:
        raise TypeError(kind)
    return attr


def make_node_def(n, name, inputs):
    """`inputs` holds for each operand a tensor name, or a list of them."""
    definition = op_def(n.op)
    kinds = {a.name: a.type for a in definition.attr}
    attrs = {key: encode(kinds[key], value) for key, value in n.attributes.items()}
    for arg, operand in zip(definition.input_arg, n.operands, strict=True):
        many = operand if isinstance(operand, list) else [operand]
        if arg.number_attr:
            attrs.setdefault(arg.number_attr, encode("int", len(many)))
        if arg.type_attr and many:
            attrs.setdefault(arg.type_attr, encode("type", array_of(many[0]).dtype))
        if arg.type_list_attr:
            attrs.setdefault(arg.type_list_attr, encode("list(type)", [array_of(o).dtype for o in many]))
    flat = [x for i in inputs for x in (i if isinstance(i, list) else [i])]
    proto = node_def_pb2.NodeDef(name=name, op=n.op, input=flat)
    for key, value in attrs.items():
        proto.attr[key].CopyFrom(value)
    return proto


def source_def(name, operand):
    array = array_of(operand)
    proto = node_def_pb2.NodeDef(name=name, op="Placeholder")
    proto.attr["dtype"].type = type_enum(array.dtype)
    if isinstance(operand, Constant):
        proto.op = "Const"
        proto.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    elif isinstance(operand, Sized):
        proto.attr["shape"].shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    return proto


@dataclasses.dataclass
class Graph:
    nodes: list  # NodeDefs
    feeds: dict  # tensor name -> operand
    fetches: list  # tensor names

    def serialized(self):
        return graph_pb2.GraphDef(node=self.nodes).SerializeToString()


def output_count(definition, attrs):
    count = 0
    for arg in definition.output_arg:
        if arg.number_attr:
            count += attrs[arg.number_attr].i
        elif arg.type_list_attr:
            count += len(attrs[arg.type_list_attr].list.type)
        else:
            count += 1
    return count


def make_graph(n, prefix="", outputs=None):
    nodes, feeds, inputs = [], {}, []

    def add_source(operand):
        name = f"{prefix}x{len(nodes)}"
        nodes.append(source_def(name, operand))
        if not isinstance(operand, Constant):
            feeds[f"{name}:0"] = operand
        return name

    for operand in n.operands:
        many = isinstance(operand, list)
        inputs.append([add_source(o) for o in operand] if many else add_source(operand))
    nodes.append(make_node_def(n, f"{prefix}y", inputs))
    attrs = dict(nodes[-1].attr)
    if outputs is None:
        outputs = range(output_count(op_def(n.op), attrs))
    return Graph(nodes, feeds, [f"{prefix}y:{i}" for i in outputs])


# ---- what TensorFlow can do


@functools.cache
def cpu_kernels(op):
    """For each CPU kernel its constraints: attribute -> allowed types, or strings."""
    return [
        {c.name: set(c.allowed_values.list.type) or set(c.allowed_values.list.s) for c in kernel.constraint}
        for kernel in kernels.get_registered_kernels_for_op(op).kernel
        if kernel.device_type in ("CPU", "DEFAULT") and not kernel.label
    ]


@functools.cache
def allowed_types(op):
    return {a.name: set(a.allowed_values.list.type) for a in op_def(op).attr if a.allowed_values.list.type}


def has_cpu_kernel(n):
    """Whether TensorFlow has one for the node's types."""
    proto = make_node_def(n, "y", [[""] * len(o) if isinstance(o, list) else "" for o in n.operands])
    attrs = {a.name: a.default_value for a in op_def(n.op).attr if a.HasField("default_value")}
    attrs.update(proto.attr)
    for arg, operand in zip(op_def(n.op).input_arg, n.operands):
        many = operand if isinstance(operand, list) else [operand]
        if arg.type and any(arg.type != type_enum(array_of(o).dtype) for o in many):
            return False
    types = lambda key: set(attrs[key].list.type) or {attrs[key].type or attrs[key].s}
    if any(not types(key) <= allowed for key, allowed in allowed_types(n.op).items() if key in attrs):
        return False
    return any(all(types(key) <= allowed for key, allowed in kernel.items()) for kernel in cpu_kernels(n.op))


def run_natively(cases):
    """For each case TensorFlow's outputs, or the error it raises. Many cases share a session; one that fails is found by
    halving."""
    if not cases:
        return []
    graphs = [
        make_graph(c.oracle or c.node, f"n{i}/", None if c.oracle else c.outputs) for i, c in enumerate(cases)
    ]
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = -1
    try:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_pb2.GraphDef(node=[n for g in graphs for n in g.nodes]), name="")
            with tf.compat.v1.Session(graph=graph, config=config) as session:
                feeds = {name: array_of(fed) for g in graphs for name, fed in g.feeds.items()}
                results = session.run([g.fetches for g in graphs], feeds)
    except (tf.errors.OpError, ValueError) as error:
        if len(cases) == 1:
            return [error]
        middle = len(cases) // 2
        return run_natively(cases[:middle]) + run_natively(cases[middle:])
    return [c.finish(r) if c.finish else r for c, r in zip(cases, results)]


# ---- values


def generator(*key):
    """Random numbers that depend on the key alone, so that a case keeps its numbers when others change."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))
