#pragma once
// Elementary functions with the same bits on every platform: libm's log and exp differ by an ulp between versions,
// which would move signatures. Accurate to 2 ulp over the ranges that the simulator uses.

namespace kisim::math {

double log(double x);          // x > 0
double exp(double x);          // |x| < 700
double pow(double x, double y);  // x > 0
double sin(double x);          // |x| < 1e6
double lgamma(double x);       // x > 0; Lanczos, relative error 1e-13

}  // namespace kisim::math
