"""What is timed: one call of a workload in one variant, as a function without arguments.

A variant is a set of words: `channels_last` (memory format), `fused` (Adam), one of `frozen`, `compile`,
`compile_frozen`, `max_autotune`, `reduce_overhead` (what runs the network; eager without any). `keep` (a malloc that
keeps its memory) is a matter of the process' environment, so whoever starts the process sees to it.
"""

import torch
from torch.nn import functional

from torch_networks import NETWORKS

CLASSES = 10

# So small that the state stays where it started; `benches/compute/ours.rs` says why.
LEARNING_RATE = 1e-6


def prepare(workload, task, rows, words):
    """One call of `task`, "train" or "infer", of the network `workload` on `rows` rows."""
    torch.manual_seed(1)
    make, shape = NETWORKS[workload]
    network, batch = make(), torch.randn(rows, *shape)
    if "channels_last" in words:
        if len(shape) != 3:
            raise ValueError("no images, so no memory format")
        network = network.to(memory_format=torch.channels_last)
        batch = batch.contiguous(memory_format=torch.channels_last)
    return training(network, batch, words) if task == "train" else inference(network, batch, words)


def training(network, batch, words):
    """A step: forward, mean cross-entropy, backward, Adam. The loss is read, as by whoever keeps an eye on training."""
    network.train()
    classes = torch.arange(len(batch)) % CLASSES
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True if "fused" in words else None)
    run = compiled(network, words)
    update = torch.compile(optimizer.step) if "compile_update" in words else optimizer.step

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(run(batch), classes)
        loss.backward()
        update()
        return loss.item()

    return step


def inference(network, batch, words):
    """Logits in evaluation mode."""
    network.eval()
    if "frozen" in words:
        with torch.no_grad():
            run = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, batch)))
    else:
        run = compiled(network, words)

    # Not `inference_mode`: `torch.compile` freezes under `no_grad` alone. Eager is measured with what is faster there.
    guard = torch.no_grad if words & {"compile_frozen", "frozen", "max_autotune"} else torch.inference_mode

    def answer():
        with guard():
            return run(batch)

    return answer


def compiled(network, words):
    """The network behind `torch.compile` where the variant asks for it."""
    import torch._inductor.config as settings

    settings.freezing = bool(words & {"compile_frozen", "max_autotune"}) and not network.training
    if "max_autotune" in words:
        return torch.compile(network, mode="max-autotune")
    if "reduce_overhead" in words:
        return torch.compile(network, mode="reduce-overhead")
    if words & {"compile", "compile_frozen"}:
        return torch.compile(network)
    return network
