#pragma once
// Elementary functions with the same bits on every platform: libm's log and exp differ by an ulp between versions,
// which would move signatures. Accurate to 2 ulp over the ranges that the simulator uses.

namespace kisim::math {

inline constexpr double kPi = 3.14159265358979323846;

double log(double x);            // x > 0; -inf at 0, NaN below
double exp(double x);            // any x; gradual underflow, inf beyond 709.78
double pow(double x, double y);  // x >= 0; |y log x| < 1e6
double sin(double x);            // |x| < 1e6
double cos(double x);            // |x| < 1e6
double lgamma(double x);         // x > 0; Stirling's series, error 1e-13 of max(1, |result|)

}  // namespace kisim::math
