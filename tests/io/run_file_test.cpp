#include "io/run_file.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "io/output.hpp"
#include "sample_run.hpp"

#include <hdf5.h>
#include <sys/resource.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

// HDF5 keeps the buffers of a file that it could not write out.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

using namespace kisim;
namespace fs = std::filesystem;

namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = (fs::temp_directory_path() / "kisim-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Directory() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  bool empty() const { return fs::is_empty(path_); }

 private:
  fs::path path_;
};

// Reads back through the C API; ids are released with the file.
class Reader {
 public:
  explicit Reader(const std::string& path) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    file_ = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
    H5Pclose(access);
    REQUIRE(file_ >= 0);
  }
  ~Reader() { H5Fclose(file_); }

  std::vector<double> numbers(const std::string& path) const {
    hid_t data = open(path);
    std::vector<double> out(size(data));
    REQUIRE(H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()) >= 0);
    return out;
  }
  std::vector<std::string> texts(const std::string& path) const {
    hid_t data = open(path);
    return cells(H5Dget_type(data), size(data),
                 [&](hid_t type, char* out) { REQUIRE(H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0); });
  }
  std::vector<std::string> attributes(const std::string& object, const std::string& name) const {
    hid_t attribute = H5Aopen_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
    INFO(object << " " << name);
    REQUIRE(attribute >= 0);
    size_t count = static_cast<size_t>(H5Sget_simple_extent_npoints(H5Aget_space(attribute)));
    return cells(H5Aget_type(attribute), count,
                 [&](hid_t type, char* out) { REQUIRE(H5Aread(attribute, type, out) >= 0); });
  }
  uint64_t number(const std::string& object, const std::string& name) const {
    hid_t attribute = H5Aopen_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
    uint64_t out = 0;
    REQUIRE(H5Aread(attribute, H5T_NATIVE_UINT64, &out) >= 0);
    return out;
  }
  std::vector<hsize_t> chunk(const std::string& path) const {
    hsize_t out = 0;
    REQUIRE(H5Pget_chunk(H5Dget_create_plist(open(path)), 1, &out) == 1);
    return {out};
  }

 private:
  hid_t open(const std::string& path) const {
    hid_t data = H5Dopen2(file_, path.c_str(), H5P_DEFAULT);
    INFO(path);
    REQUIRE(data >= 0);
    return data;
  }
  static size_t size(hid_t data) { return static_cast<size_t>(H5Sget_simple_extent_npoints(H5Dget_space(data))); }
  template <class Read>
  static std::vector<std::string> cells(hid_t type, size_t count, Read read) {
    size_t length = H5Tget_size(type);
    std::string all(length * count, '\0');
    if (count > 0) read(type, all.data());
    std::vector<std::string> out;
    for (size_t i = 0; i < count; ++i) out.push_back(std::string(all.substr(i * length, length).c_str()));
    return out;
  }

  hid_t file_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write(const std::string& path) {
  RunFile file(path);
  file.finish(sample_scenario(), sample_summary(), sample_recorder());
}

RequestRecord row(uint64_t ordinal) {
  RequestRecord r;
  r.ordinal = ordinal;
  r.arrival_s = 0.25 * static_cast<double>(ordinal);
  r.prompt_tokens = static_cast<int32_t>(ordinal % 4096);
  // Noise that does not compress, so that a small limit is soon reached.
  r.e2e_s = static_cast<double>(mix64(ordinal)) * 0x1p-60;
  return r;
}

// A limit on the size of files stands for a full disk: the same path through HDF5, without a file system to fill.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

}  // namespace

TEST_CASE("run file: what was written can be read back") {
  Directory directory;
  const std::string path = directory.file("run.h5");
  write(path);
  CHECK_FALSE(fs::exists(path + ".part"));
  Reader file(path);

  CHECK(file.number("/meta", "format_version") == 1);
  CHECK(file.number("/meta", "seed") == 42);
  CHECK(file.attributes("/meta", "kisim_version")[0] == version());
  CHECK(file.attributes("/meta", "scenario")[0] == "quickstart");
  CHECK(file.attributes("/meta", "signature")[0] == "0123456789abcdef");
  CHECK(file.attributes("/meta", "scenario_hash")[0] == signature_text(hash_text(sample_scenario().text)));
  CHECK(file.texts("/scenario")[0] == sample_scenario().text);
  CHECK(file.texts("/summary")[0] == summary_json(sample_summary(), Measured::Without));

  const Recorder recorder = sample_recorder();
  const std::string arrived = "/series/kisim_requests_arrived_per_second/source=chat";
  CHECK(file.numbers(arrived + "/t") == recorder.series[0].t);
  CHECK(file.numbers(arrived + "/value") == recorder.series[0].value);
  CHECK(file.attributes(arrived, "unit")[0] == "1/s");
  CHECK(file.attributes(arrived, "labels")[0] == R"({"source":"chat"})");
  CHECK(file.numbers("/series/kisim_gpu_busy/all/value").size() == 480);
  CHECK(file.attributes("/series/kisim_requests_waiting/service=default%2Fllama", "labels")[0] ==
        R"({"service":"default/llama"})");

  CHECK(file.numbers("/requests/ordinal") == std::vector<double>{0, 1, 2, 3, 4});
  CHECK(file.numbers("/requests/outcome") == std::vector<double>{0, 0, 0, 3, 0});
  CHECK(std::isnan(file.numbers("/requests/ttft_s")[3]));
  CHECK(file.attributes("/requests/source", "names") == std::vector<std::string>{"chat"});
  CHECK(file.attributes("/requests/outcome", "names")[3] == "timed_out");
  CHECK(file.attributes("/requests/e2e_s", "unit")[0] == "s");

  CHECK(file.texts("/pods/name")[2] == "llama-ccccc");
  CHECK(file.texts("/pods/node")[5].empty());
  CHECK(file.numbers("/pods/ready")[1] == 648);
  CHECK(file.numbers("/scalings/to") == std::vector<double>{2, 2});
  CHECK(file.texts("/scalings/reason")[1] == "stabilized for 300 s; <below> target");
}

