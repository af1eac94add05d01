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

COURSE = """
dropout_value = 0.03

class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.convblock1 = nn.Sequential(
            nn.Conv2d(in_channels=1, out_channels=10, kernel_size=(3, 3), padding=0, bias=False),
            nn.BatchNorm2d(10), nn.ReLU(), nn.Dropout(dropout_value),
        )  # output_size = 26
        self.convblock2 = nn.Sequential(
            nn.Conv2d(in_channels=10, out_channels=16, kernel_size=(3, 3), padding=0, bias=False),
            nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(dropout_value),
        )  # output_size = 24
        self.transition = nn.Sequential(nn.Conv2d(16, 8, kernel_size=(1, 1), bias=False))
        self.pool1 = nn.MaxPool2d(2, 2)  # output_size = 12
        self.convblock3 = nn.Sequential(
            nn.Conv2d(8, 12, (3, 3), padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.Dropout(dropout_value),
        )
        self.gap = nn.Sequential(nn.AvgPool2d(kernel_size=12))  # output_size = 1
        self.convblock4 = nn.Sequential(nn.Conv2d(12, 10, kernel_size=(1, 1), padding=0, bias=False))

    def forward(self, x):
        x = self.convblock2(self.convblock1(x))
        x = self.pool1(self.transition(x))
        x = self.convblock4(self.gap(self.convblock3(x)))
        x = x.view(-1, 10)
        return F.log_softmax(x, dim=-1)
"""

STANDARDISED = """
class StandardConv(nn.Conv2d):
    def forward(self, x):
        w = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, w / (w.std(dim=(1, 2, 3), keepdim=True) + 1e-5), self.bias, self.stride, self.padding)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(StandardConv(1, 8, 5), nn.ReLU(), nn.MaxPool2d(4), StandardConv(8, 10, 6))

    def forward(self, x):
        return self.layers(x).flatten(1)
"""

PADDED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pad, self.act = nn.ReflectionPad2d(2), nn.ReLU()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular")
        self.conv3 = nn.Conv2d(6, 10, 3, padding=1, padding_mode="replicate")

    def forward(self, x):
        x = F.avg_pool2d(self.act(self.conv1(self.pad(x))), 4)
        return self.conv3(self.act(self.conv2(x))).mean(3).mean(2)
"""

STRIDED = """
class Net(nn.Module):
    def __init__(self, dropout=0.1):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.BatchNorm2d(8), nn.Dropout2d(dropout),
        )
        self.classifier = nn.Linear(8 * 7 * 7, 10)

    def forward(self, x):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.classifier(x)
"""

INCEPTION = """
class Branches(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.ways = nn.ModuleList([nn.Conv2d(inputs, 4, size, padding=size // 2) for size in (1, 3, 5)])

    def forward(self, x):
        return torch.cat([F.relu(way(x)) for way in self.ways], dim=1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = Branches(1), Branches(12), nn.Linear(12, 10)

    def forward(self, x):
        x = self.second(F.max_pool2d(self.first(x), 4))
        return F.softmax(self.out(x.mean((2, 3))), dim=1)
"""

ATTENTION = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 5, stride=2), nn.InstanceNorm2d(8, affine=True)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.out = nn.Conv2d(8, 10, 12)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return self.out(x * weight[:, :, None, None] * self.scale)[:, :, 0, 0]
"""

REPEATED = """
class Net(nn.Module):
    def __init__(self, times=3):
        super().__init__()
        self.times = times
        self.stem = nn.Conv2d(1, 10, 3, padding=1)
        self.again = nn.Conv2d(10, 10, 3, padding=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(self.times):
            x = self.pool(torch.relu(self.again(x)))
        return F.adaptive_max_pool2d(x, 1)[:, :, 0, 0] if self.times < 0 else x.amax(dim=(2, 3))
"""

PREACTIVATION = """
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x):
        return F.relu(x + self.conv(self.norm(x)))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.pool = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.AvgPool2d(2)
        self.blocks = nn.Sequential(Block(8), nn.MaxPool2d(2), Block(8))
        self.out = nn.Conv2d(8, 10, 7, bias=False)

    def forward(self, x):
        return self.out(self.blocks(self.pool(self.stem(x)))).squeeze()
"""

DILATED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding="same"), nn.BatchNorm2d(8, affine=False), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.ReLU(True),
            nn.Conv2d(12, 10, 3, padding="same", dilation=3, groups=2), nn.AdaptiveAvgPool2d((1, 1)),
        )

    def forward(self, x):
        return torch.flatten(self.net(x), start_dim=1)
"""

ACTIVATIONS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(1, 6, 5, stride=2), nn.PReLU(6)
        self.conv2, self.act2 = nn.Conv2d(6, 6, 3), nn.SiLU()
        self.fc1, self.fc2 = nn.Linear(6 * 5 * 5, 12), nn.Linear(12, 10)

    def forward(self, x):
        x = F.max_pool2d(self.act2(self.conv2(self.act1(self.conv1(x)))), 2)
        return self.fc2(F.gelu(self.fc1(x.flatten(1))))
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
    "course": (COURSE, 90 + 20 + 1440 + 32 + 128 + 864 + 24 + 120),
    "standardised": (STANDARDISED, 208 + 2890),
    "padded": (PADDED, 156 + 330 + 550),
    "strided": (STRIDED, 80 + 16 + 584 + 16 + 3930),
    "inception": (INCEPTION, 8 + 40 + 104 + 52 + 436 + 1204 + 130),
    "attention": (ATTENTION, 208 + 16 + 36 + 40 + 8 + 11530),
    "repeated": (REPEATED, 100 + 910),
    "preactivation": (PREACTIVATION, 72 + 2 * (16 + 576) + 3920),
    "dilated": (DILATED, 80 + 80 + 108 + 24 + 550),
    "activations": (ACTIVATIONS, 156 + 6 + 330 + 1812 + 130),
}
"""Source and number of parameters, added up by hand."""


def source(name: str) -> str:
    return HEAD + NETWORKS[name][0]
