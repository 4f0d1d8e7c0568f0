#include "cli.hpp"
#include "core/error.hpp"
#include "io/humanize.hpp"
#include "run/model.hpp"
#include "scenario_flags.hpp"

namespace kisim::app {

namespace {

std::string counted(size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", human_count(count), noun, count == 1 ? "" : "s");
}

std::string inventory(const Model& model) {
  uint64_t gpus = 0;
  const std::vector<NodeId> machines = model.cluster.machines();
  for (NodeId node : machines) gpus += model.cluster.nodes[node].gpus;
  return fmt::format("{}, {}, {}, {}, {}", counted(machines.size(), "node"), counted(gpus, "GPU"),
                     counted(model.cluster.workloads.size(), "workload"),
                     counted(model.serving.clients.size(), "source"), counted(model.serving.models.size(), "model"));
}

}  // namespace

int cmd_validate(const Arguments& arguments) {
  ScenarioFlags flags;
  Arguments files;
  CommandLine line({"validate FILE... [flags]", "Reads a scenario and checks it, without running it.",
                    "  kisim validate scenarios/quickstart.yaml --strict\n"});
  flags.add_to(line);
  if (!line.parse(arguments, files)) return kOk;
  if (files.empty()) throw UsageError("no file given");

  const std::shared_ptr<const Model> model = compile(read_scenario(files, flags.options()));
  print_warnings(model->warnings);
  print(fmt::format("ok: {}\n", inventory(*model)));
  return kOk;
}

}  // namespace kisim::app
