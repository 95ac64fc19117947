# shellcheck shell=bash
# sources_hash ROOT: one hash of the TypeScript that pack.sh compiles, to notice an old pack.
sources_hash() (
  cd "$1" || exit
  find lib bench -type f \( -name '*.ts' -o -name '*.cts' -o -name '*.cjs' \) -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
)
