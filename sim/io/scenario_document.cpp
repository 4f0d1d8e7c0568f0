#include "io/scenario_document.hpp"

#include "io/scenario_fields.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

namespace kisim {

namespace {

using Kind = Value::Kind;
namespace fs = std::filesystem;

constexpr size_t kMaxIncludeDepth = 16;
constexpr const char* kSetPrefix = "--set ";

[[noreturn]] void fail(const SourceMark& mark, const std::string& field, const std::string& message) {
  throw InputError({Severity::Error, mark, field, message});
}

bool is_scenario(const Value& document) {
  const Value* kind = document.find("kind");
  return kind && kind->kind == Kind::Scalar && kind->text == "Scenario";
}

// The declaration of the value that a walk through the document has reached, if it has one. Opens entries of a
// draft that nobody reads.
class Place {
 public:
  explicit Place(Fields fields) : fields_(std::move(fields)) {}
  Place() = default;

  Place below(const std::string& key) const {
    const Field* field = fields_ ? fields_->find(key) : nullptr;
    if (by_name_) return inside(*by_name_, key);
    if (!field) return {};
    const Nested* nested = std::get_if<Nested>(&field->target);
    Place place = nested && nested->shape == Nested::Shape::One ? inside(*nested, "") : Place();
    if (nested && nested->shape == Nested::Shape::ByName) place.by_name_ = *nested;
    if (nested && nested->shape == Nested::Shape::OneOf) place = inside(*nested, ""), place.one_key_ = true;
    if (field->is_number()) place.one_key_ = true;
    return place;
  }

  // A choice, where a new key replaces the old one: a traffic pattern, a distribution.
  bool one_key() const { return one_key_; }
  // The field that a value stands for which is no mapping, or "".
  const std::string& shorthand() const { return shorthand_; }

 private:
  static Place inside(const Nested& nested, const std::string& name) {
    Place place(nested.open(name, SourceMark()));
    place.shorthand_ = nested.shorthand;
    return place;
  }

  std::optional<Fields> fields_;
  std::optional<Nested> by_name_;
  std::string shorthand_;
  bool one_key_ = false;
};

// --------------------------------------------------------------------------------------------------------- includes

// Lays `base` beneath `top`: mappings are merged, anything else of `top` wins.
void merge_beneath(Value& top, const Value& base, const Place& place) {
  for (const Value::Member& member : base.members) {
    Value* mine = top.find(member.key);
    if (!mine && place.one_key() && !top.members.empty()) continue;
    if (!mine)
      top.members.push_back(member);
    else if (mine->kind == Kind::Null)
      *mine = member.value;
    else if (mine->kind == Kind::Mapping && member.value.kind == Kind::Mapping)
      merge_beneath(*mine, member.value, place.below(member.key));
  }
}

class Includer {
 public:
  // Takes the Scenario out of `documents`; the others become manifests.
  Value take_scenario(std::vector<Value> documents, const std::string& name) {
    std::vector<Value> found;
    for (Value& document : documents) (is_scenario(document) ? found : manifests).push_back(std::move(document));
    if (found.empty()) fail({name}, "", "found no document of kind Scenario, needed: one with apiVersion kisim.dev/v1");
    if (found.size() > 1) fail(found[1].mark(), "kind", "found a second Scenario, allowed: one");
    return std::move(found[0]);
  }

  void include(Value& root) {
    Value* spec = root.find("spec");
    const Value* listed = spec ? spec->find("include") : nullptr;
    if (!listed) return;
    std::vector<Value> files = listed->kind == Kind::Sequence ? listed->items : std::vector<Value>{*listed};
    std::erase_if(spec->members, [](const Value::Member& member) { return member.key == "include"; });
    // The last named lies right beneath this file, the first at the bottom.
    for (size_t i = files.size(); i-- > 0;) include_file(*spec, files[i]);
  }

  std::vector<Value> manifests;

