#include "io/operator_profile.hpp"

#include "core/error.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

using namespace kisim;

namespace {

namespace fs = std::filesystem;

struct Profile {
  fs::path directory = fs::temp_directory_path() / "kisim-operator-profile";

  Profile() {
    fs::remove_all(directory);
    fs::create_directories(directory / "tp1");
    write("meta.yaml",
          "hardware: RTX4090\nmodel: meta-llama/Llama-3.1-8B\n"
          "attention_grid: {chunk_factor: 2.0, kv_factor: 2.0}\n"
          "skew_fit: {enabled: true, per_tp: {1: {alpha_default: 0.25}}}\n");
    write("tp1/dense.csv",
          "layer,tokens,time_us\nembedding,1,1\nembedding,2,2\nlayernorm,1,3\nlayernorm,2,4\nqkv_proj,1,5\nqkv_proj,2,"
          "6\n");
    write("tp1/per_sequence.csv", "layer,sequences,time_us\nlm_head,1,100\nlm_head,8,107\n");
    std::string attention = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n";
    for (int chunk : {0, 16, 24, 32})
      for (int before : {0, 16})
        for (int n : {0, 1, 2})
          for (int context : {0, 16, 32})
            if ((chunk > 0 || (before == 0 && n > 0)) && (n > 0) == (context > 0) && (chunk != 24 || context < 32))
              attention += std::to_string(chunk) + "," + std::to_string(before) + "," + std::to_string(n) + "," +
                           std::to_string(context) + "," + std::to_string(chunk + before + n * context) + "\n";
    write("tp1/attention.csv", attention);
    write("tp1/skew_fit.csv",
          "pc,n_label,skew_rate_label,kv_big_label,kp_label,alpha,n_samples\n"
          "0,n<=2,sr<=15%,kvB<=1k,kp=0,0.1,4\n0,n>2,sr>15%,kvB>1k,kp=0,0.9,4\n");
  }
  ~Profile() { fs::remove_all(directory); }

  void write(const std::string& file, const std::string& text) const { std::ofstream(directory / file) << text; }
  std::shared_ptr<const OperatorTables> read(int32_t tensor_parallel = 1) const {
    LlmModel llm;
    llm.layers = 10;
    llm.hidden = 64;
    llm.name = "llama-3.1-8b";
    GpuModel gpu;
    gpu.name = "rtx-4090";
    return read_operator_profile(directory.string(), tensor_parallel, llm, {gpu});
  }
  std::string complaint(int32_t tensor_parallel = 1) const {
    try {
      read(tensor_parallel);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
};

}  // namespace

TEST_CASE("an operator profile becomes the curves of a whole model") {
  Profile profile;
  auto t = profile.read();
  CHECK(t->tokens.at(1) == Approx(1 + 10 * (2 * 3 + 5)));
  CHECK(t->tokens.at(2) == Approx(2 + 10 * (2 * 4 + 6)));
  CHECK(t->sequences.at(8) == Approx(107));
  CHECK(t->moe.empty());
  CHECK(t->all_reduce.empty());
  // The points of the finer grid, which is not complete, are left out.
  CHECK(t->attention.axes[0] == std::vector<double>{0, 16, 32});
  CHECK(t->attention.at(32, 16, 2, 24) == Approx(32 + 16 + 48));
  CHECK(t->skew.at(0, 2, 0.1, 1000, 0) == Approx(0.1));
  CHECK(t->skew.at(0, 3, 0.5, 2000, 0) == Approx(0.9));
  CHECK(t->skew.at(0, 1, 0.5, 2000, 0) == Approx(0.25));  // a bucket that was not profiled
}

TEST_CASE("experts are asked for as chance has it") {
  Profile profile;
  profile.write("tp1/moe.csv", "tokens,activated_experts,time_us\n1,2,20\n2,2,20\n2,4,40\n");
  auto t = profile.read();
  CHECK(t->moe.at(1) == Approx(20));
  CHECK(t->moe.at(2) == Approx(30));  // 4·(1 - (1/2)²) = 3 experts
  // Two ranks have their share of them, where only one GPU was profiled.
  profile.write("tp1/moe.csv", "tokens,activated_experts,time_us\n1,1,20\n2,1,20\n2,4,50\n");
  fs::copy(profile.directory / "tp1", profile.directory / "tp2");
  fs::remove(profile.directory / "tp2/moe.csv");
  CHECK(profile.read()->moe.at(2) == Approx(27.5));  // 4·(1 - (3/4)²) = 1.75 of them
  CHECK(profile.read(2)->moe.at(2) == Approx(20));   // less than one for each rank: the least that was profiled
}

TEST_CASE("an operator profile that is none is refused with what is wrong") {
  Profile profile;
  CHECK(profile.complaint(2).find("found no profile tp2") != std::string::npos);
  const std::string header = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n";
  profile.write("tp1/attention.csv", header);
  CHECK(profile.complaint().find("prefill_chunk: found 0 values beside 0") != std::string::npos);
  profile.write("tp1/attention.csv", header + "0,0,1,16,1\n0,0,2,32,1\n16,0,0,0,1\n32,16,0,0,1\n");
  CHECK(profile.complaint().find("allowed: a complete grid") != std::string::npos);
  profile.write("tp1/dense.csv", "layer,tokens,time_us\nembedding,1,fast\n");
  CHECK(profile.complaint().find("dense.csv:2") != std::string::npos);
  profile.write("meta.yaml", "hardware: RTX4090\nmodel: Qwen/Qwen3-32B\n");
  CHECK(profile.complaint().find("found a profile of Qwen/Qwen3-32B, allowed: one of llama-3.1-8b") !=
        std::string::npos);
  profile.write("meta.yaml", "hardware: RTX4091\n");
  CHECK(profile.complaint().find("found 'RTX4091'") != std::string::npos);
}
