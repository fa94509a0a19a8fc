// SPDX-License-Identifier: BSD-3-Clause
#include "ptx/ptx_decode.hpp"

#include "ptx/ptx_machine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace nkv_test {
namespace {

using machine = ptx_machine;
using thread = ptx_thread;
using instruction = ptx_instruction;

template <class T>
using word = std::make_unsigned_t<T>;

/// Sets a destination to a result of type T, widened as T is where the register is wider.
template <class T>
void put(thread& t, const ptx_operand& o, T value) {
  if constexpr (std::is_signed_v<T>) {
    machine::set(t, o, static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  } else {
    machine::set(t, o, value);
  }
}

// ---- Arithmetic ----

template <class T>
struct type_tag {
  using type = T;
};

__extension__ using int128 = __int128;
__extension__ using uint128 = unsigned __int128;

/// Room for a product.
template <class T>
using wide_of =
    std::conditional_t<(sizeof(T) < 8), std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, int128, uint128>>;

/// An instruction d = F(a, b).
template <class T, class F>
void binary(machine& m, thread& t, const instruction& i) {
  put<T>(t, i.dst, F{}(m.get<T>(t, i.a), m.get<T>(t, i.b)));
}
template <class T, class F>
void unary(machine& m, thread& t, const instruction& i) {
  put(t, i.dst, F{}(m.get<T>(t, i.a)));
}

struct f_add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  }
};
struct f_sub {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
  }
};
struct f_mul_lo {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
  }
};
struct f_mul_hi {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>((static_cast<wide_of<T>>(a) * static_cast<wide_of<T>>(b)) >> (8 * sizeof(T)));
  }
};
struct f_div {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) throw ptx_error("division by zero");
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return f_sub{}(T{0}, a);
    }
    return static_cast<T>(a / b);
  }
};
struct f_rem {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) throw ptx_error("remainder of a division by zero");
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
struct f_min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct f_max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct f_and {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct f_or {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct f_xor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
struct f_not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
struct f_cnot {
  template <class T>
  T operator()(T a) const {
    return a == 0 ? 1 : 0;
  }
};
struct f_neg {
  template <class T>
  T operator()(T a) const {
    return f_sub{}(T{0}, a);
  }
};
struct f_abs {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? f_sub{}(T{0}, a) : a;
  }
};
struct f_popc {
  template <class T>
  std::uint32_t operator()(T a) const {
    return static_cast<std::uint32_t>(std::popcount(static_cast<word<T>>(a)));
  }
};
struct f_clz {
  template <class T>
  std::uint32_t operator()(T a) const {
    return static_cast<std::uint32_t>(std::countl_zero(static_cast<word<T>>(a)));
  }
};
struct f_brev {
  template <class T>
  T operator()(T a) const {
    T out = 0;
    for (unsigned n = 0; n < 8 * sizeof(T); ++n)
      out = static_cast<T>(out | static_cast<T>((a >> n) & 1) << (8 * sizeof(T) - 1 - n));
    return out;
  }
};
/// The highest bit that is not the sign; Shift: how far it is from the top.
template <bool Shift>
struct f_bfind {
  template <class T>
  std::uint32_t operator()(T a) const {
    auto u = static_cast<word<T>>(a);
    if constexpr (std::is_signed_v<T>) {
      if (a < 0) u = static_cast<word<T>>(~u);
    }
    if (u == 0) return 0xffffffffu;
    const auto zeros = static_cast<std::uint32_t>(std::countl_zero(u));
    return Shift ? zeros : static_cast<std::uint32_t>(8 * sizeof(T)) - 1 - zeros;
  }
};

template <class T>
void h_shl(machine& m, thread& t, const instruction& i) {
  const auto a = m.get<T>(t, i.a);
  const auto b = m.get<std::uint32_t>(t, i.b);
  put<T>(t, i.dst, b >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<std::uint64_t>(a) << b));
}
template <class T>
void h_shr(machine& m, thread& t, const instruction& i) {
  const auto a = m.get<T>(t, i.a);
  const auto b = std::min<std::uint32_t>(m.get<std::uint32_t>(t, i.b), 8 * sizeof(T));
  if (b == 8 * sizeof(T)) {
    put<T>(t, i.dst, static_cast<T>(a < 0 ? -1 : 0));
  } else {
    put<T>(t, i.dst, static_cast<T>(a >> b));
  }
}
/// mul.wide and mad.wide
template <class T, bool Mad>
void h_wide(machine& m, thread& t, const instruction& i) {
  using W = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>,
                               std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;
  W v = static_cast<W>(static_cast<wide_of<T>>(m.get<T>(t, i.a)) * static_cast<wide_of<T>>(m.get<T>(t, i.b)));
  if constexpr (Mad) v = f_add{}(v, m.get<W>(t, i.c));
  put<W>(t, i.dst, v);
}
template <class T, class F>
void h_mad(machine& m, thread& t, const instruction& i) {
  put<T>(t, i.dst, f_add{}(F{}(m.get<T>(t, i.a), m.get<T>(t, i.b)), m.get<T>(t, i.c)));
}
/// add, sub and mad with the carry: Kind 0 add, 1 sub, 2 mad.lo, 3 mad.hi. lut bit 0: takes it, bit 1: gives it.
template <class T, int Kind>
void h_carry(machine& m, thread& t, const instruction& i) {
  using U = word<T>;
  const auto a = m.get<T>(t, i.a);
  const auto b = m.get<T>(t, i.b);
  const unsigned in = (i.lut & 1) != 0 && t.carry ? 1 : 0;
  uint128 sum = 0;
  if constexpr (Kind == 1) {
    sum = static_cast<uint128>(static_cast<U>(a)) - static_cast<U>(b) - in;
  } else if constexpr (Kind == 0) {
    sum = static_cast<uint128>(static_cast<U>(a)) + static_cast<U>(b) + in;
  } else {
    const T product = Kind == 2 ? f_mul_lo{}(a, b) : f_mul_hi{}(a, b);
    sum = static_cast<uint128>(static_cast<U>(product)) + m.get<U>(t, i.c) + in;
  }
  if ((i.lut & 2) != 0) t.carry = (sum >> (8 * sizeof(T)) & 1) != 0;
  put<U>(t, i.dst, static_cast<U>(sum));
}
template <class T>
void h_sad(machine& m, thread& t, const instruction& i) {
  const auto a = m.get<T>(t, i.a);
  const auto b = m.get<T>(t, i.b);
  put<T>(t, i.dst, f_add{}(a < b ? f_sub{}(b, a) : f_sub{}(a, b), m.get<T>(t, i.c)));
}
template <class T>
void h_bfe(machine& m, thread& t, const instruction& i) {
  constexpr std::uint32_t bits = 8 * sizeof(T);
  const auto a = static_cast<word<T>>(m.get<T>(t, i.a));
  const std::uint32_t from = m.get<std::uint32_t>(t, i.b) & 0xff;
  const std::uint32_t length = m.get<std::uint32_t>(t, i.c) & 0xff;
  bool sign = false;
  if (std::is_signed_v<T> && length != 0) sign = (a >> std::min(from + length - 1, bits - 1) & 1) != 0;
  word<T> out = 0;
  for (std::uint32_t n = 0; n < bits; ++n) {
    const bool bit = n < length && from + n < bits ? (a >> (from + n) & 1) != 0 : sign;
    out |= static_cast<word<T>>(bit) << n;
  }
  put<word<T>>(t, i.dst, out);
}
template <class T>
void h_bfi(machine& m, thread& t, const instruction& i) {
  constexpr std::uint32_t bits = 8 * sizeof(T);
  const T a = m.get<T>(t, i.a);
  T out = m.get<T>(t, i.b);
  const std::uint32_t from = m.get<std::uint32_t>(t, i.c) & 0xff;
  const std::uint32_t length = m.get<std::uint32_t>(t, i.d) & 0xff;
  for (std::uint32_t n = 0; n < length && from + n < bits && n < bits; ++n) {
    out = static_cast<T>((out & ~(T{1} << (from + n))) | (a >> n & 1) << (from + n));
  }
  put<T>(t, i.dst, out);
}
/// lut bit 0: to the right; bit 1: the amount is clamped
void h_shf(machine& m, thread& t, const instruction& i) {
  const std::uint64_t both = m.get<std::uint32_t>(t, i.a) | static_cast<std::uint64_t>(m.get<std::uint32_t>(t, i.b))
                                                                << 32;
  const std::uint32_t c = m.get<std::uint32_t>(t, i.c);
  const std::uint32_t n = (i.lut & 2) != 0 ? std::min(c, 32u) : c & 31u;
  put<std::uint32_t>(t, i.dst, static_cast<std::uint32_t>((i.lut & 1) != 0 ? both >> n : (both << n) >> 32));
}
void h_prmt(machine& m, thread& t, const instruction& i) {
  const std::uint64_t bytes = m.get<std::uint32_t>(t, i.a) | static_cast<std::uint64_t>(m.get<std::uint32_t>(t, i.b))
                                                                 << 32;
  const std::uint32_t select = m.get<std::uint32_t>(t, i.c);
  std::uint32_t out = 0;
  for (unsigned n = 0; n < 4; ++n) {
    const std::uint32_t s = select >> (4 * n) & 15u;
    auto byte = static_cast<std::uint32_t>(bytes >> (8 * (s & 7)) & 0xff);
    if ((s & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
    out |= byte << (8 * n);
  }
  put<std::uint32_t>(t, i.dst, out);
}
void h_lop3(machine& m, thread& t, const instruction& i) {
  const auto a = m.get<std::uint32_t>(t, i.a);
  const auto b = m.get<std::uint32_t>(t, i.b);
  const auto c = m.get<std::uint32_t>(t, i.c);
  std::uint32_t out = 0;
  for (unsigned n = 0; n < 8; ++n) {
    if ((i.lut >> n & 1) == 0) continue;
    out |= ((n & 4) != 0 ? a : ~a) & ((n & 2) != 0 ? b : ~b) & ((n & 1) != 0 ? c : ~c);
  }
  put<std::uint32_t>(t, i.dst, out);
}
/// The n-th set bit of a mask from a place on, upwards or downwards.
void h_fns(machine& m, thread& t, const instruction& i) {
  const auto mask = m.get<std::uint32_t>(t, i.a);
  const auto base = m.get<std::uint32_t>(t, i.b);
  const auto offset = m.get<std::int32_t>(t, i.c);
  if (base > 31) throw ptx_error("fns from bit " + std::to_string(base));
  std::uint32_t found = 0xffffffffu;
  if (offset == 0) {
    if ((mask >> base & 1u) != 0) found = base;
  } else {
    const int step = offset > 0 ? 1 : -1;
    std::int64_t left = static_cast<std::int64_t>(offset) * step;
    for (int at = static_cast<int>(base); at >= 0 && at < 32 && left != 0; at += step) {
      if ((mask >> at & 1u) != 0 && --left == 0) found = static_cast<std::uint32_t>(at);
    }
  }
  put<std::uint32_t>(t, i.dst, found);
}
template <class T>
void h_selp(machine& m, thread& t, const instruction& i) {
  put<T>(t, i.dst, m.get<T>(t, m.predicate(t, i.c) ? i.a : i.b));
}
template <class T>
void h_slct(machine& m, thread& t, const instruction& i) {
  put<T>(t, i.dst, m.get<T>(t, m.get<std::int32_t>(t, i.c) >= 0 ? i.a : i.b));
}

// ---- Comparison ----

enum class comparison : std::uint8_t { eq, ne, lt, le, gt, ge };
/// lut: 0 nothing to combine with; 1 and, 2 or, 3 xor with the predicate `c`.
template <class T, comparison C>
void h_setp(machine& m, thread& t, const instruction& i) {
  const T a = m.get<T>(t, i.a);
  const T b = m.get<T>(t, i.b);
  bool yes = false;
  if constexpr (C == comparison::eq) yes = a == b;
  if constexpr (C == comparison::ne) yes = a != b;
  if constexpr (C == comparison::lt) yes = a < b;
  if constexpr (C == comparison::le) yes = a <= b;
  if constexpr (C == comparison::gt) yes = a > b;
  if constexpr (C == comparison::ge) yes = a >= b;
  bool no = !yes;
  if (i.lut != 0) {
    const bool c = m.predicate(t, i.c);
    const auto with = [&](bool x) { return i.lut == 1 ? (x && c) : i.lut == 2 ? (x || c) : (x != c); };
    yes = with(yes);
    no = with(no);
  }
  machine::set(t, i.dst, yes ? 1 : 0);
  if (i.dst2.what != ptx_operand::kind::none) machine::set(t, i.dst2, no ? 1 : 0);
}
/// Logic of predicates: 0 and, 1 or, 2 xor, 3 not, 4 mov.
template <int Kind>
void h_predicates(machine& m, thread& t, const instruction& i) {
  const bool a = m.predicate(t, i.a);
  bool out = a;
  if constexpr (Kind == 3) out = !a;
  if constexpr (Kind < 3) {
    const bool b = m.predicate(t, i.b);
    out = Kind == 0 ? (a && b) : Kind == 1 ? (a || b) : (a != b);
  }
  machine::set(t, i.dst, out ? 1 : 0);
}

// ---- Moving ----

template <class T>
void h_mov(machine& m, thread& t, const instruction& i) {
  put<T>(t, i.dst, m.get<T>(t, i.a));
}
/// {a, b, ...} into one register
template <class T>
void h_pack(machine& m, thread& t, const instruction& i) {
  const unsigned bits = static_cast<unsigned>(8 * sizeof(T)) / i.count;
  std::uint64_t v = 0;
  for (unsigned n = 0; n < i.count; ++n) {
    const std::uint64_t part = m.get<std::uint64_t>(t, t.function->elements[i.elements + n]);
    v |= (bits == 64 ? part : part & ((std::uint64_t{1} << bits) - 1)) << (bits * n);
  }
  put<T>(t, i.dst, static_cast<T>(v));
}
template <class T>
void h_unpack(machine& m, thread& t, const instruction& i) {
  const unsigned bits = static_cast<unsigned>(8 * sizeof(T)) / i.count;
  const std::uint64_t v = m.get<T>(t, i.a);
  for (unsigned n = 0; n < i.count; ++n) machine::set(t, t.function->elements[i.elements + n], v >> (bits * n));
}
template <class From, class To>
void h_cvt(machine& m, thread& t, const instruction& i) {
  put<To>(t, i.dst, static_cast<To>(m.get<From>(t, i.a)));
}
/// lut 0: to generic; 1: from it
void h_cvta_shared(machine& m, thread& t, const instruction& i) {
  const auto a = m.get<std::uint64_t>(t, i.a);
  const auto base = reinterpret_cast<std::uint64_t>(t.shared);
  if (i.lut != 0 && !m.is_shared(t, a)) throw ptx_error("cvta.to.shared of " + ptx_hex(a) + ", which is not shared");
  put<std::uint64_t>(t, i.dst, i.lut != 0 ? a - base : a + base);
}
void h_isspacep(machine& m, thread& t, const instruction& i) {
  const auto a = m.get<std::uint64_t>(t, i.a);
  const bool local = m.is_local(t, a);
  const bool shared = m.is_shared(t, a);
  bool yes = false;
  switch (i.space) {
    case ptx_space::local: yes = local; break;
    case ptx_space::shared: yes = shared; break;
    default: yes = !local && !shared; break;
  }
  machine::set(t, i.dst, yes ? 1 : 0);
}

// ---- Memory ----

template <class T>
T read_as(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
void write_as(std::byte* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

template <class T>
void h_ld(machine& m, thread& t, const instruction& i) {
  put<T>(t, i.dst, read_as<T>(m.reach(t, i, sizeof(T), false)));
}
template <class T>
void h_ld_vector(machine& m, thread& t, const instruction& i) {
  const std::byte* p = m.reach(t, i, static_cast<std::uint32_t>(sizeof(T) * i.count), false);
  for (unsigned n = 0; n < i.count; ++n) put<T>(t, t.function->elements[i.elements + n], read_as<T>(p + sizeof(T) * n));
}
template <class T>
void h_st(machine& m, thread& t, const instruction& i) {
  const ptx_memory::piece* watched = nullptr;
  const T v = m.get<T>(t, i.b);
  std::byte* p = m.reach(t, i, sizeof(T), true, &watched);
  write_as<T>(p, v);
  machine::tell(watched, p, sizeof(T));
}
template <class T>
void h_st_vector(machine& m, thread& t, const instruction& i) {
  const ptx_memory::piece* watched = nullptr;
  const auto bytes = static_cast<std::uint32_t>(sizeof(T) * i.count);
  std::byte* p = m.reach(t, i, bytes, true, &watched);
  for (unsigned n = 0; n < i.count; ++n)
    write_as<T>(p + sizeof(T) * n, m.get<T>(t, t.function->elements[i.elements + n]));
  machine::tell(watched, p, bytes);
}

struct f_exch {
  template <class T>
  T operator()(T, T b) const {
    return b;
  }
};
struct f_inc {
  template <class T>
  T operator()(T a, T b) const {
    return a >= b ? T{0} : static_cast<T>(a + 1);
  }
};
struct f_dec {
  template <class T>
  T operator()(T a, T b) const {
    return a == 0 || a > b ? b : static_cast<T>(a - 1);
  }
};
template <class T, class F>
void h_atom(machine& m, thread& t, const instruction& i) {
  const ptx_memory::piece* watched = nullptr;
  const T b = m.get<T>(t, i.b);
  std::byte* p = m.reach(t, i, sizeof(T), true, &watched);
  const T old = read_as<T>(p);
  write_as<T>(p, F{}(old, b));
  if (i.dst.what != ptx_operand::kind::none) put<T>(t, i.dst, old);
  machine::tell(watched, p, sizeof(T));
}
template <class T>
void h_cas(machine& m, thread& t, const instruction& i) {
  const ptx_memory::piece* watched = nullptr;
  const T expected = m.get<T>(t, i.b);
  const T desired = m.get<T>(t, i.c);
  std::byte* p = m.reach(t, i, sizeof(T), true, &watched);
  const T old = read_as<T>(p);
  if (old == expected) write_as<T>(p, desired);
  if (i.dst.what != ptx_operand::kind::none) put<T>(t, i.dst, old);
  machine::tell(watched, p, sizeof(T));
}

// ---- Control ----

void h_nothing(machine&, thread&, const instruction&) {}
void h_bra(machine&, thread& t, const instruction& i) { t.pc = i.target; }
void h_brx(machine& m, thread& t, const instruction& i) {
  const auto index = m.get<std::uint32_t>(t, i.a);
  if (index >= i.table.size()) throw ptx_error("brx.idx " + std::to_string(index) + " beyond its table");
  t.pc = i.table[index];
}
void h_call(machine& m, thread& t, const instruction& i) { m.call(t, i); }
void h_ret(machine& m, thread& t, const instruction&) { m.leave(t); }
void h_exit(machine& m, thread& t, const instruction&) { m.exit(t); }
void h_trap(machine&, thread& t, const instruction& i) {
  throw machine::trapped_by_kernel("thread " + std::to_string(t.index) + " at line " + std::to_string(i.line));
}
void h_nanosleep(machine& m, thread& t, const instruction& i) { m.sleep(t, m.get<std::uint32_t>(t, i.a)); }
void h_activemask(machine& m, thread& t, const instruction& i) { m.tell_active(t, i); }

/// The mask is `d`; what the lane brings, `a` (T wide, or a predicate where T is bool), `b` and `c`.
template <class T>
void h_together(machine& m, thread& t, const instruction& i) {
  const auto mask = m.get<std::uint32_t>(t, i.d);
  std::uint64_t a = 0;
  if (i.a.what != ptx_operand::kind::none) {
    if constexpr (std::is_same_v<T, bool>) {
      a = m.predicate(t, i.a) ? 1 : 0;
    } else {
      a = m.get<T>(t, i.a);
    }
  }
  const std::uint32_t b = i.b.what == ptx_operand::kind::none ? 0 : m.get<std::uint32_t>(t, i.b);
  const std::uint32_t c = i.c.what == ptx_operand::kind::none ? 0 : m.get<std::uint32_t>(t, i.c);
  m.gather(t, i, mask, a, b, c);
}
/// lut: the reduction; bit 7: only arrives
void h_barrier(machine& m, thread& t, const instruction& i) {
  const auto id = m.get<std::uint32_t>(t, i.a);
  std::uint32_t expected = 0;
  if (i.b.what != ptx_operand::kind::none) {
    expected = m.get<std::uint32_t>(t, i.b);
    if (expected == 0) throw ptx_error("a barrier of no threads");
  }
  const bool value = i.c.what != ptx_operand::kind::none && m.predicate(t, i.c);
  m.block_barrier(t, i, id, expected, (i.lut & 0x80) == 0, static_cast<machine::reduction>(i.lut & 0x7f), value);
}

// ---- Decoding ----

enum class type : std::uint8_t { u8, u16, u32, u64, s8, s16, s32, s64, b8, b16, b32, b64, f32, f64, pred };
constexpr const char* type_names[] = {"u8", "u16", "u32", "u64", "s8",  "s16", "s32", "s64",
                                      "b8", "b16", "b32", "b64", "f32", "f64", "pred"};

unsigned bits_of(type t) {
  switch (t) {
    case type::u8:
    case type::s8:
    case type::b8: return 8;
    case type::u16:
    case type::s16:
    case type::b16: return 16;
    case type::u32:
    case type::s32:
    case type::b32:
    case type::f32: return 32;
    case type::pred: return 1;
    default: return 64;
  }
}

template <class F>
ptx_handler unsigned_of(type t, F&& make) {
  switch (bits_of(t)) {
    case 8: return make(type_tag<std::uint8_t>{});
    case 16: return make(type_tag<std::uint16_t>{});
    case 32: return make(type_tag<std::uint32_t>{});
    case 64: return make(type_tag<std::uint64_t>{});
    default: throw ptx_error("a type that does not fit");
  }
}
/// Signed for .s types, unsigned for all others.
template <class F>
ptx_handler typed(type t, F&& make) {
  switch (t) {
    case type::s8: return make(type_tag<std::int8_t>{});
    case type::s16: return make(type_tag<std::int16_t>{});
    case type::s32: return make(type_tag<std::int32_t>{});
    case type::s64: return make(type_tag<std::int64_t>{});
    default: return unsigned_of(t, make);
  }
}
/// 16 bits and more, for arithmetic.
template <class F>
ptx_handler number(type t, F&& make) {
  switch (t) {
    case type::s16: return make(type_tag<std::int16_t>{});
    case type::s32: return make(type_tag<std::int32_t>{});
    case type::s64: return make(type_tag<std::int64_t>{});
    case type::u16: return make(type_tag<std::uint16_t>{});
    case type::u32: return make(type_tag<std::uint32_t>{});
    case type::u64: return make(type_tag<std::uint64_t>{});
    default: throw ptx_error("a type that is not an integer's");
  }
}
template <class F>
ptx_handler word_of(type t, F&& make) {
  switch (t) {
    case type::b16: return make(type_tag<std::uint16_t>{});
    case type::b32: return make(type_tag<std::uint32_t>{});
    case type::b64: return make(type_tag<std::uint64_t>{});
    default: throw ptx_error("a type that is not an untyped word's");
  }
}
template <class T>
using tagged = typename std::remove_cvref_t<T>::type;

class decoder {
 public:
  decoder(const std::string& opcode, const std::vector<ptx_argument>& arguments, ptx_function& function,
          ptx_instruction& out)
      : args_(arguments), function_(function), out_(out) {
    std::size_t from = 0;
    while (from <= opcode.size()) {
      const std::size_t dot = std::min(opcode.find('.', from), opcode.size());
      words_.push_back(opcode.substr(from, dot - from));
      from = dot + 1;
    }
    base_ = words_.front();
    words_.erase(words_.begin());
  }

  void decode() {
    choose();
    if (out_.run == nullptr) throw ptx_error("unknown instruction");
    if (!words_.empty()) throw ptx_error("unknown modifier ." + words_.front());
  }

 private:
  bool take(const char* w) {
    const auto at = std::find(words_.begin(), words_.end(), w);
    if (at == words_.end()) return false;
    words_.erase(at);
    return true;
  }
  bool next_type(type& t) {
    for (auto w = words_.begin(); w != words_.end(); ++w) {
      for (unsigned n = 0; n < std::size(type_names); ++n) {
        if (*w != type_names[n]) continue;
        t = static_cast<type>(n);
        words_.erase(w);
        return true;
      }
    }
    return false;
  }
  type one_type() {
    type t{};
    if (!next_type(t)) throw ptx_error("no type that is known");
    return t;
  }

  void want(std::size_t least, std::size_t most) const {
    if (args_.size() < least || args_.size() > most)
      throw ptx_error("has " + std::to_string(args_.size()) + " operands");
  }
  /// A plain operand. @param bits of a register; 0: any; with `wider`, at least as many
  ptx_operand plain(std::size_t n, unsigned bits, bool wider = false) const {
    const ptx_argument& a = args_.at(n);
    if (a.is != ptx_argument::form::plain || a.parts.size() != 1)
      throw ptx_error("operand " + std::to_string(n + 1) + " is of another form");
    return checked(a.parts[0], n, bits, wider);
  }
  static ptx_operand checked(const ptx_operand& o, std::size_t n, unsigned bits, bool wider) {
    if (o.what == ptx_operand::kind::reg && bits != 0 && !(wider ? o.bits >= bits && o.bits != 1 : o.bits == bits))
      throw ptx_error("operand " + std::to_string(n + 1) + " is a register of " + std::to_string(o.bits) +
                      " bits, not " + std::to_string(bits));
    if (o.negated && bits != 1) throw ptx_error("a negated operand that is no predicate");
    return o;
  }
  ptx_operand destination(std::size_t n, unsigned bits, bool wider = false) const {
    ptx_operand o = plain(n, bits, wider);
    if ((o.what != ptx_operand::kind::reg && o.what != ptx_operand::kind::sink) || o.negated)
      throw ptx_error("a destination that is no register");
    return o;
  }
  /// d or d|p
  void destination_pair(std::size_t n, unsigned first, unsigned second) {
    const ptx_argument& a = args_.at(n);
    if (a.is != ptx_argument::form::plain || a.parts.empty() || a.parts.size() > 2)
      throw ptx_error("a destination of another form");
    out_.dst = checked(a.parts[0], n, first, false);
    if (a.parts.size() == 2) out_.dst2 = checked(a.parts[1], n, second, false);
  }
  void vector(std::size_t n, unsigned bits, bool wider) {
    const ptx_argument& a = args_.at(n);
    out_.elements = static_cast<std::uint32_t>(function_.elements.size());
    out_.count = static_cast<std::uint8_t>(a.parts.size());
    for (const ptx_operand& o : a.parts) function_.elements.push_back(checked(o, n, bits, wider));
  }
  void address(std::size_t n) {
    const ptx_argument& a = args_.at(n);
    if (a.is != ptx_argument::form::address) throw ptx_error("operand " + std::to_string(n + 1) + " is no address");
    out_.a = a.parts.at(0);
    out_.offset = a.offset;
  }

  void binary_of(type t, ptx_handler h) {
    want(3, 3);
    const unsigned bits = bits_of(t);
    out_.dst = destination(0, bits);
    out_.a = plain(1, bits);
    out_.b = plain(2, bits);
    out_.run = h;
  }
  template <class F>
  void arithmetic(F f) {
    const type t = one_type();
    binary_of(t, number(t, [](auto tag) -> ptx_handler { return &binary<tagged<decltype(tag)>, decltype(f)>; }));
  }
  template <class F, int Predicates>
  void logic() {
    const type t = one_type();
    if (t == type::pred) {
      want(3, 3);
      out_.dst = destination(0, 1);
      out_.a = plain(1, 1);
      out_.b = plain(2, 1);
      out_.run = &h_predicates<Predicates>;
      return;
    }
    binary_of(t, word_of(t, [](auto tag) -> ptx_handler { return &binary<tagged<decltype(tag)>, F>; }));
  }
  template <class F>
  void single(type t, unsigned result_bits, F make, bool words) {
    want(2, 2);
    out_.dst = destination(0, result_bits);
    out_.a = plain(1, bits_of(t));
    out_.run = words ? word_of(t, make) : number(t, make);
  }

  void choose() {
    if (base_ == "add" || base_ == "sub" || base_ == "addc" || base_ == "subc") return add_sub();
    if (base_ == "mul" || base_ == "mad" || base_ == "madc") return multiply();
    if (base_ == "div" || base_ == "rem") {
      out_.classes |= ptx_class::division;
      return base_ == "div" ? arithmetic(f_div{}) : arithmetic(f_rem{});
    }
    if (base_ == "min") return arithmetic(f_min{});
    if (base_ == "max") return arithmetic(f_max{});
    if (base_ == "and") return logic<f_and, 0>();
    if (base_ == "or") return logic<f_or, 1>();
    if (base_ == "xor") return logic<f_xor, 2>();
    if (base_ == "not" || base_ == "cnot" || base_ == "neg" || base_ == "abs") return alone();
    if (base_ == "popc" || base_ == "clz" || base_ == "brev" || base_ == "bfind") return bits();
    if (base_ == "shl" || base_ == "shr") return shift();
    if (base_ == "shf" || base_ == "prmt" || base_ == "lop3" || base_ == "fns") return three_words();
    if (base_ == "bfe" || base_ == "bfi" || base_ == "sad") return fields();
    if (base_ == "selp" || base_ == "slct") return select();
    if (base_ == "setp") return compare();
    if (base_ == "mov") return move();
    if (base_ == "cvt") return convert();
    if (base_ == "cvta" || base_ == "isspacep") return addresses();
    if (base_ == "ld" || base_ == "ldu" || base_ == "st") return access();
    if (base_ == "atom" || base_ == "red") return atomic();
    if (base_ == "fence" || base_ == "membar") return fence();
    if (base_ == "bar" || base_ == "barrier") return barrier();
    if (base_ == "vote" || base_ == "shfl" || base_ == "match" || base_ == "redux" || base_ == "elect")
      return together();
    control();
  }

  void add_sub() {
    const bool takes = base_ == "addc" || base_ == "subc";
    const bool gives = take("cc");
    const bool minus = base_ == "sub" || base_ == "subc";
    if (!takes && !gives) return minus ? arithmetic(f_sub{}) : arithmetic(f_add{});
    const type t = one_type();
    out_.lut = static_cast<std::uint8_t>((takes ? 1 : 0) | (gives ? 2 : 0));
    binary_of(t, number(t, [minus](auto tag) -> ptx_handler {
                using T = tagged<decltype(tag)>;
                return minus ? &h_carry<T, 1> : &h_carry<T, 0>;
              }));
  }

  void multiply() {
    const bool mad = base_ != "mul";
    const bool wide = take("wide");
    const bool high = !wide && take("hi");
    if (!wide && !high && !take("lo")) throw ptx_error("neither .lo nor .hi nor .wide");
    const bool takes = base_ == "madc";
    const bool gives = take("cc");
    const type t = one_type();
    const unsigned result = wide ? 2 * bits_of(t) : bits_of(t);
    want(mad ? 4 : 3, mad ? 4 : 3);
    out_.dst = destination(0, result);
    out_.a = plain(1, bits_of(t));
    out_.b = plain(2, bits_of(t));
    if (mad) out_.c = plain(3, result);
    out_.lut = static_cast<std::uint8_t>((takes ? 1 : 0) | (gives ? 2 : 0));
    const bool carry = takes || gives;
    if (wide && (bits_of(t) == 64 || carry)) throw ptx_error("no such width");
    out_.run = number(t, [=](auto tag) -> ptx_handler {
      using T = tagged<decltype(tag)>;
      if (carry) return high ? &h_carry<T, 3> : &h_carry<T, 2>;
      if constexpr (sizeof(T) < 8) {
        if (wide) return mad ? &h_wide<T, true> : &h_wide<T, false>;
      }
      if (high) return mad ? &h_mad<T, f_mul_hi> : &binary<T, f_mul_hi>;
      return mad ? &h_mad<T, f_mul_lo> : &binary<T, f_mul_lo>;
    });
  }

  void alone() {
    const type t = one_type();
    if (base_ == "not" && t == type::pred) {
      want(2, 2);
      out_.dst = destination(0, 1);
      out_.a = plain(1, 1);
      out_.run = &h_predicates<3>;
      return;
    }
    const unsigned n = bits_of(t);
    if (base_ == "not")
      return single(t, n, [](auto tag) -> ptx_handler { return &unary<tagged<decltype(tag)>, f_not>; }, true);
    if (base_ == "cnot")
      return single(t, n, [](auto tag) -> ptx_handler { return &unary<tagged<decltype(tag)>, f_cnot>; }, true);
    if (t != type::s16 && t != type::s32 && t != type::s64) throw ptx_error("of a type that has no sign");
    const bool neg = base_ == "neg";
    single(
        t, n,
        [neg](auto tag) -> ptx_handler {
          using T = tagged<decltype(tag)>;
          return neg ? &unary<T, f_neg> : &unary<T, f_abs>;
        },
        false);
  }

  void bits() {
    const bool shift = base_ == "bfind" && take("shiftamt");
    const type t = one_type();
    if (bits_of(t) < 32) throw ptx_error("of a type without this");
    if (base_ == "bfind")
      return single(
          t, 32,
          [shift](auto tag) -> ptx_handler {
            using T = tagged<decltype(tag)>;
            return shift ? &unary<T, f_bfind<true>> : &unary<T, f_bfind<false>>;
          },
          false);
    const std::string what = base_;
    single(
        t, what == "brev" ? bits_of(t) : 32,
        [what](auto tag) -> ptx_handler {
          using T = tagged<decltype(tag)>;
          if (what == "popc") return &unary<T, f_popc>;
          return what == "clz" ? &unary<T, f_clz> : &unary<T, f_brev>;
        },
        true);
  }

  void shift() {
    const type t = one_type();
    if (bits_of(t) < 16) throw ptx_error("of a type without this");
    want(3, 3);
    out_.dst = destination(0, bits_of(t));
    out_.a = plain(1, bits_of(t));
    out_.b = plain(2, 32);
    if (base_ == "shl") {
      out_.run = word_of(t, [](auto tag) -> ptx_handler { return &h_shl<tagged<decltype(tag)>>; });
    } else {
      out_.run = typed(t, [](auto tag) -> ptx_handler { return &h_shr<tagged<decltype(tag)>>; });
    }
  }

  void three_words() {
    if (base_ == "shf") {
      const bool right = take("r");
      if (!right && !take("l")) throw ptx_error("neither .l nor .r");
      const bool clamp = take("clamp");
      if (!clamp && !take("wrap")) throw ptx_error("neither .clamp nor .wrap");
      out_.lut = static_cast<std::uint8_t>((right ? 1 : 0) | (clamp ? 2 : 0));
      out_.run = &h_shf;
    }
    if (base_ == "prmt") out_.run = &h_prmt;
    if (base_ == "fns") out_.run = &h_fns;
    if (one_type() != type::b32) throw ptx_error("of a type other than .b32");
    const bool lop3 = base_ == "lop3";
    want(lop3 ? 5 : 4, lop3 ? 5 : 4);
    out_.dst = destination(0, 32);
    out_.a = plain(1, 32);
    out_.b = plain(2, 32);
    out_.c = plain(3, 32);
    if (lop3) {
      const ptx_operand lut = plain(4, 0);
      if (lut.what != ptx_operand::kind::number || lut.number > 255) throw ptx_error("a table that is no number");
      out_.lut = static_cast<std::uint8_t>(lut.number);
      out_.run = &h_lop3;
    }
  }

  void fields() {
    const type t = one_type();
    const unsigned n = bits_of(t);
    if (base_ == "bfi") {
      if (t != type::b32 && t != type::b64) throw ptx_error("of a type without this");
      want(5, 5);
      out_.dst = destination(0, n);
      out_.a = plain(1, n);
      out_.b = plain(2, n);
      out_.c = plain(3, 32);
      out_.d = plain(4, 32);
      out_.run = t == type::b32 ? &h_bfi<std::uint32_t> : &h_bfi<std::uint64_t>;
      return;
    }
    const bool sad = base_ == "sad";
    if (!sad && n < 32) throw ptx_error("of a type without this");
    want(4, 4);
    out_.dst = destination(0, n);
    out_.a = plain(1, n);
    out_.b = plain(2, sad ? n : 32);
    out_.c = plain(3, sad ? n : 32);
    out_.run = number(t, [sad](auto tag) -> ptx_handler {
      using T = tagged<decltype(tag)>;
      return sad ? &h_sad<T> : &h_bfe<T>;
    });
  }

  void select() {
    const bool slct = base_ == "slct";
    const type t = one_type();
    if (slct && one_type() != type::s32) throw ptx_error("of a type without this");
    if (bits_of(t) < 16) throw ptx_error("of a type without this");
    want(4, 4);
    out_.dst = destination(0, bits_of(t));
    out_.a = plain(1, bits_of(t));
    out_.b = plain(2, bits_of(t));
    out_.c = plain(3, slct ? 32 : 1);
    out_.run = unsigned_of(t, [slct](auto tag) -> ptx_handler {
      using T = tagged<decltype(tag)>;
      return slct ? &h_slct<T> : &h_selp<T>;
    });
  }

  void compare() {
    static constexpr const char* names[] = {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"};
    comparison c{};
    bool found = false;
    bool unsigned_only = false;
    for (unsigned n = 0; n < std::size(names) && !found; ++n) {
      if (!take(names[n])) continue;
      found = true;
      unsigned_only = n >= 6;
      c = static_cast<comparison>(n < 6 ? n : n - 4);
    }
    if (!found) throw ptx_error("no comparison that is known");
    if (take("and")) out_.lut = 1;
    if (take("or")) out_.lut = 2;
    if (take("xor")) out_.lut = 3;
    const type t = one_type();
    const unsigned n = bits_of(t);
    if (n < 16 || t == type::f32 || t == type::f64) throw ptx_error("of a type without this");
    if (unsigned_only && t != type::u16 && t != type::u32 && t != type::u64) throw ptx_error("an unsigned comparison");
    const bool untyped = t == type::b16 || t == type::b32 || t == type::b64;
    if (untyped && c != comparison::eq && c != comparison::ne) throw ptx_error("an order of untyped words");
    want(out_.lut != 0 ? 4 : 3, out_.lut != 0 ? 4 : 3);
    destination_pair(0, 1, 1);
    out_.a = plain(1, n);
    out_.b = plain(2, n);
    if (out_.lut != 0) out_.c = plain(3, 1);
    out_.run = typed(t, [c](auto tag) -> ptx_handler {
      using T = tagged<decltype(tag)>;
      switch (c) {
        case comparison::eq: return &h_setp<T, comparison::eq>;
        case comparison::ne: return &h_setp<T, comparison::ne>;
        case comparison::lt: return &h_setp<T, comparison::lt>;
        case comparison::le: return &h_setp<T, comparison::le>;
        case comparison::gt: return &h_setp<T, comparison::gt>;
        case comparison::ge: return &h_setp<T, comparison::ge>;
      }
      return nullptr;
    });
  }

  void move() {
    const type t = one_type();
    want(2, 2);
    if (t == type::pred) {
      out_.dst = destination(0, 1);
      out_.a = plain(1, 1);
      out_.run = &h_predicates<4>;
      return;
    }
    const unsigned n = bits_of(t);
    if (args_[1].is == ptx_argument::form::vector) {
      out_.dst = destination(0, n);
      vector(1, n / static_cast<unsigned>(args_[1].parts.size()), false);
      out_.run = word_of(t, [](auto tag) -> ptx_handler { return &h_pack<tagged<decltype(tag)>>; });
    } else if (args_[0].is == ptx_argument::form::vector) {
      vector(0, n / static_cast<unsigned>(args_[0].parts.size()), false);
      out_.a = plain(1, n);
      out_.run = word_of(t, [](auto tag) -> ptx_handler { return &h_unpack<tagged<decltype(tag)>>; });
    } else {
      if (n < 16) throw ptx_error("of a type without this");
      out_.dst = destination(0, n);
      out_.a = plain(1, n);
      out_.run = unsigned_of(t, [](auto tag) -> ptx_handler { return &h_mov<tagged<decltype(tag)>>; });
    }
  }

  void convert() {
    const type to = one_type();
    const type from = one_type();
    for (const type t : {to, from}) {
      if (t == type::pred || t == type::f32 || t == type::f64) throw ptx_error("of a type that is not an integer's");
    }
    want(2, 2);
    out_.dst = destination(0, bits_of(to), true);
    out_.a = plain(1, bits_of(from), true);
    out_.run = typed(to, [from](auto to_tag) -> ptx_handler {
      using To = tagged<decltype(to_tag)>;
      return typed(from, [](auto from_tag) -> ptx_handler { return &h_cvt<tagged<decltype(from_tag)>, To>; });
    });
  }

  ptx_space space() {
    if (take("global")) return ptx_space::global;
    if (take("const")) return ptx_space::constant;
    if (take("shared") || take("shared::cta")) return ptx_space::shared;
    if (take("local")) return ptx_space::local;
    if (take("param") || take("param::entry") || take("param::func")) return ptx_space::param;
    return ptx_space::generic;
  }

  void addresses() {
    const bool cvta = base_ == "cvta";
    const bool to = cvta && take("to");
    out_.space = space();
    if (out_.space == ptx_space::generic) throw ptx_error("no space that is known");
    want(2, 2);
    if (!cvta) {
      out_.dst = destination(0, 1);
      out_.a = plain(1, 64);
      out_.run = &h_isspacep;
      return;
    }
    if (one_type() != type::u64) throw ptx_error("of a type other than .u64");
    out_.dst = destination(0, 64);
    out_.a = plain(1, 64);
    out_.lut = to ? 1 : 0;
    // All spaces but .shared have the addresses that generic accesses use.
    out_.run = out_.space == ptx_space::shared ? &h_cvta_shared : &h_mov<std::uint64_t>;
  }

  bool scope() {
    const bool system = take("sys");
    const bool any = system || take("gpu") || take("cluster") || take("cta");
    if (system) out_.classes |= ptx_class::system_scope;
    return any;
  }

  void access() {
    const bool load = base_ != "st";
    const bool mmio = take("mmio");
    const bool relaxed = take("relaxed");
    const bool acquire = load && take("acquire");
    const bool release = !load && take("release");
    const bool is_volatile = take("volatile");
    static_cast<void>(take("weak"));
    const bool scoped = scope();
    if ((relaxed || acquire || release) != scoped) throw ptx_error("an order and a scope go together");
    if (mmio && !(relaxed && scoped)) throw ptx_error(".mmio is .relaxed.sys");
    static_cast<void>(is_volatile);
    out_.space = space();
    if (load) static_cast<void>(take("nc"));
    for (const char* hint : {"ca", "cg", "cs", "lu", "cv", "wb", "wt", "L1::evict_normal", "L1::evict_unchanged",
                             "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B"})
      static_cast<void>(take(hint));
    const bool v2 = take("v2");
    const bool v4 = !v2 && take("v4");
    const bool v8 = !v2 && !v4 && take("v8");
    const type t = one_type();
    if (t == type::pred) throw ptx_error("of a type without this");
    const unsigned n = bits_of(t);
    want(2, 2);
    const std::size_t memory = load ? 1 : 0;
    const std::size_t value = load ? 0 : 1;
    address(memory);
    const unsigned count = v2 ? 2 : v4 ? 4 : v8 ? 8 : 1;
    if (count != 1) {
      if (args_[value].is != ptx_argument::form::vector || args_[value].parts.size() != count)
        throw ptx_error("a vector of another length");
      if (count * n > (v8 ? 256 : 128)) throw ptx_error("a vector that is too long");
      vector(value, n, true);
      out_.run = load ? typed(t, [](auto tag) -> ptx_handler { return &h_ld_vector<tagged<decltype(tag)>>; })
                      : unsigned_of(t, [](auto tag) -> ptx_handler { return &h_st_vector<tagged<decltype(tag)>>; });
    } else if (load) {
      out_.dst = destination(0, n, true);
      out_.run = typed(t, [](auto tag) -> ptx_handler { return &h_ld<tagged<decltype(tag)>>; });
    } else {
      out_.b = plain(1, n, true);
      out_.run = unsigned_of(t, [](auto tag) -> ptx_handler { return &h_st<tagged<decltype(tag)>>; });
    }
    if (out_.space == ptx_space::local) {
      out_.classes |= ptx_class::local;
    } else if (out_.space != ptx_space::param) {
      out_.classes |= load ? ptx_class::load : ptx_class::store;
    }
    if (mmio) out_.classes |= ptx_class::mmio;
    if ((out_.classes & ptx_class::system_scope) != 0) {
      if (acquire) out_.classes |= ptx_class::system_acquire;
      if (release) out_.classes |= ptx_class::system_release;
    }
  }

  void atomic() {
    out_.classes |= ptx_class::atomic;
    const bool acquire = take("acquire");
    const bool release = take("release");
    const bool both = take("acq_rel");
    static_cast<void>(take("relaxed"));
    static_cast<void>(scope());
    if ((out_.classes & ptx_class::system_scope) != 0) {
      if (acquire || both) out_.classes |= ptx_class::system_acquire;
      if (release || both) out_.classes |= ptx_class::system_release;
    }
    out_.space = space();
    if (out_.space != ptx_space::generic && out_.space != ptx_space::global && out_.space != ptx_space::shared)
      throw ptx_error("atomics of another space");
    static constexpr const char* names[] = {"add", "exch", "cas", "min", "max", "and", "or", "xor", "inc", "dec"};
    std::string what;
    for (const char* n : names) {
      if (take(n)) what = n;
    }
    const type t = one_type();
    const unsigned n = bits_of(t);
    const bool cas = what == "cas";
    const bool red = base_ == "red";
    const std::size_t first = red ? 0 : 1;
    want(first + (cas ? 3 : 2), first + (cas ? 3 : 2));
    if (!red) out_.dst = destination(0, n);
    address(first);
    out_.b = plain(first + 1, n);
    if (cas) out_.c = plain(first + 2, n);
    if (red && (cas || what == "exch")) throw ptx_error("red has no such operation");
    const auto of_words = [&](auto f) {
      if (t != type::b32 && t != type::b64) throw ptx_error("of a type other than .b32 and .b64");
      out_.run = word_of(t, [](auto tag) -> ptx_handler { return &h_atom<tagged<decltype(tag)>, decltype(f)>; });
    };
    const auto of_numbers = [&](auto f) {
      if (n < 32) throw ptx_error("of a type without this");
      out_.run = number(t, [](auto tag) -> ptx_handler { return &h_atom<tagged<decltype(tag)>, decltype(f)>; });
    };
    if (cas) {
      out_.run = word_of(t, [](auto tag) -> ptx_handler { return &h_cas<tagged<decltype(tag)>>; });
    } else if (what == "add") {
      of_numbers(f_add{});
    } else if (what == "min") {
      of_numbers(f_min{});
    } else if (what == "max") {
      of_numbers(f_max{});
    } else if (what == "and") {
      of_words(f_and{});
    } else if (what == "or") {
      of_words(f_or{});
    } else if (what == "xor") {
      of_words(f_xor{});
    } else if (what == "exch") {
      of_words(f_exch{});
    } else if (what == "inc" || what == "dec") {
      if (t != type::u32) throw ptx_error("of a type other than .u32");
      out_.run = what == "inc" ? &h_atom<std::uint32_t, f_inc> : &h_atom<std::uint32_t, f_dec>;
    } else {
      throw ptx_error("no operation that is known");
    }
  }

  void fence() {
    want(0, 0);
    out_.classes |= ptx_class::fence;
    if (base_ == "membar") {
      if (!take("gl") && !scope()) throw ptx_error("no level that is known");
    } else {
      if (!take("sc") && !take("acq_rel") && !take("acquire") && !take("release"))
        throw ptx_error("a fence of no known kind");
      if (!scope()) throw ptx_error("a fence without a scope");
    }
    out_.run = &h_nothing;
  }

  void barrier() {
    if (take("warp")) {
      if (!take("sync")) throw ptx_error("not .sync");
      want(1, 1);
      out_.classes |= ptx_class::collective;
      out_.together = ptx_collective::sync;
      out_.d = plain(0, 32);
      out_.run = &h_together<std::uint32_t>;
      return;
    }
    static_cast<void>(take("cta"));
    static_cast<void>(take("aligned"));
    out_.classes |= ptx_class::barrier;
    out_.run = &h_barrier;
    if (take("sync")) {
      want(1, 2);
      out_.a = plain(0, 32);
      if (args_.size() == 2) out_.b = plain(1, 32);
      return;
    }
    if (take("arrive")) {
      want(2, 2);
      out_.a = plain(0, 32);
      out_.b = plain(1, 32);
      out_.lut = 0x80;
      return;
    }
    if (!take("red")) throw ptx_error("no barrier that is known");
    const bool popc = take("popc");
    const bool all = !popc && take("and");
    if (!popc && !all && !take("or")) throw ptx_error("no reduction that is known");
    out_.lut = static_cast<std::uint8_t>(popc  ? machine::reduction::popc
                                         : all ? machine::reduction::all
                                               : machine::reduction::any);
    if (one_type() != (popc ? type::u32 : type::pred)) throw ptx_error("of another type");
    want(3, 4);
    out_.dst = destination(0, popc ? 32 : 1);
    out_.a = plain(1, 32);
    if (args_.size() == 4) out_.b = plain(2, 32);
    out_.c = plain(args_.size() - 1, 1);
  }

  void together() {
    out_.classes |= ptx_class::collective;
    if (!take("sync") && base_ != "elect") throw ptx_error("without .sync");
    const auto one_of = [this](std::initializer_list<std::pair<const char*, ptx_collective>> list) {
      for (const auto& [w, c] : list) {
        if (take(w)) return c;
      }
      throw ptx_error("no kind that is known");
    };
    using pc = ptx_collective;
    if (base_ == "vote") {
      out_.together =
          one_of({{"all", pc::vote_all}, {"any", pc::vote_any}, {"uni", pc::vote_uni}, {"ballot", pc::vote_ballot}});
      const bool ballot = out_.together == pc::vote_ballot;
      if (one_type() != (ballot ? type::b32 : type::pred)) throw ptx_error("of another type");
      want(3, 3);
      out_.dst = destination(0, ballot ? 32 : 1);
      out_.a = plain(1, 1);
      out_.d = plain(2, 32);
      out_.run = &h_together<bool>;
    } else if (base_ == "shfl") {
      out_.together =
          one_of({{"up", pc::shfl_up}, {"down", pc::shfl_down}, {"bfly", pc::shfl_bfly}, {"idx", pc::shfl_idx}});
      if (one_type() != type::b32) throw ptx_error("of another type");
      want(5, 5);
      destination_pair(0, 32, 1);
      out_.a = plain(1, 32);
      out_.b = plain(2, 32);
      out_.c = plain(3, 32);
      out_.d = plain(4, 32);
      out_.run = &h_together<std::uint32_t>;
    } else if (base_ == "match") {
      out_.together = one_of({{"any", pc::match_any}, {"all", pc::match_all}});
      const type t = one_type();
      if (t != type::b32 && t != type::b64) throw ptx_error("of another type");
      // Only lanes that compare the same width meet.
      out_.lut = t == type::b64 ? 1 : 0;
      want(3, 3);
      destination_pair(0, 32, 1);
      out_.a = plain(1, bits_of(t));
      out_.d = plain(2, 32);
      out_.run = t == type::b64 ? &h_together<std::uint64_t> : &h_together<std::uint32_t>;
    } else if (base_ == "redux") {
      const auto op = one_of({{"add", pc::redux_add_u},
                              {"min", pc::redux_min_u},
                              {"max", pc::redux_max_u},
                              {"and", pc::redux_and},
                              {"or", pc::redux_or},
                              {"xor", pc::redux_xor}});
      const type t = one_type();
      const bool logic = op == pc::redux_and || op == pc::redux_or || op == pc::redux_xor;
      if (logic ? t != type::b32 : t != type::u32 && t != type::s32) throw ptx_error("of another type");
      out_.together = op;
      if (t == type::s32) {
        out_.together = op == pc::redux_add_u   ? pc::redux_add_s
                        : op == pc::redux_min_u ? pc::redux_min_s
                                                : pc::redux_max_s;
      }
      want(3, 3);
      out_.dst = destination(0, 32);
      out_.a = plain(1, 32);
      out_.d = plain(2, 32);
      out_.run = &h_together<std::uint32_t>;
    } else {
      static_cast<void>(take("sync"));
      want(2, 2);
      destination_pair(0, 32, 1);
      if (out_.dst2.what == ptx_operand::kind::none) throw ptx_error("elect without its predicate");
      out_.together = pc::elect;
      out_.d = plain(1, 32);
      out_.run = &h_together<std::uint32_t>;
    }
  }

  void control() {
    if (base_ == "bra") {
      static_cast<void>(take("uni"));
      want(1, 1);
      out_.classes |= ptx_class::branch;
      out_.run = &h_bra;
    } else if (base_ == "brx") {
      if (!take("idx")) throw ptx_error("not .idx");
      static_cast<void>(take("uni"));
      want(2, 2);
      out_.a = plain(0, 32);
      out_.classes |= ptx_class::branch;
      out_.run = &h_brx;
    } else if (base_ == "call") {
      static_cast<void>(take("uni"));
      out_.classes |= ptx_class::call;
      out_.run = &h_call;
    } else if (base_ == "ret") {
      static_cast<void>(take("uni"));
      want(0, 0);
      out_.run = &h_ret;
    } else if (base_ == "exit") {
      want(0, 0);
      out_.run = &h_exit;
    } else if (base_ == "trap") {
      want(0, 0);
      out_.run = &h_trap;
    } else if (base_ == "nanosleep") {
      want(1, 1);
      if (one_type() != type::u32) throw ptx_error("of another type");
      out_.a = plain(0, 32);
      out_.run = &h_nanosleep;
    } else if (base_ == "activemask") {
      want(1, 1);
      if (one_type() != type::b32) throw ptx_error("of another type");
      out_.dst = destination(0, 32);
      out_.classes |= ptx_class::collective;
      out_.run = &h_activemask;
    }
  }

  const std::vector<ptx_argument>& args_;
  ptx_function& function_;
  ptx_instruction& out_;
  std::string base_;
  std::vector<std::string> words_;
};

}  // namespace

void ptx_decode(const std::string& opcode, const std::vector<ptx_argument>& arguments, ptx_function& function,
                ptx_instruction& out) {
  decoder(opcode, arguments, function, out).decode();
}

}  // namespace nkv_test
