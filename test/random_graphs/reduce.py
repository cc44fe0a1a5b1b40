"""Makes the graph of a failing seed small: reduce.py SEED [DIR]. Prints what is left; with DIR, writes model.pb and inputs.npz.

A node is dropped when the graph still fails with its results fed; an end of the graph is dropped when what it reads, fetched instead,
fails too.
"""

import argparse
import dataclasses
import pathlib
import random

import environment  # noqa: F401  first
import numpy as np
import tensorflow as tf

import check
import generate
from grid.case import source_def


def node_of(tensor):
    return tensor.split(":")[0]


def canonical(name):
    return name if ":" in name else f"{name}:0"


def pruned(graph, fetches):
    """What the fetches need."""
    by_name = {n.name: n for n in graph.nodes}
    needed = set()
    stack = [node_of(f) for f in fetches]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack += [node_of(i) for i in by_name[name].input]
    nodes = [n for n in graph.nodes if n.name in needed]
    feeds = [f"{n.name}:0" for n in nodes if n.op == "Placeholder"]
    return dataclasses.replace(graph, nodes=nodes, feeds=feeds, fetches=list(fetches))


def with_fed(graph, name):
    """The graph with placeholders for what the node gives, or None where nothing reads it."""
    replaced = {}
    nodes = []
    values = dict(graph.values)
    for n in graph.nodes:
        if n.name == name:
            for tensor in sorted(t for t in graph.values if node_of(t) == name):
                replaced[tensor] = f"{name}_{tensor.split(':')[1]}"
                nodes.append(source_def(replaced[tensor], graph.values[tensor].plain))
                nodes[-1].attr["shape"].shape.CopyFrom(tf.TensorShape(graph.values[tensor].shape).as_proto())
                fed = f"{replaced[tensor]}:0"
                values[fed] = dataclasses.replace(graph.values[tensor], name=fed, noisy=(graph.values[tensor].plain,) * 2)
            continue
        copy = type(n)()
        copy.CopyFrom(n)
        for i, source in enumerate(copy.input):
            copy.input[i] = replaced.get(canonical(source), source)
        nodes.append(copy)
    if any(node_of(f) == name for f in graph.fetches):
        return None
    return pruned(dataclasses.replace(graph, nodes=nodes, values=values), graph.fetches)


def computed(graph):
    return [n.name for n in graph.nodes if n.op not in ("Const", "Placeholder")]


def reduce(graph, fails):
    """A graph of fewer nodes that fails too."""
    for fetch in graph.fetches:
        if fails(candidate := pruned(graph, [fetch])):
            graph = candidate
            break
    changed = True
    while changed:
        changed = False
        # From the ends: fetch what the last node reads.
        for fetch in list(graph.fetches):
            producer = next(n for n in graph.nodes if n.name == node_of(fetch))
            for source in producer.input:
                tensor = canonical(source)
                if node_of(tensor) in computed(graph) and fails(candidate := pruned(graph, [tensor])):
                    graph, changed = candidate, True
                    break
        # From the beginnings: feed what a node gives.
        for name in reversed(computed(graph)):
            if name not in computed(graph):
                continue
            candidate = with_fed(graph, name)
            if candidate is not None and fails(candidate):
                graph, changed = candidate, True
    return graph


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    args = parser.parse_args()
    size = random.Random(args.seed).randint(1, 3)

    def fails(graph):
        try:
            return check.check(graph, size).problem
        except Exception as error:  # TensorFlow refuses the graph: a cut too far
            return "" if isinstance(error, (tf.errors.OpError, ValueError)) else repr(error)

    graph = generate.generate(args.seed)
    problem = fails(graph)
    if not problem:
        print(f"seed {args.seed} does not fail")
        return
    print(f"{len(computed(graph))} nodes: {problem}")
    graph = reduce(graph, fails)
    print(f"{len(computed(graph))} nodes: {fails(graph)}\n")
    for n in graph.nodes:
        if n.op in ("Const", "Placeholder"):
            value = graph.values[f"{n.name}:0"].plain if n.op == "Placeholder" else tf.make_ndarray(n.attr["value"].tensor)
            shape = f" of shape {[d.size for d in n.attr['shape'].shape.dim]}" if n.op == "Placeholder" else ""
            text = np.array2string(value, threshold=8).replace("\n", " ")
            print(f"{n.name} = {n.op}{shape}: {value.dtype}{list(value.shape)} {text}")
        else:
            attributes = {k: str(v).strip().replace("\n", " ") for k, v in n.attr.items()}
            print(f"{n.name} = {n.op}({', '.join(n.input)}) {attributes}")
    print(f"fetched: {graph.fetches}")
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        (args.folder / "model.pb").write_bytes(graph.graph_def().SerializeToString(deterministic=True))
        np.savez(args.folder / "inputs.npz", **graph.feed_dict())


if __name__ == "__main__":
    main()
