"""Ops that move or choose elements, and those about shapes."""

import itertools

import numpy as np

from grid.case import STATIC, Case, Sized, const, node
from grid.table import ALL, BF16, BOOL, F16, F32, F64, FLOATS, I32, I64, INTEGERS, NUMBERS, U8, extremes, is_float, normal

INDEX = [I32, I64]
GIVEN = ["const", "fed"]
SIZED = ["const", "sized"]

# begin, end, strides, masks (begin, end, ellipsis, new_axis, shrink_axis), of x[5,6,7]
STRIDED = [
    ([1], [3], [1], {}),
    ([0], [0], [2], {"begin_mask": 1, "end_mask": 1}),
    ([0], [0], [-1], {"begin_mask": 1, "end_mask": 1}),
    ([-3], [0], [1], {"end_mask": 1}),
    ([0], [-2], [1], {"begin_mask": 1}),
    ([1], [2], [1], {"shrink_axis_mask": 1}),
    ([-1], [0], [1], {"shrink_axis_mask": 1}),
    ([0, 0], [0, 1], [1, 1], {"ellipsis_mask": 1, "shrink_axis_mask": 2}),
    ([0, -2], [0, 0], [1, 1], {"ellipsis_mask": 1, "end_mask": 2}),
    ([0, 1, 0], [0, -1, 0], [1, 1, 3], {"begin_mask": 5, "end_mask": 5}),
    ([0, 0, 2], [0, 0, 3], [1, 1, 1], {"begin_mask": 1, "end_mask": 1, "new_axis_mask": 2, "shrink_axis_mask": 4}),
    ([0], [0], [1], {"new_axis_mask": 1}),
    ([0, 0], [0, 0], [1, 1], {"ellipsis_mask": 1, "new_axis_mask": 2}),
    ([4, 0], [1, 0], [-1, -2], {"begin_mask": 2, "end_mask": 2}),
    ([-1], [-4], [-1], {}),
    ([2, -100], [100, 4], [1, 1], {}),
    ([3], [1], [1], {}),
    ([0, 1, 2], [1, 2, 3], [1, 1, 1], {"shrink_axis_mask": 7}),
    ([1, 0, 3], [2, 0, 4], [1, 1, 1], {"ellipsis_mask": 2}),
    ([100], [0], [1], {"end_mask": 1}),
    ([-100], [0], [-1], {"end_mask": 1}),
    ([1, 0], [5, 6], [3, 4], {}),
    ([0, 0, 0, 0, 1], [0, 0, 0, 0, 2], [1, 1, 1, 1, 1], {"new_axis_mask": 9, "ellipsis_mask": 4, "shrink_axis_mask": 18}),
    ([], [], [], {}),
]


def indices(p, shape, high, low=0, dtype=None):
    return np.asarray(p.rng("indices").integers(low, high, shape)).astype(dtype or p.get("Ti", I32))


def strided_slice(p):
    begin, end, strides, masks = p.spec
    operands = [np.array(v, p.Ti) for v in (begin, end, strides)]
    bounds = [p.give(p.bounds, o) for o in operands[:2]]
    return Case(node("StridedSlice", p.fill((5, 6, 7)), *bounds, const(operands[2]), **masks))


def gather_v2(p):
    shape, axis, batch_dims, index_shape = p.form
    x = p.fill(shape)
    high = shape[axis]
    return node("GatherV2", p.give(p.params, x), p.give(p.indices, indices(p, index_shape, high)), const(axis, p.Taxis),
                batch_dims=batch_dims)


