#pragma once
// What a user wrote against what is known, for messages.

#include <string>
#include <vector>

namespace kisim {

// One line, not too long.
std::string shown(const std::string& text);

// "found 'poison', allowed: poisson, constant (did you mean 'poisson'?)". The hint is left out where nothing is close.
std::string not_allowed(const std::string& found, const std::vector<std::string>& allowed);
// The candidate that `text` is most likely a slip or the beginning of, in any case of letters; "" where none or several
// are as close.
std::string closest(const std::string& text, const std::vector<std::string>& candidates);

}  // namespace kisim
