#include "core/quantity.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace kisim {

namespace {

constexpr const char* kFormatWrong =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
constexpr const char* kSuffixWrong = "unable to parse quantity's suffix";

// Beyond this many places to either side every number is capped or rounded up, so larger exponents change nothing.
constexpr int64_t kMaxExponent = 1000;

struct Suffix {
  int64_t decimal = 0;  // × 10^decimal
  int binary = 0;       // × 1024^binary
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t skip_digits(std::string_view text, size_t i) {
  while (i < text.size() && is_digit(text[i])) ++i;
  return i;
}

std::optional<Suffix> exponent(std::string_view digits) {
  bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  value = std::min(value, kMaxExponent);
  return Suffix{negative ? -value : value, 0};
}

std::optional<Suffix> interpret(std::string_view suffix) {
  if (suffix.empty()) return Suffix{};
  constexpr std::string_view kDecimal = "num kMGTPE", kBinary = "KMGTPE";
  size_t place = kDecimal.find(suffix[0]);
  if (suffix.size() == 1 && place != kDecimal.npos) return Suffix{3 * (static_cast<int64_t>(place) - 3), 0};
  place = kBinary.find(suffix[0]);
  if (suffix.size() == 2 && suffix[1] == 'i' && place != kBinary.npos) return Suffix{0, static_cast<int>(place) + 1};
  if (suffix[0] == 'e' || suffix[0] == 'E') return exponent(suffix.substr(1));
  return std::nullopt;
}

void multiply(std::string& digits, int factor) {
  int carry = 0;
  for (size_t i = digits.size(); i-- > 0;) {
    carry += (digits[i] - '0') * factor;
    digits[i] = static_cast<char>('0' + carry % 10);
    carry /= 10;
  }
  std::string head = carry > 0 ? std::to_string(carry) : "";
  digits.insert(0, head);
}

}  // namespace

std::optional<Quantity> Quantity::parse(std::string_view text, const char** problem) {
  auto refuse = [&](const char* message) {
    if (problem) *problem = message;
    return std::nullopt;
  };
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);

  size_t dot = skip_digits(text, 0);
  bool has_dot = dot < text.size() && text[dot] == '.';
  size_t number_end = has_dot ? skip_digits(text, dot + 1) : dot;
  if (number_end == 0) return refuse(kFormatWrong);

  std::string_view suffix = text.substr(number_end);
  size_t letters = std::min(suffix.find_first_not_of("eEinumkKMGTP"), suffix.size());
  size_t sign = letters < suffix.size() && (suffix[letters] == '-' || suffix[letters] == '+') ? 1 : 0;
  if (skip_digits(suffix, letters + sign) != suffix.size()) return refuse(kFormatWrong);
  std::optional<Suffix> scale = interpret(suffix);
  if (!scale) return refuse(kSuffixWrong);

  // Exact arithmetic on the decimal digits: the first `integer_digits` of them count nano-units.
  std::string digits(text.substr(0, dot));
  if (has_dot) digits += text.substr(dot + 1, number_end - dot - 1);
  size_t length = digits.size();
  for (int i = 0; i < scale->binary; ++i) multiply(digits, 1024);
  int64_t integer_digits = static_cast<int64_t>(dot + (digits.size() - length)) + scale->decimal + 9;

  size_t first = digits.find_first_not_of('0');
  if (first == digits.npos) return Quantity();
  digits.erase(0, first);
  integer_digits -= static_cast<int64_t>(first);

  constexpr Nano kMax = static_cast<Nano>(INT64_MAX) * kUnit;
  Nano nano = 0;
  if (integer_digits > 28) {  // kMax has 28 digits
    nano = kMax;
  } else {
    for (int64_t i = 0; i < integer_digits; ++i)
      nano = nano * 10 + (i < static_cast<int64_t>(digits.size()) ? digits[static_cast<size_t>(i)] - '0' : 0);
    size_t fraction = static_cast<size_t>(std::max<int64_t>(integer_digits, 0));
    if (fraction < digits.size() && digits.find_first_not_of('0', fraction) != digits.npos) ++nano;
    nano = std::min(nano, kMax);
  }
  return Quantity(negative ? -nano : nano);
}

int64_t Quantity::rounded(int64_t step) const {
  Nano magnitude = nano_ < 0 ? -nano_ : nano_;
  Nano steps = std::min<Nano>((magnitude + step - 1) / step, INT64_MAX);
  return static_cast<int64_t>(nano_ < 0 ? -steps : steps);
}

}  // namespace kisim
