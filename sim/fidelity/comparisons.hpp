#pragma once
// One function per data set: reads what a directory holds of it, predicts, and adds rows to a scoreboard. Absent data
// adds none. Throw InputError on files that are not what their place says, IoError on ones that cannot be read.

#include "fidelity/scoreboard.hpp"

#include <functional>
#include <string>
#include <vector>

namespace kisim {

struct FidelityData {
  std::string scored;      // directory
  std::string calibrated;  // directory to fit on, all of `scored` being scored; empty: each row's own split of `scored`
  std::function<void(const std::string&)> progress = [](const std::string&) {};  // told what is worked on
};

// triton/*.csv: closed-loop ("online") throughput and p95 of batch inference servers, from "offline" batch times.
void compare_triton(const FidelityData& data, Scoreboard& board);
// gavel/*.json: two training jobs on one GPU.
void compare_gavel(const FidelityData& data, Scoreboard& board);
// kisim/*/<pattern>_*_{stats,users}.json: runs of a Locust client that saturates itself.
void compare_locust(const FidelityData& data, Scoreboard& board);
// ml-energy/models/*.json: iterations and watts of dense language models under steady loads.
void compare_ml_energy(const FidelityData& data, Scoreboard& board);
// splitwise/*.csv: prompt and token times by prompt and batch size.
void compare_splitwise(const FidelityData& data, Scoreboard& board);
// vllm-logs/<GPU>/<model>/vllm/{requests.jsonl,timeseries.csv,meta.json}: runs of vLLM, by
// vllm-operator-profiles/perf/<GPU>/<model>/<type>/tp<n>.
void compare_vllm_logs(const FidelityData& data, Scoreboard& board);
// aiconfigurator/*.csv: closed loops of LLM engines, dense, with experts, with pools for prompts and decoding.
void compare_aiconfigurator(const FidelityData& data, Scoreboard& board);
// mlperf/*.json: the best results per GPU, which no prediction may reach.
void compare_mlperf(const FidelityData& data, Scoreboard& board);
// How many MIG layouts the GPUs of the catalogue have, against counts from NVIDIA's tables. Needs no data.
void compare_mig(Scoreboard& board);

// All of them; that of MIG beside others only.
Scoreboard score(const FidelityData& data);

// Files of a directory whose name ends so, in alphabetical order; none if there is no such directory.
std::vector<std::string> files_of(const std::string& directory, const std::string& ending);

}  // namespace kisim
