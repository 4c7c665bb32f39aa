#!/usr/bin/env bash
# The Debian packages fewstep needs, and their installation. Usage:
#   tools/packages.sh list [build|test]      names, one a line
#   tools/packages.sh install [build|test]   install what is missing (root or sudo)
set -euo pipefail

build=(gcc libc6-dev meson ninja-build pkg-config
       libdnnl-dev liblapacke-dev libopenblas-dev libpng-dev libjpeg62-turbo-dev libarchive-dev
       libyaml-dev libjansson-dev libxxhash-dev dataset-fashion-mnist)
test=(libcmocka-dev clang-format-14)

action=${1:-list} what=${2:-build}
packages=("${build[@]}")
[ "$what" = test ] && packages+=("${test[@]}")

missing() {
    for p in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || echo "$p"
    done
}

case $action in
list) printf '%s\n' "${packages[@]}" ;;
missing) missing ;;
install)
    todo=$(missing)
    [ -z "$todo" ] && exit 0
    echo "installing: $(echo $todo)"
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "these Debian packages are missing: $(echo $todo)
install them as root, then run this again" >&2; exit 1; }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends $todo >/dev/null
    ;;
*) echo "usage: tools/packages.sh list|missing|install [build|test]" >&2; exit 2 ;;
esac
