// A file's structure: header, section table, sections and their digests. What the sections mean is not its matter.
#pragma once

#include "base/cpu.h"
#include "base/sha256.h"
#include "base/span.h"
#include "base/status.h"
#include "generated/layout.inc"
#include "platform/file.h"
#include "platform/memory.h"

namespace um {

// Machine code for one target, as the file holds it.
struct CodeSection {
  uint32_t target = 0;
  Span<const format::CodeEntryRow> entries;
  Span<const uint8_t> blob;
};

constexpr size_t kMaxTargets = 16;

// Where a file's bytes come from: `file`, or, where that is null, memory.
struct Source {
  const File* file = nullptr;
  const uint8_t* memory = nullptr;
  uint64_t bytes = 0;
};

// Where weights come from: apart from the file, or, where `data` is null, from the file; from there they may be copied.
struct WeightSource {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
  bool copied = false;
};

// An opened file: everything but the weights is a copy, made before it was checked. Nobody can change it afterwards.
class Archive {
 public:
  Archive() = default;
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // Checks the structure whole: sizes, order, padding and every digest.
  [[nodiscard]] um_status Open(const Source& source, const WeightSource& weights, const Cpu& cpu, um_error* error);

  // The bytes of a section; none where the file does not have it. Not for weights and code.
  Span<const uint8_t> section(format::SectionKind kind) const { return sections_[static_cast<uint32_t>(kind)]; }
  // Any byte is fine here: weights are only computed with. Aligned to kBlockAlignment.
  Span<const uint8_t> weights() const { return weights_; }
  Span<const CodeSection> code() const { return {code_, code_count_}; }
  const uint8_t* digest() const { return header_.digest; }

 private:
  um_status ReadTable(const Source& source, um_error* error);
  um_status CheckPlaces(um_error* error);
  um_status ReadSections(const Source& source, um_error* error);
  um_status ReadWeights(const Source& source, const WeightSource& weights, um_error* error);
  um_status CheckSections(um_error* error);
  um_status KeepCode(const format::SectionEntry& entry, Span<const uint8_t> bytes, um_error* error);

  static constexpr uint32_t kKinds = 64;
  bool accelerated_ = false;
  format::Header header_;
  Block table_copy_;
  Block head_;  // the file up to its weights
  Span<const format::SectionEntry> table_;
  uint64_t head_end_ = 0;
  const format::SectionEntry* weight_entry_ = nullptr;
  Span<const uint8_t> sections_[kKinds];
  CodeSection code_[kMaxTargets];
  size_t code_count_ = 0;
  Mapping weight_pages_;
  Block weight_copy_;
  Span<const uint8_t> weights_;
};

}  // namespace um
