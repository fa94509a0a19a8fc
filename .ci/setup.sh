#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# .ci/setup.sh SET: installs what a set of packages lacks on this Debian 12 machine; touches nothing when all is there.
#   build   the programs and the examples
#   rados   build, a Ceph cluster to try them with, and wasmtime for Execute
#   test    build, and everything ./tests/run uses
#   bench   build, and what ./bench/run counts instructions with
# All but the first bring wasmtime.txt too, and the last two, where there is no nvcc, that of cuda.txt: into a cache folder.
set -euo pipefail

build=(
  cmake
  g++
  libcli11-dev
  libfmt-dev
  libradospp-dev
  libssl-dev
  ninja-build
  nlohmann-json3-dev
)
rados=(
  "${build[@]}"
  ceph-common
  ceph-mon
  ceph-osd
  python3
)
test=(
  "${rados[@]}"
  clang-19
  clang-format-19
  clang-tidy-19
  doctest-dev
  g++-aarch64-linux-gnu
  hipcc
  libamdhip64-dev
  libclang-rt-19-dev
  lld-19
  pkg-config
  qemu-user
  rocm-device-libs
)
bench=(
  "${build[@]}"
  clang-19
  python3
  valgrind
)

case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  rados) wanted=("${rados[@]}") ;;
  test) wanted=("${test[@]}") ;;
  bench) wanted=("${bench[@]}") ;;
  *)
    echo "usage: .ci/setup.sh build|rados|test|bench" >&2
    exit 2
    ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# install_packages PACKAGE...: those that are not there, by apt-get.
install_packages() {
  local missing=() as_root=() package state
  for package in "$@"; do
    # A provider counts too: pkg-config is pkgconf on newer releases.
    state=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null || true)
    [[ $state == *installed* && $state != *not-installed* ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "setup: there is neither root nor sudo to install what is missing; as root: apt-get install ${missing[*]}" >&2
      return 1
    fi
    # Asks for a password only where somebody can type one.
    if [[ -t 0 ]]; then as_root=(sudo); else as_root=(sudo -n); fi
  fi
  echo "setup: installing ${missing[*]}"
  if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    echo "setup: could not install ${missing[*]}" >&2
    return 1
  fi
}

# install_wheels FOLDER REQUIREMENTS WHAT: into a folder of their own that is there whole or not at all. Where they
# cannot be had, what needs them is skipped and says so.
install_wheels() {
  local folder=$1 python=python3
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    install_packages python3-pip || return 0
    python=/usr/bin/python3
  fi
  echo "setup: installing $3 into $folder"
  rm -rf "$folder.new"
  if ! "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --target "$folder.new" -r "$2" </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    rm -rf "$folder.new"
    echo "setup: could not install $3; what needs it will be skipped" >&2
    return 0
  fi
  rm -rf "$folder"
  mv "$folder.new" "$folder"
}

if ! command -v dpkg-query >/dev/null; then
  echo "setup: not a Debian machine; these packages' contents are needed: ${wanted[*]}" >&2
  exit 0
fi
install_packages "${wanted[@]}"
if [[ $1 == test || $1 == bench ]] && ! python3 tests/device/compilers.py nvcc >/dev/null; then
  install_wheels "$(python3 tests/device/compilers.py wheels)" .ci/cuda.txt nvcc
fi
if [[ $1 != build ]] && ! python3 examples/common/wasmtime.py library >/dev/null; then
  install_wheels "$(python3 examples/common/wasmtime.py folder)" .ci/wasmtime.txt wasmtime
fi
