#!/bin/bash
# Checks the code behind the feature `cuda` where there is neither a GPU nor a CUDA compiler, as CI does: clippy over
# everything with empty kernels. Nothing is linked and nothing runs. In a target folder of its own, unless CARGO_TARGET_DIR
# names one: where a real build with CUDA might come after it, it must not find the empty kernels. Arguments go to cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."
export NVCC=$PWD/deploy/cuda/nvcc-stand-in CUDA_COMPUTE_CAP=90 CUDARC_CUDA_VERSION=13000
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cuda/check}
cargo clippy --locked --all-targets --features cuda "$@" -- -D warnings
