#include "cli.hpp"
#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"

#include <unistd.h>

namespace kisim::app {

namespace {

constexpr size_t kWide = 160;

std::string shown(const Scoreboard& board, const std::string& output) {
  if (output == "json") return scoreboard_json(board);
  if (output == "markdown") return scoreboard_markdown(board);
  TextStyle style = output_style();
  if (output == "wide") style.width = kWide;
  return scoreboard_table(board, output == "wide", style);
}

}  // namespace

int cmd_fidelity(const Arguments& arguments) {
  namespace po = boost::program_options;
  FidelityData data;
  std::string output, page;
  Arguments rest;
  CommandLine line({"fidelity --data DIR [flags]",
                    "Predicts what others have measured and prints how far off kisim is, beside a naive predictor. "
                    "Files are found by their place in DIR: triton/*.csv, gavel/*.json, "
                    "kisim/*/<pattern>_*_{stats,users}.json, ml-energy/models/*.json, splitwise/*.csv.",
                    "  kisim fidelity --data ../shared/data/serving\n"
                    "  kisim fidelity --data new --calibration ../shared/data/serving -o json\n"});
  line.flags().add_options()("data", po::value(&data.scored)->value_name("dir"), "measurements to score")(
      "calibration", po::value(&data.calibrated)->value_name("dir"),
      "fit on these, and score all of --data (default: a split of --data by its own rule, told with each row)")(
      "output,o", po::value(&output)->value_name("format")->default_value("table"), "table, wide, json, markdown")(
      "page", po::value(&page)->value_name("file"), "also write an HTML page with plots");
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError("fidelity takes no arguments, found '" + rest[0] + "'");
  if (data.scored.empty()) throw UsageError("fidelity needs --data DIR");
  check_choice("--output", output, {"table", "wide", "json", "markdown"});
  if (isatty(STDERR_FILENO)) data.progress = [](const std::string& what) { fmt::print(stderr, "\r\033[K{}", what); };
  const Scoreboard board = score(data);
  if (isatty(STDERR_FILENO)) fmt::print(stderr, "\r\033[K");
  if (!page.empty()) write_file(page, scoreboard_page(board));
  print(shown(board, output));
  if (board.rows.empty() && output != "table" && output != "wide")
    fmt::print(stderr, "{} in {}\n", board.verdict(), data.scored);
  return board.passed() ? kOk : kCheckFailed;
}

}  // namespace kisim::app
