#!/usr/bin/env bash
# signature_test.sh KISIM [--update]: runs every scenario that has a committed summary beside it and compares what the
# program prints now, but for the three fields that tell of the machine. The signature itself must be equal. The same
# bytes are due from every compiler, optimisation level and sanitizer. --update rewrites the summaries instead; an
# empty file is a new one.
set -euo pipefail

kisim=$1
update=${2:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shared=${KISIM_SHARED:-$root/../shared}
traces=$shared/data/traces
failed=0

for expected in "$root"/scenarios/{,*/}*.expected.json; do
  name=${expected#"$root"/scenarios/}
  name=${name%.expected.json}
  case $name in
    azure-conv) trace=$traces/azure-llm-2023/AzureLLMInferenceTrace_conv.csv ;;
    llm/mooncake | llm/mooncake-disaggregated) trace=$traces/mooncake/conversation_trace.jsonl.gz ;;
    *) trace= ;;
  esac
  options=()
  if [[ -n $trace ]]; then
    [[ -r $trace ]] || { echo "signature: $name skipped, no $trace"; continue; }
    options=(--set "traffic.trace=$trace")
  fi

  actual=$("$kisim" run "$root/scenarios/$name.yaml" "${options[@]}" --no-files --quiet -o json |
    grep -vE '^  "(wall_s|events_per_s|peak_rss_bytes)":')
  if [[ $update == --update ]]; then
    printf '%s\n' "$actual" >"$expected"
  elif diff -u "$expected" - <<<"$actual"; then
    echo "signature: $name $(grep -o '"signature": "[0-9a-f]*"' "$expected")"
  else
    failed=1
  fi
done
exit $failed