def fill(grid):
    strided_shapes = dict(T=ALL, spec=STRIDED, Ti=INDEX)
    grid.add("StridedSlice", strided_slice, **strided_shapes, bounds=["const"], limit=240)
    grid.add("StridedSlice", strided_slice, T=[F32, I32], spec=[s for s in STRIDED if s[0]], Ti=INDEX, bounds=["sized"])
    grid.add("Slice", lambda p: node("Slice", p.fill((5, 6, 7)), *(p.give(p.bounds, np.array(v, p.Index)) for v in p.part)), T=ALL,
             part=[([0, 0, 0], [5, 6, 7]), ([1, 2, 3], [2, 2, 2]), ([1, 0, 3], [-1, 6, -1]), ([4, 5, 6], [1, 1, 1]),
                   ([2, 0, 0], [0, 6, 7]), ([5, 0, 0], [0, 1, 1])],
             Index=INDEX, bounds=SIZED, limit=160)
    grid.add("Split", lambda p: node("Split", const(p.how[0], I32), p.fill((4, 3, 6)), num_split=p.how[1]), T=ALL,
             how=[(0, 4), (0, 2), (1, 3), (-1, 3), (2, 1), (-3, 1)])
    grid.add("SplitV", lambda p: node("SplitV", p.fill((5, 4, 7)), const(p.how[1], p.Tlen), const(p.how[0], I32), num_split=len(p.how[1])),
             T=ALL, how=[(0, [2, 3]), (1, [1, -1, 2]), (-1, [7]), (2, [0, 3, 4])], Tlen=INDEX)
    grid.add("Unpack", lambda p: node("Unpack", p.fill((2, 3, 4)), axis=p.axis, num=(2, 3, 4)[p.axis]), T=ALL, axis=[0, 1, -1, -3])
    grid.add("Roll", lambda p: node("Roll", p.fill(p.shape), const(p.form[0], I32), const(p.form[1], I64)), T=ALL,
             shape=[(3, 4), (2, 3, 5), (0, 3)], form=[(1, 0), (-2, 1), (7, -1), ([1, -1], [0, 1]), ([1, 2], [1, 1]), (0, 0)], limit=160)
    grid.add("ReverseV2", lambda p: node("ReverseV2", p.fill((2, 3, 4)), const(p.axis, p.Tidx)), T=ALL,
             axis=[[0], [1, -1], [], [0, 1, 2]], Tidx=INDEX)

    for op in ("Concat", "ConcatV2"):
        def concat(p):
            parts = [p.fill(shape, key=i) for i, shape in enumerate(p.parts[0])]
            if p.first == "const":
                parts[0] = const(parts[0])
            axis = const(p.parts[1], p.Tidx)
            return node(op, *([axis, parts] if op == "Concat" else [parts, axis]))

        grid.add(op, concat, T=ALL, Tidx=[I32] if op == "Concat" else INDEX, first=GIVEN,
                 parts=[([(2, 3), (2, 5)], 1), ([(2, 3), (2, 5)], -1), ([(2, 3, 4), (1, 3, 4), (3, 3, 4)], 0), ([(3,), (0,)], 0),
                        ([(0, 3), (0, 3)], 1), ([(2, 3, 4), (2, 1, 4)], -2)],
                 where=lambda p: not (op == "Concat" and p.Tidx == I64), limit=160)

    # TensorFlow runs it under another name, on shapes that are known.
    def parallel_concat(p):
        parts = [p.fill((1, *p.rest), key=i) for i in range(p.count)]
        return Case(node("ParallelConcat", parts, shape=[p.count, *p.rest]), oracle=node("ConcatV2", [*parts, parts[0][:0]], const(0, I32)), shapes=(STATIC,))

    grid.add("ParallelConcat", parallel_concat, T=ALL, rest=[(), (3,), (2, 4)], count=[1, 3])
    grid.add("Pack", lambda p: node("Pack", [p.fill(p.form[0], key=i) for i in range(p.count)], axis=p.form[1]), T=ALL,
             form=[((2, 3), 0), ((2, 3), 1), ((2, 3), 2), ((2, 3), -1), ((2, 3), -3), ((), 0), ((0, 2), 1)], count=[1, 3])

    # Params, axis, batch_dims, indices' shape.
    forms = [((5, 6, 7), 0, 0, (3,)), ((5, 6, 7), 1, 0, (2, 2)), ((5, 6, 7), -1, 0, ()), ((5, 6, 7), 2, 0, (0,)),
             ((3, 4, 5), 1, 1, (3, 2)), ((3, 4, 5), 2, 1, (3, 2)), ((2, 3, 4), 2, 2, (2, 3, 5)), ((3, 4), 1, -1, (3, 2)), ((7,), 0, 0, (2, 1, 3))]
    grid.add("GatherV2", gather_v2, T=ALL, form=forms, Ti=INDEX, Taxis=INDEX, params=GIVEN, indices=GIVEN, limit=240,
             where=lambda p: "fed" in (p.params, p.indices))
    grid.add("Gather", lambda p: node("Gather", p.fill((5, 3)), indices(p, p.shape, 5)), T=ALL, Ti=INDEX, shape=[(), (4,), (2, 3)])
    grid.add("GatherNd", lambda p: node("GatherNd", p.fill((4, 5, 6)), Sized(indices(p, p.shape, 4))), T=ALL, Ti=INDEX,
             shape=[(1,), (3, 1), (4, 2), (4, 3), (2, 3, 3), (0, 2), (2, 0)], limit=160)

    def scatter_nd(p):
        depth, rows, shape = p.form
        return node("ScatterNd", Sized(indices(p, (*rows, depth), 4)), p.fill((*rows, *shape[depth:])), p.give(p.shape, np.array(shape, p.Ti)))

    grid.add("ScatterNd", scatter_nd, T=ALL, Ti=INDEX, shape=SIZED,
             form=[(1, (3,), (5, 2)), (2, (6,), (4, 5)), (3, (2, 3), (4, 5, 6)), (1, (0,), (4,)), (1, (9,), (4,))], limit=160)

    # An index twice would leave open which update comes last.
    def tensor_scatter(p):
        depth, rows, shape = p.form
        every = np.stack(np.unravel_index(p.rng("at").permutation(int(np.prod(shape[:depth])))[:rows], shape[:depth]), -1)
        return node(p.op, p.fill(shape), Sized(every.astype(p.Tindices)), p.fill((rows, *shape[depth:]), key="updates"))

    for op in ("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterSub", "TensorScatterMax", "TensorScatterMin", "ScatterNdNonAliasingAdd"):
        grid.add(op, tensor_scatter, T=ALL, Tindices=INDEX, form=[(1, 3, (5, 2)), (2, 6, (4, 5)), (1, 0, (4,)), (3, 7, (2, 3, 4))])

    stitches = [[[0, 2], [1, 3]], [[1, 0, 2]], [[0, 1], [1, 2]], [[[0, 1], [2, 3]], [4]], [[], [0]]]

    def stitch(p):
        indices = [np.array(i, I32) for i in p.indices]
        return node(p.op, [const(i) for i in indices], [p.fill((*i.shape, *p.rest), key=n) for n, i in enumerate(indices)])

    for op in ("DynamicStitch", "ParallelDynamicStitch"):
        # In parallel, the order of equal indices is open.
        grid.add(op, stitch, T=ALL, indices=stitches if op == "DynamicStitch" else stitches[:2] + stitches[3:], rest=[(), (3,)])

    def one_hot(p):
        return node("OneHot", indices(p, p.shape, 6, low=-1 if p.Ti != U8 else 0), p.give(p.how, np.asarray(5, I32)), np.asarray(2, p.T).astype(p.T),
                    np.asarray(0, p.T), axis=p.axis)

    grid.add("OneHot", one_hot, T=ALL, Ti=[I32, I64, U8], shape=[(3, 4), (), (0, 2)], axis=[-1, 0], how=GIVEN, limit=160)

    grid.add("Transpose", lambda p: node("Transpose", p.fill(p.form[0]), const(p.form[1], p.Tperm)), T=ALL, Tperm=INDEX,
             form=[((2, 3, 4), list(perm)) for perm in itertools.permutations(range(3))]
             + [((2, 3, 4, 5), [0, 2, 3, 1]), ((2, 3, 4, 5), [0, 3, 1, 2]), ((), []), ((0, 3), [1, 0]), ((2, 1, 3, 1, 2, 2), [5, 3, 1, 0, 2, 4]),
                ((33, 17), [1, 0]), ((3, 5), [-1, 0])], limit=200)
    grid.add("Tile", lambda p: node("Tile", p.fill(p.form[0]), p.give(p.how, np.array(p.form[1], p.Tm))), T=ALL, Tm=INDEX, how=SIZED,
             form=[((2, 3, 4), [1, 1, 1]), ((2, 3, 4), [2, 1, 3]), ((2, 3, 4), [0, 1, 2]), ((), []), ((3,), [5]), ((0, 2), [2, 2])], limit=160)

    paddings = [((4, 5), [[1, 2], [0, 3]]), ((2, 3, 4, 5), [[0, 0], [1, 1], [2, 0], [0, 0]]), ((3,), [[0, 0]]), ((2, 3, 4), [[1, 1]] * 3),
                ((), np.zeros((0, 2))), ((0, 2), [[1, 1], [0, 0]]), ((1, 2, 1, 2, 1), [[0, 1]] * 5)]
    grid.add("Pad", lambda p: node("Pad", p.fill(p.form[0]), p.give(p.how, np.array(p.form[1], p.Tp))), T=ALL, Tp=INDEX, how=SIZED, form=paddings,
             limit=160)
    grid.add("PadV2", lambda p: node("PadV2", p.fill(p.form[0]), const(np.array(p.form[1], p.Tp)), p.give(p.how, np.asarray(p.value, p.T))),
             T=ALL, Tp=INDEX, how=GIVEN, form=paddings, value=[1, np.inf], where=lambda p: is_float(p.T) or p.value == 1, limit=160)
    grid.add("MirrorPad", lambda p: node("MirrorPad", p.fill(p.form[0]), const(np.array(p.form[1], p.Tp)), mode=p.mode), T=ALL, Tp=INDEX,
             form=[((4, 5), [[1, 2], [0, 3]]), ((4, 5), [[0, 0], [2, 1]]), ((3,), [[2, 2]]), ((2, 3, 4, 2), [[0, 0], [1, 2], [2, 2], [0, 0]])],
             mode=["REFLECT", "SYMMETRIC"], limit=120)

    grid.add("Reverse", lambda p: node("Reverse", p.fill((2, 3, 4)), const(p.axes, BOOL)), T=ALL,
             axes=[[True, False, False], [False, True, True], [False] * 3])
    grid.add("ReverseSequence", lambda p: node("ReverseSequence", p.fill((3, 5, 2)), p.give(p.how, np.array(p.form[0], p.Tlen)), seq_dim=p.form[1],
                                               batch_dim=p.form[2]),
             T=ALL, Tlen=INDEX, form=[([0, 3, 5], 1, 0), ([1, 2, 3, 0, 3], 0, 1), ([2, 1], 1, 2)], how=GIVEN)
    matrices(grid)
    shapes(grid)
    segments(grid)
    searches(grid)


