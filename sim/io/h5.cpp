#include "io/h5.hpp"

#include "core/error.hpp"

#include <hdf5.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <utility>

namespace kisim::h5 {
namespace {

static_assert(std::is_same_v<hid_t, int64_t>);

// HDF5's own cleaning up at exit would try again, and complain, after a failed write; its error stack would be printed
// on stderr. Both are turned off once, before its first use.
void initialise() {
  static std::once_flag once;
  std::call_once(once, [] {
    H5dont_atexit();
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  });
}

// The innermost entry of HDF5's error stack: the system's reason where there is one, else HDF5's own words.
std::string reason() {
  std::string text = "HDF5 error";
  auto take = [](unsigned n, const H5E_error2_t* entry, void* out) -> herr_t {
    if (n == 0 && entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &text);

  static const std::string kMarker = "error message = '";
  size_t from = text.find(kMarker);
  if (from == std::string::npos) return text;
  from += kMarker.size();
  return text.substr(from, text.find('\'', from) - from);
}

// Closes an HDF5 id at the end of its scope.
class Id {
 public:
  using Close = herr_t (*)(hid_t);
  Id(hid_t id, Close close) : id_(id), close_(close) {}
  ~Id() { close_(id_); }
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

template <class T>
hid_t type_in_memory() {
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, uint8_t>) return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, uint32_t>) return H5T_NATIVE_UINT32;
  if constexpr (std::is_same_v<T, uint64_t>) return H5T_NATIVE_UINT64;
}

template <class T>
hid_t type_in_file() {
  if constexpr (std::is_same_v<T, double>) return H5T_IEEE_F64LE;
  if constexpr (std::is_same_v<T, int32_t>) return H5T_STD_I32LE;
  if constexpr (std::is_same_v<T, uint8_t>) return H5T_STD_U8LE;
  if constexpr (std::is_same_v<T, uint32_t>) return H5T_STD_U32LE;
  if constexpr (std::is_same_v<T, uint64_t>) return H5T_STD_U64LE;
}

// Fixed length, at least 1: HDF5 knows no empty type.
hid_t make_text_type(size_t length) {
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, std::max<size_t>(length, 1));
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

hid_t make_link_properties() {
  hid_t properties = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(properties, 1);
  return properties;
}

// Time stamps would make equal files differ.
hid_t make_properties(hid_t of_class) {
  hid_t properties = H5Pcreate(of_class);
  H5Pset_obj_track_times(properties, false);
  return properties;
}

// Texts side by side in cells of equal length.
std::pair<std::string, size_t> pack(const std::vector<std::string>& texts) {
  size_t length = 1;
  for (const std::string& text : texts) length = std::max(length, text.size());
  std::string cells;
  for (const std::string& text : texts) cells += text + std::string(length - text.size(), '\0');
  return {cells, length};
}

}  // namespace

int64_t File::check(int64_t result) const {
  if (result < 0) throw IoError(fmt::format("cannot write {}: {}", shown_, reason()));
  return result;
}

File::File(const std::string& path, std::string shown) : shown_(std::move(shown)) {
  initialise();
  Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  id_ = check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
}

File::~File() {
  if (id_ >= 0) H5Fclose(id_);
}

void File::close() {
  check(H5Fflush(id_, H5F_SCOPE_GLOBAL));
  check(H5Fclose(std::exchange(id_, -1)));
}

void File::group(const std::string& path) {
  Id links(make_link_properties(), H5Pclose), properties(make_properties(H5P_GROUP_CREATE), H5Pclose);
  Id group(check(H5Gcreate2(id_, path.c_str(), links, properties, H5P_DEFAULT)), H5Gclose);
}

void File::attribute(const std::string& object, const std::string& name, const std::string& text) {
  Id type(make_text_type(text.size()), H5Tclose), space(H5Screate(H5S_SCALAR), H5Sclose);
  Id attribute(
      check(H5Acreate_by_name(id_, object.c_str(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)),
      H5Aclose);
  check(H5Awrite(attribute, type, text.c_str()));
}

void File::attribute(const std::string& object, const std::string& name, uint64_t number) {
  Id space(H5Screate(H5S_SCALAR), H5Sclose);
  Id attribute(check(H5Acreate_by_name(id_, object.c_str(), name.c_str(), H5T_STD_U64LE, space, H5P_DEFAULT,
                                       H5P_DEFAULT, H5P_DEFAULT)),
               H5Aclose);
  check(H5Awrite(attribute, H5T_NATIVE_UINT64, &number));
}

void File::attribute(const std::string& object, const std::string& name, const std::vector<std::string>& texts) {
  auto [cells, length] = pack(texts);
  const hsize_t size = texts.size();
  Id type(make_text_type(length), H5Tclose), space(H5Screate_simple(1, &size, nullptr), H5Sclose);
  Id attribute(
      check(H5Acreate_by_name(id_, object.c_str(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)),
      H5Aclose);
  if (size > 0) check(H5Awrite(attribute, type, cells.data()));
}

void File::text(const std::string& path, const std::string& text) {
  Id type(make_text_type(text.size()), H5Tclose), space(H5Screate(H5S_SCALAR), H5Sclose);
  Id links(make_link_properties(), H5Pclose), properties(make_properties(H5P_DATASET_CREATE), H5Pclose);
  Id data(check(H5Dcreate2(id_, path.c_str(), type, space, links, properties, H5P_DEFAULT)), H5Dclose);
  check(H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text.c_str()));
}

std::string read_text(const std::string& file, const std::string& path) {
  initialise();
  if (FILE* there = std::fopen(file.c_str(), "rb"))
    std::fclose(there);
  else
    throw IoError(fmt::format("cannot read '{}': {}", file, std::strerror(errno)));
  auto check = [&](int64_t result) {
    if (result < 0) throw IoError(fmt::format("cannot read '{}': it is no run.h5 (no {} in it)", file, path));
    return result;
  };
  Id id(check(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)), H5Fclose);
  Id data(check(H5Dopen2(id, path.c_str(), H5P_DEFAULT)), H5Dclose);
  Id type(check(H5Dget_type(data)), H5Tclose);
  if (H5Tget_class(type) != H5T_STRING) check(-1);
  std::string out(H5Tget_size(type), '\0');
  check(H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()));
  while (!out.empty() && out.back() == '\0') out.pop_back();
  return out;
}

