#pragma once
// Between a writer that reads the tensors of a run where they stand and the optimizer that wants to change
// them: a parameter may be updated once the writer has read its weight, its moments and its average.

#include <condition_variable>
#include <mutex>
#include <vector>

namespace vitrail {

class UpdateGate {
 public:
  // `readings[p]`: how many tensors of parameter p will be read, gradients apart; `gradients`: how many of
  // those. Not while another writer reads.
  void close(std::vector<int> readings, int gradients);

  // By the writer, from any thread:
  void release(std::size_t parameter);
  void release_gradient();
  void open();  // nothing is read any more

  // By the trainer. Takes the free ones out of `parameters` and returns them, in their order; waits until
  // there is one.
  std::vector<std::size_t> take_free(std::vector<std::size_t>& parameters);
  void await_gradients();
  double seconds_waited() const { return seconds_waited_; }

 private:
  bool is_free(std::size_t parameter) const { return readings_.empty() || readings_[parameter] == 0; }
  template <class Condition>
  void await(std::unique_lock<std::mutex>& lock, const Condition& condition);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> readings_;  // empty: open
  int gradients_ = 0;
  double seconds_waited_ = 0;  // of the trainer's thread alone
};

}  // namespace vitrail
