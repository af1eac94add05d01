"""One ONNX file: any number of images, pixels in [0, 1], the normalisation inside; in float or in 8 bits."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from under10k.data import CLASSES, MEAN, SIDE, STD, Dataset, to_unit
from under10k.errors import ModelError, UsageError, missing_library
from under10k.evaluation import predict_logits
from under10k.export.plain import (
    INPUT,
    Affine,
    AveragePool,
    Convolution,
    Layer,
    MaxPool,
    Shape,
    Skip,
    Views,
    shape_after,
)
from under10k.export.proof import CALIBRATION, Exported, Kind, compare, require_agreement, undisturbed
from under10k.export.torch_onnx import write_onnx
from under10k.export.translation import flatten, without_log_softmax
from under10k.files import naming, require_file, write_atomically
from under10k.models import SHIFTS
from under10k.text import printable
from under10k.weights import Facts

OPSET = 17
"""Of 2022: old enough for the runtimes in use."""


LIBRARIES = ("onnx", "onnxruntime")


INPUT_NAME, OUTPUT_NAME = "pixels", "logits"


PREPROCESSING = (
    f"float32 (N, 1, {SIDE}, {SIDE}), white on black, grey levels divided by 255; "
    f"the normalisation with mean {MEAN} and deviation {STD} is inside"
)


def build_onnx(layers: Sequence[Layer], facts: Mapping[str, Any]) -> bytes:
    """Build an ONNX model of plain layers: `pixels` float32 (N, 1, 28, 28) in [0, 1] -> `logits` float32 (N, 10).

    `facts` go into the model's metadata, with a sentence on its input.

    Raises:
        UsageError: onnx is not installed.
    """
    onnx = _require("onnx")
    graph = _Graph()
    graph.add("Flatten", [graph.add_layers(layers, INPUT_NAME, INPUT)], output=OUTPUT_NAME)
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])
        for name, shape in ((INPUT_NAME, INPUT), (OUTPUT_NAME, (CLASSES,)))
    ]
    made = onnx.helper.make_graph(graph.nodes, "under10k", values[:1], values[1:], graph.constants)
    model = onnx.helper.make_model(
        made, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8, producer_name="under10k"
    )
    return _describe(model, facts)


def build_any_onnx(model: nn.Module, facts: Mapping[str, Any]) -> bytes:
    """Build an ONNX model of any network, with the same input, output and metadata as `build_onnx` gives it.

    Raises:
        UsageError: onnx is not installed, or PyTorch's exporter cannot express the network.
    """
    onnx = _require("onnx")
    return _describe(onnx.load_from_string(write_onnx(model, INPUT_NAME, OUTPUT_NAME)), facts)


def convert_to_onnx(model: nn.Module, facts: Mapping[str, Any]) -> tuple[bytes, nn.Module]:
    """Build an ONNX model of plain layers, or else with PyTorch's exporter; and return what it is to answer as.

    Raises:
        UsageError: onnx is not installed, or neither can express the network.
    """
    try:
        layers = flatten(model)
    except UsageError:
        return build_any_onnx(model, facts), model
    return build_onnx(layers, facts), without_log_softmax(model)


def _describe(model: Any, facts: Mapping[str, Any]) -> bytes:
    """Write facts into a model's metadata, and return its bytes."""
    onnx = _require("onnx")
    onnx.helper.set_model_props(model, {name: str(value) for name, value in {**facts, "input": PREPROCESSING}.items()})
    content: bytes = model.SerializeToString()
    _check(content)
    return content


def quantise_onnx(content: bytes, calibration: Tensor) -> bytes:
    """Quantise a model of `build_onnx` to 8-bit weights (by channel) and activations, with ONNX Runtime's own tool.

    `calibration` is uint8 (N, 28, 28): images like those the network was trained on.

    Raises:
        UsageError: onnxruntime is not installed.
    """
    _require("onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts = iter(torch.split(calibration, 100))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            part = next(self.parts, None)
            return None if part is None else {INPUT_NAME: to_unit(part).unsqueeze(1).numpy()}

    with tempfile.TemporaryDirectory() as folder, naming(Path(folder)):
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(content)
        level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it recommends a preprocessing that this graph does not need
        try:
            quantize_static(source, target, Images(), quant_format=QuantFormat.QDQ, per_channel=True)
        finally:
            logging.root.setLevel(level)
        small = target.read_bytes()
    _check(small)
    return small


class OnnxModel:
    """An exported network in ONNX Runtime, on the CPU."""

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        """Load a model, to run on `threads` threads; by default as many as torch uses now.

        Raises:
            UsageError: onnxruntime is not installed.
            ModelError: the content is no ONNX model, or keeps weights in other files.
        """
        runtime = _require("onnxruntime")
        _check(content)
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised, too
        options.intra_op_num_threads = threads or torch.get_num_threads()
        self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, images: Tensor, batch_size: int = 500) -> Tensor:
        """Run images in batches: uint8 (N, 28, 28) -> logits float32 (N, 10)."""
        return torch.cat([self.run_pixels(to_unit(part).unsqueeze(1)) for part in torch.split(images, batch_size)])

    def run_pixels(self, pixels: Tensor) -> Tensor:
        """Run images in one go: float32 (N, 1, 28, 28) in [0, 1] -> logits float32 (N, 10).

        Raises:
            UsageError: ONNX Runtime has no such operation.
        """
        try:
            return torch.from_numpy(self._session.run([OUTPUT_NAME], {INPUT_NAME: pixels.numpy()})[0])
        except Exception as error:  # of ONNX Runtime's own kinds
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(f"ONNX Runtime cannot run it: {reason:.200}. change the layer that it names") from None