def matrices(grid):
    grid.add("MatrixBandPart", lambda p: node("MatrixBandPart", p.fill(p.shape), *(p.give(p.how, np.asarray(n, p.Tindex)) for n in p.band)), T=ALL,
             shape=[(4, 5), (2, 3, 3), (1, 4)], band=[(-1, 0), (0, -1), (1, 1), (0, 0), (-1, -1)], Tindex=INDEX, how=["const"])
    grid.add("MatrixDiag", lambda p: node("MatrixDiag", p.fill(p.shape)), T=ALL, shape=[(4,), (2, 3), (1,)])
    grid.add("MatrixDiagPart", lambda p: node("MatrixDiagPart", p.fill(p.shape)), T=ALL, shape=[(4, 4), (2, 3, 5), (5, 2)])
    # Diagonals, and the matrices that they are of: one, several, those beside the main one.
    bands = [(k, shape) for k in ([0], [1], [-2], [0, 0], [-1, 1], [1, 2], [-2, -1], [-1, 3]) for shape in ((4, 4), (2, 3, 5), (2, 5, 3))
             if -shape[-2] < k[0] and k[-1] < shape[-1]]
    aligns = ["RIGHT_LEFT", "LEFT_RIGHT", "LEFT_LEFT", "RIGHT_RIGHT"]

    def band(p):
        return const(p.form[0][0] if len(p.form[0]) == 1 else p.form[0], I32)

    def packed(p):
        k, shape = p.form
        rows, columns = shape[-2:]
        length = min(rows + min(k[-1], 0), columns - max(k[0], 0))
        return p.fill((*shape[:-2], *([] if k[0] == k[-1] else [k[-1] - k[0] + 1]), length), key="diagonal")

    for version in ("V2", "V3"):
        def more(p, version=version):
            return {"align": p.align} if version == "V3" else {}

        axes = {"align": aligns if version == "V3" else [None], "T": ALL, "form": bands}
        grid.add(f"MatrixDiag{version}", lambda p: node(p.op, packed(p), band(p), *(const(n if p.sized else -1, I32) for n in p.form[1][-2:]),
                                                        const(p.padding, p.T), **more(p)), padding=[0, 1], sized=[False, True], **axes, limit=120)
        grid.add(f"MatrixDiagPart{version}", lambda p: node(p.op, p.fill(p.form[1]), band(p), const(1, p.T), **more(p)), **axes, limit=120)
        grid.add(f"MatrixSetDiag{version}", lambda p: node(p.op, p.fill(p.form[1]), packed(p), band(p), **more(p)), **axes, limit=120)
    grid.add("MatrixSetDiag", lambda p: node("MatrixSetDiag", p.fill(p.shape), p.fill((*p.shape[:-2], min(p.shape[-2:])), key="diagonal")), T=ALL,
             shape=[(4, 4), (2, 3, 5), (5, 2)])


