#include "core/error.hpp"
#include "io/decimal_time.hpp"
#include "io/input.hpp"
#include "serving/kv_cache.hpp"
#include "shared_data.hpp"

#include <zlib.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <numeric>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

std::shared_ptr<const TraceColumns> parse(const std::string& text, const TraceFormat& format = {},
                                          const std::string& name = "t.csv") {
  return parse_trace(text, name, format, {"scenario.yaml", 3, 5});
}

TraceFormat with_unit(const std::string& unit) {
  TraceFormat format;
  format.time_unit = unit;
  return format;
}

// A file in the temporary directory that goes away with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name) : path_(std::filesystem::temp_directory_path() / ("kisim-" + name)) {}
  ~TemporaryFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  std::string read() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path path_;
};

void write_gzip(const std::string& path, const std::string& text) {
  gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(file);
  REQUIRE(gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
  gzclose(file);
}

}  // namespace

TEST_CASE("times are read exactly") {
  struct Row {
    const char* text;
    TimeUnit unit;
    int64_t ns;  // -1: refused
  };
  using U = TimeUnit;
  const Row rows[] = {
      {"0", U::Seconds, 0},
      {"1.5", U::Seconds, 1'500'000'000},
      {".25", U::Seconds, 250'000'000},
      {"3.", U::Seconds, 3'000'000'000},
      {"0.1", U::Seconds, 100'000'000},
      {"1700000000.123456789", U::Seconds, 1'700'000'000'123'456'789},
      {"0.0000000004", U::Seconds, 0},
      {"0.0000000005", U::Seconds, 1},
      {"0.00000000049999999999999999999999", U::Seconds, 0},
      {"1.25e3", U::Seconds, 1'250'000'000'000},
      {"1E+2", U::Seconds, 100'000'000'000},
      {"125e-2", U::Seconds, 1'250'000'000},
      {"1e-300", U::Seconds, 0},
      {"1.5", U::Milliseconds, 1'500'000},
      {"1.5", U::Microseconds, 1'500},
      {"9223372036854775807", U::Nanoseconds, INT64_MAX},
      {"9223372036854775808", U::Nanoseconds, -1},
      {"9223372037", U::Seconds, -1},
      {"1e300", U::Seconds, -1},
      {"99999999999999999999999", U::Nanoseconds, -1},
      {"-1", U::Seconds, -1},
      {"+1", U::Seconds, -1},
      {"", U::Seconds, -1},
      {".", U::Seconds, -1},
      {"1.2.3", U::Seconds, -1},
      {"1e", U::Seconds, -1},
      {"1e+-2", U::Seconds, -1},
      {"nan", U::Seconds, -1},
      {"inf", U::Seconds, -1},
      {"0x10", U::Seconds, -1},
      {"1970-01-01 00:00:00", U::Datetime, 0},
      {"1970-01-02T00:00:00.5", U::Datetime, 86'400'500'000'000},
      {"2000-02-29 00:00:00", U::Datetime, 951'782'400'000'000'000},
      {"2023-11-16 18:15:46.6805900", U::Datetime, 1'700'158'546'680'590'000},
      {"2023-11-16T18:15:46.6805900Z", U::Datetime, 1'700'158'546'680'590'000},
      {"2024-05-10 00:00:00.009930+00:00", U::Datetime, 1'715'299'200'009'930'000},
      {"2024-05-10 02:00:00+02:00", U::Datetime, 1'715'299'200'000'000'000},
      {"2024-12-31 23:59:59.9999999996", U::Datetime, 1'735'689'600'000'000'000},
      {"2261-12-31 23:59:59", U::Datetime, 9'214'646'399'000'000'000},
      {"2262-01-01 00:00:00", U::Datetime, -1},
      {"1969-12-31 23:59:59", U::Datetime, -1},
      {"1970-01-01 00:00:00+01:00", U::Datetime, -1},
      {"2023-02-29 00:00:00", U::Datetime, -1},
      {"2100-02-29 00:00:00", U::Datetime, -1},
      {"2023-13-01 00:00:00", U::Datetime, -1},
      {"2023-00-01 00:00:00", U::Datetime, -1},
      {"2023-01-00 00:00:00", U::Datetime, -1},
      {"2023-11-16 24:00:00", U::Datetime, -1},
      {"2023-11-16 18:60:00", U::Datetime, -1},
      {"2023-11-16 18:15:60", U::Datetime, -1},
      {"2023-11-16 18:15:46.", U::Datetime, -1},
      {"2023-11-16 18:15", U::Datetime, -1},
      {"2023-11-16", U::Datetime, -1},
      {"16/11/2023 18:15:46", U::Datetime, -1},
      {"2023-11-16 18:15:46 UTC", U::Datetime, -1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(parse_time(row.text, row.unit).value_or(-1) == row.ns);
  }
}

TEST_CASE("CSV: quotes, CRLF, comments, other columns, no final newline") {
  auto trace = parse(
      "\xef\xbb\xbf# made by hand\r\n"
      "\r\n"
      "id, output ,\"time\",prompt,note\r\n"
      "a,10,0.5,\"100\",\"says \"\"hi\"\", twice\"\r\n"
      "# in between\r\n"
      "b,20, 1.25 ,200,\"two\r\nlines\"\r\n"
      "c,0,1.25,0,");
  CHECK(trace->time_ns == std::vector<int64_t>{0, 750'000'000, 750'000'000});
  CHECK(trace->prompt_tokens == std::vector<int32_t>{100, 200, 0});
  CHECK(trace->output_tokens == std::vector<int32_t>{10, 20, 0});
}

TEST_CASE("columns and units can be mapped") {
  TraceFormat format{"csv", "at", "in", "out", "ms"};
  auto trace = parse("at,in,out\n100,1,2\n350,3,4\n", format);
  CHECK(trace->time_ns == std::vector<int64_t>{0, 250'000'000});
  CHECK(trace->prompt_tokens == std::vector<int32_t>{1, 3});
}

TEST_CASE("rows are sorted by time, stably") {
  auto trace = parse("time,prompt,output\n2,1,1\n1,2,1\n2,3,1\n1,4,1\n");
  CHECK(trace->time_ns == std::vector<int64_t>{0, 0, 1'000'000'000, 1'000'000'000});
  CHECK(trace->prompt_tokens == std::vector<int32_t>{2, 4, 1, 3});
}

TEST_CASE("JSON Lines are read by name, extension or their first character") {
  const std::string text =
      "{\"time\": 0.1, \"prompt\": 10, \"output\": 5, \"tags\": {\"time\": [1, 2]}}\n"
      "\n"
      "{\"output\":7,\"prompt\":20,\"time\":\"0.35\"}\r\n"
      "{\"output\":8,\"prompt\":30,\"time\":1e0}";
  TraceFormat named;
  named.name = "jsonl";
  for (auto& trace : {parse(text), parse(text, named), parse(text, {}, "t.jsonl.gz")}) {
    CHECK(trace->time_ns == std::vector<int64_t>{0, 250'000'000, 900'000'000});
    CHECK(trace->prompt_tokens == std::vector<int32_t>{10, 20, 30});
    CHECK(trace->output_tokens == std::vector<int32_t>{5, 7, 8});
  }
}

TEST_CASE("the Azure format is told by its header") {
  auto trace = parse(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
      "2023-11-16 18:15:50.9951690,396,109");
  CHECK(trace->time_ns == std::vector<int64_t>{0, 4'314'579'000});
  CHECK(trace->output_tokens == std::vector<int32_t>{44, 109});
}

TEST_CASE("a bad trace is refused with file, line and column") {
  const std::string head = "time,prompt,output\n";
  struct Row {
    std::string text, message;
  };
  const Row rows[] = {
      {"", "t.csv:1:1: empty: a trace needs a header and at least one row"},
      {"\n\n# nothing\n", "t.csv:1:1: empty"},
      {head, "t.csv:1:1: no rows: a trace needs at least one request"},
      {"time,prompt\n1,2\n", "t.csv:1:1: output: no such column; found 'time', 'prompt'"},
      {head + "1,2,3\n-1,2,3\n", "t.csv:3:1: time: found '-1', allowed: a number of seconds of at least 0"},
      {head + "NaN,2,3\n", "t.csv:2:1: time: found 'NaN', allowed"},
      {head + "inf,2,3\n", "t.csv:2:1: time: found 'inf', allowed"},
      {head + "1,2.5,3\n", "t.csv:2:3: prompt: found '2.5', allowed: a whole number from 0 to 2147483647"},
      {head + "1,-2,3\n", "t.csv:2:3: prompt: found '-2'"},
      {head + "1,2,2147483648\n", "t.csv:2:5: output: found '2147483648'"},
      {head + "1,2,99999999999999999999\n", "t.csv:2:5: output: found"},
      {head + "1,2,\n", "t.csv:2:5: output: found ''"},
      {head + "1,2\n", "t.csv:2:1: found 2 cells, the header has 3"},
      {head + "1,2,3,4\n", "t.csv:2:1: found 4 cells, the header has 3"},
      {head + "1,2,\"3\n", "t.csv:2:5: found a quoted cell without its closing quote"},
      {head + "1,2,\"3\"x\n", "t.csv:2:8: found text after a closing quote"},
      {head + "1,2,\"x\"\"y\"\n", "output: found 'x\"y'"},
      {head + std::string("1,\0,2\n", 6), "t.csv:2:1: found a binary file"},
      {"\x1f\x8b\x08garbage", "no such column"},
      {"TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-31 00:00:00,1,1\r\n",
       "t.csv:2:1: TIMESTAMP: found '2023-11-31 00:00:00', allowed: a datetime"},
      {"{\"time\": 1, \"prompt\": 2, \"output\": 3}\n{\"time\": -1, \"prompt\": 2, \"output\": 3}\n",
       "t.csv:2:10: time: found '-1', allowed"},
      {"{\"time\": 1, \"prompt\": 2}\n", "t.csv:1:1: output: missing: required in every row"},
      {"{\"time\": 1, \"prompt\": [2], \"output\": 3}\n", "t.csv:1:23: prompt: found 'a list or an object'"},
      {"{\"time\": 1, \"prompt\": null, \"output\": 3}\n", "t.csv:1:23: prompt: found 'null'"},
      {"{\"time\": 1,\n", "t.csv:1:12: found text that is no JSON object"},
      {"{\"time\": 1, \"prompt\": 2, \"output\": 3}\n[1]\n", "t.csv:2:1: found no JSON object"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK_THROWS_AS(parse(row.text), InputError);
    CHECK_THROWS_WITH(parse(row.text), Contains(row.message));
  }
  CHECK_THROWS_WITH(parse(head + "1,2,3\n", {"xml"}),
                    "scenario.yaml:3:5: format: found 'xml', allowed: auto, azure, csv, jsonl, mooncake");
  CHECK_THROWS_WITH(parse(head + "1,2,3\n", with_unit("min")),
                    "scenario.yaml:3:5: timeUnit: found 'min', allowed: s, ms, us, ns, datetime");
}

TEST_CASE("several bad cells are told at once, but not thousands") {
  std::string text = "time,prompt,output\n1,x,y\n";
  try {
    parse(text);
    FAIL("accepted");
  } catch (const InputError& error) {
    CHECK(error.diagnostics().size() == 2);
  }
  for (int i = 0; i < 1000; ++i) text += "1,x,y\n";
  try {
    parse(text);
    FAIL("accepted");
  } catch (const InputError& error) {
    CHECK(error.diagnostics().size() == 10);
  }
}

TEST_CASE("the made sample is read") {
  auto trace = read_trace(KISIM_ROOT "/traces/sample.csv", {}, {});
  CHECK(trace->time_ns.size() == 200);
  CHECK(trace->time_ns.front() == 0);
  CHECK(trace->prompt_tokens.front() > 0);
}

TEST_CASE("gzip: whole, cut off, damaged, and only called so") {
  TemporaryFile file("trace-test.csv.gz");
  std::string text = "time,prompt,output\n";
  for (int i = 0; i < 5000; ++i) text += std::to_string(i) + "," + std::to_string(i * 7919 % 4001) + ",3\n";
  write_gzip(file.path(), text);
  std::string bytes = file.read();
  REQUIRE(bytes.size() < text.size());
  CHECK(read_trace(file.path(), {}, {})->time_ns.size() == 5000);

  for (size_t keep : {bytes.size() - 1, bytes.size() - 8, bytes.size() / 2, size_t{30}}) {
    CAPTURE(keep);
    file.write(bytes.substr(0, keep));
    CHECK_THROWS_AS(read_trace(file.path(), {}, {}), InputError);
    CHECK_THROWS_WITH(read_trace(file.path(), {}, {}), Contains(file.path()) && Contains("damaged or cut off"));
  }
  file.write(bytes.substr(0, 30));
  CHECK_THROWS_WITH(read_trace(file.path(), {}, {}),
                    Contains(file.path() + ":1:1: the gzip file is damaged or cut off"));
  file.write(bytes.substr(0, bytes.size() - 1));
  CHECK_THROWS_WITH(read_trace(file.path(), {}, {}), Contains(file.path() + ":5002:1: "));
  file.write(bytes + bytes);  // two members are one text, here with a header in the middle
  CHECK_THROWS_WITH(read_trace(file.path(), {}, {}), Contains(file.path() + ":5002:1: time: found 'time'"));
  file.write(bytes + "more");
  CHECK_THROWS_AS(read_trace(file.path(), {}, {}), InputError);
  CHECK_THROWS_WITH(read_trace(file.path(), {}, {}),
                    Contains(file.path() + ":5002:1: found other data after the end of the gzip file"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
  file.write(bytes);
  CHECK_THROWS_AS(read_trace(file.path(), {}, {}), InputError);

  file.write("time,prompt,output\n1,2,3\n");
  CHECK(read_trace(file.path(), {}, {})->time_ns.size() == 1);
}

TEST_CASE("a trace that cannot be read names who asked for it") {
  SourceMark mark{"scenario.yaml", 12, 20};
  CHECK_THROWS_AS(read_trace("/nonexistent/trace.csv", {}, mark), IoError);
  CHECK_THROWS_WITH(read_trace("/nonexistent/trace.csv", {}, mark),
                    Contains("scenario.yaml:12:20") && Contains("cannot read '/nonexistent/trace.csv'"));
  CHECK_THROWS_AS(read_trace(std::filesystem::temp_directory_path().string(), {}, mark), IoError);
}

TEST_CASE("the Azure conversation trace is read whole") {
  std::string path = shared_file("data/traces/azure-llm-2023/AzureLLMInferenceTrace_conv.csv");
  if (path.empty()) return;
  auto trace = read_trace(path, {}, {});
  REQUIRE(trace->time_ns.size() == 19366);
  CHECK(trace->time_ns.front() == 0);
  CHECK(trace->prompt_tokens.front() == 374);
  CHECK(trace->output_tokens.front() == 44);
  CHECK(trace->prompt_tokens.back() == 197);
  CHECK(trace->output_tokens.back() == 183);
  CHECK(trace->time_ns.back() == 3'501'721'937'000);
  CHECK(std::is_sorted(trace->time_ns.begin(), trace->time_ns.end()));
  CHECK(std::accumulate(trace->prompt_tokens.begin(), trace->prompt_tokens.end(), int64_t{0}) == 22'361'870);
  CHECK(std::accumulate(trace->output_tokens.begin(), trace->output_tokens.end(), int64_t{0}) == 4'088'665);

  TraceFormat azure;
  azure.name = "azure";
  CHECK(read_trace(path, azure, {})->time_ns == trace->time_ns);
}

TEST_CASE("a Mooncake trace is told by its members, with the ids of its blocks", "[traces]") {
  const std::string text =
      "{\"timestamp\": 3000, \"input_length\": 700, \"output_length\": 7, \"hash_ids\": [5, 9]}\n"
      "{\"timestamp\": 1000, \"input_length\": 512, \"output_length\": 8, \"hash_ids\": [5]}\n"
      "{\"timestamp\": 2000, \"input_length\": 3, \"output_length\": 9, \"hash_ids\": []}\n";
  auto trace = parse(text, {}, "t.jsonl");
  CHECK(trace->time_ns == std::vector<int64_t>{0, 1'000'000'000, 2'000'000'000});
  CHECK(trace->prompt_tokens == std::vector<int32_t>{512, 3, 700});
  CHECK(trace->ids == std::vector<uint32_t>{5, 5, 9});
  CHECK(trace->first_id == std::vector<uint32_t>{0, 1, 1, 3});
  CHECK(trace->id_tokens == 512);

  TraceFormat plain{"jsonl", "timestamp", "input_length", "output_length", "ms"};
  CHECK(parse(text, plain, "t.jsonl")->first_id.empty());
  plain.ids = "hash_ids";
  plain.id_tokens = 128;
  CHECK_THROWS_WITH(parse("{\"timestamp\": 0, \"input_length\": 129, \"output_length\": 1, \"hash_ids\": [1, 2, 3]}",
                          plain, "t.jsonl"),
                    Contains("t.jsonl:1:71: hash_ids: found 3 ids of 128 tokens for a prompt of 129"));
  for (const char* bad : {"7", "[-1]", "[1, \"a\"]", "[[1]]", "[4294967296]", "null"})
    CHECK_THROWS_WITH(
        parse("{\"timestamp\": 0, \"input_length\": 900, \"output_length\": 1, \"hash_ids\": " + std::string(bad) + "}",
              plain, "t.jsonl"),
        Contains("hash_ids: found no list of block ids"));
}

// The known bound of the conversation trace: 182,790 of 288,500 blocks come for the first time.
TEST_CASE("an infinite cache of the Mooncake trace gives its reuse, smaller ones less and less", "[traces]") {
  const std::string path = shared_file("data/traces/mooncake/conversation_trace.jsonl.gz");
  if (path.empty()) return;
  auto trace = read_trace(path, {}, {});
  REQUIRE(trace->time_ns.size() == 12031);
  CHECK(trace->ids.size() == 288500);
  auto hits = [&](int64_t blocks) {
    KvCache cache(blocks);
    int64_t found = 0;
    for (size_t row = 0; row < trace->time_ns.size(); ++row) {
      const uint32_t first = trace->first_id[row], count = trace->first_id[row + 1] - first;
      const PromptIdentity identity{trace->ids.data() + first, count, trace->id_tokens, 0, row + 1};
      const KvPath blocks_of(identity, int64_t{count} * trace->id_tokens,
                             trace->id_tokens);  // partial last blocks count, too
      found += cache.find(blocks_of, count).blocks;
      cache.keep(blocks_of, count);
    }
    return found;
  };
  CHECK(hits(288500) == 288500 - 182790);
  int64_t before = 0;
  for (int64_t blocks : {300, 1000, 3000, 10000, 30000, 100000}) {
    const int64_t found = hits(blocks);
    CHECK(found > before);
    before = found;
  }
  CHECK(before < 288500 - 182790);
}