 private:
  void include_file(Value& spec, const Value& file_name) {
    const std::string field = "spec.include";
    if (file_name.kind != Kind::Scalar)
      fail(file_name.mark(), field, fmt::format("found {}, allowed: a file name", file_name.describe()));
    std::string path = resolve_path(file_name);
    std::error_code error;
    if (!fs::exists(path, error))
      fail(file_name.mark(), field, fmt::format("found '{}', which does not exist ({})", file_name.text, path));
    std::string identity = fs::weakly_canonical(path, error).string();
    if (std::find(open_.begin(), open_.end(), identity) != open_.end())
      fail(file_name.mark(), field, fmt::format("found '{}', which includes itself", file_name.text));
    if (open_.size() >= kMaxIncludeDepth)
      fail(file_name.mark(), field, fmt::format("includes are nested deeper than {}", kMaxIncludeDepth));

    open_.push_back(identity);
    size_t known_manifests = manifests.size();
    Value base = take_scenario(read_yaml(path), path);
    // Included twice, over two ways: its objects exist once.
    if (!included_.insert(identity).second) manifests.resize(known_manifests);
    include(base);
    open_.pop_back();
    const Value* base_spec = base.find("spec");
    if (!base_spec) return;
    ScenarioDraft draft;
    merge_beneath(spec, *base_spec, Place(declare(draft)).below("spec"));
  }

  std::vector<std::string> open_;
  std::set<std::string> included_;
};

// -------------------------------------------------------------------------------------------------------- overrides

struct Segment {
  std::string name;
  bool index = false;  // written as [2]
};

constexpr size_t kMaxSegments = 32;

// "faults[0].at" -> faults, [0], at. Nothing if a part is empty, a bracket stands alone or there are too many parts.
std::optional<std::vector<Segment>> split_path(const std::string& path) {
  std::vector<Segment> segments;
  for (size_t at = 0; at <= path.size();) {
    size_t end = std::min(path.find_first_of(".[", at), path.size());
    bool after_index = end == at && !segments.empty() && segments.back().index;
    if (end == at && !after_index) return {};
    if (end > at) segments.push_back({path.substr(at, end - at), false});
    while (end < path.size() && path[end] == '[') {
      size_t close = path.find(']', end);
      if (close == std::string::npos || close == end + 1) return {};
      segments.push_back({path.substr(end + 1, close - end - 1), true});
      end = close + 1;
    }
    if (end < path.size() && path[end] != '.') return {};
    at = end + 1;
  }
  if (segments.size() > kMaxSegments) return {};
  return segments;
}

void set_origin(Value& value, const std::shared_ptr<const std::string>& file) {
  value.file = file;
  value.line = value.column = 0;
  for (Value& item : value.items) set_origin(item, file);
  for (Value::Member& member : value.members) {
    member.line = member.column = 0;
    set_origin(member.value, file);
  }
}

class Override {
 public:
  Override(const std::string& path, const std::string& text)
      : path_(path), mark_{kSetPrefix + path + "=" + text}, file_(std::make_shared<const std::string>(mark_.file)) {
    auto segments = split_path(path);
    if (!segments)
      fail(fmt::format("found the path '{}', allowed: names and indices such as traffic.chat.timeout or faults[0].at",
                       path));
    segments_ = std::move(*segments);
    std::vector<Value> documents = parse_yaml(text, mark_.file);
    if (documents.size() > 1) fail("found more than one YAML document as the value");
    if (!documents.empty()) value_ = std::move(documents[0]);
    set_origin(value_, file_);
  }

