#!/usr/bin/env bash
# Packs what bench/gpu/run.sh needs on a machine without npm and Node: Node itself, the benchmark
# compiled to JavaScript, and the packages it needs at run time. Less than 60 MiB, for Linux on x86-64.
# Usage: bench/gpu/pack.sh [FOLDER]     default: .gpu in the package, where run.sh looks
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=bench/gpu/sources.sh
. "$here/sources.sh"

folder=${1:-$root/.gpu}
limit=$((60 * 1024 * 1024))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$(node -p 'process.platform + "-" + process.arch')" = linux-x64 ] || {
  echo 'bench/gpu/pack.sh: Node for linux-x64 is what it packs: run it there' >&2
  exit 2
}
cd "$root"
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error

# First: later changes are not in the pack.
sources=$(sources_hash "$root")
echo 'compiling lib and bench'
node node_modules/typescript/bin/tsc -p bench/gpu/tsconfig.json --outDir "$work/js"
cp lib/binding.cjs "$work/js/lib/"
cp lib/cli/import-file.cjs "$work/js/lib/cli/"

echo 'collecting packages'
mkdir "$work/node_modules"
node bench/gpu/runtime-packages.mjs | while IFS= read -r name; do
  mkdir -p "$(dirname "$work/node_modules/$name")"
  cp -RL "node_modules/$name" "$work/node_modules/$name"
done

echo 'compressing'
mkdir -p "$folder"
rm -f "$folder/pack.json"
tar -c -C "$work" --sort=name --owner=0 --group=0 js node_modules |
  xz -T0 -6 >"$folder/modules.tar.xz"
xz -T0 -6 <"$(node -p process.execPath)" >"$folder/node.xz"
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit with changes"
cat >"$folder/pack.json" <<EOF
{
  "node": "$(node -p process.versions.node)",
  "commit": "$commit",
  "sources": "$sources"
}
EOF
bytes=$(cat "$folder/node.xz" "$folder/modules.tar.xz" | wc -c)
echo "$folder: $((bytes / 1024 / 1024)) MiB"
if [ "$bytes" -gt "$limit" ]; then
  echo "bench/gpu/pack.sh: more than $((limit / 1024 / 1024)) MiB" >&2
  exit 1
fi
