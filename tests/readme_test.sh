#!/usr/bin/env bash
# readme_test.sh KISIM: the README tells the truth. What it links to exists. Every file it shows (```yaml NAME, ```cpp PATH) and every command of
# its ```sh blocks is taken as it stands; files of the repository must be equal to what is shown, the others are made,
# and the commands run, in order, in an empty folder. `./dev kisim` is the given program, kubectl prints a fixed
# cluster, and what would build the project once more is left out.
set -euo pipefail

kisim=$(realpath "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readme=$root/README.md
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

# block INFO: the fenced block whose opening line is ```INFO.
block() { awk -v open="\`\`\`$1" '$0 == open {inside = 1; next} /^```/ {inside = 0} inside' "$readme"; }

grep -oE '\]\([A-Za-z0-9_./-]+\)' "$readme" | sed 's/^](//; s/)$//' | while read -r link; do
  [[ -e $root/$link ]] || { echo "readme: $link does not exist"; exit 1; }
done

while read -r language file; do
  if [[ -e $root/$file ]]; then
    diff -u "$root/$file" <(block "$language $file") || { echo "readme: $file is not what README.md shows"; exit 1; }
  else
    block "$language $file" >"$file"
  fi
done < <(sed -nE 's/^```([a-z]+) ([^ ]+)$/\1 \2/p' "$readme")

ln -s "$root/scenarios" "$root/tests" .
cat >dev <<SCRIPT
#!/bin/sh
verb=\$1
shift
[ "\$verb" = kisim ] && exec "$kisim" "\$@"
echo "left out: ./dev \$verb"
SCRIPT
cat >kubectl <<SCRIPT
#!/bin/sh
cat "$root/tests/readme/kubectl.yaml"
SCRIPT
chmod +x dev kubectl

block sh >commands
[[ -s commands ]] || { echo "readme: found no commands"; exit 1; }
PATH=$place:$PATH bash -euxo pipefail commands
