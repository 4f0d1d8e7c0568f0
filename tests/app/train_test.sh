#!/bin/sh
# The verb train: exit codes, messages and files.  train_test.sh KISIM
kisim=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failed=0

fail() {
  echo "FAILED: $*"
  echo "--- stdout"; head -20 out
  echo "--- stderr"; head -20 err
  failed=1
}

# expect CODE ARGUMENTS...: runs kisim train, keeps stdout and stderr in `out` and `err`.
expect() {
  wanted=$1
  shift
  what="kisim train $*"
  "$kisim" train "$@" >out 2>err </dev/null
  code=$?
  [ $code -eq "$wanted" ] || fail "$what: exit code $code, not $wanted"
}

says() { grep -qF -- "$2" "$1" || fail "$what: '$2' is not in $1"; }
exists() { [ -e "$1" ] || fail "$what: no $1"; }

expect 2
says err "needs either a file, --env NAME or --resume DIR"
says err "See 'kisim train --help'."
expect 2 --env CartPole-v7
says err "CartPole-v1"
expect 2 --env CartPole-v1 --algorithm sac
says err "--algorithm: found 'sac', allowed: ppo, a2c, reinforce, dqn"
expect 2 --env CartPole-v1 --set gama=1
says err "unknown parameter 'gama'"
expect 2 --env Pendulum-v1 --algorithm dqn --steps 10
says err "actions of another kind than Discrete"
expect 2 --env CartPole-v1 --steps 0
says err "--steps: found 0, allowed: at least 1"
expect 2 --resume pole --set gamma=1
says err "--resume goes on with what its directory says"
expect 4 --resume nowhere
expect 0 --help
says out "learningRate=3e-4"

few="--set numSteps=64 --set minibatchSize=128 --set evaluationEpisodes=3"
# shellcheck disable=SC2086
expect 0 --env CartPole-v1 --steps 2000 --seeds 3..4 $few --output-dir pole -o json
says out '"seed": 3'
says out '"eval_return_mean"'
says out '"samples_per_s"'
for seed in 3 4; do
  exists pole/seed-$seed/curves.csv
  exists pole/seed-$seed/last.safetensors
  exists pole/seed-$seed/best.safetensors
done
says pole/seed-3/curves.csv "charts/episodic_return"
says err "wrote pole/report.html"
says pole/report.html "Return of training episodes"
grep eval_return_mean out >first
expect 0 --resume pole -o json
grep eval_return_mean out | cmp -s - first || fail "$what: resumed after its end, it evaluates to something else"

expect 2 --env CartPole-v1 --seeds 3 --output-dir pole
says err "has checkpoints of an earlier training"

what="interrupted training"
# shellcheck disable=SC2086
"$kisim" train --env CartPole-v1 --steps 100000000 $few --output-dir part >out 2>err &
pid=$!
sleep 3
kill -INT $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "$what: exit code $code, not 130"
ls part/seed-0/checkpoint-*.kisim >/dev/null 2>&1 || fail "$what: no checkpoint"
says part/report.html "Not finished"

[ $failed -eq 0 ] && echo "ok"
exit $failed
