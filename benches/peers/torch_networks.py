"""The five networks of the comparison, layer for layer those that `benches/compute/lines.rs` builds.

Modules stand in the order of our nodes, so the parameters of both sides can be compared one by one. Convolutions have
a bias although a BatchNorm follows: ours have one.
"""

import torch
from torch import nn
from torch.nn import functional


class Normed(nn.Module):
    """A convolution that keeps the plane (but for its stride) with its BatchNorm."""

    def __init__(self, channels, out, kernel, stride=1):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.convolution = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, images):
        return self.norm(self.convolution(images))


class Active(Normed):
    """The same with a ReLU behind it."""

    def forward(self, images):
        return functional.relu(super().forward(images), inplace=True)


class Pooled(nn.Module):
    """The mean of every plane."""

    def forward(self, images):
        return images.mean((2, 3))


def mlp(*widths):
    layers = []
    for channels, out in zip(widths, widths[1:]):
        layers += [nn.Linear(channels, out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def cnn():
    return nn.Sequential(
        Active(1, 32, (3, 3)),
        Active(32, 64, (3, 3)),
        nn.MaxPool2d(2),
        Active(64, 128, (3, 3)),
        Pooled(),
        nn.Linear(128, 10),
    )


class Block(nn.Module):
    """A basic block of two 3x3 convolutions; where the shape changes, the shortcut is a 1x1 projection."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.first = Active(channels, out, (3, 3), stride)
        self.second = Normed(out, out, (3, 3))
        self.shortcut = Normed(channels, out, (1, 1), stride) if channels != out else nn.Identity()

    def forward(self, images):
        branch = self.second(self.first(images))
        return functional.relu(self.shortcut(images) + branch, inplace=True)


def resnet20():
    layers = [Active(3, 16, (3, 3))]
    channels = 16
    for out in (16, 32, 64):
        for block in range(3):
            layers.append(Block(channels, out, 2 if block == 0 and out != 16 else 1))
            channels = out
    return nn.Sequential(*layers, Pooled(), nn.Linear(channels, 10))


class Module(nn.Module):
    """A module of four branches side by side, as in `src/network/builders/inception_bn.rs`."""

    def __init__(self, channels, scale):
        super().__init__()
        self.branch_a = Active(channels, 16 * scale, (1, 1))
        self.branch_b = nn.Sequential(Active(channels, 16 * scale, (1, 1)), *pair(16 * scale, 24 * scale))
        first, second = pair(8 * scale, 16 * scale), pair(16 * scale, 16 * scale)
        self.branch_c = nn.Sequential(Active(channels, 8 * scale, (1, 1)), *first, *second)
        window = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.branch_d = nn.Sequential(window, Active(channels, 8 * scale, (1, 1)))
        self.out = (16 + 24 + 16 + 8) * scale

    def forward(self, images):
        branches = (self.branch_a, self.branch_b, self.branch_c, self.branch_d)
        return torch.cat([branch(images) for branch in branches], 1)


def pair(channels, out):
    return Active(channels, out, (3, 1)), Active(out, out, (1, 3))


def inception_bn():
    pool = lambda: nn.MaxPool2d(3, stride=2, padding=1)
    layers = [Active(3, 32, (3, 3)), pool()]
    channels = 32
    for index in range(4):
        if index == 2:
            layers.append(pool())
        module = Module(channels, 1 if index < 2 else 2)
        layers.append(module)
        channels = module.out
    return nn.Sequential(*layers, Pooled(), nn.Linear(channels, 10))


# By name: how the network is made and the shape of one row.
NETWORKS = {
    "mlp_large": (lambda: mlp(784, 512, 512, 10), (784,)),
    "mlp_small": (lambda: mlp(64, 64, 10), (64,)),
    "cnn": (cnn, (1, 28, 28)),
    "resnet20": (resnet20, (3, 32, 32)),
    "inception_bn": (inception_bn, (3, 32, 32)),
}
