# What tests of the program share; to be sourced, with the program's path in `kisim`. The tests run in an empty folder and
# end with `finish`.
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

# expect CODE ARGUMENTS...: runs kisim, keeps stdout and stderr in `out` and `err`.
expect() {
  wanted=$1
  shift
  what="kisim $*"
  "$kisim" "$@" >out 2>err </dev/null
  code=$?
  [ $code -eq "$wanted" ] || fail "$what: exit code $code, not $wanted"
}

# expect_stopped SIGNAL FILE ARGUMENTS...: runs kisim, as `expect`, until there is FILE, and stops it with SIGNAL.
expect_stopped() {
  signal=$1
  until=$2
  shift 2
  what="kisim $* stopped by $signal"
  "$kisim" "$@" >out 2>err </dev/null &
  pid=$!
  tries=0
  while [ ! -e "$until" ] && [ $tries -lt 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill "-$signal" $pid
  wait $pid
  code=$?
  [ $code -eq 130 ] || fail "$what: exit code $code, not 130"
}

says() { grep -qF -- "$2" "$1" || fail "$what: '$2' is not in $1"; }
silent() { [ ! -s "$1" ] || fail "$what: $1 is not empty"; }
exists() { [ -e "$1" ] || fail "$what: no $1"; }
absent() { [ ! -e "$1" ] || fail "$what: $1 is there"; }
same() { cmp -s "$1" "$2" || fail "$what: $1 and $2 differ"; }
empty_folder() { [ -z "$(ls -A "$1")" ] || fail "$what: $1 is not empty"; }

finish() {
  [ $failed -eq 0 ] && echo "ok"
  exit $failed
}
