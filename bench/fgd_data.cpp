#include "fgd_data.hpp"

#include "core/error.hpp"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

namespace kisim {

namespace fs = std::filesystem;

namespace {

const std::string kNodeList = "openb_node_list_gpu_node.csv";
const std::string kPodList = "openb_pod_list_";
constexpr int64_t kMiB = 1 << 20;

// A plain or gzip file. Throws IoError.
std::string read_text(const std::string& path) {
  std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw IoError(path + ": cannot be opened");
  std::string text;
  std::vector<char> chunk(1 << 16);
  for (;;) {
    int size = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    if (size < 0) throw IoError(path + ": cannot be decompressed");
    if (size == 0) return text;
    text.append(chunk.data(), static_cast<size_t>(size));
  }
}

// A table of unquoted cells under a header.
class CsvTable {
 public:
  explicit CsvTable(std::string path) : file_(std::move(path)), text_(read_text(file_)) {
    std::string_view rest = text_;
    for (int line = 1; !rest.empty(); ++line) {
      std::string_view row = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(row.size() + 1, rest.size()));
      if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
      if (!row.empty()) rows_.push_back({line, split(row)});
    }
    if (rows_.empty()) fail(1, 1, "", "found nothing, allowed: a header and rows");
    for (const Row& row : rows_)
      if (row.cells.size() != header().size())
        fail(row.line, 1, "", fmt::format("found {} cells, the header has {}", row.cells.size(), header().size()));
  }

  size_t rows() const { return rows_.size() - 1; }
  std::optional<size_t> find_column(std::string_view name) const {
    auto at = std::find(header().begin(), header().end(), name);
    return at == header().end() ? std::nullopt : std::optional<size_t>(at - header().begin());
  }
  size_t column(const std::string& name) const {
    if (std::optional<size_t> found = find_column(name)) return *found;
    fail(1, 1, name, "no such column");
  }
  std::string text(size_t row, size_t column) const { return std::string(cell(row, column)); }
  int64_t amount(size_t row, size_t column) const {
    auto value = number<int64_t>(row, column);
    if (value < 0) reject(row, column, "a whole number from 0");
    return value;
  }
  double real(size_t row, size_t column) const { return number<double>(row, column); }

 private:
  struct Row {
    int line = 0;
    std::vector<std::string_view> cells;
  };

  static std::vector<std::string_view> split(std::string_view row) {
    std::vector<std::string_view> cells;
    for (size_t begin = 0; begin <= row.size();) {
      size_t end = std::min(row.find(',', begin), row.size());
      cells.push_back(row.substr(begin, end - begin));
      begin = end + 1;
    }
    return cells;
  }

  const std::vector<std::string_view>& header() const { return rows_.front().cells; }
  std::string_view cell(size_t row, size_t column) const { return rows_[row + 1].cells[column]; }

  template <class Number>
  Number number(size_t row, size_t column) const {
    std::string_view text = cell(row, column);
    Number value{};
    auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || stop != text.data() + text.size()) reject(row, column, "a number");
    return value;
  }

  [[noreturn]] void reject(size_t row, size_t column, const std::string& allowed) const {
    const Row& bad = rows_[row + 1];
    auto at = static_cast<int>(bad.cells[column].data() - bad.cells.front().data());
    fail(bad.line, at + 1, text_of_header(column), fmt::format("found '{}', allowed: {}", bad.cells[column], allowed));
  }
  std::string text_of_header(size_t column) const { return std::string(header()[column]); }
  [[noreturn]] void fail(int line, int column, const std::string& field, const std::string& message) const {
    throw InputError({Severity::Error, {file_, line, column}, field, message});
  }

  std::string file_, text_;
  std::vector<Row> rows_;
};

std::vector<FgdNode> read_nodes(const std::string& path) {
  CsvTable table(path);
  size_t name = table.column("sn"), cpu = table.column("cpu_milli"), memory = table.column("memory_mib"),
         gpus = table.column("gpu"), model = table.column("model");
  std::vector<FgdNode> nodes;
  for (size_t r = 0; r < table.rows(); ++r)
    nodes.push_back({table.text(r, name), table.text(r, model), table.amount(r, cpu), table.amount(r, memory) * kMiB,
                     table.amount(r, gpus)});
  return nodes;
}

// Some lists have no column gpu_spec: their pods accept any model.
std::vector<FgdPod> read_pods(const std::string& path) {
  CsvTable table(path);
  size_t name = table.column("name"), cpu = table.column("cpu_milli"), memory = table.column("memory_mib"),
         gpus = table.column("num_gpu"), milli = table.column("gpu_milli");
  std::optional<size_t> models = table.find_column("gpu_spec");
  std::vector<FgdPod> pods;
  for (size_t r = 0; r < table.rows(); ++r)
    pods.push_back({table.text(r, name), models ? table.text(r, *models) : "", table.amount(r, cpu),
                    table.amount(r, memory) * kMiB, table.amount(r, gpus), table.amount(r, milli)});
  return pods;
}

std::string after(const std::string& text, const std::string& prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

FgdCurves read_curves(const std::string& path) {
  CsvTable table(path);
  size_t workload = table.column("workload"), policy = table.column("sc_policy");
  std::array<size_t, kFgdColumns> columns{};
  for (size_t i = 0; i < kFgdColumns; ++i) columns[i] = table.column(std::to_string(i));
  FgdCurves curves;
  for (size_t r = 0; r < table.rows(); ++r) {
    FgdCurve curve{};
    for (size_t i = 0; i < kFgdColumns; ++i) curve[i] = table.real(r, columns[i]);
    curves[{after(table.text(r, workload), kPodList), table.text(r, policy)}].push_back(curve);
  }
  return curves;
}

// The file, plain or compressed; nothing if it is not there.
std::optional<std::string> find(const fs::path& directory, const std::string& file) {
  for (const char* suffix : {"", ".gz"})
    if (fs::path path = directory / (file + suffix); fs::exists(path)) return path.string();
  return {};
}

// "default" of openb_pod_list_default.csv.gz; nothing for other files.
std::optional<std::string> trace_name(std::string file) {
  if (file.ends_with(".gz")) file.resize(file.size() - 3);
  if (!file.starts_with(kPodList) || !file.ends_with(".csv")) return {};
  return file.substr(kPodList.size(), file.size() - kPodList.size() - 4);
}

}  // namespace

FgdData read_fgd_data(const std::string& directory) {
  fs::path root = directory;
  if (!find(root, kNodeList) && find(root / "fgd", kNodeList)) root /= "fgd";
  std::optional<std::string> nodes = find(root, kNodeList);
  if (!nodes) throw IoError(fmt::format("{}: holds no {}", directory, kNodeList));

  FgdData data;
  data.nodes = read_nodes(*nodes);
  std::map<std::string, std::string> lists;
  for (const fs::directory_entry& entry : fs::directory_iterator(root))
    if (auto name = trace_name(entry.path().filename().string())) lists[*name] = entry.path().string();
  if (lists.empty()) throw IoError(fmt::format("{}: holds no {}<trace>.csv", root.string(), kPodList));
  for (const auto& [name, path] : lists) data.traces.push_back({name, read_pods(path)});
  std::stable_partition(data.traces.begin(), data.traces.end(), [](const FgdTrace& t) { return t.name == "default"; });
  if (auto path = find(root, "expected_allo.csv")) data.allocated = read_curves(*path);
  if (auto path = find(root, "expected_frag.csv")) data.fragmented = read_curves(*path);
  return data;
}

}  // namespace kisim
