#!/bin/sh
# The runtime depends on libc, libm and the loader, exports um_ names only, and is small.
for file in "$@"; do
  if readelf -d "$file" | grep NEEDED | grep -v -e 'libc\.' -e 'libm\.' -e 'ld-linux'; then
    echo "$file depends on more than libc and libm"
    exit 1
  fi
done
if nm -D --defined-only "$1" | grep -v ' um_'; then
  echo "$1 exports more than its interface"
  exit 1
fi
copy=$(mktemp)
strip -o "$copy" "$1"
bytes=$(wc -c < "$copy")
rm "$copy"
echo "$bytes bytes stripped"
[ "$bytes" -le 400000 ] || { echo "$1 is larger than the 400 KB that it may be"; exit 1; }
