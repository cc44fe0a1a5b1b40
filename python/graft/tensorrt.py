"""tf.experimental.tensorrt, as it was: graft.tensorrt.Converter and graft.tensorrt.ConversionParams."""

from graft.trt_convert import TrtConversionParams as ConversionParams
from graft.trt_convert import TrtGraphConverterV2 as Converter

__all__ = ["ConversionParams", "Converter"]
