"""What is timed: one call of a workload in one variant, as a function without arguments.

A variant is a set of words: `channels_last` (memory format); `fused` (Adam); `one_thread`; `folded` (BatchNorms folded
into their convolutions, for inference); and what runs the network, which is eager without one of them: `frozen`
(TorchScript, frozen and optimized for inference), `compile`, `compile_frozen` (weights as constants), `max_autotune`;
`compile_update` compiles the optimizer too. What malloc does with freed memory is a matter of the environment, so
whoever starts the process sees to it.
"""

import torch
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from torch_networks import NETWORKS, Normed
from waves import INPUT, wave

CLASSES = 10

# Every word that means something.
WORDS = {
    "channels_last",
    "fused",
    "one_thread",
    "folded",
    "frozen",
    "compile",
    "compile_frozen",
    "max_autotune",
    "compile_update",
}

# So small that the state stays where it started; `benches/compute/ours.rs` says why.
LEARNING_RATE = 1e-6


def prepare(workload, task, rows, words):
    """One call of `task`, "train" or "infer", of the network `workload` on `rows` rows."""
    if words - WORDS:
        raise ValueError(f"no such words: {' '.join(sorted(words - WORDS))}")
    torch.manual_seed(1)
    make, shape = NETWORKS[workload]
    network, batch = make(), wave((rows, *shape), *INPUT)
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
    if "folded" in words:
        for module in network.modules():
            if isinstance(module, Normed):
                module.convolution = fuse_conv_bn_eval(module.convolution, module.norm)
                module.norm = torch.nn.Identity()
    if "frozen" in words:
        with torch.no_grad():
            run = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, batch)))
    else:
        run = compiled(network, words)

    # `torch.compile` freezes weights under `no_grad` alone; elsewhere `inference_mode` does less.
    guard = torch.no_grad if words & {"compile_frozen", "max_autotune"} else torch.inference_mode

    def answer():
        with guard():
            return run(batch)

    return answer


def compiled(network, words):
    """The network behind `torch.compile` where the variant asks for it."""
    if not words & {"compile", "compile_frozen", "max_autotune"}:
        return network
    import torch._inductor.config as settings

    options = dict(torch._inductor.list_mode_options("max-autotune")) if "max_autotune" in words else {}
    # The tracer reads the setting; as an option too it keeps what was compiled without it from being taken instead.
    settings.freezing = options["freezing"] = bool(words & {"compile_frozen", "max_autotune"}) and not network.training
    return torch.compile(network, options=options)
