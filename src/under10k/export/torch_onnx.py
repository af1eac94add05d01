"""ONNX for networks that no plain layers stand for: PyTorch's own exporter."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from under10k.data import MEAN, SIDE, STD
from under10k.errors import UsageError, missing_library
from under10k.models import evaluating

OLD_OPSET, NEW_OPSET = 17, 18
"""Of PyTorch's exporter without onnxscript, which torch has deprecated, and of that with it."""


def write_onnx(model: nn.Module, input_name: str, output_name: str) -> bytes:
    """Export any network, the normalisation inside: float32 (N, 1, 28, 28) in [0, 1] -> logits float32 (N, 10).

    Raises:
        UsageError: PyTorch's exporter cannot express it, or is not there.
    """
    whole, example = _FromPixels(model), torch.rand(2, 1, SIDE, SIDE)
    names = {"input_names": [input_name], "output_names": [output_name]}
    try:
        with torch.no_grad(), evaluating(whole), _silent():
            if importlib.util.find_spec("onnxscript"):
                return _export_new(whole, example, names)
            return _export_old(whole, example, names)
    except ImportError as error:
        raise missing_library(error.name or "onnxscript", "export") from None
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"cannot export to ONNX: {type(model).__name__} ({type(error).__name__}: {reason:.200}). "
            "write its forward with PyTorch's layers and functions"
        ) from None


class _FromPixels(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model((pixels - MEAN) / STD)
        return logits


def _export_new(whole: nn.Module, example: Tensor, names: dict[str, Any]) -> bytes:
    shapes = ({0: torch.export.Dim("N")},)
    program = torch.onnx.export(
        whole, (example,), dynamo=True, opset_version=NEW_OPSET, dynamic_shapes=shapes, verbose=False, **names
    )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _export_old(whole: nn.Module, example: Tensor, names: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    axes = {name: {0: "N"} for listed in names.values() for name in listed}
    torch.onnx.export(
        whole,
        (example,),
        file,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=OLD_OPSET,
        dynamic_axes=axes,
        **names,
    )
    return file.getvalue()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what the exporter warns of, such as its own age, from users: all answers are compared afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