class _Graph:
    """Nodes and constants of a graph that grows one operation at a time; each constant and result has its own name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operation: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add an operation and return the name of its result."""
        from onnx.helper import make_node

        name = f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(make_node(operation, inputs, [output or name], name=name, **attributes))
        return output or name

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        from onnx.numpy_helper import from_array

        name = f"constant_{len(self.constants)}"
        self.constants.append(from_array(values, name))
        return name

    def add_layers(self, layers: Sequence[Layer], name: str, shape: Shape) -> str:
        """Add layers after the result called `name`, and return the name of their own."""
        for layer in layers:
            name = self._add_layer(layer, name, shape)
            shape = shape_after([layer], shape)
        return name

    def _add_layer(self, layer: Layer, name: str, shape: Shape) -> str:
        match layer:
            case Convolution():
                filters = layer.filters
                values = [self.constant(array.astype(np.float32)) for array in (filters, layer.bias)]
                groups = layer.weights.shape[1] // filters.shape[1]
                name = self.add("Conv", [name, *values], pads=[layer.padding] * 4, group=groups)
            case Affine():
                scale, offset = (
                    self.constant(array.astype(np.float32).reshape(-1, 1, 1)) for array in (layer.scale, layer.offset)
                )
                name = self.add("Add", [self.add("Mul", [name, scale]), offset])
            case MaxPool():
                name = self.add("MaxPool", [name], kernel_shape=[layer.side] * 2, strides=[layer.side] * 2)
            case AveragePool():
                name = self.add("AveragePool", [name], kernel_shape=[layer.side] * 2, strides=[layer.side] * 2)
            case Skip():
                out = shape_after(layer.layers, shape)
                cut = (shape[-1] - out[-1]) // 2
                pads = [0, 0, -cut, -cut, 0, out[0] - shape[0], -cut, -cut]
                padded = self.add("Pad", [name, self.constant(np.array(pads, np.int64))])
                name = self.add("Add", [self.add_layers(layer.layers, name, shape), padded])
            case Views():
                views = self.add("Concat", self._shift(name, shape), axis=0)
                sizes = self.constant(np.array([len(SHIFTS), -1, *shape_after(layer.layers, shape)], np.int64))
                each = self.add("Reshape", [self.add_layers(layer.layers, views, shape), sizes])
                name = self.add("ReduceMean", [each], axes=[0], keepdims=0)
        if isinstance(layer, Convolution | Affine) and layer.relu:
            name = self.add("Relu", [name])
        return name

    def _shift(self, name: str, shape: Shape) -> list[str]:
        """Add the views of the maps called `name`, and return their names."""
        padded = self.add("Pad", [name, self.constant(np.array([0, 0, 1, 1] * 2, np.int64))])
        axes = self.constant(np.array([2, 3], np.int64))
        starts = [np.array([1 - down, 1 - right], np.int64) for down, right in SHIFTS]
        ends = [start + shape[1:] for start in starts]
        return [
            self.add("Slice", [padded, self.constant(start), self.constant(end), axes])
            for start, end in zip(starts, ends, strict=True)
        ]


def _check(content: bytes) -> None:
    """Check that a model follows the rules of its opset and is whole in this one file.

    Raises:
        ModelError: it does not, or is not.
    """
    onnx = _require("onnx")
    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"not a sound ONNX model: {reason[0]}. export it again") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelError("not a sound ONNX model: some of its weights are in other files. export it again")


def find_missing() -> str | None:
    """Return the name of a needed library that is not installed; None if none is missing."""
    return next((library for library in LIBRARIES if importlib.util.find_spec(library) is None), None)


def require_onnx(out: Path) -> None:
    """Refuse what cannot become an ONNX file, before any work.

    Raises:
        UsageError: onnx or onnxruntime is not installed, or `out` is a folder, a device or a pipe.
        OSError: no file can be written there.
    """
    for library in LIBRARIES:
        _require(library)
    require_file(out)


def _require(library: str) -> Any:
    """Import a library that may be missing, with its telemetry off."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime reads it on import
    try:
        module = importlib.import_module(library)
    except ImportError:
        raise missing_library(library, "export") from None
    if hasattr(module, "disable_telemetry_events"):
        module.disable_telemetry_events()  # if it was imported before
    return module


@undisturbed()
def export_onnx(model: nn.Module, facts: Facts, out: Path, kind: Kind, dataset: Dataset) -> Exported:
    """Write a trained network as an ONNX file, after checking it on all test images.

    Raises:
        UsageError: onnx or onnxruntime is not installed, or the network cannot be exported.
        Under10kError: the check failed; nothing is written.
    """
    require_onnx(out)
    known = {name: printable(str(value)) for name, value in asdict(facts).items() if value is not None}
    content, model = convert_to_onnx(model, known)
    opset = _require("onnx").load_from_string(content).opset_import[0].version
    if kind == "int8":
        content = quantise_onnx(content, dataset.train.images[:CALIBRATION])
    logits = OnnxModel(content).run(dataset.test.images)
    agreement = compare(logits, predict_logits(model, dataset.test.images), dataset.test.labels, dataset.name)
    if kind == "float":
        require_agreement(agreement)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, content)
    return Exported(out, {out.name: len(content)}, {"type": kind, "opset": opset}, agreement)
