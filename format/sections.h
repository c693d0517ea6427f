#pragma once
// Field ids of the metadata tables (SPEC.md, "Sections"). An id is never used again and never changes its
// type.

#include "format/message.h"

namespace vitrail::format::section {

using Id = Table::Id;

// Root table.
inline constexpr Id kProducer = 1, kModel = 2, kNames = 3, kTensors = 4, kChunkHashes = 5, kRoles = 6,
                    kOptimizer = 7, kSchedule = 8, kScaler = 9, kRng = 10, kDataOrder = 11, kHistory = 12,
                    kInput = 13, kProvenance = 14, kEma = 15, kSlices = 16, kShardSet = 17, kUser = 18,
                    kVolatile = 19;

namespace model {  // section 2
inline constexpr Id kArchitecture = 1, kName = 2, kImgSize = 3, kPatchSize = 4, kInChans = 5, kNumClasses = 6,
                    kEmbedDim = 7, kDepth = 8, kNumHeads = 9, kMlpDim = 10, kClassToken = 11, kDistToken = 12,
                    kRegTokens = 13, kNoEmbedClass = 14, kPreNorm = 15, kLayerScale = 16, kInitValues = 17,
                    kGlobalPool = 18, kFcNorm = 19, kGelu = 20, kNormEps = 21, kPatchBias = 22, kQkvBias = 23,
                    kProjBias = 24, kHeadBias = 25, kDropRate = 26, kPosDropRate = 27, kProjDropRate = 28,
                    kAttnDropRate = 29, kDropPathRate = 30, kDtype = 31, kWeightInit = 32;
}
namespace optimizer {  // section 7
inline constexpr Id kAlgorithm = 1, kStep = 2, kBeta1 = 3, kBeta2 = 4, kEps = 5, kClipNorm = 6, kGroups = 7;
// Of each group, tables with ids 0, 1, …:
inline constexpr Id kLrScale = 1, kWeightDecay = 2, kNameIndices = 3;
}  // namespace optimizer
namespace schedule {  // section 8
inline constexpr Id kKind = 1, kLr = 2, kMinLr = 3, kWarmupLr = 4, kWarmupSteps = 5, kTotalSteps = 6,
                    kStepEvery = 7, kGamma = 8, kStep = 9, kLrAtSave = 10;
}
namespace data_order {  // section 11
inline constexpr Id kSpec = 1, kFingerprint = 2, kSamples = 3, kEpoch = 4, kConsumed = 5, kPermutation = 6,
                    kSeed = 7, kBatch = 8, kAccumulate = 9, kMicro = 10, kStepLoss = 11, kEpochLoss = 12;
}
namespace history {  // section 12
inline constexpr Id kColumns = 1, kSteps = 2, kValues = 3;
}
namespace input {  // section 13
inline constexpr Id kSize = 1, kChannels = 2, kCropPct = 3, kInterpolation = 4, kMean = 5, kStd = 6,
                    kLabels = 7;
}
namespace provenance {  // section 14
inline constexpr Id kVersion = 1;
}
namespace ema {  // section 15
inline constexpr Id kDecay = 1, kWarmup = 2, kUpdates = 3;
}
namespace shard_set {  // section 17: of a shard 1 and 2, of an index all but 2
inline constexpr Id kShards = 1, kShard = 2, kKind = 3, kFiles = 4, kFileBytes = 5, kMetaHashes = 6,
                    kNames = 7, kTensors = 8, kContentId = 9;
}
namespace user {                       // section 18
inline constexpr Id kSettings = 512;   // "key=value", the effective configuration of a training run
inline constexpr Id kFirstStep = 513;  // i64, where another program did the steps before; else absent
}  // namespace user

}  // namespace vitrail::format::section
