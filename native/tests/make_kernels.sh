#!/bin/sh
# Makes kernels.inc from kernels.c: position-independent x86-64 code without relocations, and each kernel's offset.
set -e
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
gcc -std=c99 -O1 -fPIC -fcf-protection=none -fno-asynchronous-unwind-tables -mno-red-zone -c kernels.c -o "$work/k.o"
if readelf -r "$work/k.o" | grep -q R_X86; then echo "there are relocations" >&2; exit 1; fi
objcopy -O binary -j .text "$work/k.o" "$work/k.bin"
{
  echo "// Made by make_kernels.sh from kernels.c. Do not edit."
  for name in double_it add_row turn_rows is_positive; do
    nm "$work/k.o" | awk -v n="$name" '$3 == n { print "constexpr uint64_t k_" n " = 0x" $1 ";" }'
  done
  echo "constexpr uint8_t kKernelCode[] = {"
  od -An -v -tx1 -w16 "$work/k.bin" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1, /g; s/ $//; s/^/    /'
  echo "};"
} > kernels.inc
