"""Fixed numbers that both sides can make without a file between them: sines of their positions."""

import torch

# How far the angle goes from one position to the next, and where it begins.
INPUT = (0.11, 0.0)


def of_parameter(index):
    return (0.7, index)


def wave(shape, speed, phase):
    """Computed in f64, kept in f32, in row-major order."""
    positions = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(positions * speed + phase).to(torch.float32).reshape(shape)
