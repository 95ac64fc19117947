#!/bin/sh
# Runs a compiler command; what it writes to standard error also goes to OBJECT.ptxas.
object=
previous=
for argument in "$@"; do
  [ "$previous" != -o ] || object=$argument
  previous=$argument
done
"$@" 2>"$object.ptxas"
status=$?
grep -v '^ptxas info\|bytes stack frame' "$object.ptxas" >&2
exit $status
