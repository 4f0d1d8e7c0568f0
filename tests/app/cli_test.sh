#!/bin/sh
# Exit codes, messages and files of the command line.  cli_test.sh KISIM SCENARIOS
kisim=$1
scenarios=$2
quick="$scenarios/quickstart.yaml"
. "$(dirname "$0")/expect.sh"

# ---- usage

expect 2
says err "See 'kisim --help'"
expect 2 rnu
says err "unknown verb 'rnu'. Did you mean 'run'?"
expect 2 run
says err "no file given"
expect 2 run "$quick" --seeed 3
says err "unknown flag '--seeed'. Did you mean '--seed'?"
says err "See 'kisim run --help'"
expect 2 run "$quick" --seed -1
says err "--seed: found '-1', allowed: 0 to 18446744073709551615"
expect 2 run "$quick" --set nonsense
says err "--set: found 'nonsense', expected path=value"
expect 2 run "$quick" -o xml
says err "--output: found 'xml', allowed: table, wide, json, yaml"
expect 2 run "$quick" --record some
expect 2 run "$quick" --no-files --output-dir there
expect 2 list
says err "policies, models, gpus, engines, metrics"
expect 2 list polices
says err "Did you mean 'policies'?"
expect 2 describe policy hpaa
says err "Did you mean 'hpa'?"
expect 2 schema more

for verb in run validate list describe schema bench export version; do
  expect 0 $verb --help
  says out "kisim $verb"
  silent err
done
expect 0 help
says out "Exit codes:"
expect 0 help run
says out "--record"

# ---- what there is

expect 0 version
says out "kisim "
expect 0 --version
for topic in policies models gpus engines metrics; do
  expect 0 list $topic
  [ "$(wc -L <out)" -le 80 ] || fail "$what: wider than 80 columns"
done
expect 0 list policies
says out "least-requests"
says out "RemovePodsViolatingTopologySpreadConstraint"
says out "least-waste"
COLUMNS=160 expect 0 list policies
[ "$(wc -L <out)" -gt 80 ] || fail "$what: COLUMNS is not heeded"
expect 0 list gpus
says out "h100-80gb"
expect 0 describe policy hpa
says out "autoscaler"
expect 0 describe policy random
says out "router"
says out "cluster-autoscaler expander"
expect 0 describe policy PodLifeTime
says out "pluginConfig"
expect 0 describe policy kube
says out "bindLatency"
expect 0 describe gpu h100-80gb
says out "TFLOPS"
expect 0 describe model llama-3.1-8b
says out "Layers:"
expect 0 describe engine vllm-0.19
says out "Source:"
expect 0 describe node gpu-1 "$quick"
says out "All-reduce"
says out "NV18"
expect 2 describe node gpu-99 "$quick"
says err "gpu-1"
expect 0 describe parameters
says out "duration"
expect 0 schema
says out '"$schema"'

# ---- validate

expect 0 validate "$quick"
says out "ok: "
says out " GPU"
expect 3 validate "$quick" --set duration=-5s
says err "error: "
silent out
printf 'apiVersion: kisim.dev/v1\nkind: Scenario\nmetadata: {name: x}\nspec: {duration: fast}\n' >bad.yaml
expect 3 validate bad.yaml
says err "bad.yaml:4:"
says err "spec.duration"
printf 'apiVersion: [\n' >broken.yaml
expect 3 validate broken.yaml
says err "broken.yaml:"
expect 4 validate absent.yaml
says err "absent.yaml"
says err "No such file or directory"

# ---- run

short="--set duration=10m --set warmup=1m"
expect 0 run "$quick" $short
says out "REQUESTS"
says err "wrote quickstart.run/report.html"
exists quickstart.run/run.h5
exists quickstart.run/report.html
absent quickstart.run/run.h5.part
cp quickstart.run/run.h5 first.h5
cp quickstart.run/report.html first.html
expect 0 run "$quick" $short --quiet
silent err
cmp -s first.h5 quickstart.run/run.h5 || fail "$what: run.h5 differs on repeat"
cmp -s first.html quickstart.run/report.html || fail "$what: report.html differs on repeat"

