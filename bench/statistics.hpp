// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace bench {

/// The value that `percent` of them do not exceed: of the nearest rank, rounded up; 0 where there are none. Reorders.
template <class T>
[[nodiscard]] T percentile(std::vector<T>& values, double percent) {
  if (values.empty()) return T{};
  const double exact = percent / 100 * static_cast<double>(values.size());
  auto rank = static_cast<std::size_t>(exact);
  if (static_cast<double>(rank) < exact) ++rank;
  rank = std::clamp<std::size_t>(rank, 1, values.size()) - 1;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank), values.end());
  return values[rank];
}

/// Of an even number the mean of the two in the middle.
[[nodiscard]] inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const double low = percentile(values, 50);
  if (values.size() % 2 != 0) return low;
  return (low + *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end())) / 2;
}

}  // namespace bench
