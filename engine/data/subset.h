#pragma once
// Part of a dataset, and the division of one into two.

#include <memory>
#include <vector>

#include "engine/data/dataset.h"

namespace vitrail {

class Subset : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<std::int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  std::int64_t size() const override { return std::ssize(indices_); }
  std::int64_t label(std::int64_t index) const override { return whole_->label(at(index)); }
  std::string name(std::int64_t index) const override { return whole_->name(at(index)); }
  Image load(std::int64_t index, std::int64_t channels) const override {
    return whole_->load(at(index), channels);
  }
  void load_into(std::int64_t index, std::int64_t channels, Image& image) const override {
    whole_->load_into(at(index), channels, image);
  }

 private:
  std::int64_t at(std::int64_t index) const { return indices_[static_cast<std::size_t>(index)]; }

  std::shared_ptr<const Dataset> whole_;
  std::vector<std::int64_t> indices_;
};

struct TrainAndVal {
  std::shared_ptr<const Dataset> train, val;
};

// Sets aside round(val_fraction · n) of each class's n images, at least one and not all of them where n ≥ 2,
// chosen by (seed, class); both parts keep the order. Throws ConfigError when val_fraction is not inside (0,
// 1), DataError when nothing can be set aside.
TrainAndVal split_by_class(std::shared_ptr<const Dataset> whole, std::int64_t classes,
                           const DataOptions& options);

}  // namespace vitrail
