#pragma once
// How fast a training job runs beside another one on a GPU that they share, from measured pairs.
//
// s = log(speed of a job beside its neighbour / its speed alone) is a Gaussian process over (job, neighbour)
// (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, ch. 2): a pair is as alike another one as the
// jobs are and as the neighbours are,
//   cov(s(a, b), s(a', b')) = v·(1 + w·(k(a, a') + k(b, b')) + k(a, a')·k(b, b'))
//   k(a, a') = f·exp(-½(Δlog₂ speed alone/l)²) + (1 - f)·[same family]·exp(-½(Δlog₂ batch size/l)²)
// with the mean and the variance v of the training pairs, noise of n·v, and the fixed w = 0.3, f = 0.2, l = 3
// doublings, n = 0.1: nothing else is chosen by looking at the data. A job of a family that was never seen is judged by
// its speed alone.

#include <string>
#include <vector>

namespace kisim {

struct SharingJob {
  std::string family;
  double batch_size = 0;  // 0: it has none
  double rate = 0;        // steps per second, alone
};

struct SharedSpeed {
  SharingJob job, neighbour;
  double speed = 0;  // of the job, as a share of its rate alone
};

class InterferenceModel {
 public:
  // Precondition: at least two pairs, speeds above 0.
  explicit InterferenceModel(std::vector<SharedSpeed> pairs);
  // At most 1.
  double speed(const SharingJob& job, const SharingJob& neighbour) const;

 private:
  std::vector<SharedSpeed> pairs_;
  std::vector<double> weights_;  // by pair
  double mean_ = 0, variance_ = 0;
};

}  // namespace kisim
