#!/bin/sh
# The verb train: exit codes, messages and files.  train_test.sh KISIM
kisim=$1
. "$(dirname "$0")/expect.sh"

expect 2 train
says err "needs either a file, --env NAME or --resume DIR"
says err "See 'kisim train --help'."
expect 2 train --env CartPole-v7
says err "CartPole-v1"
expect 2 train --env CartPole-v1 --algorithm sac
says err "--algorithm: found 'sac', allowed: ppo, a2c, reinforce, dqn"
expect 2 train --env CartPole-v1 --set gama=1
says err "unknown parameter 'gama'"
expect 2 train --env Pendulum-v1 --algorithm dqn --steps 10
says err "actions of another kind than Discrete"
expect 2 train --env CartPole-v1 --steps 0
says err "--steps: found 0, allowed: 1 to 1000000000000"
expect 2 train --resume pole --set gamma=1
says err "--resume goes on with what its directory says"
expect 4 train --resume nowhere
expect 0 train --help
says out "learningRate=3e-4"

few="--set numSteps=64 --set minibatchSize=128 --set evaluationEpisodes=3"
# shellcheck disable=SC2086
expect 0 train --env CartPole-v1 --steps 2000 --seeds 3..4 $few --output-dir pole -o json
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
expect 0 train --resume pole -o json
grep eval_return_mean out | cmp -s - first || fail "$what: resumed after its end, it evaluates to something else"

# What is damaged is told before anything is trained.
cp -r pole damaged
sed 's/"steps": .*/"steps": "many"/' pole/training.json >damaged/training.json
expect 3 train --resume damaged
says err "damaged/training.json: steps: found \"many\", allowed: an integer from 1 on"
cp pole/training.json damaged/training.json
for checkpoint in damaged/seed-4/checkpoint-*.kisim; do echo damaged >"$checkpoint"; done
expect 3 train --resume damaged
says err "damaged/seed-4/checkpoint-"
diff -r pole/seed-3 damaged/seed-3 >differences || fail "$what: $(cat differences)"

# A directory of an earlier training stays as it is, whatever is wanted of it.
cp -r pole before
refused_as_before() {
  says err "pole holds an earlier training: go on with it (--resume pole), or choose another directory"
  diff -r before pole >differences || fail "$what: $(cat differences)"
}
expect 2 train --env CartPole-v1 --seeds 3 --output-dir pole
refused_as_before
expect 2 train --env CartPole-v1 --seeds 7 --output-dir pole
refused_as_before
rm before/training.json pole/training.json
expect 2 train --env CartPole-v1 --seeds 3..7 --output-dir pole
refused_as_before
# Nor is one made for what is refused.
expect 2 train --env Pendulum-v1 --algorithm dqn --output-dir never
expect 2 train --env CartPole-v1 --set squash=true --output-dir never
says err "'squash'"
absent never

for signal in INT TERM; do
  # shellcheck disable=SC2086
  expect_stopped $signal part-$signal/seed-0/curves.csv train --env CartPole-v1 --steps 100000000 $few --output-dir part-$signal -o json
  says out '"interrupted": true'
  says err "interrupted; \`kisim train --resume part-$signal\` goes on"
  ls part-$signal/seed-0/checkpoint-*.kisim >/dev/null 2>&1 || fail "$what: no checkpoint"
  says part-$signal/report.html "Not finished"
done

finish