mkdir clean
cd clean || exit 1
"$kisim" run "$quick" $short --no-files --quiet --signature >../out 2>../err
cd ..
empty_folder clean
grep -qxE '[0-9a-f]{16}' out || fail "no signature on stdout"
signature=$(cat out)
expect 0 run "$quick" $short --no-files -o json
says out "\"signature\": \"$signature\""
expect 0 run "$quick" $short --no-files -o yaml
says out "signature: \"$signature\""
expect 0 run "$quick" $short --no-files --seed 7 --signature
[ "$(cat out)" != "$signature" ] || fail "$what: the seed changes nothing"
expect 0 run "$quick" $short --record all --no-files --signature
[ "$(cat out)" = "$signature" ] || fail "$what: recording changes the signature"
expect 0 run "$quick" $short --record all --output-dir deep/er --report elsewhere.html
exists deep/er/run.h5
exists elsewhere.html
absent deep/er/report.html
expect 0 run "$quick" $short --no-files --report only.html
exists only.html

expect 0 run "$quick" $short --no-files -o events-wide
says out "FIRST"
expect 0 explain hpa llama "$quick" $short --at 9h
says err "--at 9h is after the end of the run: this is of its end, 0:10:00"
says out "at 0:10:00"

# ---- checks

expect 0 run "$quick" $short --no-files --check --set slo.chat.target=0.01
expect 1 run "$quick" $short --no-files --check --set slo.chat.ttft=1ms
says err "check failed: chat: 0.00 % of requests met the SLO, target 99.00 %"
expect 0 run "$quick" $short --no-files --set slo.chat.ttft=1ms

# ---- measurements

mkdir measured measured/triton
expect 2 plan
says err "plan needs --model"
expect 2 plan --model llama-3.1-8b --rate 1
says err "plan needs --slo"
expect 2 plan --model llama-3.1-8b --rate 1 --slo ttft=fast
says err "--slo: found 'ttft=fast'"
expect 2 plan --model llama-3.1-8b --rate 1 --slo ttft=1s --prices h200=2
says err "Did you mean 'h200-141gb'?"
expect 2 plan --model llama-3.1-8b --rate 1 --slo ttft=1s --prices h100-80gb=2 --gpus h100-80gb,l4
says err "--prices: none for l4"
expect 3 plan --model lama --rate 1 --slo ttft=1s --gpus h100-80gb
says err "the nearest are llama-"
expect 0 plan --model llama-3.1-8b --rate 1 --slo ttft=1s,share=90% --gpus h100-80gb --tensor-parallel 1 --runs 2
says out "1 replica on h100-80gb"
expect 1 plan --model llama-3.1-8b --rate 1 --slo tpot=1ms --gpus h100-80gb --tensor-parallel 1 --runs 2 --max-gpus 1
says out "Nothing that was asked for"

expect 2 fidelity
says err "fidelity needs --data DIR"
expect 4 fidelity --data nowhere
expect 1 fidelity --data measured
says out "fidelity: no data found"
echo "kind,title" >measured/triton/t.csv
expect 3 fidelity --data measured
says err "measured/triton/t.csv:1:1: source_path: no such column; found kind, title"

printf 'batch,ms\n1,2\n2,2.5\n8,5\n' >bench.csv
expect 0 calibrate latency bench.csv --time ms -f coefficients.yaml
says coefficients.yaml "table: {1: 2, 2: 2.5, 8: 5}"
expect 3 calibrate latency bench.csv --time ms --unit hours
says err "bench.csv:1:1: unit: found 'hours', allowed: s, ms, us, ns"
expect 3 calibrate latency bench.csv --time seconds
says err "bench.csv:1:1: seconds: no such column; found batch, ms"
expect 3 calibrate startup bench.csv --time ms
says err "found 3 points, allowed: 20 or more"

