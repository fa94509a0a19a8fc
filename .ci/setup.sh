#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# .ci/setup.sh SET: installs what a set of packages lacks on this Debian 12 machine; touches nothing when all is there.
#   build   the programs and the examples
#   test    build, and everything ./tests/run uses
#   bench   build, and what ./bench/run counts instructions with
set -euo pipefail

build=(
  cmake
  g++
  libcli11-dev
  libfmt-dev
  ninja-build
  nlohmann-json3-dev
)
test=(
  "${build[@]}"
  clang-19
  clang-format-19
  clang-tidy-19
  doctest-dev
  g++-aarch64-linux-gnu
  libclang-rt-19-dev
  pkg-config
  python3
  qemu-user
)
bench=(
  "${build[@]}"
  valgrind
)

case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${test[@]}") ;;
  bench) wanted=("${bench[@]}") ;;
  *)
    echo "usage: .ci/setup.sh build|test|bench" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "setup: not a Debian machine; these packages' contents are needed: ${wanted[*]}" >&2
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  # A provider counts too: pkg-config is pkgconf on newer releases.
  state=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null || true)
  [[ $state == *installed* && $state != *not-installed* ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: there is neither root nor sudo to install what is missing; as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  # Asks for a password only where somebody can type one.
  if [[ -t 0 ]]; then as_root=(sudo); else as_root=(sudo -n); fi
fi

echo "setup: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"; } \
  </dev/null >"$log" 2>&1; then
  cat "$log" >&2
  echo "setup: could not install ${missing[*]}" >&2
  exit 1
fi
