"""Calibration of a converted graph's engines, and the choice of what they compute on integers."""

import json
import logging

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2
from tensorflow.python.ops import script_ops

from graft import _graft

_log = logging.getLogger("graft.trt_convert")

ENGINE_OP = "TRTEngineOp"


def engine_nodes(graph_def):
    """Those of the main graph, then those in functions."""
    bodies = [graph_def.node, *(f.node_def for f in graph_def.library.function)]
    return [node for body in bodies for node in body if node.op == ENGINE_OP]


def _log_choice(engine, precision):
    """What a choice by accuracy and time has found."""
    integers = sum(layer["integers"] for layer in precision["layers"]) * precision["integers"]
    text = f"{engine}: {integers} of {len(precision['layers'])} products chosen to be on integers"
    if precision["sqnr"] is not None:
        text += f", SQNR {precision['sqnr']:.1f} dB"
    if "top_1" in precision:
        text += f", top-1 {precision['top_1']['chosen']:.2f} %, in floats {precision['top_1']['floats']:.2f} %"
    times = precision["microseconds"] / 1000, precision["float_microseconds"] / 1000
    _log.info("%s; %.3f ms, in floats %.3f ms", text, *times)


def add_choices(report, choices):
    for engine in report.get("engine_list", []):
        if engine["name"] in choices:
            engine["precision"] = choices[engine["name"]]


def _whole(segment, functions):
    """A native segment with the constants that it shares with others (functions that it calls) in their places."""
    whole = function_pb2.FunctionDef()
    whole.CopyFrom(segment)
    for node in whole.node_def:
        called = functions.get(node.attr["f"].func.name) if node.op == "PartitionedCall" else None
        if called is None or [n.op for n in called.node_def] != ["Const"]:
            continue
        name, inputs = node.name, list(node.input)
        node.CopyFrom(called.node_def[0])
        node.name = name
        node.input[:] = inputs
    return whole


class BadGoal(ValueError):
    """What was asked for cannot be judged: a caller's mistake, whatever could answer instead."""


