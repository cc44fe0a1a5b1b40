"""Serves plans and SavedModels by the Open Inference Protocol (KServe's V2, Triton's): REST, gRPC, metrics.

    python -m graft.serving --model NAME=PATH [--model NAME=PATH …] [--http_port 8080] [--grpc_port 8081]
                            [--max_batch_size ROWS [--batch_delay_ms MS]]

The server is KServe's (the extra graft-tf[serving]); GraftModel also goes into a kserve.ModelServer of one's own.
"""

import argparse
import json
import struct
import sys
import uuid

import numpy

try:
    import kserve
    from kserve.errors import InferenceError, InvalidInput
    from kserve.protocol.dataplane import DataPlane
    from kserve.protocol.infer_type import (
        InferInput,
        InferOutput,
        InferRequest,
        InferResponse,
        RequestedOutput,
    )
    from kserve.utils.numpy_codec import from_np_dtype, to_np_dtype
except ImportError as error:
    raise ImportError("graft.serving needs KServe: pip install 'graft-tf[serving]'") from error
import prometheus_client

from graft import _batching, _served_model

_JSON_LENGTH = "inference-header-content-length"
_BATCH_ROWS = prometheus_client.Histogram(
    "graft_batch_rows",
    "Rows of each run of a model",
    ["model_name"],
    buckets=[2**k for k in range(11)],
)


def _describe(tensor):
    shape = [-1] if tensor.shape is None else [-1 if n is None else n for n in tensor.shape]
    return {"name": tensor.name, "datatype": from_np_dtype(tensor.dtype), "shape": shape}


def _strings(encoded):
    """The elements of a BYTES tensor, each behind its length."""
    elements, at = [], 0
    while at < len(encoded):
        (length,) = struct.unpack_from("<I", encoded, at)
        at += 4
        if at + length > len(encoded):
            raise ValueError("a string ends after the data")
        elements.append(encoded[at : at + length])
        at += length
    return numpy.array(elements, object)


def _decode(raw, datatype):
    if datatype == "BYTES":
        return _strings(raw)
    dtype = to_np_dtype(datatype)
    if dtype is None:
        raise ValueError(f"there is no datatype '{datatype}'")
    return numpy.frombuffer(raw, dtype)


def _array(given, tensor):
    """The array of a request's input, as `tensor` wants it; InvalidInput says what is wrong with it."""
    wanted = from_np_dtype(tensor.dtype)
    if given.datatype != wanted:
        raise InvalidInput(
            f"input '{given.name}' has datatype {given.datatype}, the model takes {wanted}"
        )
    shape = tuple(given.shape)
    fits = tensor.shape is None or (
        len(shape) == len(tensor.shape)
        and all(want in (None, n) for n, want in zip(shape, tensor.shape))
    )
    if not fits:
        dims = ", ".join("?" if n is None else str(n) for n in tensor.shape)
        raise InvalidInput(
            f"input '{given.name}' has shape {list(shape)}, the model takes [{dims}]"
        )
    if any(n < 0 for n in shape):
        raise InvalidInput(f"input '{given.name}' has shape {list(shape)}")
    try:
        if given._raw_data is not None:  # gRPC's
            array = _decode(given._raw_data, given.datatype)
        elif isinstance(given.data, numpy.ndarray):  # _DataPlane's
            array = given.data
        elif wanted == "BYTES":
            array = numpy.array(given.data, object)
            encoded = [text.encode() if isinstance(text, str) else text for text in array.ravel()]
            array = numpy.array(encoded, object)
        else:
            kind = numpy.array(given.data).dtype.kind
            if (
                len(given.data)
                and kind not in "iu"
                and kind not in ("bf" if tensor.dtype.kind == "f" else "b")
            ):
                raise ValueError(f"its data are no {wanted}")
            array = numpy.array(given.data, tensor.dtype)  # refuses integers out of range
        return array.reshape(shape)
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise InvalidInput(f"input '{given.name}': {error}") from error


def _output(name, array, binary):
    """binary: as bytes already, for KServe 0.21 fails to write an array as gRPC's raw contents."""
    output = InferOutput(name, list(array.shape), from_np_dtype(array.dtype), array)
    if binary:
        output.set_data_from_numpy(array, binary_data=True)
    return output


