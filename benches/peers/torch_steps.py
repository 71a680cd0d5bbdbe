"""PyTorch's side of `benches/compute`: a server over standard input and output, one line of JSON each way.

- `{"workload", "task", "rows", "variant": [words], "seconds"}` times calls for about so many seconds and gives
  `{"seconds": [of each call]}`.
- `{"describe": workload}` gives the shapes of its parameters in order, and its logits under fixed parameters, so that
  both sides can be held to be the same function.
- `{"product": side, "seconds"}` gives `{"fastest": seconds}` of square matrix products.

What fails gives `{"error"}`. The bench decides when which side runs: nothing runs here unless asked.
"""

import json
import os
import sys
import time

THREADS = int(os.environ.get("PEER_THREADS", "2"))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

try:
    import torch
except (ImportError, ValueError) as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}), flush=True)
    sys.exit(1)

from torch_networks import NETWORKS
from torch_variants import prepare
from waves import INPUT, of_parameter, wave

# The least and the most calls that are timed in one turn, and how many run before without being timed.
LEAST_CALLS, MOST_CALLS, SETTLING_CALLS = 5, 20_000, 3
# Preparations of one line only are kept: the next line drops them.
prepared = {"line": None, "calls": {}}


def call_of(request):
    line = (request["workload"], request["task"], request["rows"])
    if prepared["line"] != line:
        prepared["line"], prepared["calls"] = line, {}
        torch._dynamo.reset()
    words = frozenset(request["variant"])
    if words not in prepared["calls"]:
        call = prepare(*line, words)
        for _ in range(3):
            call()
        prepared["calls"][words] = call
    return prepared["calls"][words]


def timed(request):
    # The number holds for the process, so every turn sets it anew.
    torch.set_num_threads(1 if "one_thread" in request["variant"] else THREADS)
    call, seconds = call_of(request), []
    for _ in range(SETTLING_CALLS):
        call()
    end = time.perf_counter() + request["seconds"]
    while len(seconds) < MOST_CALLS:
        start = time.perf_counter()
        if len(seconds) >= LEAST_CALLS and start >= end:
            break
        call()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def describe(workload):
    """Shapes of all parameters in order; logits of 4 rows with parameters that are waves, in both modes."""
    make, shape = NETWORKS[workload]
    network, shapes = make(), []
    with torch.no_grad():
        for index, (name, parameter) in enumerate(network.named_parameters()):
            shapes.append(list(parameter.shape))
            values = wave(parameter.shape, *of_parameter(index))
            # Sines of a matrix are scaled as He's normal numbers are, so that signals neither vanish nor explode.
            if parameter.dim() > 1:
                values *= (4.0 / parameter[0].numel()) ** 0.5
            elif name.endswith("norm.weight"):
                values = 1.0 + 0.1 * values
            else:
                values *= 0.1
            parameter.copy_(values)
        batch = wave((4, *shape), *INPUT)
        trained = network.train()(batch).flatten().tolist()
        evaluated = network.eval()(batch).flatten().tolist()
    return {"shapes": shapes, "train": trained, "evaluate": evaluated}


def product(side, seconds):
    """Seconds of the fastest product of two square matrices."""
    torch.set_num_threads(THREADS)
    left, right = torch.randn(side, side), torch.randn(side, side)
    end, fastest = time.perf_counter() + seconds, float("inf")
    while fastest == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        left @ right
        fastest = min(fastest, time.perf_counter() - start)
    return {"fastest": fastest}


def answer(request):
    try:
        if "describe" in request:
            return describe(request["describe"])
        if "product" in request:
            return product(request["product"], request["seconds"])
        return timed(request)
    except Exception as error:  # A variant that fails is a result, with its reason, and not the end of the comparison.
        lines = str(error).strip().splitlines()
        return {"error": f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]}


def main():
    torch.set_num_threads(THREADS)
    # What libraries print must not stand among the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


main()
