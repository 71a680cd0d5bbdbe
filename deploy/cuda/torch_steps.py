"""How long a training step of the networks of `perennial device check` takes in eager PyTorch on the same GPU.

Writes one line of JSON a network to standard output: `{"network", "precision", "step_ms"}`. The argument is the
precision: `f32`, `tf32` (of matrix products and convolutions) or `bf16` (autocast). The networks are those of
`benches/peers`, whose layers are ours one by one.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches" / "peers"))
from torch_networks import Active, Pooled, inception_bn, mlp, resnet20

COMPARED, TIMED, CLASSES = 5, 50, 10


def cnn():
    layers, channels = [], 1
    for out in (32, 64, 128):
        layers += [Active(channels, out, (3, 3)), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(*layers, Pooled(), nn.Linear(channels, CLASSES))


# By name: how the network is made, the shape of one row, and the rows of a batch.
WORKLOADS = {
    "mlp": (lambda: mlp(784, 512, 512, CLASSES), (784,), 128),
    "cnn": (cnn, (1, 28, 28), 64),
    "resnet": (resnet20, (3, 32, 32), 64),
    "inception_bn": (inception_bn, (3, 32, 32), 64),
}


def step_ms(make, shape, rows, precision):
    network = make().to("cuda").train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    inputs = torch.randn(rows, *shape, device="cuda")
    labels = torch.randint(CLASSES, (rows,), device="cuda")
    times = []
    for _ in range(COMPARED + TIMED):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            loss = functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        # The trainer reads every loss, so PyTorch does too.
        loss.item()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[COMPARED:])


def main():
    precision = sys.argv[1]
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    for name, (make, shape, rows) in WORKLOADS.items():
        line = {"network": name, "precision": precision, "step_ms": step_ms(make, shape, rows, precision)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
