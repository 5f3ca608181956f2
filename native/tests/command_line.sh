#!/bin/sh
# Tests the command line on the example file: what it prints, and its exit codes. Usage: command_line.sh UM FILE FIXTURES
um=$1 file=$2 fixtures=$3 failed=0
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# expect CODE PATTERN WORDS...: `um WORDS...` ends with CODE and prints a line that has PATTERN.
expect() {
  code=$1 pattern=$2
  shift 2
  "$um" "$@" > "$work/out" 2>&1
  got=$?
  if [ "$got" != "$code" ] || ! grep -q -e "$pattern" "$work/out"; then
    echo "um $*: exit code $got, expected $code and \"$pattern\":" && cat "$work/out"
    failed=1
  fi
}

expect 0 'um info FILE' --help
expect 2 'um info FILE'
expect 2 'no command "walk"' walk
expect 2 'no option --fast' run "$file" --fast
expect 2 '--trust maybe' run "$file" --trust maybe 1,1,1
expect 0 'method forward' info "$file"
expect 0 'x86-64-v3' info "$file"
expect 0 '(x: f32\[s0, 3\])' info "$file"
expect 1 'cannot read' info "$work/missing.unmoor"
expect 1 'not trusted' run "$file" 1,1,1
expect 0 'y: f32\[3\] = \[4.0, 6.0, -8.0\]' run "$file" --trust yes 1,1.5,-2
expect 0 '^\[\[11.0, 22.0, 33.0\],$' run "$file" --trust yes '[[1,2,3],[4,5,6]]'
expect 0 '^ \[14.0, 25.0, 36.0\]\]$' run "$file" --trust yes '[[1,2,3],[4,5,6]]'
expect 0 '\[3.0, 4.0\]' run "$file" --trust yes --method second b=3,4 a=1,2
expect 1 'there is no input "c"' run "$file" --trust yes --method second a=1,2 c=3,4
expect 1 's0 == s1' run "$file" --trust yes --method second 1,2 3
expect 1 'net.py:7 took the branch' run "$file" --trust yes --method guarded -- -1,-2
expect 1 'no method "none"' run "$file" --trust yes --method none 1
expect 1 'different lengths' run "$file" --trust yes '[[1,2],[3]]'
expect 1 'no tensor' run "$file" --trust yes 'one'
expect 1 'is another than was expected' run "$file" --trust "sha256:$(printf '0%.0s' $(seq 64))" 1,1,1
expect 0 'f32\[3\]' run "$file" --trust "$("$um" info "$file" | sed -n 's/^digest *//p')" 1,1,1
"$um" run "$file" --trust yes 1,2,3 -o "$work/y.npy" || failed=1
expect 0 '\[16.0, 32.0, 48.0\]' run "$file" --trust yes "$work/y.npy"
expect 2 '--seed 1x: a whole number' run "$file" --trust yes --seed 1x 1,1,1
expect 1 '--seed: the file draws no random numbers' run "$file" --trust yes --seed 1 1,1,1
expect 1 'the model keeps no state' run "$file" --trust yes --state-out "$work/s.npz" 1,1,1
expect 1 'it has forward, guarded, second, same, never' run "$file" --trust yes --method none 1
expect 0 'ns median' bench "$file" --trust yes --seconds 0.01 1,1,1
expect 0 'ok: the file is sound; it holds no examples' verify "$file"
expect 0 'ok: 3 examples give what the file expects (native x86-64' verify "$fixtures/v4/examples.unmoor" --trust yes
expect 1 'not trusted' verify "$fixtures/v4/examples.unmoor"
expect 2 'takes one file' verify "$file" 1,2
head -c 300 "$file" > "$work/cut.unmoor"
expect 1 'truncated' info "$work/cut.unmoor"
exit $failed
