"""A traced function as a SavedModel, for the converter to take as it takes any other."""

import itertools
import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, saver_pb2
from tensorflow.python.framework.auto_control_deps_utils import (
    get_read_only_resource_input_indices_graph,
)

SIGNATURE = "call"
TAG = "serve"
_numbers = itertools.count()
_RESTORE = "graft_restore"  # scope of what gives the variables their values


def _node_of(tensor):
    return tensor.name.split(":")[0]


class Export:
    """What becomes of `concrete` in `folder`: variables that it only reads are the model's, and will be
    constants. Other resources are placeholders.

    inputs: the names of the tensors that it is called with.
    captures: by the names of their nodes, all resources that it captures.
    """

    def __init__(self, concrete, folder):
        graph = concrete.graph
        captured = {_node_of(inside) for inside in graph.internal_captures}
        inputs = [tensor for tensor in concrete.inputs if _node_of(tensor) not in captured]
        self.inputs = [tensor.name for tensor in inputs]
        self.captures = {}
        graph_def = graph.as_graph_def(add_shapes=True)
        self._functions = {function.signature.name for function in graph_def.library.function}
        for node in graph_def.node:
            node.device = ""
        nodes = {node.name: node for node in graph_def.node}
        read_only = get_read_only_resource_input_indices_graph(graph)
        places = {id(tensor): i for i, tensor in enumerate(graph.inputs)}
        by_handle = {id(variable.handle): variable for variable in graph.variables}
        variables = {}
        for outside, inside in graph.captures:
            name = _node_of(inside)
            if inside.dtype in (tf.resource, tf.variant):
                self.captures[name] = outside
                if id(outside) in by_handle and places[id(inside)] in read_only:
                    variables[name] = by_handle[id(outside)]
                    _make_variable(nodes[name], variables[name])
            else:
                _make_constant(nodes[name], outside)
        meta_graph = meta_graph_pb2.MetaGraphDef(graph_def=graph_def)
        meta_graph.meta_info_def.tags.append(TAG)
        signature = meta_graph.signature_def[SIGNATURE]
        for tensor in inputs:
            signature.inputs[_node_of(tensor)].CopyFrom(_describe(tensor))
        for i, tensor in enumerate(concrete.outputs):
            signature.outputs[f"output_{i:04}"].CopyFrom(_describe(_returned(tensor)))
        folder = pathlib.Path(folder)
        if variables:
            _save(variables, folder / "variables", meta_graph)
        saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        saved_model.meta_graphs.append(meta_graph)
        (folder / "saved_model.pb").write_bytes(saved_model.SerializeToString())

    def import_back(self, graph_def):
        """Makes the converted graph fit the process that the function is in."""
        for node in graph_def.node:
            if node.op == "VarHandleOp" and node.name in self.captures:  # could be no constant
                _make_placeholder(node)
        # The process has functions of these names, which are not what became of them.
        number = next(_numbers)
        renamed = {name: f"{name}_graft_{number}" for name in self._functions}
        for function in graph_def.library.function:
            function.signature.name = renamed.get(function.signature.name, function.signature.name)
            _rename_calls(function.node_def, renamed)
        _rename_calls(graph_def.node, renamed)
        for gradient in graph_def.library.gradient:
            gradient.function_name = renamed.get(gradient.function_name, gradient.function_name)
            gradient.gradient_func = renamed.get(gradient.gradient_func, gradient.gradient_func)


def _rename_calls(nodes, renamed):
    for node in nodes:
        node.op = renamed.get(node.op, node.op)
        for attribute in node.attr.values():
            for called in (attribute.func, *attribute.list.func):
                if called.name in renamed:
                    called.name = renamed[called.name]


def _describe(tensor):
    return meta_graph_pb2.TensorInfo(
        name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto()
    )


def _returned(tensor):
    """What a function returns is an Identity of that, which a SavedModel's own signature does not have."""
    op = tensor.op
    if op.type != "Identity" or op.inputs[0].op.type == "Placeholder":
        return tensor
    return op.inputs[0] if set(op.control_inputs) <= {op.inputs[0].op} else tensor


def _make(node, op):
    node.op = op
    node.ClearField("input")
    node.ClearField("attr")


def _make_constant(node, value):
    _make(node, "Const")
    node.attr["dtype"].type = value.dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _make_variable(node, variable):
    _make(node, "VarHandleOp")
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    node.attr["shared_name"].s = node.name.encode()


def _make_placeholder(node):
    _make(node, "Placeholder")
    node.attr["dtype"].type = tf.resource.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(tf.TensorShape([]).as_proto())


def _save(variables, folder, meta_graph):
    """The values, and in the graph what restores them."""
    folder.mkdir()
    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "variables"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[variable.read_value() for variable in variables.values()],
    )
    with tf.Graph().as_default() as graph:
        tf.raw_ops.RestoreV2(
            prefix=tf.constant("", name=f"{_RESTORE}/prefix"),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            dtypes=[variable.dtype for variable in variables.values()],
            name=f"{_RESTORE}/values",
        )
    nodes = meta_graph.graph_def.node
    nodes.extend(graph.as_graph_def().node)
    assigned = []
    for i, (name, variable) in enumerate(variables.items()):
        node = nodes.add(name=f"{_RESTORE}/assign_{i}", op="AssignVariableOp")
        node.input.extend([name, f"{_RESTORE}/values:{i}"])
        node.attr["dtype"].type = variable.dtype.as_datatype_enum
        assigned.append(f"^{node.name}")
    nodes.add(name=f"{_RESTORE}/all", op="NoOp").input.extend(assigned)
    meta_graph.saver_def.CopyFrom(
        saver_pb2.SaverDef(
            filename_tensor_name=f"{_RESTORE}/prefix:0",
            restore_op_name=f"{_RESTORE}/all",
            version=saver_pb2.SaverDef.V2,
        )
    )