void File::texts(const std::string& path, const std::vector<std::string>& texts) {
  auto [cells, length] = pack(texts);
  const hsize_t size = texts.size();
  Id type(make_text_type(length), H5Tclose), space(H5Screate_simple(1, &size, nullptr), H5Sclose);
  Id links(make_link_properties(), H5Pclose), properties(make_properties(H5P_DATASET_CREATE), H5Pclose);
  if (size > 0) {
    const hsize_t chunk = std::min<hsize_t>(size, kChunk);
    H5Pset_chunk(properties, 1, &chunk);
    H5Pset_deflate(properties, 4);
  }
  Id data(check(H5Dcreate2(id_, path.c_str(), type, space, links, properties, H5P_DEFAULT)), H5Dclose);
  if (size > 0) check(H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, cells.data()));
}

template <class T>
void File::create_column(const std::string& path, size_t chunk) {
  const hsize_t size = 0, most = H5S_UNLIMITED, chunk_size = chunk;
  Id space(H5Screate_simple(1, &size, &most), H5Sclose);
  Id links(make_link_properties(), H5Pclose), properties(make_properties(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(properties, 1, &chunk_size);
  H5Pset_shuffle(properties);
  H5Pset_deflate(properties, 4);
  Id data(check(H5Dcreate2(id_, path.c_str(), type_in_file<T>(), space, links, properties, H5P_DEFAULT)), H5Dclose);
}

template <class T>
void File::append(const std::string& path, const std::vector<T>& values) {
  Id data(check(H5Dopen2(id_, path.c_str(), H5P_DEFAULT)), H5Dclose);
  hsize_t start = 0;
  {
    Id space(check(H5Dget_space(data)), H5Sclose);
    H5Sget_simple_extent_dims(space, &start, nullptr);
  }
  const hsize_t count = values.size(), end = start + count;
  check(H5Dset_extent(data, &end));
  Id space(check(H5Dget_space(data)), H5Sclose), memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, nullptr, &count, nullptr);
  check(H5Dwrite(data, type_in_memory<T>(), memory, space, H5P_DEFAULT, values.data()));
}

#define KISIM_H5_COLUMN(T)                                          \
  template void File::create_column<T>(const std::string&, size_t); \
  template void File::append<T>(const std::string&, const std::vector<T>&)
KISIM_H5_COLUMN(double);
KISIM_H5_COLUMN(int32_t);
KISIM_H5_COLUMN(uint8_t);
KISIM_H5_COLUMN(uint32_t);
KISIM_H5_COLUMN(uint64_t);
#undef KISIM_H5_COLUMN

}  // namespace kisim::h5