class GraftModel(kserve.Model):
    """A plan (a file) or a SavedModel (a folder) for a kserve.ModelServer; as a server's models are.

    max_batch_size: rows of requests that are run together, at most; 0: each request runs by itself. batch_delay: seconds
    that a request waits for others. concurrency: runs at a time, each with `threads` threads (0: all processors).
    """

    def __init__(self, name, path, max_batch_size=0, batch_delay=0.0, concurrency=1, **options):
        super().__init__(name)
        self._path, self._options = path, options
        self._max_batch_size, self._batch_delay = max_batch_size, batch_delay
        self._concurrency = concurrency

    def load(self):
        self._model = _served_model.load(self._path, **self._options)
        for tensor in (*self._model.inputs, *self._model.outputs):
            if from_np_dtype(tensor.dtype) is None:
                raise ValueError(
                    f"{self._path}: '{tensor.name}' is {tensor.dtype}, which the protocol does not have"
                )
            if self._max_batch_size and (not tensor.shape or tensor.shape[0] is not None):
                raise ValueError(
                    f"{self._path}: '{tensor.name}' has shape {tensor.shape}: requests can be batched "
                    "where the first dimension of every input and output is open; leave out --max_batch_size"
                )
        self._batcher = _batching.Batcher(
            self._run,
            self._max_batch_size,
            self._batch_delay,
            self._concurrency,
            _BATCH_ROWS.labels(self.name).observe,
        )
        self.ready = True
        return True

    def _run(self, inputs):
        try:
            return self._model.run(inputs)
        except (ValueError, TypeError) as error:
            raise InvalidInput(str(error)) from error

    def get_input_types(self):
        return [_describe(tensor) for tensor in self._model.inputs]

    def get_output_types(self):
        return [_describe(tensor) for tensor in self._model.outputs]

    def _inputs(self, request):
        tensors = {tensor.name: tensor for tensor in self._model.inputs}
        inputs = {}
        for given in request.inputs:
            if given.name not in tensors:
                raise InvalidInput(
                    f"there is no input '{given.name}'; there are: {', '.join(tensors)}"
                )
            if given.name in inputs:
                raise InvalidInput(f"input '{given.name}' is given twice")
            inputs[given.name] = _array(given, tensors[given.name])
        for tensor in self._model.inputs:
            if tensor.name not in inputs and not tensor.has_default:
                raise InvalidInput(f"input '{tensor.name}' is not given")
        if self._max_batch_size and len({value.shape[0] for value in inputs.values()}) > 1:
            raise InvalidInput("the inputs have different numbers of rows")
        return inputs

    def _wanted(self, request):
        names = [tensor.name for tensor in self._model.outputs]
        if not request.request_outputs:
            return names
        wanted = [output.name for output in request.request_outputs]
        for name in wanted:
            if name not in names:
                raise InvalidInput(f"there is no output '{name}'; there are: {', '.join(names)}")
        return wanted

    async def predict(self, payload, headers=None, response_headers=None):
        if not isinstance(payload, InferRequest):
            raise InvalidInput(
                f"requests are of the Open Inference Protocol: POST /v2/models/{self.name}/infer"
            )
        wanted = self._wanted(payload)
        try:
            outputs = await self._batcher(self._inputs(payload))
        except _batching.NoBatch as error:
            raise InferenceError(str(error)) from error
        return InferResponse(
            response_id=payload.id or str(uuid.uuid4()),
            model_name=self.name,
            infer_outputs=[
                _output(name, outputs[name], binary=payload.from_grpc) for name in wanted
            ],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


class _DataPlane(DataPlane):
    """Binary tensors of REST requests stay arrays, and what is wrong with a request is the client's fault. (KServe's own
    reader makes a Python object of every element, and answers malformed requests with 500.)"""

    def decode_inference_request(self, body, headers, model_name):
        if not isinstance(body, bytes):
            return super().decode_inference_request(body, headers, model_name)
        try:
            length = int(headers.get(_JSON_LENGTH, len(body)))
            if not 0 <= length <= len(body):
                raise ValueError(f"{_JSON_LENGTH} is {length}, the body has {len(body)} bytes")
            return self._from_bytes(json.loads(body[:length]), body, length, model_name)
        except InvalidInput:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise InvalidInput(
                f"no request of the Open Inference Protocol: {type(error).__name__}: {error}"
            ) from error

    def _from_bytes(self, request, body, at, model_name):
        inputs = []
        for given in request["inputs"]:
            name, datatype, parameters = (
                given["name"],
                given["datatype"],
                given.get("parameters") or {},
            )
            data = given.get("data")
            if data is None:
                size = parameters["binary_data_size"]
                if not isinstance(size, int) or not 0 <= size <= len(body) - at:
                    raise ValueError(
                        f"input '{name}': binary_data_size is {size}, {len(body) - at} bytes are left"
                    )
                data = _decode(body[at : at + size], datatype)
                at += size
            shape = [int(n) for n in given["shape"]]
            inputs.append(InferInput(name, shape, datatype, data, parameters))
        if at != len(body):
            raise ValueError(f"{len(body) - at} bytes are left over")
        outputs = [
            RequestedOutput(output["name"], output.get("parameters"))
            for output in request.get("outputs") or []
        ]
        return InferRequest(
            model_name,
            inputs,
            request_id=request.get("id"),
            parameters=request.get("parameters"),
            request_outputs=outputs or None,
        )


def _named_path(text):
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return name, path


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m graft.serving", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "--model",
        type=_named_path,
        action="append",
        required=True,
        metavar="NAME=PATH",
        help="a plan or a SavedModel",
    )
    add("--http_port", type=int, default=8080, help="%(default)s")
    add("--grpc_port", type=int, default=8081, help="%(default)s")
    add(
        "--max_batch_size",
        type=int,
        default=0,
        help="rows that are run together, at most; 0 (the default): no batching",
    )
    add("--batch_delay_ms", type=float, default=0.0, help="how long a request waits for others (%(default)s)")
    add("--concurrency", type=int, default=1, help="runs at a time (%(default)s)")
    add("--threads", type=int, default=0, help="of each run; 0 (the default): all processors")
    add("--device", help="of plans: cpu or cuda")
    add("--signature", default="serving_default", help="of SavedModels (%(default)s)")
    given = parser.parse_args(arguments)
    models = []
    for name, path in given.model:
        model = GraftModel(
            name,
            path,
            given.max_batch_size,
            given.batch_delay_ms / 1e3,
            given.concurrency,
            threads=given.threads,
            device=given.device,
            signature=given.signature,
        )
        try:
            model.load()
        except (
            Exception
        ) as error:  # of Graft's or TensorFlow's: all say what is wrong with the model
            sys.exit(f"{name}: {error}")
        models.append(model)
    server = kserve.ModelServer(
        http_port=given.http_port, grpc_port=given.grpc_port, enable_latency_logging=False
    )
    server.dataplane = _DataPlane(server.registered_models)
    server.start(models)


if __name__ == "__main__":
    main()
