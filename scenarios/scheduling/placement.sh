#!/usr/bin/env bash
# placement.sh SCENARIO [FLAGS of kisim run]: how many pods of each workload are on each node when the run ends, from
# run.h5. Runs ./dev kisim, or the program that KISIM names. Needs h5dump (Debian: hdf5-tools).
set -euo pipefail

kisim=("$(dirname "${BASH_SOURCE[0]}")/../../dev" kisim)
[[ ${KISIM:-} ]] && kisim=("$KISIM")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${kisim[@]}" run "$@" --quiet --record none --output-dir "$folder" >/dev/null

column() { h5dump -w 1 -y -d "/pods/$1" "$folder/run.h5" | sed -nE 's/^ +"([^\\"]*).*/\1/p'; }
paste -d '|' <(column node) <(column workload) <(column phase) | awk -F '|' '
  $3 != "Gone" && $3 != "Succeeded" && $3 != "Failed" {sub("^default/", "", $2); count[($1 == "" ? "(Pending)" : $1) "|" $2]++}
  END {for (key in count) print key "|" count[key]}' | LC_ALL=C sort | awk -F '|' '
  $1 != node {printf "%s%-15s ", (NR > 1 ? "\n" : ""), $1; node = $1; gap = ""}
  {printf "%s%d %s", gap, $3, $2; gap = ", "}
  END {print ""}'
