// SPDX-License-Identifier: BSD-3-Clause
#include "ptx/ptx_decode.hpp"
#include "ptx/ptx_instruction.hpp"
#include "ptx/ptx_machine.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {
namespace {

struct token {
  std::string text;
  std::uint32_t line = 0;
};

bool word_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.';
}
bool word_part(char c) { return word_start(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::vector<token> tokens_of(const std::string& text) {
  std::vector<token> out;
  std::uint32_t line = 1;
  std::size_t i = 0;
  const auto at = [&](std::size_t n) { return n < text.size() ? text[n] : '\0'; };
  while (i < text.size()) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      ++i;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++i;
    } else if (c == '\0') {
      break;
    } else if (c == '/' && at(i + 1) == '/') {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (c == '/' && at(i + 1) == '*') {
      for (i += 2; i < text.size() && !(text[i] == '*' && at(i + 1) == '/'); ++i) line += text[i] == '\n' ? 1u : 0u;
      i += 2;
    } else if (c == '"') {
      const std::size_t from = i++;
      while (i < text.size() && text[i] != '"') ++i;
      ++i;
      out.push_back({text.substr(from, i - from), line});
    } else if (word_part(c)) {
      const std::size_t from = i;
      while (word_part(at(i)) || (at(i) == ':' && at(i + 1) == ':')) i += at(i) == ':' ? 2u : 1u;
      const std::string word = text.substr(from, i - from);
      // Lines for a debugger.
      if (word == ".loc" || word == ".file") {
        while (i < text.size() && text[i] != '\n') ++i;
        continue;
      }
      out.push_back({word, line});
    } else {
      out.push_back({std::string(1, c), line});
      ++i;
    }
  }
  return out;
}

constexpr std::pair<const char*, ptx_special> specials[] = {
    {"%tid.x", ptx_special::tid_x},
    {"%tid.y", ptx_special::tid_y},
    {"%tid.z", ptx_special::tid_z},
    {"%ntid.x", ptx_special::ntid_x},
    {"%ntid.y", ptx_special::ntid_y},
    {"%ntid.z", ptx_special::ntid_z},
    {"%ctaid.x", ptx_special::ctaid_x},
    {"%ctaid.y", ptx_special::ctaid_y},
    {"%ctaid.z", ptx_special::ctaid_z},
    {"%nctaid.x", ptx_special::nctaid_x},
    {"%nctaid.y", ptx_special::nctaid_y},
    {"%nctaid.z", ptx_special::nctaid_z},
    {"%laneid", ptx_special::laneid},
    {"%warpid", ptx_special::warpid},
    {"%nwarpid", ptx_special::nwarpid},
    {"%lanemask_eq", ptx_special::lanemask_eq},
    {"%lanemask_lt", ptx_special::lanemask_lt},
    {"%lanemask_le", ptx_special::lanemask_le},
    {"%lanemask_gt", ptx_special::lanemask_gt},
    {"%lanemask_ge", ptx_special::lanemask_ge},
    {"%clock", ptx_special::clock},
    {"%clock64", ptx_special::clock64},
    {"%globaltimer", ptx_special::globaltimer},
    {"%globaltimer_lo", ptx_special::globaltimer_lo},
    {"%globaltimer_hi", ptx_special::globaltimer_hi},
};

/// Bits of a type in a declaration; 1 for a predicate, 0 for what is no type.
unsigned declared_bits(const std::string& t) {
  static const std::map<std::string, unsigned> all = {
      {".pred", 1}, {".b8", 8},   {".u8", 8},   {".s8", 8},   {".b16", 16}, {".u16", 16}, {".s16", 16}, {".b32", 32},
      {".u32", 32}, {".s32", 32}, {".f32", 32}, {".b64", 64}, {".u64", 64}, {".s64", 64}, {".f64", 64}, {".f16", 16}};
  const auto found = all.find(t);
  return found == all.end() ? 0 : found->second;
}

class parser {
 public:
  parser(const std::string& text, ptx_memory& memory) : tokens_(tokens_of(text)), memory_(memory) {}

  std::unique_ptr<ptx_module> parse() {
    module_ = std::make_unique<ptx_module>();
    try {
      while (!done()) top();
      for (const auto& [i, name] : generic_) {
        const auto g = module_->globals.find(name);
        if (g == module_->globals.end()) throw ptx_error("an address of " + name + ", which is not known");
        std::memcpy(i, &g->second, sizeof g->second);
      }
    } catch (const ptx_error& e) {
      throw ptx_error("line " + std::to_string(line_) + ": " + e.what());
    }
    return std::move(module_);
  }

 private:
  // ---- Tokens ----
  bool done() const { return at_ >= tokens_.size(); }
  const std::string& peek(std::size_t n = 0) const {
    static const std::string none;
    return at_ + n < tokens_.size() ? tokens_[at_ + n].text : none;
  }
  std::string next() {
    if (done()) throw ptx_error("the text ends in the middle");
    line_ = tokens_[at_].line;
    return tokens_[at_++].text;
  }
  bool accept(const std::string& t) {
    if (peek() != t) return false;
    static_cast<void>(next());
    return true;
  }
  void expect(const std::string& t) {
    const std::string found = next();
    if (found != t) throw ptx_error("\"" + found + "\" where " + t + " is wanted");
  }
  static bool is_number(const std::string& t) {
    return !t.empty() && std::isdigit(static_cast<unsigned char>(t[0])) != 0;
  }
  std::uint64_t number() {
    const bool minus = accept("-");
    std::string t = next();
    if (!is_number(t)) throw ptx_error("\"" + t + "\" where a number is wanted");
    std::uint64_t v = 0;
    char* end = nullptr;
    if (t.size() > 2 && t[0] == '0' && (t[1] == 'f' || t[1] == 'F' || t[1] == 'd' || t[1] == 'D')) {
      v = std::strtoull(t.c_str() + 2, &end, 16);
    } else {
      const bool binary = t.size() > 2 && t[0] == '0' && (t[1] == 'b' || t[1] == 'B');
      v = binary ? std::strtoull(t.c_str() + 2, &end, 2) : std::strtoull(t.c_str(), &end, 0);
      if (*end == 'U' || *end == 'u') ++end;
    }
    if (*end != '\0') throw ptx_error("\"" + t + "\" is no number");
    return minus ? 0 - v : v;
  }
  std::uint32_t small() {
    const std::uint64_t v = number();
    if (v > 0x7fffffff) throw ptx_error("a number out of range");
    return static_cast<std::uint32_t>(v);
  }

  // ---- Top ----
  void top() {
    const std::string t = next();
    if (t == ".version") {
      // "9.0" is one word.
      static_cast<void>(next());
    } else if (t == ".target") {
      module_->target = next();
      while (accept(",")) static_cast<void>(next());
    } else if (t == ".address_size") {
      if (next() != "64") throw ptx_error("an address size other than 64");
    } else if (t == ".visible" || t == ".extern" || t == ".weak" || t == ".common") {
      extern_ = t == ".extern";
    } else if (t == ".entry" || t == ".func") {
      function(t == ".entry");
      extern_ = false;
    } else if (t == ".global" || t == ".const") {
      global();
      extern_ = false;
    } else if (t == ".shared") {
      static_cast<void>(shared_variable(extern_));
      extern_ = false;
    } else if (t == ".section") {
      while (peek() != "{") static_cast<void>(next());
      while (next() != "}") {
      }
    } else if (t == ".pragma") {
      while (next() != ";") {
      }
    } else {
      throw ptx_error("unknown directive " + t);
    }
  }

  /// `.align N .type name[N]`, and what it is.
  ptx_variable variable() {
    ptx_variable v;
    bool aligned = false;
    while (true) {
      if (accept(".align")) {
        v.alignment = small();
        aligned = true;
      } else if (accept(".ptr")) {
        // Where a pointer parameter points, and how aligned: nothing is taken from it.
        while (peek() == ".global" || peek() == ".shared" || peek() == ".const" || peek() == ".local" ||
               peek() == ".align") {
          if (next() == ".align") static_cast<void>(small());
        }
      } else if (declared_bits(peek()) != 0 && v.bytes == 0) {
        const unsigned bits = declared_bits(next());
        if (bits < 8) throw ptx_error("a variable of a type that has no size");
        v.bytes = bits / 8;
        if (!aligned) v.alignment = v.bytes;
      } else {
        break;
      }
    }
    if (v.bytes == 0) throw ptx_error("unknown type \"" + peek() + "\"");
    v.name = next();
    while (accept("[")) {
      if (accept("]")) {
        v.bytes = 0;
        break;
      }
      v.bytes *= small();
      expect("]");
    }
    return v;
  }

  void global() {
    const std::size_t from = at_;
    unsigned bytes_each = 0;
    for (std::size_t n = from; n < tokens_.size() && tokens_[n].text != ";" && bytes_each == 0; ++n)
      bytes_each = declared_bits(tokens_[n].text) / 8;
    const ptx_variable v = variable();
    std::byte* memory = memory_.allocate(v.name, v.bytes, std::max(v.alignment, 16u));
    module_->globals[v.name] = reinterpret_cast<std::uint64_t>(memory);
    if (accept("=")) {
      const bool braced = accept("{");
      std::size_t offset = 0;
      do {
        if (offset + bytes_each > v.bytes) throw ptx_error("more values than " + v.name + " has room for");
        if (accept("generic")) {
          expect("(");
          if (bytes_each != 8) throw ptx_error("an address in less than 64 bits");
          generic_.push_back({memory + offset, next()});
          expect(")");
        } else if (!is_number(peek()) && peek() != "-") {
          if (bytes_each != 8) throw ptx_error("an address in less than 64 bits");
          generic_.push_back({memory + offset, next()});
        } else {
          const std::uint64_t value = number();
          std::memcpy(memory + offset, &value, bytes_each);
        }
        offset += bytes_each;
      } while (braced && accept(","));
      if (braced) expect("}");
    }
    expect(";");
  }

  std::string shared_variable(bool dynamic) {
    const ptx_variable v = variable();
    expect(";");
    if (v.bytes == 0 && !dynamic) throw ptx_error("a .shared variable without a size");
    const std::uint32_t alignment = std::max(v.alignment, dynamic ? 16u : 1u);
    if (dynamic) {
      // Behind all others; they are declared first, or the text is refused.
      module_->dynamic_shared = true;
      shared_names_[v.name] = ~0u;
      return v.name;
    }
    module_->shared_bytes = (module_->shared_bytes + alignment - 1) / alignment * alignment;
    shared_names_[v.name] = module_->shared_bytes;
    module_->shared_bytes += v.bytes;
    return v.name;
  }

  // ---- Functions ----
  struct scope {
    std::map<std::string, ptx_operand> names;  ///< registers, frame variables
    std::map<std::string, std::uint32_t> labels;
    struct wanted {
      std::uint32_t instruction;
      std::string label;
      std::uint32_t entry;  ///< of a brx table; ~0: the target
      std::uint32_t line;
    };
    std::vector<wanted> wants;
    std::map<std::string, std::vector<std::string>> tables;
  };

  std::uint32_t frame_room(ptx_variable& v) {
    const std::uint32_t alignment = std::max(v.alignment, 8u);
    f_->frame_bytes = (f_->frame_bytes + alignment - 1) / alignment * alignment;
    v.frame_offset = f_->frame_bytes;
    f_->frame_bytes += v.bytes;
    return v.frame_offset;
  }
  void add_frame_name(ptx_variable& v) {
    ptx_operand o;
    o.what = ptx_operand::kind::frame;
    o.number = frame_room(v);
    scopes_.back().names[v.name] = o;
    variables_[v.name + "@" + std::to_string(o.number)] = v.bytes;
  }

  void function(bool entry) {
    auto f = std::make_unique<ptx_function>();
    f->entry = entry;
    f->line = line_;
    f_ = f.get();
    scopes_.assign(1, {});
    if (!entry && accept("(")) {
      do {
        expect(".param");
        ptx_variable v = variable();
        add_frame_name(v);
        f->results.push_back(v);
      } while (accept(","));
      expect(")");
    }
    f->name = next();
    if (accept("(")) {
      if (!accept(")")) {
        do {
          expect(".param");
          ptx_variable v = variable();
          add_frame_name(v);
          f->params.push_back(v);
        } while (accept(","));
        expect(")");
      }
    }
    while (peek() != "{" && peek() != ";") {
      const std::string t = next();
      if (t == ".noreturn") continue;
      if (t == ".reqntid") {
        f->required_threads = small();
        while (accept(",")) f->required_threads *= small();
      } else if (t == ".maxntid" || t == ".minnctapersm" || t == ".maxnreg" || t == ".maxnctapersm") {
        do {
          static_cast<void>(small());
        } while (accept(","));
      } else {
        throw ptx_error("unknown directive " + t);
      }
    }
    auto& slot = module_->functions[f->name];
    if (accept(";")) {
      // A declaration: calls may come before the body.
      if (!slot) slot = std::move(f);
      return;
    }
    if (slot && slot->defined) throw ptx_error(f->name + " is defined twice");
    f->defined = true;
    if (slot) {
      // Calls point to what was declared.
      *slot = std::move(*f);
      f_ = slot.get();
    } else {
      slot = std::move(f);
    }
    expect("{");
    while (!accept("}")) statement();
    close_labels();
    f_ = nullptr;
  }

  void close_labels() {
    // What is not found here may be in the scope around.
    scope s = std::move(scopes_.back());
    scopes_.pop_back();
    for (scope::wanted& w : s.wants) {
      const auto found = s.labels.find(w.label);
      if (found == s.labels.end()) {
        if (scopes_.empty()) {
          line_ = w.line;
          throw ptx_error("label " + w.label + " is not known");
        }
        scopes_.back().wants.push_back(w);
        continue;
      }
      ptx_instruction& i = f_->code[w.instruction];
      (w.entry == ~0u ? i.target : i.table[w.entry]) = found->second;
    }
  }

  void statement() {
    const std::string& t = peek();
    if (t == "{") {
      static_cast<void>(next());
      scopes_.emplace_back();
      while (!accept("}")) statement();
      close_labels();
    } else if (t == ".reg") {
      static_cast<void>(next());
      registers();
    } else if (t == ".local" || t == ".param") {
      static_cast<void>(next());
      ptx_variable v = variable();
      expect(";");
      add_frame_name(v);
    } else if (t == ".shared") {
      static_cast<void>(next());
      static_cast<void>(shared_variable(false));
    } else if (t == ".pragma") {
      while (next() != ";") {
      }
    } else if (peek(1) == ":") {
      const std::string name = next();
      static_cast<void>(next());
      if (accept(".branchtargets")) {
        auto& table = scopes_.back().tables[name];
        do {
          table.push_back(next());
        } while (accept(","));
        expect(";");
        return;
      }
      if (!scopes_.back().labels.emplace(name, static_cast<std::uint32_t>(f_->code.size())).second)
        throw ptx_error("label " + name + " stands here twice");
    } else if (t == ";") {
      static_cast<void>(next());
    } else {
      instruction();
    }
  }

  void registers() {
    const unsigned bits = declared_bits(next());
    if (bits == 0) throw ptx_error("registers of a type that is not known");
    do {
      const std::string name = next();
      if (accept("<")) {
        const std::uint32_t count = small();
        expect(">");
        ptx_operand o;
        o.what = ptx_operand::kind::reg;
        o.bits = static_cast<std::uint8_t>(bits);
        for (std::uint32_t n = 0; n < count; ++n) {
          o.reg = f_->registers++;
          scopes_.back().names[name + std::to_string(n)] = o;
        }
      } else {
        ptx_operand o;
        o.what = ptx_operand::kind::reg;
        o.bits = static_cast<std::uint8_t>(bits);
        o.reg = f_->registers++;
        scopes_.back().names[name] = o;
      }
    } while (accept(","));
    expect(";");
  }

  const ptx_operand* known(const std::string& name) const {
    for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s) {
      const auto found = s->names.find(name);
      if (found != s->names.end()) return &found->second;
    }
    return nullptr;
  }

  /// A name or number as an operand; nothing for a name that may be a label or function.
  std::optional<ptx_operand> operand(const std::string& t) {
    ptx_operand o;
    if (t == "_") {
      o.what = ptx_operand::kind::sink;
      return o;
    }
    if (const ptx_operand* k = known(t); k != nullptr) return *k;
    o.what = ptx_operand::kind::number;
    for (const auto& [name, s] : specials) {
      if (t != name) continue;
      o.what = ptx_operand::kind::special;
      o.number = static_cast<std::uint64_t>(s);
      return o;
    }
    if (t == "WARP_SZ") {
      o.number = 32;
      return o;
    }
    if (const auto s = shared_names_.find(t); s != shared_names_.end()) {
      o.number = s->second != ~0u ? s->second : (module_->shared_bytes + 15) / 16 * 16;
      return o;
    }
    if (const auto g = module_->globals.find(t); g != module_->globals.end()) {
      o.number = g->second;
      return o;
    }
    if (t[0] == '%') throw ptx_error("unknown register " + t);
    return std::nullopt;
  }

  ptx_operand part() {
    const bool negated = accept("!");
    if (is_number(peek()) || peek() == "-") {
      ptx_operand o;
      o.what = ptx_operand::kind::number;
      o.number = number();
      return o;
    }
    const std::string t = next();
    std::optional<ptx_operand> o = operand(t);
    if (!o) throw ptx_error("unknown name " + t);
    o->negated = negated;
    return *o;
  }

  ptx_argument argument() {
    ptx_argument a;
    if (accept("{")) {
      a.is = ptx_argument::form::vector;
      do {
        a.parts.push_back(part());
      } while (accept(","));
      expect("}");
    } else if (accept("[")) {
      a.is = ptx_argument::form::address;
      a.parts.push_back(part());
      if (accept("+")) {
        a.offset = static_cast<std::int64_t>(number());
      } else if (peek() == "-") {
        a.offset = static_cast<std::int64_t>(number());
      }
      expect("]");
    } else if (accept("(")) {
      a.is = ptx_argument::form::list;
      if (!accept(")")) {
        do {
          a.names.push_back(next());
        } while (accept(","));
        expect(")");
      }
    } else {
      // Labels and functions have their own names.
      if (word_start(peek()[0]) && peek()[0] != '%') {
        const std::string t = next();
        a.names.push_back(t);
        if (const auto o = operand(t)) a.parts.push_back(*o);
      } else {
        a.parts.push_back(part());
      }
      if (accept("|")) a.parts.push_back(part());
      if (peek() == "+") {
        // name+offset as a number
        static_cast<void>(next());
        const std::uint64_t by = number();
        if (a.parts.size() != 1 || a.parts[0].what == ptx_operand::kind::reg) throw ptx_error("a sum of no names");
        a.parts[0].number += by;
      }
    }
    return a;
  }

  void instruction() {
    ptx_instruction i;
    if (accept("@")) {
      i.predicate = part();
      if (i.predicate.what != ptx_operand::kind::reg || i.predicate.bits != 1)
        throw ptx_error("a predicate that is none");
    }
    const std::string opcode = next();
    i.line = line_;
    const std::uint32_t first_line = line_;
    std::vector<ptx_argument> arguments;
    if (!accept(";")) {
      do {
        arguments.push_back(argument());
      } while (accept(","));
      expect(";");
    }
    line_ = first_line;
    const auto found = opcodes_.find(opcode);
    if (found != opcodes_.end()) {
      i.opcode = found->second;
    } else {
      i.opcode = static_cast<std::uint32_t>(module_->opcodes.size());
      opcodes_[opcode] = i.opcode;
      module_->opcodes.push_back(opcode);
    }
    try {
      ptx_decode(opcode, arguments, *f_, i);
      if (opcode.compare(0, 3, "bra") == 0 || opcode.compare(0, 3, "brx") == 0) branch(i, arguments);
      if (opcode.compare(0, 4, "call") == 0) call(i, arguments);
    } catch (const ptx_error& e) {
      throw ptx_error(opcode + ": " + e.what());
    }
    f_->code.push_back(std::move(i));
  }

  void branch(ptx_instruction& i, const std::vector<ptx_argument>& arguments) {
    const auto index = static_cast<std::uint32_t>(f_->code.size());
    const ptx_argument& last = arguments.back();
    if (last.names.size() != 1) throw ptx_error("a branch to no label");
    if (arguments.size() == 1) {
      scopes_.back().wants.push_back({index, last.names[0], ~0u, i.line});
      return;
    }
    for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s) {
      const auto table = s->tables.find(last.names[0]);
      if (table == s->tables.end()) continue;
      i.table.resize(table->second.size());
      for (std::uint32_t n = 0; n < i.table.size(); ++n)
        scopes_.back().wants.push_back({index, table->second[n], n, i.line});
      return;
    }
    throw ptx_error("unknown table " + last.names[0]);
  }

  void call(ptx_instruction& i, const std::vector<ptx_argument>& arguments) {
    std::size_t n = 0;
    std::vector<std::string> results;
    std::vector<std::string> passed;
    if (n < arguments.size() && arguments[n].is == ptx_argument::form::list) results = arguments[n++].names;
    if (n >= arguments.size() || arguments[n].names.size() != 1) throw ptx_error("a call of no name");
    const std::string name = arguments[n++].names[0];
    if (n < arguments.size() && arguments[n].is == ptx_argument::form::list) passed = arguments[n++].names;
    if (n != arguments.size()) throw ptx_error("a call through a pointer");
    const auto f = module_->functions.find(name);
    if (f == module_->functions.end()) throw ptx_error("unknown function " + name);
    i.callee = f->second.get();
    if (results.size() != i.callee->results.size() || passed.size() != i.callee->params.size())
      throw ptx_error(name + " takes another number of parameters");
    const auto pass = [&](const std::string& v, std::uint32_t bytes) {
      const ptx_operand* o = known(v);
      if (o == nullptr || o->what != ptx_operand::kind::frame) throw ptx_error(v + " is no .param");
      if (variables_[v + "@" + std::to_string(o->number)] != bytes) throw ptx_error(v + " is of another size");
      i.table.push_back(static_cast<std::uint32_t>(o->number));
    };
    for (std::size_t r = 0; r < results.size(); ++r) pass(results[r], i.callee->results[r].bytes);
    for (std::size_t p = 0; p < passed.size(); ++p) pass(passed[p], i.callee->params[p].bytes);
  }

  std::vector<token> tokens_;
  ptx_memory& memory_;
  std::unique_ptr<ptx_module> module_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 0;
  bool extern_ = false;
  ptx_function* f_ = nullptr;
  std::vector<scope> scopes_;
  std::map<std::string, std::uint32_t> opcodes_;
  std::map<std::string, std::uint32_t> shared_names_;
  std::map<std::string, std::uint32_t> variables_;
  std::vector<std::pair<std::byte*, std::string>> generic_;
};

}  // namespace

std::unique_ptr<ptx_module> ptx_module::parse(const std::string& text, ptx_memory& memory) {
  return parser(text, memory).parse();
}

}  // namespace nkv_test