def segments(grid):
    # The ids' shape, how many there are.
    forms = [((6,), 4), ((6,), 9), ((2, 3), 4), ((0,), 3), ((5,), 0), ((), 2)]
    for op in ("UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin"):
        def segment(p, op=op):
            ids, count = p.form
            values = p.rng("ids").integers(-1, max(count, 0), ids).astype(p.Tindices)
            return node(op, p.fill((*ids, *p.rest)), Sized(np.asarray(values)), p.give(p.how, np.asarray(count, I32)))

        grid.add(op, segment, T=NUMBERS, form=forms, rest=[(), (3,)], Tindices=INDEX, how=GIVEN, limit=160)

    def bincount(p):
        values = p.rng("values").integers(0, 7, p.shape)
        weights = p.fill(p.shape) if p.weighted else const(np.zeros((0,), p.T))
        return node("Bincount", Sized(values.astype(I32)), p.give(p.how, np.asarray(5, I32)), weights)

    grid.add("Bincount", bincount, T=[F32, F64, I32, I64], shape=[(8,), (2, 3), (0,)], weighted=[False, True], how=GIVEN, shapes=(STATIC,))

    def dense_bincount(p):
        values = p.rng("values").integers(0, 7, p.shape).astype(p.Tidx)
        weights = p.fill(p.shape) if p.weighted else const(np.zeros((0,), p.T))
        return node("DenseBincount", values, p.give(p.how, np.asarray(5, p.Tidx)), weights, binary_output=p.binary)

    grid.add("DenseBincount", dense_bincount, T=[F32, F64, I32, I64], Tidx=INDEX, shape=[(8,), (2, 5), (0,), (3, 0)], weighted=[False, True],
             binary=[False, True], how=GIVEN, shapes=(STATIC,))
    grid.add("DenseBincount", dense_bincount, T=[F32], Tidx=INDEX, shape=[(8,), (2, 5)], weighted=[False], binary=[False, True], how=["const"])

    # The indices' shape, that of the result.
    dense = [((), (5,)), ((3,), (7,)), ((4, 1), (6,)), ((4, 2), (3, 5)), ((0, 2), (3, 5))]

    def sparse_to_dense(p):
        at, shape = p.form
        count = at[0] if at else 1
        every = np.stack(np.unravel_index(np.sort(p.rng("at").permutation(int(np.prod(shape)))[:count]), shape), -1).astype(p.Tindices)
        values = p.fill(() if p.scalar else (count,))
        return node("SparseToDense", Sized(every.reshape(at)), p.give(p.how, np.array(shape, p.Tindices)), values, p.fill((), key="default"))

    grid.add("SparseToDense", sparse_to_dense, T=ALL, Tindices=INDEX, form=dense, scalar=[False, True], how=SIZED,
             where=lambda p: p.scalar or p.form[0] != ())

    def dynamic_partition(p):
        ids, count = p.form
        partitions = p.rng("ids").integers(0, count, ids).astype(I32)
        return node("DynamicPartition", p.fill((*ids, *p.rest)), Sized(partitions), num_partitions=count)

    grid.add("DynamicPartition", dynamic_partition, T=ALL, form=[((8,), 2), ((8,), 1), ((2, 3), 3), ((0,), 2)], rest=[(), (3,), (2, 2)])


