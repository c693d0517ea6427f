#pragma once
// The elements of a tensor, one by one, as numbers and in words: every element type of the format.

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "format/bytes.h"
#include "format/tensor_record.h"

namespace vitrail::app {

class Elements {
 public:
  // `bytes` must outlive it. Throws FormatError for an element type that this build does not know.
  Elements(format::ElementType type, format::Bytes bytes);

  std::uint64_t size() const { return size_; }
  bool complex() const;
  double value(std::uint64_t index) const;                 // of a complex number the real part
  std::string text(std::uint64_t index) const;             // six digits of a fraction
  nlohmann::ordered_json json(std::uint64_t index) const;  // exact; "nan", "inf", "-inf"; [real, imaginary]

 private:
  double real(std::uint64_t number) const;

  format::ElementType type_;
  format::Bytes bytes_;
  std::uint64_t size_ = 0;
};

nlohmann::ordered_json json_number(double value);  // JSON knows no NaN and no infinity: those become text

struct ElementStatistics {
  double min = 0, mean = 0, max = 0;  // of the finite ones; 0 where there are none
  std::uint64_t finite = 0, nan = 0, inf = 0;
};
ElementStatistics statistics(const Elements& elements);

// Rows in brackets; of more than 1000 elements only the first and last three of each axis.
std::string array_text(const Elements& elements, const std::vector<std::int64_t>& shape);
nlohmann::ordered_json array_json(const Elements& elements, const std::vector<std::int64_t>& shape);

}  // namespace vitrail::app
