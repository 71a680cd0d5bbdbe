#!/bin/bash
# The whole check on a machine with a GPU, in one call: `deploy/cuda/build.sh` somewhere, then this in a copy of the
# repository that has target/cuda/carry. It needs no Rust there, only the driver and CUDA 13's libraries; those that came with
# PyTorch will do. What it finds goes to $OUT (default: target/cuda/report): table.md, and found.tar.gz with everything else.
#
#   1. the binary starts, finds the GPU and says what it is
#   2. in f32, tf32 and bf16: mlp, cnn, resnet and inception_bn train as on the CPU, loss by loss; step times; products
#   3. the same steps in eager PyTorch on the same GPU, where python3 has it
#   4. a server on the GPU learns a stream, grows in the middle of it, and predicts
#
# The device is cuda:0, or the one that the argument names. Every part runs even if one before it failed; the exit code says whether all went well.
set -uo pipefail
cd "$(dirname "$0")/../.."
device=${1:-cuda:0}
out=${OUT:-target/cuda/report}
scratch=$(mktemp -d)
found=$scratch/found
mkdir -p "$out" "$found"
server=
finish() {
    [ -n "$server" ] && kill "$server" 2> /dev/null && wait "$server"
    rm -rf "$scratch"
}
trap finish EXIT
failed=()
perennial=$scratch/perennial
gzip --decompress --stdout target/cuda/carry/perennial.gz > "$perennial" && chmod +x "$perennial" || exit 1

# Where the libraries that came with PyTorch lie, for the loader.
wheels=$(python3 -c 'import glob, os, site, sys
places = site.getsitepackages() + [p for p in sys.path if p.endswith("site-packages")]
print(":".join(dict.fromkeys(f for p in places for f in glob.glob(os.path.join(p, "nvidia", "*", "lib")))))' 2> /dev/null)
export LD_LIBRARY_PATH=$wheels${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# The driver compiles candle's kernels at their first use and keeps the result here.
export CUDA_CACHE_PATH=$scratch/kernels CUDA_CACHE_MAXSIZE=1073741824

echo "== the device"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$found/gpu.txt" || failed+=("nvidia-smi")
"$perennial" device | tee "$found/devices.txt" || failed+=("device")

for precision in f32 tf32 bf16; do
    echo "== perennial, $precision"
    "$perennial" device check "$device" --precision "$precision" --report "$found/perennial-$precision.json" ||
        failed+=("check $precision")
    if python3 -c 'import torch' 2> /dev/null; then
        echo "== PyTorch, $precision"
        python3 deploy/cuda/torch_steps.py "$precision" | tee "$found/torch-$precision.jsonl" || failed+=("torch $precision")
    fi
done

# Points of the plane, by quadrant: what a small network learns from two thousand rows.
learn_and_grow() {
    awk 'BEGIN { srand(1); print "x,y,quadrant"
        for (row = 0; row < 4000; row++) { x = 2 * rand() - 1; y = 2 * rand() - 1
            print x "," y "," (x > 0 ? "right" : "left") "-" (y > 0 ? "upper" : "lower") } }' > "$scratch/points.csv"
    cat > "$scratch/learner.toml" <<'TOML'
name = "quadrants"
task = { kind = "classification", classes = ["left-lower", "left-upper", "right-lower", "right-upper"] }
schema = { features = [{ name = "x", kind = "numeric" }, { name = "y", kind = "numeric" }] }
network = { kind = "mlp", hidden = [8] }
policy = { kind = "manual" }
TOML
    "$perennial" serve --device "$device" --port 0 --data-dir "$scratch/data" > "$scratch/address" 2> "$found/server.log" &
    server=$!
    for _ in $(seq 150); do
        PERENNIAL_URL=$(sed -n 's#^perennial listens on ##p' "$scratch/address")
        [ -n "$PERENNIAL_URL" ] && break
        sleep 0.2
    done
    export PERENNIAL_URL
    [ -n "$PERENNIAL_URL" ] || { echo "the server did not start:" && cat "$found/server.log" && return 1; }
    "$perennial" learner create "$scratch/learner.toml" &&
        "$perennial" ingest quadrants "$scratch/points.csv" --label quadrant --limit 2000 --wait &&
        "$perennial" grow quadrants --wider all --factor 2 &&
        "$perennial" grow quadrants --deeper all &&
        "$perennial" ingest quadrants "$scratch/points.csv" --label quadrant --wait &&
        "$perennial" growth quadrants &&
        "$perennial" predict quadrants "$scratch/points.csv" --label quadrant | tail -3
}
echo "== a server on the GPU learns and grows"
learn_and_grow 2>&1 | tee "$found/learner.txt" || failed+=("server")

python3 - "$found" > "$out/table.md" <<'PYTHON' || failed+=("table")
import json, pathlib, sys

found = pathlib.Path(sys.argv[1])
print("GPU:", (found / "gpu.txt").read_text().strip() or "unknown", "\n")
print("| network | precision | step ms | PyTorch eager ms | ratio | CPU step ms | largest difference of a loss | allowed |")
print("| --- | --- | --- | --- | --- | --- | --- | --- |")
products = {}
for precision in ("f32", "tf32", "bf16"):
    report = found / f"perennial-{precision}.json"
    if not report.exists():
        print(f"| – | {precision} | not measured | | | | | |")
        continue
    report = json.loads(report.read_text())
    lines = found / f"torch-{precision}.jsonl"
    lines = lines.read_text().splitlines() if lines.exists() else []
    torch = {line["network"]: line["step_ms"] for line in map(json.loads, lines)}
    for one in report["networks"]:
        other = torch.get(one["network"])
        beside = f"{other:.2f} | {other / one['step_ms']:.2f}" if other else "– | –"
        print(f"| {one['network']} | {precision} | {one['step_ms']:.2f} | {beside} | {one['cpu_step_ms']:.2f} "
              f"| {one['difference']:.1e} | {one['tolerance']:.1e} |")
    products = {product["precision"]: product for product in report["products"]} or products
print("\n| product | precision | TFLOP/s | largest difference |\n| --- | --- | --- | --- |")
for precision, product in products.items():
    side = product["side"]
    print(f"| {side}³ | {precision} | {product['teraflops']:.1f} | {product['difference']:.1e} |")
PYTHON
cat "$out/table.md"
tar --create --gzip --file "$out/found.tar.gz" --directory "$found" .
if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
echo "all went well"
