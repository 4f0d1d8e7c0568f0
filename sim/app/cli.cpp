#include "cli.hpp"

#include "cluster/objects.hpp"
#include "core/error.hpp"
#include "io/seeds.hpp"
#include "io/value.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <system_error>

namespace kisim::app {

namespace po = boost::program_options;

int guarded(const std::string& help, const std::function<int()>& run) {
  try {
    return run();
  } catch (const UsageError& error) {
    print_error(error.what());
    std::fprintf(stderr, "See '%s'.\n", help.c_str());
    return kUsage;
  } catch (const InputError& error) {
    for (const Diagnostic& diagnostic : error.diagnostics()) {
      if (diagnostic.severity == Severity::Error) print_error(diagnostic.text());
    }
    return kInvalidInput;
  } catch (const IoError& error) {
    print_error(error.what());
    return kIo;
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
    return kInternal;
  } catch (const std::exception& error) {
    print_error(error.what());
    std::fprintf(stderr, "This is a defect of kisim, not of your input. Please report it with the scenario.\n");
    return kInternal;
  }
}

CommandLine::CommandLine(Help help) : help_(std::move(help)), flags_("Flags") {
  flags_.add_options()("help,h", "print this help");
}

// "  -o, --output format   what it does", descriptions in one column.
std::string CommandLine::flags_text() const {
  constexpr size_t kIndent = 27, kWidth = 80;
  std::string out;
  for (const auto& option : flags_.options()) {
    const std::string shortest = option->canonical_display_name(po::command_line_style::allow_dash_for_short);
    std::string head = shortest[0] == '-' ? "  " + shortest + ", " : "      ";
    head += "--" + option->long_name();
    if (option->semantic()->max_tokens() > 0) head += ' ' + option->format_parameter();
    if (head.size() >= kIndent) {
      out += head + '\n';
      head.clear();
    }
    for (const std::string& line : wrap_text(option->description(), kWidth - kIndent)) {
      out += fmt::format("{:<{}}{}\n", head, kIndent, line);
      head.clear();
    }
  }
  return out;
}

std::string CommandLine::help_text() const {
  std::string out = fmt::format("{}\n\nUsage:\n  kisim {}\n\nFlags:\n{}", fmt::join(wrap_text(help_.doc, 80), "\n"),
                                help_.usage, flags_text());
  if (!help_.examples.empty()) out += "\nExamples:\n" + help_.examples;
  return out;
}

std::string CommandLine::unknown_flag(const std::string& flag) const {
  std::vector<std::string> names;
  for (const auto& option : flags_.options()) names.push_back("--" + option->long_name());
  return fmt::format("unknown flag '{}'.{}", flag, did_you_mean(flag, names));
}

bool CommandLine::parse(const Arguments& arguments, Arguments& positional) {
  po::options_description all;
  all.add(flags_).add_options()("positional", po::value(&positional));
  po::positional_options_description positions;
  positions.add("positional", -1);
  try {
    const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    po::store(po::command_line_parser(arguments).options(all).positional(positions).style(style).run(), values);
    if (values.count("help")) {
      print(help_text());
      return false;
    }
    po::notify(values);
  } catch (const po::unknown_option& error) {
    throw UsageError(unknown_flag(error.get_option_name()));
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return true;
}

void check_choice(const std::string& what, const std::string& value, const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  throw UsageError(fmt::format("{}: found '{}', allowed: {}.{}", what, value, fmt::join(allowed, ", "),
                               did_you_mean(value, allowed)));
}

uint64_t seed_flag(const std::string& text) {
  try {
    return parse_seed(text);
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("--seed: {}", e.what()));
  }
}

std::vector<uint64_t> seeds_flag(const std::string& text) {
  try {
    return parse_seeds(text);
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("--seeds: {}", e.what()));
  }
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string near = closest(word, candidates);
  return near.empty() ? "" : fmt::format(" Did you mean '{}'?", near);
}

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "written by a signal handler");

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = true; };
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void print(const std::string& text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) == 0 && written) return;
  throw IoError("cannot write standard output: " + std::generic_category().message(errno));
}

void print_error(const std::string& message) { std::fprintf(stderr, "error: %s\n", message.c_str()); }

void print_warnings(const std::vector<std::string>& warnings, size_t shown) {
  for (size_t i = 0; i < std::min(warnings.size(), shown); ++i)
    std::fprintf(stderr, "warning: %s\n", warnings[i].c_str());
  if (warnings.size() > shown)
    std::fprintf(stderr, "warning: and %zu more; -o json lists all %zu\n", warnings.size() - shown, warnings.size());
}

TextStyle output_style() {
  constexpr size_t kNarrowest = 40;
  TextStyle style;
  const char* columns = std::getenv("COLUMNS");
  const std::optional<int64_t> wanted = parse_int64(columns ? columns : "");
  if (wanted && *wanted > 0) style.width = std::max(static_cast<size_t>(*wanted), kNarrowest);
  if (!isatty(STDOUT_FILENO)) return style;
  const char *no_colour = std::getenv("NO_COLOR"), *terminal = std::getenv("TERM");
  style.colour = (!no_colour || *no_colour == '\0') && (!terminal || std::string(terminal) != "dumb");
  winsize size{};
  if (!columns && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    style.width = std::max<size_t>(size.ws_col, kNarrowest);
  return style;
}

}  // namespace kisim::app
