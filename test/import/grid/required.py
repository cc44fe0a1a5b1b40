"""The ops that users of TF-TRT had, all of which are converted. (`zeros_like` and `ones_like` are debug names of theirs that no
graph holds.)"""

REQUIRED = """
    Abs Acos Acosh Add AddN AddV2 ArgMax ArgMin Asin Asinh Atan Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BiasAdd Cast Ceil
    ClipByValue CombinedNonMaxSuppression ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh
    DataFormatVecPermute DepthToSpace DepthwiseConv2dNative Div Einsum Elu Equal Erf Exp ExpandDims FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars Fill Floor FloorDiv FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedConv2DBiasActivation GatherV2
    Greater GreaterEqual Identity IdentityN LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max
    MaxPool MaxPool3D Maximum Mean Min Minimum Mul Neg OnesLike Pack Pad Pow Prod QuantizeAndDequantizeV2 QuantizeAndDequantizeV3
    Range ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor Round Rsqrt Select SelectV2 Selu
    Shape Sigmoid Sign Sin Sinh Slice Snapshot Softmax Softplus Softsign SpaceToDepth Split Sqrt SquaredDifference Squeeze
    StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose Unpack VariableV2 ZerosLike _CopyFromHostToGpu
""".split()

# Tested where they can be: op -> where.
ELSEWHERE = {
    "Const": "every case with a constant operand",
    "NoOp": "it has no results",
    "ReadVariableOp": "freezing: src/tf/load_model_test.cc",
    "VariableV2": "freezing: src/tf/load_model_test.cc",
}
