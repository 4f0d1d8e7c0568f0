#include "kube/image_puller.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "kubelet";
// A registry that is down refuses the connection; the runtime tries a few times.
constexpr Duration kFailureTakes = 1_s;
// Of pods whose workload says nothing of its start: the default of imageBandwidth, in bytes/s.
constexpr double kDefaultBandwidth = 500e6;
constexpr double kLongestSeconds = 1e9;  // more than any run
constexpr double kLargestImage = 9e18;   // keeps the conversion to int64 in range

Duration transfer(double bytes, double rate) {
  if (bytes <= 0) return {};
  double seconds = rate > 0 ? bytes / rate : kLongestSeconds;
  return Duration::seconds(std::clamp(seconds, 0.0, kLongestSeconds));
}

bool says_nothing(const Distribution& d, double value) { return d.is_constant() && d.mean() == value; }

// An image's full name, as container runtimes know it (distribution/reference, ParseDockerRef): "nginx" is
// docker.io/library/nginx:latest; a digest goes before a tag.
std::string image_reference(std::string name) {
  size_t slash = name.find('/');
  std::string domain = slash == name.npos ? "" : name.substr(0, slash);
  bool has_domain = domain.find_first_of(".:") != domain.npos || domain == "localhost";
  if (has_domain && domain == "index.docker.io") name.replace(0, slash, domain = "docker.io");
  if (!has_domain) name.insert(0, "docker.io/");
  constexpr size_t kHub = std::string_view("docker.io/").size();
  bool on_hub = !has_domain || domain == "docker.io";
  if (on_hub && name.find('/', kHub) == name.npos) name.insert(kHub, "library/");
  size_t digest = name.find('@');
  if (digest == name.npos) return normalized_image_name(name);
  size_t tag = name.rfind(':', digest);
  if (tag != name.npos && tag > name.rfind('/', digest)) name.erase(tag, digest - tag);
  return name;
}

// As Go prints a time.Duration, cut to milliseconds: "1m2.5s", "490ms".
std::string go_text(Duration d) {
  int64_t ms = d.ns / 1'000'000;
  if (ms == 0) return "0s";
  if (ms < 1000) return fmt::format("{}ms", ms);
  std::string fraction = ms % 1000 == 0 ? "" : fmt::format(".{:03}", ms % 1000);
  while (fraction.ends_with('0')) fraction.pop_back();
  int64_t seconds = ms / 1000;
  std::string out = fmt::format("{}{}s", seconds % 60, fraction);
  if (seconds >= 60) out = fmt::format("{}m{}", seconds / 60 % 60, out);
  if (seconds >= 3600) out = fmt::format("{}h{}", seconds / 3600, out);
  return out;
}

}  // namespace

ImagePuller::ImagePuller(const KubeModel& model, KubeState& state, Cluster& cluster, ApiServer& api, Engine& engine,
                         uint16_t pulled)
    : model_(model), state_(state), cluster_(cluster), api_(api), engine_(engine), pulled_(pulled) {
  const ClusterModel& c = cluster_.model;
  std::map<std::string, uint32_t> first;
  for (size_t i = 0; i < c.images.size(); ++i)
    same_.push_back(first.try_emplace(image_reference(c.images[i]), static_cast<uint32_t>(i)).first->second);
  bytes_.resize(c.images.size());
  for (const NodeModel& node : c.nodes)
    for (const NodeModel::Image& i : node.images)
      if (int64_t& known = bytes_[same_[i.image]]; known == 0) known = i.bytes;
}

void ImagePuller::fill_disk(NodeId node) {
  std::vector<uint8_t>& disk = state_.nodes[node].images;
  disk.assign(same_.size(), 0);
  for (const NodeModel::Image& i : cluster_.model.nodes[node].images) disk[same_[i.image]] = 1;
}

size_t ImagePuller::places(PodId pod) const {
  const PodSpec& spec = api_.template_of(pod).spec;
  return spec.init_containers.size() + spec.containers.size();
}

size_t ImagePuller::first_container(PodId pod) const { return api_.template_of(pod).spec.init_containers.size(); }

