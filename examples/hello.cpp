// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/host.hpp>
#include <nkv/target/target.hpp>

#include <cstdio>
#include <string_view>

int main() {
  nkv::target::inproc_server target("hello", nkv::target::memory_subsystem());

  auto controller = nkv::host::connect("inproc:hello");  // or "vfio-user:/run/nkv"
  if (!controller) return 1;
  auto ns = controller->open_namespace(1);
  if (!ns) return 1;
  auto key = nkv::key_view::from_text("greeting");
  std::string_view text = "hello, key-value world";
  auto stored = ns->store(key, {reinterpret_cast<const std::byte*>(text.data()), text.size()});

  auto value = ns->retrieve_all(key);
  if (!stored || !value) return 1;
  std::printf("%.*s\n", static_cast<int>(value->size()), reinterpret_cast<const char*>(value->data()));
}
