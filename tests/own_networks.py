"""Networks as people write them: each a file of its own, below the same imports."""

from __future__ import annotations

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from dataclasses import dataclass
"""

FUNCTIONAL = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3)
        self.conv2 = nn.Conv2d(8, 12, 3)
        self.fc = nn.Linear(12 * 5 * 5, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.dropout(x, 0.1, training=self.training)
        x = x.view(-1, 12 * 5 * 5)
        return F.log_softmax(self.fc(x), dim=-1)
"""

SEQUENTIAL = """
class Net(nn.Module):
    def __init__(self, dropout=0.05):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(1, 10, 3, bias=False), nn.ReLU(), nn.BatchNorm2d(10), nn.Dropout(dropout),
            nn.Conv2d(10, 12, 3, bias=False), nn.ReLU(), nn.BatchNorm2d(12), nn.MaxPool2d(2, 2),
        )
        self.gap = nn.Sequential(nn.Conv2d(12, 10, 3, bias=False), nn.AvgPool2d(kernel_size=10))

    def forward(self, x):
        return self.gap(self.block(x))  # (B, 10, 1, 1)
"""

ADAPTIVE = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 12, 5, stride=2, padding=2, padding_mode="reflect")
        self.norm = nn.GroupNorm(3, 12)
        self.out = nn.Conv2d(12, 10, 3)

    def forward(self, x):
        return F.adaptive_avg_pool2d(self.out(F.leaky_relu(self.norm(self.conv(x)), 0.1)), 1).squeeze(-1).squeeze(-1)
"""

SHARED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.drop, self.act = nn.MaxPool2d(2, 2), nn.Dropout2d(0.1), nn.ReLU()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 7 * 7, 10)

    def forward(self, x):
        x = self.drop(self.pool(self.act(self.bn1(self.conv1(x)))))
        x = self.drop(self.pool(self.act(self.bn2(self.conv2(x)))))
        return self.fc(torch.flatten(x, 1))
"""

UNUSED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 5, stride=2)
        self.forgotten = nn.Conv2d(10, 10, 3)

    def forward(self, x):
        return self.conv(x).mean(dim=[2, 3])
"""

OWN_MODULE = """
class GhostNorm(nn.BatchNorm2d):
    def __init__(self, features, splits=2):
        super().__init__(features)
        self.splits = splits

    def forward(self, x):
        if not self.training or len(x) % self.splits:
            return super().forward(x)
        return torch.cat([super(GhostNorm, self).forward(part) for part in x.chunk(self.splits)])

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 10, 7, stride=3), GhostNorm(10)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x))).mean((2, 3))
"""

LINEAR = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.Tanh(), nn.Linear(12, 10))

    def forward(self, x):
        return self.layers(x)
"""

RESIDUAL = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.body = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1) for _ in range(2)])
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.body:
            x = x + F.relu(layer(x))
        return self.out(x.amax(dim=(2, 3)))
"""

SEPARABLE = """
def Net(width=10, dropout=0.0):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, stride=2), nn.ReLU6(),
        nn.Conv2d(width, width, 3, groups=width), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Dropout(dropout),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )
"""

CONFIGURED = """
@dataclass
class Config:
    width: int = 6

class Net(nn.Module):
    def __init__(self, config=None):
        super().__init__()
        config = config or Config()
        self.conv = nn.Conv2d(1, config.width, 9, stride=4)
        self.fc = nn.Linear(config.width * 25, 10)
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        print(x.shape)
        return self.fc(torch.relu(self.conv(x)).reshape(x.shape[0], -1) * self.scale)

if __name__ == "__main__":
    for _ in range(10):
        Net()(torch.zeros(1, 1, 28, 28)).sum().backward()
"""

NETWORKS: dict[str, tuple[str, int]] = {
    "functional": (FUNCTIONAL, 80 + 876 + 3010),
    "sequential": (SEQUENTIAL, 90 + 20 + 1080 + 24 + 1080),
    "adaptive": (ADAPTIVE, 312 + 24 + 1090),
    "shared": (SHARED, 80 + 16 + 584 + 16 + 3930),
    "unused": (UNUSED, 260 + 910),
    "own module": (OWN_MODULE, 500 + 20),
    "linear": (LINEAR, 785 * 12 + 130),
    "residual": (RESIDUAL, 80 + 584 * 2 + 90),
    "separable": (SEPARABLE, 100 + 100 + 110 + 110),
    "configured": (CONFIGURED, 6 * 82 + 1510),
}
"""Source and number of parameters, added up by hand."""


def source(name: str) -> str:
    return HEAD + NETWORKS[name][0]