const Container& ImagePuller::container(PodId pod, size_t place) const {
  const PodSpec& spec = api_.template_of(pod).spec;
  size_t init = spec.init_containers.size();
  return place < init ? spec.init_containers[place] : spec.containers[place - init];
}

// PodTemplateModel::images has the init containers last.
uint32_t ImagePuller::image(PodId pod, size_t place) const {
  const PodTemplateModel& t = api_.template_of(pod);
  size_t init = t.spec.init_containers.size();
  return same_[t.images[place < init ? t.spec.containers.size() + place : place - init]];
}

// The stream is addressed by the pod, so drawing again gives the same numbers and nothing needs to be kept.
ImagePull ImagePuller::pull_of(PodId id, size_t place) const {
  const PodStartup& startup = model_.workloads[cluster_.state.pods[id].workload].startup;
  Stream stream(model_.seed, cluster_.pod_entity(id), Purpose::Startup);
  double bytes = startup.image_bytes.draw(stream), rate = startup.image_bandwidth.draw(stream);
  bool sized = !says_nothing(startup.image_bytes, 0);
  uint32_t i = image(id, place);
  if (place != first_container(id) || !sized) bytes = static_cast<double>(bytes_[i]);
  if (!sized && says_nothing(startup.image_bandwidth, 1)) rate = kDefaultBandwidth;
  if (startup.slowdown != 1) rate /= startup.slowdown;
  auto whole = static_cast<int64_t>(std::clamp(bytes, 0.0, kLargestImage));
  ImagePull pull{id, static_cast<uint32_t>(place), i, whole, transfer(bytes, rate)};
  pull.asked = engine_.now();
  return pull;
}

ImagePuller::Answer ImagePuller::ensure(PodId id, size_t place) {
  NodeId node = cluster_.state.pods[id].node;
  KubeletState& kubelet = state_.nodes[node];
  const Container& c = container(id, place);
  bool present = kubelet.images[image(id, place)] != 0;
  if (present && c.image_pull_policy != ImagePullPolicy::Always) {
    tell_present(id, place);
    return Answer::Present;
  }
  if (c.image_pull_policy == ImagePullPolicy::Never) {
    KubeletPod& record = kubelet.record(id);
    if (record.waiting == "ErrImageNeverPull") return Answer::NeverPull;
    record.waiting = "ErrImageNeverPull";
    api_.pod_event(id, KubeEvent::Type::Warning, "ErrImageNeverPull", kComponent, [&] {
      return fmt::format("Container image \"{}\" is not present with pull policy of Never", c.image);
    });
    api_.note(id, KubeEvent::Type::Warning, "Failed", kComponent,
              [] { return std::string("Error: ErrImageNeverPull"); });
    return Answer::NeverPull;
  }
  if (retry_at(id, place) > engine_.now()) return Answer::BackOff;
  api_.note(id, KubeEvent::Type::Normal, "Pulling", kComponent,
            [&] { return fmt::format("Pulling image \"{}\"", c.image); });
  kubelet.pulls.push_back(pull_of(id, place));
  if (kubelet.pulls.size() > 1 || !begin_next(node)) return Answer::Queued;
  take_pulled(node);
  return Answer::Present;
}

Time ImagePuller::retry_at(PodId id, size_t place) const {
  const KubeletPod* record = state_.nodes[cluster_.state.pods[id].node].find(id);
  if (!record) return {};
  for (const KubeletPod::Image& i : record->images)
    if (i.image == image(id, place)) return i.back_off.updated + i.back_off.delay;
  return {};
}

bool ImagePuller::registry_fails() const {
  for (size_t i = 0; i < state_.faults.size(); ++i)
    if (state_.faults[i].active && model_.faults[i].kind == Fault::Kind::RegistryFailure) return true;
  return false;
}

double ImagePuller::registry_slowness() const {
  double factor = 1;
  for (size_t i = 0; i < state_.faults.size(); ++i)
    if (state_.faults[i].active && model_.faults[i].kind == Fault::Kind::RegistrySlow)
      factor *= model_.faults[i].factor;
  return factor;
}