def searches(grid):
    boundaries = [[0.0, 1.0, 2.5], [-3.0], [], [float(i) for i in range(-20, 20)]]
    grid.add("Bucketize", lambda p: node("Bucketize", p.fill(p.shape), boundaries=p.boundaries), T=NUMBERS, shape=[(), (7,), (3, 4), (0, 2)],
             boundaries=boundaries)
    grid.add("Bucketize", lambda p: node("Bucketize", extremes(p.T), boundaries=p.boundaries), T=NUMBERS, boundaries=boundaries)
    for op in ("LowerBound", "UpperBound"):
        def bound(p, op=op):
            values = np.concatenate([p.fill((2, 4)), p.fill((2, 6), key="sorted")[:, :2]], 1)
            return node(op, np.sort(p.fill((2, 6), key="sorted"), 1)[:, : p.count], values, out_type=p.out)

        grid.add(op, bound, T=NUMBERS, count=[6, 1, 0], out=INDEX)


def shapes(grid):
    grid.add("LinSpace", lambda p: node("LinSpace", *(np.asarray(v, p.T) for v in p.ends), p.give(p.how, np.asarray(p.count, p.Tidx))), T=FLOATS,
             ends=[(0, 1), (-3, 7), (2, -2.5), (1, 1)], count=[1, 2, 5, 9], Tidx=INDEX, how=GIVEN)
    grid.add("DataFormatDimMap", lambda p: node("DataFormatDimMap", p.give(p.how, np.array(p.axes, p.T)), src_format=p.form[0], dst_format=p.form[1]),
             T=INDEX, axes=[[0, 1, 2, 3], [-1, -4, 2], [[3, -2]], 1, []], how=GIVEN,
             form=[("NHWC", "NCHW"), ("NCHW", "NHWC"), ("NDHWC", "NCDHW"), ("NCDHW", "NDHWC")])
    grid.add("BroadcastArgs", lambda p: node("BroadcastArgs", *(p.give(p.how, np.array(s, p.T)) for s in p.shapes_of)), T=INDEX, how=SIZED,
             shapes_of=[([2, 3], [3]), ([2, 1], [1, 4]), ([5], []), ([3, 1, 2], [7, 1])])
    grid.add("InvertPermutation", lambda p: node("InvertPermutation", p.give(p.how, np.array(p.of, p.T))), T=INDEX, how=SIZED,
             of=[[0], [2, 0, 1], [1, 0, 3, 2]])
    grid.add("Reshape", lambda p: node("Reshape", p.fill(p.form[0]), p.give(p.how, np.array(p.form[1], p.Tshape))), T=ALL, Tshape=INDEX, how=SIZED,
             form=[((2, 3, 4), s) for s in ([6, 4], [-1], [2, -1, 2], [24, 1], [1, 2, 3, 4], [3, -1])]
             + [((), [1]), ((1,), []), ((1, 1), []), ((0, 3), [3, 0]), ((0, 3), [-1, 3]), ((0,), [2, 0, 5])], limit=200)
    grid.add("ExpandDims", lambda p: node("ExpandDims", p.fill(p.form[0]), const(p.form[1], p.Tdim)), T=ALL, Tdim=INDEX,
             form=[((2, 3), a) for a in (0, 1, 2, -1, -3)] + [((), 0), ((), -1), ((0, 2), 1)])
    grid.add("ExpandDims", lambda p: node("ExpandDims", p.fill((2, 3)), const([1], p.Tdim)), T=ALL, Tdim=INDEX)
    grid.add("Squeeze", lambda p: node("Squeeze", p.fill(p.form[0]), squeeze_dims=p.form[1]), T=ALL,
             form=[((2, 1, 3, 1), [1]), ((2, 1, 3, 1), [-1]), ((2, 1, 3, 1), [1, 3]), ((1, 0), [0]), ((1,), [0])])
    # Which dimensions go is known only with the shape.
    grid.add("Squeeze", lambda p: node("Squeeze", p.fill(p.shape)), T=ALL, shape=[(2, 1, 3, 1), (1, 1), (), (2, 3), (1, 0)], shapes=(STATIC,))
    for op in ("Shape", "Size"):
        grid.add(op, lambda p: node(op, p.fill(p.shape), out_type=p.out), T=ALL, shape=[(2, 3, 4), (), (0, 3), (7,)], out=INDEX)
    grid.add("ShapeN", lambda p: node("ShapeN", [p.fill((2, 3)), p.fill((), key=1), p.fill((5,), key=2)], out_type=p.out), T=ALL, out=INDEX)
    grid.add("Rank", lambda p: node("Rank", p.fill(p.shape)), T=ALL, shape=[(2, 3, 4), (), (0, 3)])
    grid.add("Fill", lambda p: node("Fill", p.give(p.how, np.array(p.dims, p.index)), p.fill(())), T=ALL, index=INDEX, how=SIZED,
             dims=[[2, 3], [], [0, 4], [7]])
    grid.add("BroadcastTo", lambda p: node("BroadcastTo", p.fill(p.form[0]), p.give(p.how, np.array(p.form[1], p.Tidx))), T=ALL, Tidx=INDEX, how=SIZED,
             form=[((3, 1), [2, 3, 4]), ((), [2, 3]), ((4,), [4]), ((1, 0), [3, 0]), ((), []), ((2, 1, 3), [2, 5, 3])], limit=160)
    grid.add("EnsureShape", lambda p: node("EnsureShape", p.fill((2, 3)), shape=p.shape), T=ALL, shape=[[2, 3], [None, 3], [None, None], None])

    def range_case(p):
        start, limit, delta = p.bounds
        return node("Range", *(p.give(p.how, np.asarray(v).astype(p.T)) for v in (start, limit, delta)))

    bounds = [(0, 5, 1), (3, 18, 4), (5, 0, -2), (3, 3, 1), (0, 1, 0.25), (2, -1, -0.5), (0, 1, 0.1), (-0.3, 3, 0.07)]
    # Its shape function knows no halves.
    grid.add("Range", range_case, T=[F32, F64, *INTEGERS], bounds=bounds, how=["const"], where=lambda p: is_float(p.T) or isinstance(p.bounds[2], int))
    grid.add("Range", range_case, T=INTEGERS, bounds=[(a, b + n, d) for a, b, d in bounds[:2] for n in range(4)], how=["const", "fed"])
    # Floats that decide how many there are: refused, once.
    grid.add("Range", range_case, T=[F32], bounds=bounds[:1], how=["fed"], shapes=(STATIC,))
    grid.add("DataFormatVecPermute", lambda p: node("DataFormatVecPermute", Sized(p.fill(p.shape)), src_format=p.form[0], dst_format=p.form[1]),
             T=[I32, I64], form=[("NHWC", "NCHW"), ("NCHW", "NHWC"), ("NDHWC", "NCDHW"), ("NCDHW", "NDHWC")],
             shape=[(4,), (2,), (4, 2), (2, 2), (5,), (3,), (5, 2)],
             where=lambda p: p.shape[0] in (len(p.form[0]), len(p.form[0]) - 2))
    # Its kernel for halves dies.
    grid.add("Where", lambda p: node("Where", p.fill(p.shape)), T=[t for t in ALL if t not in (F16, BF16)],
             shape=[(7,), (3, 4), (2, 3, 2), (0, 2)])
    grid.add("Unique", lambda p: node("Unique", p.fill(p.shape), out_idx=p.out), T=NUMBERS, shape=[(12,), (0,), (1,)], out=INDEX)
    grid.add("UniqueWithCounts", lambda p: node("UniqueWithCounts", p.fill(p.shape), out_idx=p.out), T=NUMBERS, shape=[(12,), (0,), (1,)], out=INDEX)
    for op in ("UniqueV2", "UniqueWithCountsV2"):
        grid.add(op, lambda p: node(op, p.fill(p.form[0]), const(p.form[1], p.Taxis), out_idx=p.out), T=NUMBERS, Taxis=INDEX, out=INDEX,
                 form=[((12,), []), ((0,), []), ((12,), [0]), ((40, 1), [0]), ((2, 30), [-1]), ((2, 20, 1), [1])])
