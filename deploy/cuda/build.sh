#!/bin/bash
# Builds Perennial for NVIDIA's GPUs on any x86-64 Linux machine: it needs no GPU, no driver and no CUDA installation, only
# Rust, a C compiler, binutils and a Python with pip. The compiler for the kernels comes as pinned wheels. The binary opens
# CUDA's libraries at run time, so that it starts anywhere; `perennial device` says what it found.
#
#   deploy/cuda/build.sh                       for compute capability 9.0 (H100, H200)
#   CUDA_COMPUTE_CAP=80 deploy/cuda/build.sh   for another one; JOBS bounds how much is compiled at a time
#
# The binary is target/cuda/perennial. target/cuda/carry holds it packed, to be taken to a machine with a GPU (gpu-check.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
jobs=${JOBS:-$(nproc)}
root=$PWD/target/cuda
export CUDA_HOME=$root/toolkit/nvidia/cu13

# 13.0 and not newer: a driver refuses kernels of a compiler that is newer than itself.
if ! "$CUDA_HOME/bin/nvcc" --version 2> /dev/null | grep -q 'release 13\.0'; then
    rm -rf "$root/toolkit"
    python3 -m pip install --quiet --no-deps --no-compile --only-binary=:all: --target "$root/toolkit" \
        nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
fi

# What the linker is asked for: empty archives in the place of libraries that are opened at run time, and the static CUDA
# runtime, which opens the driver itself, under the name of the shared one.
link=$root/link
mkdir -p "$link"
for library in cuda nvrtc curand cublas cublasLt; do
    rm -f "$link/lib$library.a"
    ar crs "$link/lib$library.a"
done
cp -f "$CUDA_HOME/lib/libcudart_static.a" "$link/libcudart.a"

# candle asks cudarc to link CUDA's libraries. cudarc's library opens them at run time instead where it sees the feature
# `dynamic-loading`; its build script refuses both together. With a target of its own, flags reach libraries and not build
# scripts, so the feature is set for the library alone. To be checked again at every new version of candle or cudarc.
target=x86_64-unknown-linux-gnu
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--cfg feature=\"dynamic-loading\" -L native=$link"
unset RUSTFLAGS
export PATH=$CUDA_HOME/bin:$PATH PERENNIAL_NVCC=$CUDA_HOME/bin/nvcc NVCC=$PWD/deploy/cuda/nvcc-for-training
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} CUDARC_CUDA_VERSION=13000 CUDAFORGE_THREADS=$jobs
export CARGO_TARGET_DIR=$root/build CARGO_PROFILE_RELEASE_STRIP=true
cargo build --release --locked --target "$target" --jobs "$jobs" --features cuda --bin perennial

binary=$CARGO_TARGET_DIR/$target/release/perennial
if readelf --dynamic "$binary" | grep -E 'NEEDED.*\[lib(cu|nv|nccl)'; then
    echo "error: the binary needs CUDA's libraries to start" >&2
    exit 1
fi
cp -f "$binary" "$root/perennial"
mkdir -p "$root/carry"
gzip -9 --stdout "$binary" > "$root/carry/perennial.gz"
echo "built target/cuda/perennial ($(stat --format %s "$root/perennial") bytes) and target/cuda/carry/perennial.gz" \
    "($(stat --format %s "$root/carry/perennial.gz") bytes)"
