#!/usr/bin/env bash
# A program that is built against an installed copy, found by pkg-config, and run.
# usage: install.sh BUILD SOURCE
set -euo pipefail
build=$(realpath "$1") source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
DESTDIR=$work meson install -C "$build" --no-rebuild --quiet >/dev/null
found=$(find "$work" -name fewstep.pc)
prefix=$work$(sed -n 's/^prefix=//p' "$found")
PKG_CONFIG_PATH=$(dirname "$found")
export PKG_CONFIG_PATH
read -ra flags < <(pkg-config --define-variable=prefix="$prefix" --cflags --libs fewstep)
cc -o "$work/sample" "$source/examples/sample.c" "${flags[@]}"
lib=$(dirname "$(find "$work" -name 'libfewstep.so')")
cd "$work"
LD_LIBRARY_PATH=$lib ./sample "$source/pretrained/fashion-mcd1.safetensors" a.png
[ "$(head -c 4 a.png | tail -c 3)" = PNG ]
"$prefix/bin/fewstep" --version
