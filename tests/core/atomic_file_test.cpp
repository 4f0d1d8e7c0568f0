#include "core/atomic_file.hpp"

#include "core/error.hpp"
#include "folder.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

using namespace kisim;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("a text file replaces a file, through links too") {
  test::Folder folder;
  const fs::path file = folder.path("file"), link = folder.path("link"), dangling = folder.path("dangling");
  write_file(file, "one");
  write_file(file, "two");
  CHECK(text_of(file) == "two");
  fs::create_symlink("file", link);
  write_file(link, "three");
  CHECK(fs::is_symlink(link));
  CHECK(text_of(file) == "three");
  fs::create_symlink("new", dangling);
  write_file(dangling, "four");
  CHECK(fs::is_symlink(dangling));
  CHECK(text_of(folder.path("new")) == "four");
  CHECK(std::distance(fs::directory_iterator(folder.path("")), {}) == 4);
}

TEST_CASE("what is no file is left alone") {
  test::Folder folder;
  const fs::path pipe = folder.path("pipe"), below = folder.path("below"), link = folder.path("link");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  fs::create_directory(below);
  fs::create_symlink("pipe", link);
  CHECK_THROWS_WITH(write_file(pipe, "x"), Contains("found a device or a pipe, allowed: a file"));
  CHECK_THROWS_AS(write_file(link, "x"), IoError);
  CHECK_THROWS_WITH(write_file(below, "x"), Contains("found a directory, allowed: a file"));
  CHECK_THROWS_AS(PartFile(pipe), IoError);
  CHECK(fs::is_fifo(pipe));
  CHECK(fs::is_symlink(link));
  CHECK(std::distance(fs::directory_iterator(folder.path("")), {}) == 3);
}

TEST_CASE("a part file that was not finished goes away") {
  test::Folder folder;
  const fs::path file = folder.path("file");
  {
    PartFile part(file);
    std::ofstream(part.part_path()) << "half";
  }
  CHECK(fs::is_empty(folder.path("")));
}
