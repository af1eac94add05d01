"""Trained networks outside of Python: ONNX, C and a page, each checked against PyTorch."""

from under10k.export.c.folder import build_c, export_c, name_in_c, require_c
from under10k.export.c.native import find_compiler
from under10k.export.html import (
    Page,
    build_page,
    build_upload_page,
    describe_networks,
    export_html,
    require_html,
)
from under10k.export.onnx import OnnxModel, build_onnx, convert_to_onnx, export_onnx, find_missing, require_onnx
from under10k.export.proof import Exported
from under10k.export.translation import flatten

__all__ = [
    "Exported",
    "OnnxModel",
    "Page",
    "build_c",
    "build_onnx",
    "build_page",
    "build_upload_page",
    "convert_to_onnx",
    "describe_networks",
    "export_c",
    "export_html",
    "export_onnx",
    "find_compiler",
    "find_missing",
    "flatten",
    "name_in_c",
    "require_c",
    "require_html",
    "require_onnx",
]
