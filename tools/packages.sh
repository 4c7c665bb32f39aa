#!/usr/bin/env bash
# The Debian packages fewstep needs, and their installation. Usage:
#   tools/packages.sh list [build|test]      names, one a line
#   tools/packages.sh install [build|test]   install what is missing (root or sudo)
set -euo pipefail

build=(gcc libc6-dev meson ninja-build pkg-config
       libdnnl-dev liblapacke-dev libopenblas-dev libpng-dev libjpeg62-turbo-dev libarchive-dev
       libyaml-dev libjansson-dev libxxhash-dev dataset-fashion-mnist)
test=(libcmocka-dev clang-format-14 git)

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
    # Another apt is waited for, and what a killed one left half done is finished first.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >/dev/null 2>&1 || true # locked: wait below
    for try in 1 2 3 4 5 6; do
        "${as_root[@]}" apt-get update -qq && break
        [ $try = 6 ] && exit 1
        sleep 10
    done
    # shellcheck disable=SC2086
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=600 $todo >/dev/null
    ;;
*) echo "usage: tools/packages.sh list|missing|install [build|test]" >&2; exit 2 ;;
esac
