"""Matrix products, Einsum, and what TensorFlow's rewriter fuses with them."""

import numpy as np

from grid.case import Case, const, node
from grid.table import BOOL, F16, BF16, F32, F64, FLOATS, I32, I64, NUMBERS

EINSUM = {  # equation -> the operands' shapes
    "ij,jk->ik": [(3, 4), (4, 5)],
    "ij,jk->ki": [(3, 4), (4, 5)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "bhqd,bhkd->bhqk": [(2, 3, 4, 5), (2, 3, 6, 5)],
    "abc,cde->abde": [(2, 3, 4), (4, 5, 6)],
    "abcd,cde->abe": [(2, 3, 4, 5), (4, 5, 6)],
    "i,j->ij": [(3,), (4,)],
    "i,i->": [(4,), (4,)],
    "ij,ij->": [(3, 4), (3, 4)],
    "aecd,abcd->acbe": [(2, 3, 4, 5), (2, 6, 4, 5)],
    "ijk,j->ik": [(2, 3, 4), (3,)],
    "ij,kl->il": [(3, 4), (5, 6)],
    "ij->ji": [(3, 4)],
    "ij->i": [(3, 4)],
    "ij->": [(3, 4)],
    "ij->ij": [(3, 4)],
    "ii->i": [(3, 3)],
    "ii->": [(3, 3)],
    "iij->j": [(3, 3, 4)],
    "iijj->ij": [(2, 2, 3, 3)],
    "...ij,...jk->...ik": [(2, 3, 4), (2, 4, 5)],
    "...ij,jk->...ik": [(2, 3, 3, 4), (4, 5)],
    "...j,jk->...k": [(2, 3), (3, 4)],
    "...ij,...jk->ik...": [(2, 1, 3, 4), (5, 4, 5)],
    "i...,i...->...": [(3, 2, 4), (3, 2, 4)],
    "...ii->...i": [(2, 3, 3)],
    "...->...": [(2, 3)],
    "b...,b...->b...": [(2, 3), (2, 3)],
    "ab...,bc...->ac...": [(2, 3, 4), (3, 5, 1)],
    ",->": [(), ()],
    ",i->i": [(), (3,)],
    "ij,jk->ik#empty": [(0, 4), (4, 5)],
    "ij,jk->ik#nothing": [(3, 0), (0, 5)],
}

ACTIVATIONS = {"": None, "Relu": "Relu", "Relu6": "Relu6", "Elu": "Elu", "LeakyRelu": "LeakyRelu", "Tanh": "Tanh", "Sigmoid": "Sigmoid"}


def mat_mul(p):
    m, k, n = p.sizes
    a = p.fill((k, m) if p.ta else (m, k))
    b = p.fill((n, k) if p.tb else (k, n), key="b")
    return node("MatMul", p.give(p.a, a), p.give(p.b, b), transpose_a=p.ta, transpose_b=p.tb)


def batch_mat_mul(p):
    left, right = p.batch
    m, k, n = p.sizes
    x = p.fill((*left, *((k, m) if p.adj_x else (m, k))))
    y = p.fill((*right, *((n, k) if p.adj_y else (k, n))), key="y")
    result = {"Tout": p.to or p.T} if p.op == "BatchMatMulV3" else {}
    return node(p.op, x, p.give(p.y, y), adj_x=p.adj_x, adj_y=p.adj_y, **result)


def einsum(p):
    operands = [p.fill(shape, key=i) for i, shape in enumerate(EINSUM[p.equation])]
    return node("Einsum", operands, equation=p.equation.split("#")[0])


def fused_attributes(p):
    return {"fused_ops": ["BiasAdd"] + ([p.activation] if p.activation else []), "leakyrelu_alpha": 0.3}


def fused_mat_mul(p):
    a, b, bias = p.fill((3, 6)), p.fill((6, 4), key="b"), p.fill((4,), key="bias")
    attributes = fused_attributes(p)
    return node("_FusedMatMul", a, p.give(p.b, b), [p.give(p.b, bias)], transpose_a=False, transpose_b=False, **attributes)


def fused_conv(p):
    x, w, bias = p.fill((2, 6, 5, 3)), p.fill((3, 3, 3, 4), key="w"), p.fill((4,), key="bias")
    return node("_FusedConv2D", x, p.give(p.w, w), [p.give(p.w, bias)], [], strides=[1, p.stride, p.stride, 1], padding=p.padding,
                TArgs=[p.T], num_args=1, num_host_args=0, **fused_attributes(p))


def fill(grid):
    grid.add("MatMul", mat_mul, T=NUMBERS, sizes=[(3, 5, 4), (1, 7, 1), (0, 3, 2), (2, 0, 3)], ta=[False, True], tb=[False, True],
             a=["fed", "const"], b=["fed", "const"], where=lambda p: "fed" in (p.a, p.b), limit=200)
    for op in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        batches = [((2, 3), (2, 3)), ((), ()), ((0,), (0,))]
        if op != "BatchMatMul":
            batches += [((2, 1), (3,)), ((), (2, 2)), ((4,), ()), ((1, 0), (3, 1))]
        grid.add(op, batch_mat_mul, T=NUMBERS, batch=batches, sizes=[(3, 5, 4), (2, 0, 3)], adj_x=[False, True],
                 adj_y=[False, True], y=["fed", "const"], to=[None, I32] if op == "BatchMatMulV3" else [None], limit=200)
    grid.add("SparseMatMul", lambda p: node("SparseMatMul", p.fill((5, 3) if p.ta else (3, 5)), p.fill((4, 5) if p.tb else (5, 4), dtype=p.Tb, key="b"),
                                            transpose_a=p.ta, transpose_b=p.tb, a_is_sparse=p.sparse),
             T=[F32, BF16], Tb=[F32, BF16], ta=[False, True], tb=[False, True], sparse=[False, True])
    grid.add("Einsum", einsum, T=NUMBERS, equation=list(EINSUM), limit=300)
    grid.add("_FusedMatMul", fused_mat_mul, T=FLOATS, activation=list(ACTIVATIONS), b=["const", "fed"])
    grid.add("_FusedConv2D", fused_conv, T=[F32, F64], activation=["", "Relu", "Relu6", "Elu", "LeakyRelu"], w=["const", "fed"], stride=[1, 2],
             padding=["SAME", "VALID"])
