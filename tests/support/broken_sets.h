#pragma once
// What can be wrong in an index or a shard: each a change to a good one, that rule V31 refuses.

#include <functional>

#include "tests/support/set_writer.h"

namespace vitrail::test {

using IndexChange = std::function<void(IndexScript&)>;
using ShardChange = std::function<void(ShardScript&)>;

// Slices that do not cover their tensor exactly once.
inline std::vector<IndexChange> uncovered_tensors() {
  return {
      [](IndexScript& s) { s.slices.erase(s.slices.begin()); },      // a cell is missing
      [](IndexScript& s) { s.slices.erase(s.slices.begin() + 3); },  // the last one
      [](IndexScript& s) { s.slices.pop_back(); },                   // a tensor without any
      [](IndexScript& s) { s.slices.erase(s.slices.begin() + 2, s.slices.begin() + 4); },  // a row of cells
      [](IndexScript& s) { std::swap(s.slices[0], s.slices[1]); },                         // order of starts
      [](IndexScript& s) { std::swap(s.slices[0], s.slices[4]); },                         // order of tensors
      [](IndexScript& s) {
        s.slices.push_back({2, 0, {4, 6}, {0, 0}});
      },  // twice
      [](IndexScript& s) {
        s.slices.push_back({3, 0, {4, 6}, {0, 0}});
      },                                                                   // of no tensor
      [](IndexScript& s) { s.slices[3].extents[1] = 5; },                  // over the edge
      [](IndexScript& s) { s.slices[3].extents[1] = 3; },                  // a hole
      [](IndexScript& s) { s.slices[3].start[0] = 0; },                    // two overlap
      [](IndexScript& s) { s.slices[0].extents[0] = 2; },                  // no grid
      [](IndexScript& s) { s.slices[1].extents[1] = ~std::uint64_t{0}; },  // a sum that wraps
      [](IndexScript& s) {
        s.slices[4].extents = {5, 6};
      },
      [](IndexScript& s) {
        s.slices[4].extents = {4, 6, 1};
      },  // behind the rank
      [](IndexScript& s) {
        s.slices[4].start = {0, 0, 1};
      },
      [](IndexScript& s) {
        s.slices[4].start = {1, 0};
      },
      [](IndexScript& s) {
        s.slices[4].extents = {0, 6};
      },
      [](IndexScript& s) {  // an empty cell beside a whole one
        s.slices[4].extents = {0, 6};
        s.slices.push_back({2, 0, {4, 6}, {0, 0}});
      },
      [](IndexScript& s) {  // two of a tensor without elements
        s.tensors[2].extents = s.slices[4].extents = {0, 6};
        s.slices.push_back({2, 0, {0, 6}, {0, 0}});
      },
      [](IndexScript& s) {  // in the middle of a byte
        s.tensors[0].type = s.tensors[1].type = 40;
        s.slices[0].extents[1] = s.slices[2].extents[1] = s.slices[1].start[1] = s.slices[3].start[1] = 3;
        s.slices[1].extents[1] = s.slices[3].extents[1] = 3;
      },
      [](IndexScript& s) { s.slices[1].shard = 3; },  // two of one tensor in one shard
      [](IndexScript& s) { s.slices[4].shard = 4; },  // in no shard
      [](IndexScript& s) { s.slices[4].reserved = 1; },
      [](IndexScript& s) { s.slices[2].tensor = 1; },  // of an alias
  };
}

// Shards and tensors that are listed wrongly.
inline std::vector<IndexChange> misdescribed_sets() {
  return {
      [](IndexScript& s) { s.shards = 5; },
      [](IndexScript& s) { s.shards = 0, s.files = {}, s.sizes = {}, s.hashes = 0; },
      [](IndexScript& s) { s.kind = 0; },
      [](IndexScript& s) { s.kind = 4; },
      [](IndexScript& s) { s.files.pop_back(); },
      [](IndexScript& s) { s.sizes.pop_back(); },
      [](IndexScript& s) { s.hashes = 3; },
      [](IndexScript& s) { s.files[1] = ""; },
      [](IndexScript& s) { s.files[1] = ".."; },
      [](IndexScript& s) { s.files[1] = "../x"; },
      [](IndexScript& s) { s.files[1] = std::string(256, 'x'); },
      [](IndexScript& s) { s.tensors[0].name = ""; },
      [](IndexScript& s) { s.tensors[1].name = std::string(1025, 't'); },
      [](IndexScript& s) { s.tensors[1].name = "a"; },
      [](IndexScript& s) { s.tensors[1].role = 17; },
      [](IndexScript& s) { s.tensors[2].type = 99; },
      [](IndexScript& s) { s.tensors[2].rank = 9; },
      [](IndexScript& s) {
        s.tensors[2].extents = {4, 6, 1};
      },
      [](IndexScript& s) {
        s.tensors[2].extents = {std::uint64_t{1} << 40, std::uint64_t{1} << 40};
      },
      [](IndexScript& s) { s.tensors[1].owner = 1; },
      [](IndexScript& s) { s.tensors[1].extents = {23}; },
      [](IndexScript& s) { s.tensors[1].type = 6; },
      [](IndexScript& s) { s.tensors[2].owner = 0, s.slices.pop_back(); },  // of another role
      [](IndexScript& s) { s.tensors[0].owner = 0; },
  };
}

// Slices that are not what the shard's directory says, or lie outside their tensor.
inline std::vector<ShardChange> misplaced_slices() {
  return {
      [](ShardScript& s) { s.slices[0].start[0] = 4; },
      [](ShardScript& s) { s.slices[0].start[0] = ~std::uint64_t{0}; },
      [](ShardScript& s) { s.slices[0].extents[0] = 1; },
      [](ShardScript& s) { s.slices[0].extents[0] = std::uint64_t{1} << 49; },
      [](ShardScript& s) {
        s.slices[0].extents = {5, 1};
      },
      [](ShardScript& s) {
        s.slices[0].start = {1, 1};
      },
      [](ShardScript& s) { s.slices[0].shard = 0; },
      [](ShardScript& s) { s.slices[0].reserved = 1; },
      [](ShardScript& s) { std::swap(s.slices[0], s.slices[1]); },
      [](ShardScript& s) { s.slices.pop_back(); },
      [](ShardScript& s) {
        s.slices.push_back({3, 1, {2}, {0}});
      },
      [](ShardScript& s) { s.shards = 1; },
      [](ShardScript& s) { s.shards = 65537; },
  };
}

}  // namespace vitrail::test
