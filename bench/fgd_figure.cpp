#include "fgd_figure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

// Pixels. The plot starts where the policies part.
constexpr double kWidth = 944, kHeight = 520, kLeft = 72, kRight = 288, kTop = 64, kBottom = 64;
constexpr size_t kFirst = 80, kLast = kFgdColumns - 1;
constexpr int kTick = 5;  // per cent

// Okabe and Ito's palette, which colour-blind readers can tell apart.
constexpr const char* kColours[] = {"#6b6b6b", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00"};

constexpr const char* kStyle = R"(
text { font-family: system-ui, 'Helvetica Neue', Arial, sans-serif; font-size: 13px; fill: #222; }
.title { font-size: 17px; font-weight: 600; }
.note { fill: #666; }
.number { text-anchor: end; }
.grid { stroke: #e3e3e3; }
.axis { stroke: #555; fill: none; }
.all { stroke: #9a9a9a; stroke-dasharray: 1 4; stroke-width: 1.5; fill: none; }
.ours { fill: none; stroke-width: 3.5; stroke-opacity: 0.55; stroke-linejoin: round; }
.published { fill: none; stroke-width: 1.3; stroke-dasharray: 6 4; }
)";

class Axes {
 public:
  explicit Axes(double lowest) : lowest_(std::floor(lowest / kTick) * kTick) {}

  double x(double requested) const {
    return kLeft + (requested - static_cast<double>(kFirst)) / static_cast<double>(kLast - kFirst) * plot_width();
  }
  double y(double allocated) const {
    return kHeight - kBottom - (allocated - lowest_) / (100 - lowest_) * plot_height();
  }
  int lowest() const { return static_cast<int>(lowest_); }
  static double plot_width() { return kWidth - kLeft - kRight; }
  static double plot_height() { return kHeight - kTop - kBottom; }

  std::string path(const FgdCurve& curve) const {
    std::string d;
    for (size_t i = kFirst; i <= kLast; ++i)
      d += fmt::format("{}{:.1f} {:.1f}", i == kFirst ? "M" : "L", x(static_cast<double>(i)), y(curve[i]));
    return d;
  }

 private:
  double lowest_;
};

std::string text(double x, double y, const std::string& words, const std::string& attributes = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, words);
}

std::string grid(const Axes& axes) {
  std::string svg;
  double bottom = axes.y(axes.lowest()), right = axes.x(kLast);
  for (int v = axes.lowest(); v <= 100; v += kTick) {
    svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", kLeft, axes.y(v), right);
    svg += text(kLeft - 10, axes.y(v) + 4.5, fmt::format("{} %", v), "class=\"number\"");
  }
  for (int v = kFirst; v <= static_cast<int>(kLast); v += 2 * kTick) {
    svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", axes.x(v), kTop, bottom);
    svg += text(axes.x(v), bottom + 20, fmt::format("{} %", v), "text-anchor=\"middle\"");
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n", kLeft, kTop, bottom, right);
  svg += text(kLeft + Axes::plot_width() / 2, kHeight - 20, "GPU requested by the pods that have arrived, of all GPU",
              "text-anchor=\"middle\"");
  double middle = kTop + Axes::plot_height() / 2;
  svg += text(0, 0, "GPU allocated, of all GPU",
              fmt::format("text-anchor=\"middle\" transform=\"translate(18 {:.1f}) rotate(-90)\"", middle));
  return svg;
}

// The upper right end, in the order in which the lines end.
std::string legend(const std::vector<FgdLine>& lines) {
  constexpr double kRow = 24;
  double left = kWidth - kRight + 24, y = kTop + 14;
  std::string svg = text(left + 36, y, "at 130 %", "class=\"note\"");
  svg +=
      text(left + 172, y, "kisim", "class=\"number note\"") + text(left + 252, y, "published", "class=\"number note\"");
  for (size_t i = lines.size(); i-- > 0;) {
    const FgdLine& line = lines[i];
    y += kRow;
    svg += fmt::format("<path class=\"ours\" stroke=\"{0}\" d=\"M{1} {2}h26\"/>\n", kColours[i], left, y - 4.5);
    svg += text(left + 36, y, line.policy);
    svg += text(left + 172, y, fmt::format("{:.2f} %", line.ours[kLast]), "class=\"number\"");
    if (line.published)
      svg += text(left + 252, y, fmt::format("{:.2f} %", (*line.published)[kLast]), "class=\"number\"");
  }
  struct Key {
    const char *style, *meaning;
  };
  y += kRow / 2;
  for (Key key : {Key{"ours", "kisim, mean of the seeds"}, Key{"published", "published, mean of 10 seeds"},
                  Key{"all", "every pod placed"}}) {
    y += kRow;
    svg += fmt::format("<path class=\"{}\" stroke=\"#222\" d=\"M{} {}h26\"/>\n", key.style, left, y - 4.5);
    svg += text(left + 36, y, key.meaning);
  }
  return svg;
}

}  // namespace

std::string fgd_figure(const std::string& trace, const std::vector<FgdLine>& lines) {
  double lowest = 100;
  for (const FgdLine& line : lines) lowest = std::min(lowest, *std::min_element(&line.ours[kFirst], line.ours.end()));
  Axes axes(lowest);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">\n"
      "<style>{2}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      kWidth, kHeight, kStyle);
  svg += text(kLeft, 30, "Allocated GPU by placement policy, openb trace “" + trace + "”", "class=\"title\"");
  svg += text(kLeft, 50, "pods that share GPUs, arriving in random order and never leaving", "class=\"note\"");
  svg += grid(axes);
  svg += fmt::format("<path class=\"all\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>\n",
                     axes.x(std::max<double>(kFirst, axes.lowest())), axes.y(std::max<double>(kFirst, axes.lowest())),
                     axes.x(100), axes.y(100));
  for (size_t i = 0; i < lines.size(); ++i)
    svg += fmt::format("<path class=\"ours\" stroke=\"{}\" d=\"{}\"/>\n", kColours[i], axes.path(lines[i].ours));
  for (size_t i = 0; i < lines.size(); ++i)
    if (lines[i].published)
      svg += fmt::format("<path class=\"published\" stroke=\"{}\" d=\"{}\"/>\n", kColours[i],
                         axes.path(*lines[i].published));
  return svg + legend(lines) + "</svg>\n";
}

}  // namespace kisim
