#!/bin/bash
# Fashion-MNIST through a real server: 60,000 images are ingested into a learner that starts with one hidden layer of 32,
# while a second client predicts all the time. Prints a table: growths, predictions, accuracy on the 10,000 test images.
#
#   benches/fashion_mnist.sh [FOLDER]      (default: ../shared/data/fashion-mnist; or set FASHION_MNIST)
#
# It builds the release binary first, unless PERENNIAL names one.
#
# Nothing but loopback is used, and everything that is started is ended. Times are of this machine and run only.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${FASHION_MNIST:-../shared/data/fashion-mnist}}
if [ ! -f "$data/train-images-idx3-ubyte.gz" ]; then
    echo "Fashion-MNIST is missing: give the folder with train-images-idx3-ubyte.gz and its three companions"
    exit 2
fi
perennial=${PERENNIAL:-$PWD/target/release/perennial}
[ -n "${PERENNIAL:-}" ] || cargo build --release --locked --quiet
scratch=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
    wait 2> /dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT

"$perennial" serve --port 0 --data-dir "$scratch/data" > "$scratch/address" 2> "$scratch/log" &
pids+=($!)
until grep -qs '^perennial listens' "$scratch/address"; do
    kill -0 "${pids[0]}" || { cat "$scratch/log"; exit 1; }
    sleep 0.1
done
url=$(sed -n 's#^perennial listens on ##p' "$scratch/address")
export PERENNIAL_URL=$url

cat > "$scratch/fashion.json" <<'JSON'
{ "name": "fashion",
  "task": {"kind": "classification", "classes": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]},
  "schema": {"features": [{"name": "pixels", "kind": "image", "height": 28, "width": 28, "max": 255}]},
  "network": {"kind": "mlp", "hidden": [32]},
  "policy": {"kind": "data_volume", "max_parameters": 1000000} }
JSON
"$perennial" learner create "$scratch/fashion.json"

# The second client: one real image after the other until the end; every answer's status is kept.
zcat "$data/t10k-images-idx3-ubyte.gz" | head -c $((16 + 784 * 64)) > "$scratch/images" || true
for image in $(seq 0 63); do
    pixels=$(od -An -v -tu1 -w784 -j $((16 + 784 * image)) -N 784 "$scratch/images" | sed 's/^ *//; s/  */,/g')
    echo "{\"inputs\":[{\"pixels\":[$pixels]}]}" > "$scratch/body-$image"
done
(
    image=0
    while [ ! -e "$scratch/stop" ]; do
        curl -sS -o /dev/null -w '%{http_code} %{time_total}\n' -H 'content-type: application/json' \
            --data-binary "@$scratch/body-$image" "$url/v1/learners/fashion/predict" 2>> "$scratch/failures" || echo "000 0"
        image=$(((image + 1) % 64))
    done > "$scratch/answers"
) &
pids+=($!)
client=$!

started=$SECONDS
"$perennial" ingest fashion "$data/train-images-idx3-ubyte.gz"
ingested=$((SECONDS - started))
"$perennial" ingest fashion "$data/train-images-idx3-ubyte.gz" --limit 1 --wait > /dev/null
idle=$((SECONDS - started))
touch "$scratch/stop"
wait "$client" || true

score=$("$perennial" predict fashion "$data/t10k-images-idx3-ubyte.gz" --json)
"$perennial" growth fashion
"$perennial" status fashion
answers=$(wc -l < "$scratch/answers")
failed=$(grep -vc '^200 ' "$scratch/answers" || true)
growths=$("$perennial" growth fashion --json | grep -c '"certificate"')
latency() { sort -k2 -g "$scratch/answers" | awk -v share="$1" '{t[NR] = $2} END {printf "%.1f ms", 1000 * t[int((NR - 1) * share) + 1]}'; }

printf '\n| %-44s | %s\n' "what" "figure"
printf '| %-44s | %s\n' \
    "cores" "$(nproc)" \
    "images ingested after" "$ingested s" \
    "stream drained and training idle after" "$idle s" \
    "growths" "$growths" \
    "predictions while it learned" "$answers" \
    "failed predictions" "$failed" \
    "prediction latency, median (curl start included)" "$(latency 0.5)" \
    "prediction latency, 99th percentile" "$(latency 0.99)" \
    "test images" "$score"