  void apply(Value& spec) {
    expand_trace(spec);
    ScenarioDraft draft;
    Place place = Place(declare(draft)).below("spec");
    Value* at = &spec;
    for (const Segment& segment : segments_) {
      at = at->kind == Kind::Sequence ? &item(*at, segment) : &member(*at, segment, place);
      place = place.below(segment.name);
    }
    *at = value_;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { kisim::fail(mark_, "spec." + path_, message); }

  // traffic.trace is short for the only source's trace.
  void expand_trace(const Value& spec) {
    if (segments_.size() < 2 || segments_[0].name != "traffic" || segments_[1].name != "trace") return;
    const Value* traffic = spec.find("traffic");
    if (traffic && traffic->find("trace")) return;
    size_t sources = traffic ? traffic->members.size() : 0;
    if (sources == 0) fail("found no traffic source to give the trace to");
    std::vector<std::string> choices;
    for (const Value::Member& source : traffic->members) choices.push_back("traffic." + source.key + ".trace");
    if (sources > 1) fail(fmt::format("found {} traffic sources, allowed: {}", sources, fmt::join(choices, ", ")));
    segments_.insert(segments_.begin() + 1, {traffic->members[0].key, false});
  }

  Value& item(Value& list, const Segment& segment) const {
    size_t index = 0;
    const char* end = segment.name.data() + segment.name.size();
    auto result = std::from_chars(segment.name.data(), end, index);
    if (result.ec == std::errc() && result.ptr == end && index < list.items.size()) return list.items[index];
    if (list.items.empty()) fail(fmt::format("found the index '{}' into an empty list", segment.name));
    fail(fmt::format("found the index '{}', allowed: 0 to {}", segment.name, list.items.size() - 1));
  }

  Value& member(Value& parent, const Segment& segment, const Place& place) const {
    if (segment.index)
      fail(fmt::format("found the index '[{}]' into {}, allowed: an index into a list", segment.name,
                       parent.describe()));
    if (parent.kind == Kind::Scalar) open_scalar(parent, segment, place);
    if (parent.kind == Kind::Null) parent = mapping();
    if (Value* found = parent.find(segment.name)) return *found;
    if (place.one_key()) parent.members.clear();
    parent.members.push_back({segment.name, 0, 0, {}});
    parent.members.back().value.file = file_;
    return parent.members.back().value;
  }

  // `pattern: {constant: 20/s}` has room for constant.rate, and `timeout: 60s` for a distribution.
  void open_scalar(Value& parent, const Segment& segment, const Place& place) const {
    if (place.shorthand().empty() && !place.one_key())
      fail(fmt::format("found {} where '{}' would go, allowed: a mapping", parent.describe(), segment.name));
    Value opened = mapping();
    if (!place.one_key()) opened.members.push_back({place.shorthand(), 0, 0, std::move(parent)});
    parent = std::move(opened);
  }

  Value mapping() const {
    Value value;
    value.kind = Kind::Mapping;
    value.file = file_;
    return value;
  }

  std::string path_;
  SourceMark mark_;
  std::shared_ptr<const std::string> file_;
  std::vector<Segment> segments_;
  Value value_;
};

// The spec of `root`, made if there is none; anything but a mapping is left to the reader to complain about.
Value* spec_of(Value& root) {
  Value* spec = root.find("spec");
  if (!spec) {
    root.members.push_back({"spec", root.line, root.column, {}});
    spec = &root.members.back().value;
  }
  if (spec->kind == Kind::Null) {
    *spec = Value();
    spec->kind = Kind::Mapping;
    spec->file = root.file;
    spec->line = root.line;
    spec->column = root.column;
  }
  return spec->kind == Kind::Mapping ? spec : nullptr;
}

}  // namespace

ScenarioDocument assemble_scenario(std::vector<Value> documents, const std::string& name, const ReadOptions& options) {
  Includer includer;
  Value root = includer.take_scenario(std::move(documents), name);
  if (options.files) includer.include(root);
  Value* spec = spec_of(root);
  for (const auto& [path, text] : options.overrides)
    if (Override override(path, text); spec) override.apply(*spec);
  if (options.seed && spec) Override("seed", std::to_string(*options.seed)).apply(*spec);
  return {std::move(root), std::move(includer.manifests)};
}

std::string resolve_path(const Value& file_name) {
  fs::path path = file_name.text;
  const std::string& holder = file_name.file ? *file_name.file : "";
  bool beside = path.is_relative() && holder.rfind(kSetPrefix, 0) != 0;
  return beside ? (fs::path(holder).parent_path() / path).string() : path.string();
}

}  // namespace kisim