TEST_CASE("run file: metrics with Prometheus' colons and with slashes keep apart") {
  Directory directory;
  Recorder recorder(Record::None, nullptr);
  recorder.series.push_back({"vllm:waiting", "1", {{"pod", "a/b"}}, {1}, {2}});
  recorder.series.push_back({"vllm:waiting", "1", {{"pod", "a%2Fb"}}, {1}, {3}});
  {
    RunFile out(directory.file("run.h5"));
    out.finish(sample_scenario(), sample_summary(), recorder);
  }
  Reader file(directory.file("run.h5"));
  CHECK(file.numbers("/series/vllm%3Awaiting/pod=a%2Fb/value") == std::vector<double>{2});
  CHECK(file.numbers("/series/vllm%3Awaiting/pod=a%252Fb/value") == std::vector<double>{3});
  CHECK(file.attributes("/series/vllm%3Awaiting/pod=a%2Fb", "metric")[0] == "vllm:waiting");
}

TEST_CASE("run file: rows stream through in whole chunks") {
  Directory directory;
  const size_t rows = 2 * h5::kChunk + 123;
  {
    RunFile out(directory.file("run.h5"));
    for (size_t i = 0; i < rows; ++i) out.record(row(i));
    Recorder recorder(Record::None, nullptr);
    recorder.sources = {"chat"};
    out.finish(sample_scenario(), sample_summary(), recorder);
  }
  Reader file(directory.file("run.h5"));
  const std::vector<double> arrival = file.numbers("/requests/arrival_s");
  REQUIRE(arrival.size() == rows);
  CHECK(arrival[h5::kChunk] == 0.25 * h5::kChunk);
  CHECK(arrival.back() == 0.25 * static_cast<double>(rows - 1));
  CHECK(file.numbers("/requests/prompt_tokens")[5000] == 5000 % 4096);
  CHECK(file.chunk("/requests/e2e_s") == std::vector<hsize_t>{h5::kChunk});
}

TEST_CASE("run file: equal content is equal bytes, whatever the wall clock says") {
  Directory directory;
  write(directory.file("one.h5"));
  Summary slow = sample_summary();
  slow.wall_s *= 2;
  slow.peak_rss_bytes *= 2;
  while (std::time(nullptr) % 2 ==
         fs::last_write_time(directory.file("one.h5")).time_since_epoch().count() / 1'000'000'000 % 2) {
  }  // HDF5's time stamps have seconds: let one pass
  {
    RunFile out(directory.file("two.h5"));
    out.finish(sample_scenario(), slow, sample_recorder());
  }
  CHECK(bytes_of(directory.file("one.h5")) == bytes_of(directory.file("two.h5")));
}

TEST_CASE("run file: an unfinished file disappears") {
  Directory directory;
  {
    RunFile out(directory.file("run.h5"));
    out.record(row(0));
  }
  CHECK(directory.empty());
}

TEST_CASE("run file: a place that cannot be written is an error with its reason") {
  const std::string path = "/proc/kisim/run.h5";
  CHECK_THROWS_AS(RunFile(path), IoError);
  CHECK_THROWS_WITH(RunFile(path), "cannot write " + path + ": No such file or directory");
}

TEST_CASE("run file: a full disk leaves nothing behind, at the end or half-way") {
  Directory directory;
  const std::string path = directory.file("run.h5");
  const size_t rows = GENERATE(size_t{5}, 3 * h5::kChunk);
  {
    FileSizeLimit limit(rows == 5 ? 4096 : 300'000);
    RunFile out(path);
    for (size_t i = 0; i < rows; ++i) out.record(row(i));
    CHECK_THROWS_WITH(out.finish(sample_scenario(), sample_summary(), sample_recorder()),
                      "cannot write " + path + ": File too large");
  }
  CHECK(directory.empty());
}

TEST_CASE("run file: after a failure the next one works") {
  Directory directory;
  {
    FileSizeLimit limit(4096);
    RunFile out(directory.file("run.h5"));
    CHECK_THROWS_AS(out.finish(sample_scenario(), sample_summary(), sample_recorder()), IoError);
  }
  write(directory.file("run.h5"));
  CHECK(Reader(directory.file("run.h5")).number("/meta", "seed") == 42);
}
