// Reads a file and checks its structure, step by step: header, table, places, bytes, digests.
#include "archive/archive.h"

#include <string.h>

#include "archive/strangers.h"
#include "base/checked.h"
#include "base/version.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format's rows are used in place: they are little-endian");

namespace um {

using format::SectionEntry;
using format::SectionKind;
using format::SectionRule;

namespace {

constexpr size_t kMapFrom = size_t{1} << 18;  // below, reading is faster than mapping
constexpr uint32_t kMaxSections = 128;

um_status ReadSource(const Source& source, uint64_t offset, void* to, size_t bytes, um_error* error) {
  if (bytes == 0) return UM_OK;
  if (source.file != nullptr) return source.file->Read(offset, to, bytes, error);
  memcpy(to, source.memory + offset, bytes);
  return UM_OK;
}

const SectionRule* RuleOf(uint32_t kind) {
  for (const SectionRule& rule : format::kSectionRules) {
    if (static_cast<uint32_t>(rule.kind) == kind) return &rule;
  }
  return nullptr;
}

bool AllZero(const uint8_t* bytes, size_t count) {
  for (size_t k = 0; k < count; ++k) {
    if (bytes[k] != 0) return false;
  }
  return true;
}

um_status BreaksRules(const char* section, um_error* error) {
  return Fail(error, UM_DAMAGED, "the file is damaged: its section %s breaks the rules of the format", section);
}

}  // namespace

um_status Archive::Open(const Source& source, const WeightSource& weights, const Cpu& cpu, um_error* error) {
  accelerated_ = cpu.sha;
  UM_TRY(ReadTable(source, error));
  UM_TRY(CheckPlaces(error));
  UM_TRY(ReadSections(source, error));
  UM_TRY(ReadWeights(source, weights, error));
  return CheckSections(error);
}

// Header and section table: all that the file's digest covers.
um_status Archive::ReadTable(const Source& source, um_error* error) {
  const size_t head = source.bytes < sizeof header_ ? static_cast<size_t>(source.bytes) : sizeof header_;
  UM_TRY(ReadSource(source, 0, &header_, head, error));
  if (head < sizeof format::kMagic || memcmp(header_.magic, format::kMagic, sizeof format::kMagic) != 0) {
    return RefuseStranger(reinterpret_cast<const uint8_t*>(&header_), head, error);
  }
  if (head < sizeof header_) {
    return Fail(error, UM_DAMAGED, "the file is truncated: it ends after %zu bytes, inside the header", head);
  }
  if (header_.oldest_reader > format::kReads) {
    return Fail(error, UM_NEWER_FORMAT,
                "the file needs a newer Unmoor: it is in format version %u, readable from version %u on, and this "
                "runtime (%s) reads version %u. Update Unmoor where the file is read",
                header_.writer, header_.oldest_reader, kVersion, format::kReads);
  }
  if (header_.file_bytes > source.bytes) {
    return Fail(error, UM_DAMAGED, "the file is truncated: %llu of %llu bytes are there",
                static_cast<unsigned long long>(source.bytes), static_cast<unsigned long long>(header_.file_bytes));
  }
  if (header_.file_bytes < source.bytes) {
    return Fail(error, UM_DAMAGED, "the file is damaged: %llu bytes follow its end",
                static_cast<unsigned long long>(source.bytes - header_.file_bytes));
  }
  const uint32_t count = header_.section_count;
  const size_t table_bytes = size_t{count} * sizeof(SectionEntry);
  if (count > kMaxSections || table_bytes > source.bytes - sizeof header_) {
    return Fail(error, UM_DAMAGED, "the file is damaged: its section table does not fit into it");
  }
  if (!table_copy_.Allocate(table_bytes)) return OutOfMemory(error, table_bytes);
  UM_TRY(ReadSource(source, sizeof header_, table_copy_.data(), table_bytes, error));
  Sha256 sha(accelerated_);
  sha.Update(&header_, format::kDigestedHeaderBytes);
  sha.Update(table_copy_.data(), table_bytes);
  uint8_t digest[kDigestBytes];
  sha.Finish(digest);
  if (memcmp(digest, header_.digest, kDigestBytes) != 0) {
    return Fail(error, UM_DAMAGED, "the file is damaged: the header and section table do not match their digest");
  }
  if (header_.reserved != 0 || header_.writer < header_.oldest_reader) {
    return Fail(error, UM_DAMAGED, "the file is damaged: its header breaks the rules of the format");
  }
  table_ = {reinterpret_cast<const SectionEntry*>(table_copy_.data()), count};
  return UM_OK;
}

// Sections stand in the order of their kinds, each once, right behind each other, and fill the file.
um_status Archive::CheckPlaces(um_error* error) {
  uint64_t end = sizeof header_ + table_.size() * sizeof(SectionEntry);
  uint64_t last = 0;
  head_end_ = end;
  for (const SectionEntry& entry : table_) {
    const SectionRule* rule = RuleOf(entry.kind);
    if (rule == nullptr) {
      return Fail(error, UM_DAMAGED, "the file is damaged: it has a section of the unknown kind %u", entry.kind);
    }
    const uint64_t place = static_cast<uint64_t>(rule - format::kSectionRules) + 1;  // the rules stand in order
    const uint64_t key = place << 32 | entry.detail;
    const bool table = rule->row_bytes > 1;  // whose rows are numbered by 32 bits
    if (key <= last || entry.reserved != 0 || (entry.detail != 0 && !rule->many) ||
        entry.bytes % rule->row_bytes != 0 || (table && entry.bytes / rule->row_bytes > UINT32_MAX)) {
      return BreaksRules(rule->name, error);
    }
    last = key;
    const bool weights = rule->kind == SectionKind::kWeightData;
    if (weights) weight_entry_ = &entry;
    if (weights && entry.flags == format::kSectionApart && entry.offset == 0 &&
        AllZero(entry.digest, sizeof entry.digest)) {
      continue;
    }
    uint64_t start = 0;
    if (entry.flags != 0 || !RoundUp<uint64_t>(end, rule->alignment, &start) || entry.offset != start ||
        start > header_.file_bytes || entry.bytes > header_.file_bytes - start || entry.bytes > SIZE_MAX) {
      return Fail(error, UM_DAMAGED, "the file is damaged: its section %s is not where it must be", rule->name);
    }
    end = start + entry.bytes;
    head_end_ = weights ? start : end;
  }
  if (end != header_.file_bytes) {
    return Fail(error, UM_DAMAGED, "the file is damaged: there are bytes behind the last section");
  }
  uint64_t present = 0;
  for (const SectionEntry& entry : table_) present |= uint64_t{1} << entry.kind;
  for (const SectionRule& rule : format::kSectionRules) {
    if (!rule.optional && (present >> static_cast<uint32_t>(rule.kind) & 1) == 0) {
      return Fail(error, UM_DAMAGED, "the file is damaged: it has no section %s", rule.name);
    }
  }
  return UM_OK;
}

um_status Archive::ReadSections(const Source& source, um_error* error) {
  if (!head_.Allocate(static_cast<size_t>(head_end_))) return OutOfMemory(error, static_cast<size_t>(head_end_));
  return ReadSource(source, 0, head_.data(), static_cast<size_t>(head_end_), error);
}

// Unless they are to be copied, large weights are mapped, and those in memory stay there, where their alignment serves.
um_status Archive::ReadWeights(const Source& source, const WeightSource& weights, um_error* error) {
  const size_t bytes = static_cast<size_t>(weight_entry_->bytes);
  if (weight_entry_->flags == format::kSectionApart) {
    if (weights.data == nullptr && bytes > 0) {
      return Fail(error, UM_WRONG_ARGUMENT, "the file's weights are kept apart from it: give them in the options");
    }
    if (weights.bytes < bytes || (bytes > 0 && !IsAligned(weights.data, kBlockAlignment))) {
      return Fail(error, UM_WRONG_ARGUMENT, "the weights must be %zu bytes at an address that is a multiple of %zu",
                  bytes, kBlockAlignment);
    }
    weights_ = {weights.data, bytes};
    return UM_OK;
  }
  if (weights.data != nullptr) {
    return Fail(error, UM_WRONG_ARGUMENT, "weights were given, but the file holds its own");
  }
  const bool stay = !weights.copied && bytes > 0;
  if (stay && source.file != nullptr && bytes >= kMapFrom && source.file->Map(weight_entry_->offset, bytes, &weight_pages_)) {
    weights_ = {weight_pages_.data(), bytes};
    return UM_OK;
  }
  if (stay && source.memory != nullptr && IsAligned(source.memory + weight_entry_->offset, kBlockAlignment)) {
    weights_ = {source.memory + weight_entry_->offset, bytes};
    return UM_OK;
  }
  if (!weight_copy_.Allocate(bytes)) return OutOfMemory(error, bytes);
  UM_TRY(ReadSource(source, weight_entry_->offset, weight_copy_.data(), bytes, error));
  weights_ = {weight_copy_.data(), bytes};
  return UM_OK;
}

um_status Archive::CheckSections(um_error* error) {
  size_t end = sizeof header_ + table_.size() * sizeof(SectionEntry);
  if (memcmp(head_.data(), &header_, sizeof header_) != 0 ||
      memcmp(head_.data() + sizeof header_, table_.data(), end - sizeof header_) != 0) {
    return Fail(error, UM_CANNOT_READ, "the file was changed while it was read");
  }
  for (const SectionEntry& entry : table_) {
    const SectionRule& rule = *RuleOf(entry.kind);
    if (entry.flags == format::kSectionApart) continue;
    const bool weights = rule.kind == SectionKind::kWeightData;
    const size_t start = static_cast<size_t>(entry.offset);
    if (!AllZero(head_.data() + end, start - end)) {
      return Fail(error, UM_DAMAGED, "the file is damaged: the bytes before its section %s are not zero", rule.name);
    }
    const Span<const uint8_t> bytes =
        weights ? weights_ : Span<const uint8_t>(head_.data() + start, static_cast<size_t>(entry.bytes));
    Sha256 sha(accelerated_);
    sha.Update(bytes.data(), bytes.size());
    uint8_t digest[kDigestBytes];
    sha.Finish(digest);
    if (memcmp(digest, entry.digest, kDigestBytes) != 0) {
      return Fail(error, UM_DAMAGED, "the file is damaged: its section %s does not match its digest", rule.name);
    }
    end = start + bytes.size();
    if (rule.many) {
      UM_TRY(KeepCode(entry, bytes, error));
    } else {
      sections_[entry.kind] = bytes;
    }
  }
  for (const CodeSection& code : this->code()) {
    if (code.blob.data() == nullptr) {
      return Fail(error, UM_DAMAGED, "the file is damaged: code entries without machine code");
    }
  }
  return UM_OK;
}

// Entries and machine code of a target are two sections; the entries come first.
um_status Archive::KeepCode(const SectionEntry& entry, Span<const uint8_t> bytes, um_error* error) {
  if (entry.kind == static_cast<uint32_t>(SectionKind::kCodeEntries)) {
    if (code_count_ == kMaxTargets) {
      return Fail(error, UM_DAMAGED, "the file is damaged: it has code for more than %zu targets", kMaxTargets);
    }
    CodeSection& code = code_[code_count_++];
    code.target = entry.detail;
    code.entries = {reinterpret_cast<const format::CodeEntryRow*>(bytes.data()),
                    bytes.size() / sizeof(format::CodeEntryRow)};
    return UM_OK;
  }
  for (size_t k = 0; k < code_count_; ++k) {
    if (code_[k].target == entry.detail) {
      code_[k].blob = bytes;
      return UM_OK;
    }
  }
  return Fail(error, UM_DAMAGED, "the file is damaged: machine code without code entries");
}

}  // namespace um
