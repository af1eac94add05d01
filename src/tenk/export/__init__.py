"""Takes a trained network elsewhere: ONNX Runtime, C.

Each export starts from the same few plain layers, takes pixels as they are, and proves itself against PyTorch.
"""
