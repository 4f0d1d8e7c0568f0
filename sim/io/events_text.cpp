#include "io/events_text.hpp"

#include "io/humanize.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <set>

namespace kisim {

namespace {

std::string lower(std::string_view text) {
  std::string out;
  for (char c : text) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// "5m (x3 over 20m)"
std::string last_seen(const EventLog::Entry& entry, Time now) {
  std::string age = age_text(now - entry.event.at);
  return entry.count == 1 ? age : fmt::format("{} (x{} over {})", age, entry.count, age_text(now - entry.first));
}

}  // namespace

// apimachinery, pkg/util/duration, HumanDuration.
std::string age_text(Duration age) {
  int64_t s = std::max<int64_t>(0, age.ns / 1'000'000'000), m = s / 60, h = s / 3600, d = h / 24;
  auto two = [](int64_t large, const char* unit, int64_t small, const char* smaller) {
    return small == 0 ? fmt::format("{}{}", large, unit) : fmt::format("{}{}{}{}", large, unit, small, smaller);
  };
  if (s < 120) return fmt::format("{}s", s);
  if (m < 10) return two(m, "m", s % 60, "s");
  if (m < 180) return fmt::format("{}m", m);
  if (h < 8) return two(h, "h", m % 60, "m");
  if (h < 48) return fmt::format("{}h", h);
  if (h < 192) return two(d, "d", h % 24, "h");
  return fmt::format("{}d", d);
}

std::string events_table(const EventLog& log, Time now, bool wide, const TextStyle& style) {
  std::vector<const EventLog::Entry*> entries;
  std::set<std::string> namespaces;
  for (const EventLog::Entry& entry : log.entries()) {
    entries.push_back(&entry);
    namespaces.insert(entry.event.namespace_);
  }
  if (entries.empty()) return "No events found.\n";
  std::stable_sort(entries.begin(), entries.end(),
                   [](const EventLog::Entry* a, const EventLog::Entry* b) { return a->event.at < b->event.at; });
  bool spaces = namespaces.size() > 1;
  std::vector<TextColumn> columns;
  if (spaces) columns.push_back({"NAMESPACE"});
  if (wide)
    for (const char* header : {"FIRST", "LAST", "COUNT"}) columns.push_back({header, true});
  else
    columns.push_back({"LAST SEEN"});
  for (const char* header : {"TYPE", "REASON", "OBJECT"}) columns.push_back({header});
  if (wide) columns.push_back({"SOURCE"});
  columns.push_back({"MESSAGE"});
  TextTable table(columns);
  for (const EventLog::Entry* entry : entries) {
    const KubeEvent& e = entry->event;
    std::vector<std::string> cells;
    if (spaces) cells.emplace_back(e.namespace_);
    if (wide)
      for (Time t : {entry->first, e.at}) cells.push_back(human_clock(t.to_seconds()));
    cells.push_back(wide ? fmt::to_string(entry->count) : last_seen(*entry, now));
    cells.push_back(e.type == KubeEvent::Type::Normal ? "Normal" : "Warning");
    cells.emplace_back(e.reason);
    cells.push_back(fmt::format("{}/{}", lower(e.kind), e.name));
    if (wide) cells.emplace_back(e.component);
    cells.emplace_back(e.message);
    table.row(std::move(cells));
  }
  // A message is one line however long, as kubectl has it: it is what people search for.
  TextStyle unwrapped = style;
  unwrapped.width = std::numeric_limits<int32_t>::max();
  std::string out = table.text(unwrapped);
  if (log.dropped() > 0) out += fmt::format("\n{} further events were not kept.\n", log.dropped());
  return out;
}

}  // namespace kisim