scrapes=$scenarios/../tests/calibration/scrapes
expect 0 calibrate scrapes "$scrapes"/[0-7].prom -f line.yaml
says line.yaml "base: 8"
says line.yaml "perItem: 0.09"
says out "intervals left out: 3 unsteady"
expect 3 calibrate scrapes "$scrapes"/[01].prom
says err "found 1 intervals of a steady load in 2 scrapes"
expect 2 calibrate latency bench.csv bench.csv --time ms
says err "calibrate latency takes one file"
mkdir -p run
echo '{"model": "meta-llama/Llama-3.1-8B"}' >run/meta.json
echo '{"input_toks": 9}' >run/requests.jsonl
expect 2 calibrate requests run
says err "calibrate requests needs --gpu"
expect 3 calibrate requests run --gpu h100-80gb
says err "run/requests.jsonl:1:1: queued_ts: found null, allowed: a number"

cat >fitted.yaml <<'END'
apiVersion: kisim.dev/v1
kind: Scenario
metadata: {name: fitted}
spec:
  duration: 60s
  models: {server: {selector: {app: server}, engine: batch, maxBatchSize: 8, latency: {coefficients: coefficients.yaml}}}
  traffic: {users: {service: server, pattern: {users: 4}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}, status: {allocatable: {cpu: "4", pods: "110"}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server}
spec:
  selector: {matchLabels: {app: server}}
  template: {metadata: {labels: {app: server}}, spec: {containers: [{name: server, image: "server:1"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: server}, spec: {selector: {app: server}, ports: [{port: 80}]}}
END
expect 0 run fitted.yaml --output-dir fitted
expect 0 run fitted/run.h5 --no-files
sed -i 's/unit: ms/unit: s/' coefficients.yaml
expect 3 validate fitted.yaml
says err "coefficients.yaml:6:11: latency[0].unit: found 's', allowed: ms"
rm coefficients.yaml
expect 3 validate fitted.yaml
says err "fitted.yaml:6:102: spec.models.server.latency.coefficients: found 'coefficients.yaml', which does not exist"
expect 0 run fitted/run.h5 --no-files

# ---- a trained policy for other runtimes

expect 2 export
says err "export takes one policy file"
expect 2 export policy.safetensors
says err "export needs --output FILE"
expect 4 export absent.safetensors -o policy.onnx
says err "absent.safetensors: cannot be read: No such file or directory"
expect 3 export "$quick" -o policy.onnx
says err "quickstart.yaml: is cut off or no safetensors"
absent policy.onnx

# policy_file METADATA: one layer from one number to a choice of two, with weights 1 and 2 and without biases.
policy_file() {
  header="{\"__metadata__\": {\"format\": \"kisim policy\", \"version\": \"1\", \"name\": \"small\", $1,
    \"observation\": \"[\\\"queue\\\"]\", \"actions\": \"Discrete\", \"masked\": \"false\", \"coding\": \"{}\",
    \"layers\": \"[{\\\"kind\\\": \\\"linear\\\", \\\"activation\\\": \\\"none\\\"}]\", \"provenance\": \"{}\"},
    \"layers.0.weight\": {\"dtype\": \"F32\", \"shape\": [2, 1], \"data_offsets\": [0, 8]},
    \"layers.0.bias\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [8, 16]},
    \"actions.choices\": {\"dtype\": \"I32\", \"shape\": [1], \"data_offsets\": [16, 20]},
    \"observation.low\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [20, 24]},
    \"observation.high\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [24, 28]}}"
  printf "\\$(printf %o $((${#header} % 256)))\\$(printf %o $((${#header} / 256)))\\0\\0\\0\\0\\0\\0"
  printf %s "$header"
  printf '\0\0\200\077\0\0\0\100'  # 1, 2
  printf '\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\200\077'
}
policy_file '"algorithm": "ppo"' >policy.safetensors
expect 0 export policy.safetensors -o policy.onnx
silent out
silent err
says policy.onnx "ArgMax"
says policy.onnx "small"
cp policy.onnx first.onnx
expect 0 export policy.safetensors --output policy.onnx
same first.onnx policy.onnx
head -c -4 policy.safetensors >short.safetensors
expect 3 export short.safetensors -o policy.onnx
says err "short.safetensors: observation.high: lies at [24, 28], outside of 24 bytes"
policy_file '"unit": "none"' >other.safetensors
expect 3 export other.safetensors -o policy.onnx
says err "other.safetensors: __metadata__.algorithm: is missing"
same first.onnx policy.onnx
expect 4 export policy.safetensors -o nowhere/policy.onnx
says err "cannot write nowhere/policy.onnx: No such file or directory"

# ---- files that cannot be written

expect 4 run "$quick" $short --output-dir /proc/kisim
says out "REQUESTS"
says err "error: cannot create directory /proc/kisim"
"$kisim" run "$quick" $short --no-files >/dev/full 2>err
code=$?
[ $code -eq 4 ] || fail "stdout full: exit code $code, not 4"
says err "No space left on device"
"$kisim" run "$quick" $short --output-dir closed >&- 2>err
code=$?
[ $code -eq 4 ] || fail "stdout closed: exit code $code, not 4"
exists closed/run.h5
what="run with a full disk"
mkdir full
(ulimit -f 8; "$kisim" run "$quick" $short --record all --output-dir full -o json | cat >out) 2>err
says out '"signature"'
says err "cannot write full/run.h5: File too large"
empty_folder full

mkfifo pipe
expect 4 run "$quick" $short --no-files --report pipe
says err "error: cannot write pipe: found a device or a pipe, allowed: a file"
[ -p pipe ] || fail "$what: the pipe has gone"

# ---- comparing policies

evaluation="$scenarios/kis-s/fleet/evaluation.yaml"
expect 0 eval "$evaluation" --seeds 1000..1001
says err "warning: energy_kwh"
says out "hpa against hpa-tuned: SLO"
says out "clairvoyant bound"
[ "$(wc -L <out)" -le 80 ] || fail "$what: wider than 80 columns"
expect 0 eval "$evaluation" --seeds 1000 -o json
says out '"trainings": 1'
says out '"level": "fluid"'
says out 'energy_kwh: no power measurements'
expect 2 eval "$evaluation" --policy hpa=some.safetensors
says err "policy hpa: "
says err "has one of this name"
expect 4 eval "$evaluation" --policy 'kiscaler=no-such-*.safetensors'
says err "no-such-*.safetensors"
sed "s|[.][.]/fleet|$scenarios/kis-s/fleet|g; s|hpa-tuned.yaml|$scenarios/kis-s/fleet/&|
  s|^  seeds:.*|  sedes: 1..2|; s|^  clairvoyant.*||" "$evaluation" >odd.yaml
expect 0 eval odd.yaml --seeds 1
says err "warning: odd.yaml:"
says err "spec.sedes"
expect 3 eval odd.yaml --strict
says err "spec.sedes"

search="$scenarios/kis-s/fleet/search-constant.yaml"
sed "s|[.][.]/fleet|$scenarios/kis-s/fleet|g; s|budget: .*|budget: 100h|; s|t4: {min: 1,|t4: {min: 7,|" "$search" >search.yaml
expect 0 search search.yaml
silent err
says out "8 candidates in"
[ "$(wc -L <out)" -le 80 ] || fail "$what: wider than 80 columns"
expect 0 search search.yaml -o json
says out '"simulated_hours"'
sed "s|budget: .*|budget: 1h|" search.yaml >poor.yaml
expect 3 search poor.yaml
says err "spec.budget: found 3600s, allowed: at least one run of each scenario (15600s)"
sed "s|max: 8, integer: true|values: [1]|" search.yaml >odd.yaml
expect 3 search odd.yaml
says err "spec.parameters.t4: needed: min and max, or values"

# ---- interruption

what="interrupted run"
"$kisim" run "$quick" --set duration=20000h --output-dir part -o json >out 2>err &
pid=$!
sleep 2
kill -INT $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "$what: exit code $code, not 130"
says out '"interrupted": true'
says err "partial"
exists part/run.h5
exists part/report.html

finish
