// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace tools {

/// Rows under headings, columns as wide as their widest cell, two blanks between them. Widths count bytes: for ASCII.
class table {
 public:
  enum class align { left, right };
  struct column {
    std::string heading;
    align alignment = align::left;
  };

  explicit table(std::vector<column> columns) : columns_(std::move(columns)) {}

  /// Cells that are missing are empty, superfluous ones are left out.
  void add(std::vector<std::string> cells) {
    cells.resize(columns_.size());
    rows_.push_back(std::move(cells));
  }

  [[nodiscard]] std::string text() const {
    std::vector<std::size_t> widths;
    bool headings = false;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      std::size_t width = columns_[c].heading.size();
      headings = headings || width != 0;
      for (const auto& row : rows_) width = std::max(width, row[c].size());
      widths.push_back(width);
    }
    std::string out;
    if (headings) {
      std::vector<std::string> first;
      std::vector<std::string> rule;
      for (std::size_t c = 0; c < columns_.size(); ++c) {
        first.push_back(columns_[c].heading);
        rule.emplace_back(widths[c], '-');
      }
      append(out, first, widths);
      append(out, rule, widths);
    }
    for (const auto& row : rows_) append(out, row, widths);
    return out;
  }

 private:
  void append(std::string& out, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const {
    std::string line;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (c != 0) line += "  ";
      line += columns_[c].alignment == align::right ? fmt::format("{:>{}}", cells[c], widths[c])
                                                    : fmt::format("{:<{}}", cells[c], widths[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }

  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tools
