#pragma once
// 64-bit hashing for signatures and for the addresses of random streams: the same on every machine and compiler.

#include <cstdint>
#include <string_view>

namespace kisim {

// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64 bits.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

constexpr uint64_t hash_combine(uint64_t h, uint64_t v) { return mix64(h ^ (mix64(v + 0x9e3779b97f4a7c15ull))); }

// FNV-1a over the bytes, then mixed.
constexpr uint64_t hash_text(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix64(h);
}

}  // namespace kisim
