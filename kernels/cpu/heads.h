#pragma once
// What attention does alike in every dtype: the rows of one sample and head inside qkv and y, and how such
// pairs are cut into tasks.

#include "kernels/cpu/context.h"
#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/vec.h"

namespace vitrail::cpu::VITRAIL_ISA {

struct Heads {
  std::int64_t batch, tokens, heads, head_dim;
  std::int64_t dim() const { return heads * head_dim; }
  std::int64_t pairs() const { return batch * heads; }
};

inline Heads heads_of(const Shape& qkv, std::int64_t heads) {
  return {qkv.dims[0], qkv.dims[1], heads, qkv.dims[2] / 3 / heads};
}

// A sample and a head of it.
struct Pair {
  std::int64_t sample, head;
};

// Calls body(pair, next, worker) for each pair; `next` is the one that the same worker takes after it, or the
// same once more where that is not known. Pairs of fewer than `task_work` multiplications share a task.
template <class Body>
inline void each_pair(Context& context, const Heads& heads, std::int64_t task_work, const Body& body) {
  const std::int64_t work = 2 * heads.tokens * heads.tokens * heads.head_dim + 1;
  const std::int64_t group = greater(1, smaller(task_work / work, heads.pairs() / kWantedTasks));
  const auto at = [&](std::int64_t number) { return Pair{number / heads.heads, number % heads.heads}; };
  context.pool().parallel_for(divided_up(heads.pairs(), group), [&](std::int64_t index, int worker) {
    const std::int64_t end = smaller(heads.pairs(), (index + 1) * group);
    for (std::int64_t number = index * group; number < end; ++number)
      body(at(number), at(smaller(number + 1, end - 1)), worker);
  });
}

enum Part : int { kQuery, kKey, kValue };  // of qkv

template <class T, class View>
inline Rows<T> head_of(const View& qkv, const Heads& heads, const Pair& pair, Part part) {
  return {static_cast<T*>(qkv.data) + (pair.sample * heads.tokens * 3 + part) * heads.dim() +
              pair.head * heads.head_dim,
          3 * heads.dim()};
}

// Of y and dy, (batch, tokens, heads·head_dim).
template <class T, class View>
inline Rows<T> output_of(const View& y, const Heads& heads, const Pair& pair) {
  return {static_cast<T*>(y.data) + pair.sample * heads.tokens * heads.dim() + pair.head * heads.head_dim,
          heads.dim()};
}

// Of lse, (batch, heads, tokens).
template <class T, class View>
inline T* lse_of(const View& lse, const Heads& heads, const Pair& pair) {
  return static_cast<T*>(lse.data) + (pair.sample * heads.heads + pair.head) * heads.tokens;
}

// The largest of a row's scores; the row is padded to whole vectors.
template <class T>
inline T largest_score(const T* scores, std::int64_t tokens) {
  Vec<T> most = splat(scores[0]);
  each_vector<T>(tokens, [&](std::int64_t i, const auto& access) {
    most = larger<T>(most, access.only(load(scores + i), scores[0]));
  });
  return max_of<T>(most);
}

// One query's row of the mask.
template <class T>
inline void fill_mask(const DropoutMask<T>& dropout, const Heads& heads, const Pair& pair, std::int64_t query,
                      T* mask) {
  dropout.fill(mask, pair.sample, (pair.head * heads.tokens + query) * heads.tokens, heads.tokens);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
