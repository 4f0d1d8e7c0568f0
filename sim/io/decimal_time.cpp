#include "io/decimal_time.hpp"

#include <algorithm>
#include <charconv>

namespace kisim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A decimal mantissa of at most 19 digits and what it is multiplied with.
struct Decimal {
  uint64_t mantissa = 0;
  int64_t exponent = 0;
};

// [digits][.digits][e[±]digits]; digits beyond the nineteenth significant one only move the exponent.
std::optional<Decimal> parse_decimal(std::string_view text) {
  Decimal out;
  size_t i = 0, digits = 0;
  bool fraction = false;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !fraction) {
      fraction = true;
      continue;
    }
    if (!is_digit(text[i])) break;
    ++digits;
    if (out.mantissa < 1'000'000'000'000'000'000) {
      out.mantissa = out.mantissa * 10 + static_cast<uint64_t>(text[i] - '0');
      out.exponent -= fraction;
    } else {
      out.exponent += !fraction;
    }
  }
  if (digits == 0) return std::nullopt;
  if (i == text.size()) return out;
  if (text[i] != 'e' && text[i] != 'E') return std::nullopt;
  ++i;
  if (i + 1 < text.size() && text[i] == '+' && is_digit(text[i + 1])) ++i;
  int32_t exponent = 0;
  auto [stop, error] = std::from_chars(text.data() + i, text.data() + text.size(), exponent);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  out.exponent += exponent;
  return out;
}

std::optional<int64_t> parse_number(std::string_view text, int ns_exponent) {
  std::optional<Decimal> decimal = parse_decimal(text);
  if (!decimal) return std::nullopt;
  uint64_t value = decimal->mantissa;
  int64_t exponent = decimal->exponent + ns_exponent;
  if (value == 0 || exponent < -20) return 0;
  for (; exponent > 0; --exponent) {
    if (value > INT64_MAX / 10) return std::nullopt;
    value *= 10;
  }
  for (; exponent < -1; ++exponent) value /= 10;
  if (exponent == -1) value = (value + 5) / 10;
  if (value > INT64_MAX) return std::nullopt;
  return static_cast<int64_t>(value);
}

// Reads `length` digits at the front.
bool take_number(std::string_view& text, size_t length, int64_t& out) {
  if (text.size() < length || !std::all_of(text.begin(), text.begin() + static_cast<ptrdiff_t>(length), is_digit))
    return false;
  out = 0;
  for (size_t i = 0; i < length; ++i) out = out * 10 + (text[i] - '0');
  text.remove_prefix(length);
  return true;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int64_t days_of_month(int64_t year, int64_t month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[month - 1] + (month == 2 && is_leap(year));
}

int64_t days_since_1970(int64_t year, int64_t month, int64_t day) {
  constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  int64_t past = year - 1;
  int64_t leap_days = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
  return (year - 1970) * 365 + leap_days + kBefore[month - 1] + (month > 2 && is_leap(year)) + day - 1;
}

std::optional<int64_t> take_date(std::string_view& text) {
  int64_t year, month, day;
  if (!take_number(text, 4, year) || !take(text, '-') || !take_number(text, 2, month) || !take(text, '-') ||
      !take_number(text, 2, day))
    return std::nullopt;
  if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
    return std::nullopt;
  return days_since_1970(year, month, day);
}

// Seconds of the day.
std::optional<int64_t> take_clock(std::string_view& text) {
  int64_t hour, minute, second;
  if (!take_number(text, 2, hour) || !take(text, ':') || !take_number(text, 2, minute) || !take(text, ':') ||
      !take_number(text, 2, second) || hour > 23 || minute > 59 || second > 59)
    return std::nullopt;
  return hour * 3600 + minute * 60 + second;
}

// Nanoseconds behind the decimal point.
std::optional<int64_t> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return 0;
  size_t length = 0;
  while (length < text.size() && is_digit(text[length])) ++length;
  if (length == 0) return std::nullopt;
  int64_t ns = 0;
  for (size_t i = 0; i < 9; ++i) ns = ns * 10 + (i < length ? text[i] - '0' : 0);
  if (length > 9 && text[9] >= '5') ++ns;
  text.remove_prefix(length);
  return ns;
}

// Seconds east of Greenwich; no zone is Greenwich.
std::optional<int64_t> take_zone(std::string_view& text) {
  if (text.empty() || take(text, 'Z')) return 0;
  bool west = text.starts_with('-');
  if (!west && !text.starts_with('+')) return std::nullopt;
  text.remove_prefix(1);
  int64_t hours, minutes;
  if (!take_number(text, 2, hours) || !take(text, ':') || !take_number(text, 2, minutes) || hours > 23 || minutes > 59)
    return std::nullopt;
  return (west ? -1 : 1) * (hours * 3600 + minutes * 60);
}

std::optional<int64_t> parse_datetime(std::string_view text) {
  std::optional<int64_t> days = take_date(text);
  if (!days || (!take(text, ' ') && !take(text, 'T'))) return std::nullopt;
  std::optional<int64_t> clock = take_clock(text);
  if (!clock) return std::nullopt;
  std::optional<int64_t> fraction = take_fraction(text), zone = take_zone(text);
  if (!fraction || !zone || !text.empty()) return std::nullopt;
  int64_t ns = (*days * 86400 + *clock - *zone) * kSecond + *fraction;
  return ns >= 0 ? std::optional(ns) : std::nullopt;
}

}  // namespace

std::optional<TimeUnit> find_time_unit(std::string_view name) {
  if (name == "s") return TimeUnit::Seconds;
  if (name == "ms") return TimeUnit::Milliseconds;
  if (name == "us") return TimeUnit::Microseconds;
  if (name == "ns") return TimeUnit::Nanoseconds;
  if (name == "datetime") return TimeUnit::Datetime;
  return std::nullopt;
}

std::optional<int64_t> parse_time(std::string_view text, TimeUnit unit) {
  switch (unit) {
    case TimeUnit::Seconds:
      return parse_number(text, 9);
    case TimeUnit::Milliseconds:
      return parse_number(text, 6);
    case TimeUnit::Microseconds:
      return parse_number(text, 3);
    case TimeUnit::Nanoseconds:
      return parse_number(text, 0);
    case TimeUnit::Datetime:
      return parse_datetime(text);
  }
  return std::nullopt;
}

const char* allowed_times(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::Seconds:
      return "a number of seconds of at least 0";
    case TimeUnit::Milliseconds:
      return "a number of milliseconds of at least 0";
    case TimeUnit::Microseconds:
      return "a number of microseconds of at least 0";
    case TimeUnit::Nanoseconds:
      return "a number of nanoseconds of at least 0";
    case TimeUnit::Datetime:
      return "a datetime such as 2023-11-16 18:15:46.6805900, from 1970 to 2261";
  }
  return "";
}

}  // namespace kisim
