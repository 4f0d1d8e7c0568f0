#pragma once
// Catch after libtorch, whose headers bring glog with macros of the same names: its CHECK would end the program.

#include "tensor.hpp"

#undef CHECK

#include <catch2/catch.hpp>
