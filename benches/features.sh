#!/bin/bash
# What texts and timestamps are worth, through a real server: the SMS Spam Collection with a `text`, and the traffic of an
# interstate by the hour with and without a `timestamp`. The last fifth of each file is kept back and never posted.
#
#   benches/features.sh [FOLDER]      (the folder of sms-spam and metro-traffic; default: ../shared/data)
#
# It builds the release binary first, unless PERENNIAL names one. Nothing but loopback is used, and everything that is
# started is ended.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-../shared/data}
sms=$data/sms-spam/SMSSpamCollection.gz
metro=$data/metro-traffic/Metro_Interstate_Traffic_Volume.csv.gz
for file in "$sms" "$metro"; do
    [ -f "$file" ] || { echo "$file is missing: give the folder of sms-spam and metro-traffic"; exit 2; }
done
perennial=${PERENNIAL:-$PWD/target/release/perennial}
[ -n "${PERENNIAL:-}" ] || cargo build --release --locked --quiet
scratch=$(mktemp -d)
"$perennial" serve --port 0 --data-dir "$scratch/data" > "$scratch/address" 2> "$scratch/log" &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$scratch"' EXIT
until grep -qs '^perennial listens' "$scratch/address"; do
    kill -0 "$server" || { cat "$scratch/log"; exit 1; }
    sleep 0.1
done
PERENNIAL_URL=$(sed -n 's#^perennial listens on ##p' "$scratch/address")
export PERENNIAL_URL

# Splits a CSV with a header: four fifths to learn from, the last fifth to be judged by.
split() {
    local rows=$(($(wc -l < "$1.csv") - 1))
    local learned=$((rows * 4 / 5))
    head -n $((learned + 1)) "$1.csv" > "$1.learned.csv"
    { head -n 1 "$1.csv"; tail -n $((rows - learned)) "$1.csv"; } > "$1.kept.csv"
}

# Creates a learner from a document, has it learn and prints what it makes of the rows kept back.
run() {
    local name=$1 file=$2 label=$3
    "$perennial" learner create "$scratch/$name.json" > /dev/null
    local started=$SECONDS
    "$perennial" ingest "$name" "$scratch/$file.learned.csv" --label "$label" --wait > /dev/null
    printf '%-16s %s, after %s s\n' "$name" "$("$perennial" predict "$name" "$scratch/$file.kept.csv" --label "$label")" \
        $((SECONDS - started))
}

# The messages are no CSV: a tab, no header, quotes that mean nothing.
{
    echo 'class,message'
    zcat "$sms" | sed 's/\r$//; s/"/""/g; s/\t/,"/; s/$/"/'
} > "$scratch/sms.csv"
zcat "$metro" > "$scratch/metro.csv"
split "$scratch/sms"
split "$scratch/metro"

text_learner() {
    cat > "$scratch/$1.json" <<JSON
{ "name": "$1", "task": {"kind": "classification", "classes": ["ham", "spam"]},
  "schema": {"features": [{"name": "message", "kind": "text", $2}]},
  "network": {"kind": "mlp", "hidden": [16]}, "policy": {"kind": "manual"} }
JSON
}
traffic_learner() {
    cat > "$scratch/$1.json" <<JSON
{ "name": "$1", "task": {"kind": "regression"},
  "schema": {"features": [
    {"name": "holiday", "kind": "categorical"}, {"name": "temp", "kind": "numeric"}, {"name": "rain_1h", "kind": "numeric"},
    {"name": "snow_1h", "kind": "numeric"}, {"name": "clouds_all", "kind": "numeric"},
    {"name": "weather_main", "kind": "categorical"}$2]},
  "network": {"kind": "mlp", "hidden": [32, 32]}, "policy": {"kind": "manual"} }
JSON
}
text_learner sms-words '"words": [1, 1]'
text_learner sms-default '"buckets": 1024'
text_learner sms-both '"words": [1, 2], "characters": [3, 5], "buckets": 2048'
traffic_learner metro ''
traffic_learner metro-text ', {"name": "weather_description", "kind": "text", "buckets": 64}'
traffic_learner metro-timestamp ', {"name": "date_time", "kind": "timestamp"}'

for name in ${LEARNERS:-sms-words sms-default sms-both metro metro-text metro-timestamp}; do
    case $name in
        sms*) run "$name" sms class ;;
        *) run "$name" metro traffic_volume ;;
    esac
done