Duration ImagePuller::time_of(const ImagePull& pull) const {
  NodeId node = cluster_.state.pods[pull.pod].node;
  if (state_.nodes[node].images[pull.image] != 0) return {};  // somebody has fetched it in the meantime
  double slowness = registry_slowness();
  if (slowness == 1) return pull.lasts;
  return Duration::seconds(std::min(pull.lasts.to_seconds() * slowness, kLongestSeconds));
}

bool ImagePuller::begin_next(NodeId node) {
  KubeletState& kubelet = state_.nodes[node];
  if (kubelet.pulls.empty() || kubelet.pull_end) return false;
  ImagePull& pull = kubelet.pulls.front();
  pull.began = engine_.now();
  kubelet.pull_fails = registry_fails();
  Duration lasts = kubelet.pull_fails ? kFailureTakes : time_of(pull);
  if (lasts.ns == 0) return true;
  kubelet.pull_end = engine_.schedule(engine_.now() + lasts, Priority::Completion, pulled_, node.value);
  return false;
}

ImagePuller::Pulled ImagePuller::take_pulled(NodeId node) {
  KubeletState& kubelet = state_.nodes[node];
  kubelet.pull_end = {};
  ImagePull pull = kubelet.pulls.front();
  kubelet.pulls.erase(kubelet.pulls.begin());
  bool failed = std::exchange(kubelet.pull_fails, false);
  bool wanted = is_active(cluster_.state.pods[pull.pod].phase);
  if (!failed) kubelet.images[pull.image] = 1;
  if (wanted && failed) back_off(pull);
  if (wanted && !failed) tell_pulled(pull);
  return {pull.pod, pull.place, failed};
}

void ImagePuller::back_off(const ImagePull& pull) {
  KubeletPod& record = state_.nodes[cluster_.state.pods[pull.pod].node].record(pull.pod);
  auto known = std::find_if(record.images.begin(), record.images.end(),
                            [&](const KubeletPod::Image& i) { return i.image == pull.image; });
  if (known == record.images.end()) known = record.images.insert(known, {pull.image, {}});
  known->back_off.next(engine_.now(), engine_.now());
  record.waiting = "ImagePullBackOff";
  const std::string& name = container(pull.pod, pull.place).image;
  api_.pod_event(pull.pod, KubeEvent::Type::Warning, "Failed", kComponent, [&] {
    return fmt::format("Failed to pull image \"{0}\": failed to pull and unpack image \"{0}\": connection refused",
                       name);
  });
  api_.note(pull.pod, KubeEvent::Type::Warning, "Failed", kComponent,
            [] { return std::string("Error: ErrImagePull"); });
  api_.pod_event(pull.pod, KubeEvent::Type::Normal, "BackOff", kComponent,
                 [&] { return fmt::format("Back-off pulling image \"{}\"", name); });
  api_.note(pull.pod, KubeEvent::Type::Warning, "Failed", kComponent,
            [] { return std::string("Error: ImagePullBackOff"); });
}

void ImagePuller::tell_present(PodId id, size_t place) const {
  api_.note(id, KubeEvent::Type::Normal, "Pulled", kComponent, [&] {
    return fmt::format("Container image \"{}\" already present on machine{}", container(id, place).image,
                       model_.minor >= 35 ? " and can be accessed by the pod" : "");
  });
}

void ImagePuller::tell_pulled(const ImagePull& pull) const {
  api_.note(pull.pod, KubeEvent::Type::Normal, "Pulled", kComponent, [&] {
    std::string size = pull.bytes > 0 ? fmt::format(" Image size: {} bytes.", pull.bytes) : "";  // 0: nobody knows
    return fmt::format("Successfully pulled image \"{}\" in {} ({} including waiting).{}",
                       container(pull.pod, pull.place).image, go_text(engine_.now() - pull.began),
                       go_text(engine_.now() - pull.asked), size);
  });
}

void ImagePuller::stop(NodeId node) {
  KubeletState& kubelet = state_.nodes[node];
  engine_.cancel(kubelet.pull_end);
  kubelet.pulls.clear();
  kubelet.pull_fails = false;
}

}  // namespace kisim
