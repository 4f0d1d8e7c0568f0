#pragma once
// Reads a parsed document into what its declarations point to.

#include "io/declare.hpp"

#include <optional>
#include <string>

namespace kisim {

class FieldReader {
 public:
  // Numbers that are distributions where the program wants one number are drawn once, from the stream
  // (seed, Field/<path>, Field), rounded for integers and cut to the field's bounds.
  FieldReader(uint64_t seed, Diagnostics& diagnostics) : seed_(seed), diagnostics_(diagnostics) {}

  // `path` names the mapping in messages: "spec.traffic.chat", "" for the document. Complaints go to the diagnostics.
  void read(const Value& mapping, const std::string& path, const Fields& fields);

 private:
  void read_field(const Value& value, const std::string& path, const Field& field);
  void read_other(const Value::Member& member, const std::string& path, std::map<std::string, std::string>& others);

  void warn_unknown(const Value::Member& member, const std::string& path, const Fields& fields);

  // One per kind of target.
  void fill(int32_t* target, const Value& value, const std::string& path, const Field& field);
  void fill(uint64_t* target, const Value& value, const std::string& path, const Field& field);
  void fill(double* target, const Value& value, const std::string& path, const Field& field);
  void fill(bool* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::optional<double>* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::optional<bool>* target, const Value& value, const std::string& path, const Field& field);
  void fill(Duration* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::optional<Duration>* target, const Value& value, const std::string& path, const Field& field);
  void fill(Distribution* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::optional<Distribution>* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::string* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::vector<std::string>* target, const Value& value, const std::string& path, const Field& field);
  void fill(Value* target, const Value& value, const std::string& path, const Field& field);
  void fill(Labels* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::map<std::string, double>* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::map<std::string, bool>* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::vector<int32_t>* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::vector<double>* target, const Value& value, const std::string& path, const Field& field);
  void fill(std::vector<Value>* target, const Value& value, const std::string& path, const Field& field);
  void fill(const Nested& nested, const Value& value, const std::string& path, const Field& field);

  void read_entry(const Nested& nested, const std::string& name, const Value& value, const std::string& path);
  void read_word(const Nested& nested, const Value& value, const std::string& path);
  void read_one_of(const Fields& fields, const Value& value, const std::string& path);

  // Nothing after a complaint.
  std::optional<double> number(const Value& value, const std::string& path, const Field& field);
  std::optional<double> amount(const Value& value, const std::string& path, const Field& field);
  std::optional<bool> boolean(const Value& value, const std::string& path, const Field& field);
  std::optional<Distribution> amount_or_distribution(const Value& value, const std::string& path, const Field& field);
  std::optional<Distribution> distribution(const Value& value, const std::string& path, const Field& field);
  std::optional<Distribution> by_parameters(const Value::Member& family, const std::string& path, const Field& field);
  std::optional<Distribution> by_values(const Value::Member& family, const std::string& path, const Field& field);
  std::optional<std::vector<double>> amounts(const Value* list, const Value& holder, const std::string& path,
                                             const Field& field);

  void complain(const Value& value, const std::string& path, const std::string& allowed);

  uint64_t seed_;
  Diagnostics& diagnostics_;
};

}  // namespace kisim
