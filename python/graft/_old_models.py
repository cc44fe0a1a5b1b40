"""Has tf.saved_model.load take engine nodes of old releases, and of models without native segments.

TensorFlow's loader gives every function a new name, in the nodes too: where an attribute is a function, it looks up its name. A node
of TF-TRT 1.13 and 1.14 names its native segment by a string, which keeps the old name. A node without a native segment has the
attribute's default, a function without a name, for which the loader raises KeyError. So before the loader looks at a
node, the string becomes a function and the function without a name goes. Nodes of other ops are left alone.
"""

import functools

_ENGINE_OP = "TRTEngineOp"


def _amend(node, functions):
    """`functions`: names of those that are in the model."""
    if node.op != _ENGINE_OP:
        return
    named = node.attr["segment_func"].func.name
    old_name = node.attr["segment_funcdef_name"].s.decode()
    if not named and old_name in functions:
        node.attr["segment_func"].func.name = old_name
    elif not named:
        del node.attr["segment_func"]


def amend_loader():
    """To be called once."""
    from tensorflow.python.saved_model import function_deserialization as loader

    fix_node_def = loader.fix_node_def
    load_library = loader.load_function_def_library

    @functools.wraps(fix_node_def)
    def fix_amended(node_def, functions, *args, **kwargs):
        _amend(node_def, functions)
        return fix_node_def(node_def, functions, *args, **kwargs)

    @functools.wraps(load_library)
    def load_amended(library, *args, **kwargs):
        # Before it sorts the functions by who calls whom.
        names = {function.signature.name for function in library.function}
        for function in library.function:
            for node in function.node_def:
                _amend(node, names)
        return load_library(library, *args, **kwargs)

    loader.fix_node_def = fix_amended
    loader.load_function_def_library = load_amended