def accuracy_goal(min_sqnr_db, max_drop, labels):
    """What integers may cost, as options of the calibrators' choice; None: nobody has said."""
    for name, value in (("min_sqnr_db", min_sqnr_db), ("max_drop", max_drop)):
        if value is not None and not np.isfinite(value):
            raise BadGoal(f"{name} is {value}")
    if labels is None:
        if max_drop is not None:
            raise BadGoal("max_drop is of top-1, for which labels are needed")
        return None if min_sqnr_db is None else {"least-sqnr": float(min_sqnr_db)}
    if min_sqnr_db is not None:
        raise BadGoal("min_sqnr_db is for data without labels")
    classes = np.asarray(labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iu" or not classes.size:
        raise BadGoal(f"labels is no list of classes but {classes.dtype}{list(classes.shape)}")
    return {"labels": classes.tolist(), "max-drop": float(max_drop or 0)}


# Ops that leave the largest of a row where it is.
_KEEP_ORDER = ("Identity", "IdentityN", "Softmax", "LogSoftmax")


def _scores(graph_def, outputs):
    """The first of the outputs, tensors of the graph, that an engine gives as f32[samples, classes]: its number there."""
    nodes = {node.name: node for node in graph_def.node}
    for tensor in outputs:
        name, _, index = tensor.partition(":")
        node = nodes.get(name)
        while node is not None and node.op in _KEEP_ORDER:
            name, _, index = node.input[int(index or 0)].partition(":")
            node = nodes.get(name)
        if node is None or node.op != ENGINE_OP:
            continue
        index = int(index or 0)
        shapes = node.attr["output_shapes"].list.shape
        rank = 2 if index >= len(shapes) else tf.TensorShape(shapes[index]).rank
        if node.attr["OutT"].list.type[index] == tf.float32 and rank in (2, None):
            return index
    raise BadGoal(
        f"labels need an output f32[samples, classes] of an engine, which none of {', '.join(outputs)} is"
    )


# How many batches engines are compared on where there are no labels; half as many, at least.
_COMPARED_BATCHES = 16


class EngineCalibrators:
    """Finds the ranges of what the engines of a converted graph compute, from what they read while it runs.

    goal: of accuracy_goal; with one, which products are on integers is chosen too, for engines that are built with `options`.
    outputs: the graph's tensors, of which labels say the classes.
    """

    def __init__(self, graph_def, goal=None, options=None, outputs=()):
        self._choice = None if goal is None else {**options, **goal}
        self.reports = {}  # of the choices, by engine
        keep = 0 if goal is None else _COMPARED_BATCHES
        if goal is not None and "labels" in goal:
            engines = [node.name for node in engine_nodes(graph_def)]
            if len(engines) != 1:
                raise BadGoal(
                    f"labels are for a model that is one engine, and this has {len(engines)}; min_sqnr_db holds for each"
                )
            self._choice["scores"] = _scores(graph_def, outputs)
            keep = -1
        self._calibrator_options = {"opt-level": 0, "keep-batches": keep}
        self._calibrators = {}
        self._ran = set()
        self._watching = []  # functions: TensorFlow knows them weakly
        self._main = []
        # Run this one. What an engine in a function reads is fed to a node beside it.
        self.graph_def = graph_pb2.GraphDef()
        self.graph_def.CopyFrom(graph_def)
        functions = {f.signature.name: f for f in graph_def.library.function}
        for node in self.graph_def.node:
            if node.op == ENGINE_OP:
                self._main.append(node.name)
                self._add_calibrator(node, functions)
        for function in self.graph_def.library.function:
            for node in [n for n in function.node_def if n.op == ENGINE_OP]:
                self._add_calibrator(node, functions)
                self._watch(node, function)

    def _add_calibrator(self, node, functions):
        segment = _whole(functions[node.attr["segment_func"].func.name], functions)
        shapes = [
            None if shape.unknown_rank else [d.size for d in shape.dim]
            for shape in node.attr["input_shapes"].list.shape
        ]
        self._calibrators[node.name] = _graft.Calibrator(
            segment.SerializeToString(deterministic=True),
            json.dumps({**self._calibrator_options, "input-shapes": shapes}),
        )

    def _watch(self, engine, function):
        def add(*arrays, name=engine.name):
            self.add({name: arrays})

        self._watching.append(add)
        watcher = function.node_def.add(name=f"{engine.name}/calibration", op="PyFunc")
        watcher.input.extend(i for i in engine.input if not i.startswith("^"))
        watcher.attr["token"].s = script_ops._py_funcs.insert(add).encode()
        watcher.attr["Tin"].list.CopyFrom(engine.attr["InT"].list)
        watcher.attr["Tout"].list.SetInParent()
        engine.input.append(f"^{watcher.name}")

    def inputs_in(self, graph):
        """Tensors to run, by engine, where the graph was imported. Their values go to `add`."""
        return {name: list(graph.get_operation_by_name(name).inputs) for name in self._main}

    def add(self, values):
        """What the engine inputs were in one run."""
        for engine, arrays in values.items():
            if engine not in self._calibrators:
                continue
            try:
                self._calibrators[engine].add([np.asarray(array) for array in arrays])
                self._ran.add(engine)
            except NotImplementedError as error:
                _log.warning("Calibration failed: %s: %s", engine, error)
                del self._calibrators[engine]

    def tables(self):
        """By engine; one that never ran has none, and is computed in floats."""
        tables = {}
        for engine, calibrator in self._calibrators.items():
            if engine not in self._ran:
                _log.warning("%s did not run: it is not calibrated", engine)
                continue
            if self._choice is None:
                tables[engine] = calibrator.finish("").decode()
                continue
            try:
                table, report = calibrator.choose("", json.dumps(self._choice))
            except ValueError as error:
                raise BadGoal(str(error)) from error
            tables[engine] = table.decode()
            self.reports[engine] = json.loads(report)
            _log_choice(engine, self.reports[engine])
        return tables
