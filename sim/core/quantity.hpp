#pragma once
// Kubernetes' resource.Quantity: a decimal number with a suffix ("100m", "1.5Gi", "2e3").

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kisim {

// An exact multiple of 10⁻⁹, from −(2⁶³−1) to 2⁶³−1.
class Quantity {
 public:
  Quantity() = default;
  static Quantity units(int64_t value) { return Quantity(static_cast<Nano>(value) * kUnit); }

  // The grammar of Kubernetes: [+-] digits [. digits] and one of n u m "" k M G T P E, Ki Mi Gi Ti Pi Ei, or e/E with a
  // signed exponent. Finer than 10⁻⁹ is rounded away from zero, larger than 2⁶³−1 is capped. Nothing if the text is no
  // quantity; `problem` then points to Kubernetes' message.
  static std::optional<Quantity> parse(std::string_view text, const char** problem = nullptr);

  // Rounded away from zero, as kube-scheduler reads memory and extended resources.
  int64_t value() const { return rounded(kUnit); }
  // In thousandths, rounded away from zero, as kube-scheduler reads cpu; capped to int64.
  int64_t milli_value() const { return rounded(kUnit / 1000); }
  // By how much the two above were rounded up, in billionths of their units. Precondition: neither negative nor capped.
  int64_t value_excess() const { return static_cast<int64_t>(static_cast<Nano>(value()) * kUnit - nano_); }
  int64_t milli_excess() const {
    return static_cast<int64_t>((static_cast<Nano>(milli_value()) * (kUnit / 1000) - nano_) * 1000);
  }
  bool is_integer() const { return nano_ % kUnit == 0; }

  auto operator<=>(const Quantity&) const = default;

 private:
  __extension__ using Nano = __int128;
  static constexpr int64_t kUnit = 1'000'000'000;

  explicit Quantity(Nano nano) : nano_(nano) {}
  int64_t rounded(int64_t step) const;

  Nano nano_ = 0;
};

}  // namespace kisim
