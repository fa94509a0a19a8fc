# SPDX-License-Identifier: BSD-3-Clause
#
# Toolchain: Debian's g++ for aarch64, and qemu-user to run what it makes (the packages g++-aarch64-linux-gnu and
# qemu-user).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

# What is linked is of the target; what is run, of this machine. Packages may be either: those used here are headers
# alone, which the compiler itself looks for in /usr/include after its own folders.
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)

# fmt's package lies with its library, which is not of the target. Its header-only form needs none.
file(GLOB fmt_DIR /usr/lib/*/cmake/fmt)
