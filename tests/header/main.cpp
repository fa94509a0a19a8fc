// SPDX-License-Identifier: BSD-3-Clause
//
// What the objects of all headers are linked into, twice. That it links is the test.
int main() {}
