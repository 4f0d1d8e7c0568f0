#include "cli.hpp"
#include "core/error.hpp"
#include "rl/policy_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace kisim::app {

int cmd_export(const Arguments& arguments) {
  namespace po = boost::program_options;
  std::string output;
  Arguments files;
  CommandLine line({"export POLICY -o FILE",
                    "Writes a trained policy as an ONNX model (opset 17), for other runtimes: its normaliser and the "
                    "choice of the likeliest action are part of the model. Inputs: observation; of a policy that takes "
                    "masks, mask; of one with a memory, hidden_0, cell_0, ... Outputs: action; logits, or mean; "
                    "next_hidden_0, next_cell_0, ...",
                    "  kisim export fleet/seed-0/best.safetensors -o fleet.onnx\n"});
  line.flags().add_options()("output,o", po::value(&output)->value_name("file"), "where to write the model");
  if (!line.parse(arguments, files)) return kOk;
  if (files.size() != 1) throw UsageError("export takes one policy file");
  if (output.empty()) throw UsageError("export needs --output FILE");
  std::error_code none;
  if (std::filesystem::equivalent(files[0], output, none))
    throw UsageError(fmt::format("--output: found {}, the policy itself, allowed: another file", output));
  write_onnx(output, read_policy_file(files[0]));
  return kOk;
}

}  // namespace kisim::app
