#include "run/accounts.hpp"

#include "run/model.hpp"
#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

TariffSpec steps(double first, double second, double change_s) {
  TariffSpec t;
  t.steps = {{Duration{}, first}, {Duration::seconds(change_s), second}};
  return t;
}

// Two GPUs of eight are held; what they draw is more than idle while they serve.
Scenario priced() {
  Scenario s = llama(2, 4, Duration::seconds(3600), 5);
  s.models[0].startup = instant();
  return s;
}

}  // namespace

TEST_CASE("a price that changes counts from its change on", "[accounts]") {
  Scenario s = priced();
  s.prices["h100-80gb"].value = 3;
  Summary flat = run(compile(s));
  CHECK(*flat.cost == Approx(2 * 3.0));
  s.prices["h100-80gb"] = steps(2, 6, 900);
  Summary stepped = run(compile(s));
  CHECK(*stepped.cost == Approx(2 * (2 * 0.25 + 6 * 0.75)));
  CHECK(stepped.events == flat.events + 1);
  CHECK(*stepped.energy_kwh == *flat.energy_kwh);
  s.warmup = Duration::seconds(1800);
  CHECK(*run(compile(s)).cost == Approx(2 * 6 * 0.5));
}

TEST_CASE("carbon is the energy at the intensity of its time, times the PUE", "[accounts]") {
  Scenario s = priced();
  CHECK_FALSE(run(compile(s)).carbon_kg);
  s.carbon_intensity.emplace().value = 400;
  s.pue = 1.25;
  Summary flat = run(compile(s));
  CHECK(*flat.carbon_kg == Approx(*flat.energy_kwh * 0.4 * 1.25));
  // Six of eight GPUs are idle; none draws more than its TDP.
  CHECK(*flat.energy_kwh >= 8 * 0.095);
  CHECK(*flat.energy_kwh <= 6 * 0.095 + 2 * 0.7);

  s.carbon_intensity = steps(100, 500, 1800);
  World world(compile(s));
  world.run_until(Time{} + Duration::seconds(1799));
  double before = *world.summary().energy_kwh;
  world.run_until(Time{} + Duration::seconds(3600));
  Summary stepped = world.summary();
  CHECK(*stepped.carbon_kg == Approx((before * 0.1 + (*stepped.energy_kwh - before) * 0.5) * 1.25).epsilon(2e-3));
}

TEST_CASE("nodes draw power beside their GPUs where the scenario says so", "[accounts]") {
  Scenario s = priced();
  double gpus = *run(compile(s)).energy_kwh;
  s.node_idle_watts = 300;
  s.node_core_watts = 10;  // the two pods request a core each
  CHECK(*run(compile(s)).energy_kwh == Approx(gpus + 0.3 + 0.02));
}

TEST_CASE("a machine that has stopped draws nothing, and nodes without GPUs what they draw", "[accounts]") {
  Scenario s = priced();
  double all = *run(compile(s)).energy_kwh;
  FaultSpec loss;
  loss.node = s.manifests.nodes[0].meta.name;
  loss.at = Distribution::constant(0);
  loss.for_ = Distribution::constant(1800);
  s.faults = {loss};
  double half = *run(compile(s)).energy_kwh;
  CHECK(half < all - 0.5 * 4 * 0.095 * 0.9);

  s = priced();
  s.manifests.deployments.clear();
  s.models.clear();
  s.traffic.clear();
  s.routers.clear();
  s.manifests.nodes = {node("cpu-0", 0)};
  CHECK_FALSE(run(compile(s)).energy_kwh);
  s.node_idle_watts = 300;
  CHECK(*run(compile(s)).energy_kwh == Approx(0.3));
}

TEST_CASE("what is recorded of single GPUs adds up to the summary", "[accounts]") {
  Scenario s = priced();
  // A node whose object becomes another is one machine.
  s.manifests.nodes.push_back(node("spare", 8));
  s.manifests.nodes[1].unschedulable = true;
  ActionSpec uncordon;
  uncordon.kind = ActionSpec::Kind::Uncordon;
  uncordon.node = "spare";
  uncordon.at = Duration::seconds(60);
  s.actions = {uncordon};
  Recorder recorder(Record::None, nullptr);
  Summary summary = run(compile(s), {.recorder = &recorder});
  CHECK(recorder.gpus.size() == 16);
  Summary::Gpu sum;
  double energy = 0;
  for (const GpuRecord& gpu : recorder.gpus) {
    sum.hours_allocated += gpu.hours_allocated;
    sum.hours_busy += gpu.hours_busy;
    energy += gpu.energy_kwh;
  }
  CHECK(sum.hours_allocated == Approx(summary.gpu->hours_allocated));
  CHECK(sum.hours_busy == Approx(summary.gpu->hours_busy));
  CHECK(energy == Approx(*summary.energy_kwh));
}

TEST_CASE("what the power of a GPU rests on is said", "[accounts]") {
  Scenario s = priced();
  GpuModel other = h100();
  other.name = "other";
  other.products = {"Other"};
  other.power_base = other.power_bandwidth = other.power_compute = other.idle_watts = 0;
  s.gpus.push_back(other);
  s.manifests.nodes.push_back(node("other-0", 1, "Other"));
  Summary summary = run(compile(s));
  CHECK(summary.energy_kwh);
  REQUIRE(summary.warnings.size() == 1);
  CHECK_THAT(summary.warnings[0], Catch::Contains("no power measurements of other;") && Catch::Contains("18 %"));
  s.gpus[1].name = "unknown";
  s.gpus[0].name = "renamed";
  s.models[0].gpu = "renamed";
  s.gpus[0].power_base = 0;
  CHECK_FALSE(run(compile(s)).energy_kwh);
}

}  // namespace kisim::test
