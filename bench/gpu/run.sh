#!/usr/bin/env bash
# Verifies and measures countenance on an NVIDIA GPU; README.md in this folder explains how.
# Usage: bench/gpu/run.sh [PART...] [OPTION...], see --help.
#
# This script only finds Node and the benchmark's modules, in the folder that pack.sh made or in
# node_modules; index.ts does the rest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=bench/gpu/sources.sh
. "$here/sources.sh"

# nvcc and compute-sanitizer, which a toolkit does not always put on PATH.
export PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin

pack=${COUNTENANCE_GPU_PACK:-$root/.gpu}
tools=$root/build/gpu/tools

die() {
  echo "bench/gpu/run.sh: $*" >&2
  exit 2
}

# decompress FILE: xz where it is installed, else Python, which the benchmark needs anyway.
decompress() {
  if command -v xz >/dev/null; then
    xz -dc "$1"
  else
    python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"
  fi
}

unpack() {
  if cmp -s "$pack/pack.json" "$tools/pack.json"; then return; fi
  echo "unpacking $pack"
  rm -rf "$tools"
  mkdir -p "$tools"
  decompress "$pack/node.xz" >"$tools/node"
  chmod +x "$tools/node"
  decompress "$pack/modules.tar.xz" | tar -x -C "$tools"
  # Last, so that an interrupted unpacking starts over.
  cp "$pack/pack.json" "$tools/pack.json"
}

if [ -f "$pack/pack.json" ]; then
  if ! grep -qF "\"sources\": \"$(sources_hash "$root")\"" "$pack/pack.json"; then
    die "$pack was made from other sources: run bench/gpu/pack.sh again"
  fi
  unpack
  exec "$tools/node" "$tools/js/bench/gpu/index.js" "$@"
fi
command -v node >/dev/null ||
  die "neither $pack (made by bench/gpu/pack.sh on a machine with npm) nor node was found"
[ -d "$root/node_modules" ] || die "node_modules is missing: run npm ci, or pack.sh on a machine with npm"
exec node -r "$root/node_modules/tsx/dist/cjs/index.cjs" "$here/index.ts" "$@"
