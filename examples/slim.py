"""A network of under 8,000 parameters, to copy and change: docs/your-network.md goes through it line by line."""

from torch import Tensor, nn


def block(inputs: int, outputs: int, padding: int, dropout: float) -> nn.Sequential:
    """Build a 3x3 convolution, batch norm, ReLU and dropout; the bias is left out: batch norm would subtract it."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Dropout(dropout),
    )


class Slim(nn.Module):
    """In the shape of `gap`, narrower after its first pool: 7,616 parameters."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            block(1, 8, 1, dropout),  # (B, 8, 28, 28)
            block(8, 16, 1, dropout),  # (B, 16, 28, 28)
            nn.MaxPool2d(2),  # (B, 16, 14, 14)
            block(16, 12, 1, dropout),  # (B, 12, 14, 14)
            block(12, 14, 1, dropout),  # (B, 14, 14, 14)
            nn.MaxPool2d(2),  # (B, 14, 7, 7)
            block(14, 14, 0, dropout),  # (B, 14, 5, 5)
            nn.Conv2d(14, 10, 3, bias=False),  # (B, 10, 3, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images (B, 1, 28, 28) into logits (B, 10): the mean of each of the last maps."""
        maps: Tensor = self.layers(x)
        return maps.mean(dim=(2, 3))
