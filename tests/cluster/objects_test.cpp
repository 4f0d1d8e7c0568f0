#include "cluster/objects.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

TEST_CASE("labels are found by key") {
  Labels labels = {{"a", "1"}, {"app", "llama"}, {"zone", ""}};
  REQUIRE(find_label(labels, "app"));
  CHECK(*find_label(labels, "app") == "llama");
  CHECK(*find_label(labels, "zone") == "");
  CHECK_FALSE(find_label(labels, "ap"));
  CHECK_FALSE(find_label(labels, "zz"));
  CHECK_FALSE(find_label({}, "app"));
}

TEST_CASE("a toleration tolerates by effect, key and operator") {
  const Taint gpu{"nvidia.com/gpu", "present", TaintEffect::NoSchedule};
  auto equal = [](std::string key, std::string value) {
    return Toleration{std::move(key), TolerationOperator::Equal, std::move(value), {}, {}};
  };
  CHECK(equal("nvidia.com/gpu", "present").tolerates(gpu));
  CHECK_FALSE(equal("nvidia.com/gpu", "absent").tolerates(gpu));
  CHECK_FALSE(equal("nvidia.com/gpu", "").tolerates(gpu));
  CHECK_FALSE(equal("other", "present").tolerates(gpu));

  Toleration exists{"nvidia.com/gpu", TolerationOperator::Exists, "", {}, {}};
  CHECK(exists.tolerates(gpu));
  exists.key = "";
  CHECK(exists.tolerates(gpu));
  exists.effect = TaintEffect::NoSchedule;
  CHECK(exists.tolerates(gpu));
  exists.effect = TaintEffect::NoExecute;
  CHECK_FALSE(exists.tolerates(gpu));
  CHECK(exists.tolerates({"x", "", TaintEffect::NoExecute}));
}

TEST_CASE("a requirement matches by its operator") {
  struct Row {
    SelectorOperator op;
    std::vector<std::string> values;
    const char* found;  // nullptr: the key is absent
    bool matches;
  };
  using Op = SelectorOperator;
  const Row rows[] = {
      {Op::In, {"a", "b"}, "b", true},
      {Op::In, {"a", "b"}, "c", false},
      {Op::In, {"a"}, nullptr, false},
      {Op::NotIn, {"a"}, "a", false},
      {Op::NotIn, {"a"}, "b", true},
      {Op::NotIn, {"a"}, nullptr, true},
      {Op::Exists, {}, "", true},
      {Op::Exists, {}, nullptr, false},
      {Op::DoesNotExist, {}, "a", false},
      {Op::DoesNotExist, {}, nullptr, true},
      {Op::Gt, {"3"}, "4", true},
      {Op::Gt, {"3"}, "3", false},
      {Op::Gt, {"-3"}, "-2", true},
      {Op::Gt, {"+3"}, "+4", true},
      {Op::Gt, {"3"}, "4.5", false},
      {Op::Gt, {"3"}, "four", false},
      {Op::Gt, {"three"}, "4", false},
      {Op::Gt, {"3"}, "", false},
      {Op::Gt, {"3"}, " 4", false},
      {Op::Gt, {"3"}, "+-4", false},
      {Op::Gt, {"3"}, "9223372036854775808", false},
      {Op::Gt, {"3", "4"}, "5", false},
      {Op::Gt, {"3"}, nullptr, false},
      {Op::Lt, {"10"}, "9", true},
      {Op::Lt, {"10"}, "10", false},
      {Op::Lt, {"10"}, nullptr, false},
  };
  for (const Row& row : rows) {
    SelectorRequirement requirement{"key", row.op, row.values};
    std::string found = row.found ? row.found : "";
    CAPTURE(static_cast<int>(row.op), found);
    CHECK(requirement.matches(row.found ? &found : nullptr) == row.matches);
  }
}

TEST_CASE("a label selector needs all of its requirements") {
  Labels labels = {{"app", "llama"}, {"tier", "serving"}};
  CHECK(LabelSelector{}.matches(labels));
  CHECK(LabelSelector{}.matches({}));
  LabelSelector selector{{{"app", SelectorOperator::In, {"llama"}}, {"canary", SelectorOperator::DoesNotExist, {}}}};
  CHECK(selector.matches(labels));
  CHECK_FALSE(selector.matches({{"app", "llama"}, {"canary", "true"}}));
  CHECK_FALSE(selector.matches({{"canary", "true"}}));
}

TEST_CASE("host ports conflict on the same port and protocol, where either takes every address") {
  using Protocol = HostPort::Protocol;
  const HostPort every{Protocol::TCP, "0.0.0.0", 80}, one{Protocol::TCP, "10.0.0.1", 80};
  CHECK(every.conflicts(every));
  CHECK(every.conflicts(one));
  CHECK(one.conflicts(every));
  CHECK(one.conflicts(one));
  CHECK_FALSE(one.conflicts({Protocol::TCP, "10.0.0.2", 80}));
  CHECK_FALSE(one.conflicts({Protocol::UDP, "10.0.0.1", 80}));
  CHECK_FALSE(one.conflicts({Protocol::TCP, "10.0.0.1", 81}));
}
