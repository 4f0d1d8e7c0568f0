#pragma once
// The distributions that any number of a scenario may be: {lognormal: {median: 1020, sigma: 0.9}}.

#include "core/distribution.hpp"
#include "io/declare.hpp"

#include <array>
#include <string>
#include <vector>

namespace kisim {

// One way to write one distribution by its parameters.
struct Family {
  struct Parameter {
    const char* name;
    bool in_unit;  // carries the unit of the number that the distribution stands for
    double least, most;
    bool whole = false;
  };
  const char* name;
  std::vector<Parameter> parameters;
  bool limits;  // the parameters are the least and the greatest draw
  Distribution (*make)(const std::array<double, 2>& parameters);
};

const std::vector<Family>& families();

// Every name, with those that take lists: constant, discrete, empirical.
const std::vector<std::string>& family_names();
bool is_family(const std::string& name);

// The parameters as fields that fill `values`; those in the unit of `number` within its bounds.
Fields declare(const Family& family, const Field& number, std::array<double, 2>& values);

}  // namespace kisim
