#!/usr/bin/env python3
"""Mean and 95 % interval of figures of a scenario's summary over 20 seeds.

usage: interval.py KISIM SCENARIO FIELD...      e.g. interval.py build/release/sim/app/kisim zoo-mig.yaml slo.attainment
A FIELD is a path into the summary; `a/b` divides one by another. Further flags of `kisim run` follow after `--`.
"""
import json
import statistics
import subprocess
import sys

SEEDS = 20
STUDENT = 2.093  # 97.5 % quantile of Student's t with 19 degrees of freedom


def value(summary, field):
    if "/" in field:
        over, under = field.split("/")
        return value(summary, over) / value(summary, under)
    for key in field.split("."):
        if not isinstance(summary, dict) or key not in summary:
            found = ", ".join(summary) if isinstance(summary, dict) else "nothing"
            sys.exit(f"interval.py: no '{key}' in {field}, found: {found}")
        summary = summary[key]
    return summary


def main(kisim, scenario, *rest):
    fields, flags = list(rest), []
    if "--" in fields:
        flags = fields[fields.index("--") + 1 :]
        fields = fields[: fields.index("--")]
    run = [kisim, "run", scenario, "--no-files", "--quiet", "-o", "json", *flags]
    summaries = []
    for seed in range(1, SEEDS + 1):
        done = subprocess.run([*run, "--seed", str(seed)], stdout=subprocess.PIPE)  # kisim says itself what is wrong
        if done.returncode != 0:
            sys.exit(done.returncode)
        summaries.append(json.loads(done.stdout))
    for field in fields:
        values = [value(summary, field) for summary in summaries]
        half = STUDENT * statistics.stdev(values) / SEEDS**0.5
        print(f"{field} {statistics.mean(values):.6g} ± {half:.2g}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
