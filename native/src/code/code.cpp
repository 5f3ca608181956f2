// Chooses machine code by the processor's features, and loads it where it is trusted.
#include "code/code.h"

#include <stdio.h>
#include <string.h>

#include "generated/codes.inc"

namespace um {

namespace {

struct Support {
  const char* target;
  bool Cpu::* feature;
};
constexpr Support kSupport[] = {{"x86-64-v3", &Cpu::x86_64_v3}, {"x86-64-v4", &Cpu::x86_64_v4}};

const format::TargetInfo* FindTarget(uint32_t code) {
  for (const format::TargetInfo& target : format::kTargets) {
    if (target.code == code) return &target;
  }
  return nullptr;
}

bool Runs(const Cpu& cpu, const format::TargetInfo& target) {
  for (const Support& support : kSupport) {
    if (strcmp(support.target, target.name) == 0) return cpu.*support.feature;
  }
  return false;
}

}  // namespace

const char* TargetName(uint32_t code) {
  const format::TargetInfo* target = FindTarget(code);
  return target != nullptr ? target->name : nullptr;
}

void Code::ListTargets(const Archive& archive) {
  size_t used = 0;
  targets_[0] = '\0';
  for (const CodeSection& code : archive.code()) {
    const char* name = TargetName(code.target);
    const char* comma = used > 0 ? ", " : "";
    const int wrote = name != nullptr
                          ? snprintf(targets_ + used, sizeof targets_ - used, "%s%s", comma, name)
                          : snprintf(targets_ + used, sizeof targets_ - used, "%starget %u", comma, code.target);
    if (wrote < 0 || used + static_cast<size_t>(wrote) >= sizeof targets_) break;
    used += static_cast<size_t>(wrote);
  }
}

um_status Code::Load(const Archive& archive, const Cpu& cpu, size_t kernels, bool trusted, um_error* error) {
  cpu_ = CpuName(cpu);
  ListTargets(archive);
  const CodeSection* best = nullptr;
  const format::TargetInfo* best_target = nullptr;
  for (const CodeSection& code : archive.code()) {
    const format::TargetInfo* target = FindTarget(code.target);
    if (target != nullptr && Runs(cpu, *target) && (best == nullptr || target->rank > best_target->rank)) {
      best = &code;
      best_target = target;
    }
  }
  if (kernels == 0) {
    snprintf(engine_, sizeof engine_, "none needed (the file holds no kernels)");
  } else if (!trusted) {
    status_ = UM_NOT_TRUSTED;
    snprintf(engine_, sizeof engine_, "none (native code is present, but not trusted)");
    if (archive.code().size() == 0) snprintf(engine_, sizeof engine_, "none (the file holds no native code)");
  } else if (best == nullptr) {
    status_ = UM_NO_CODE_FOR_CPU;
    snprintf(engine_, sizeof engine_, "none (native code for: %s; this processor is %s)",
             targets_[0] != '\0' ? targets_ : "nothing", cpu_);
  } else {
    const um_status loaded = memory_.Load(best->blob.data(), best->blob.size(), error);
    if (loaded == UM_OUT_OF_MEMORY) return loaded;
    refused_ = loaded != UM_OK;
    status_ = loaded;
    entries_ = best->entries.data();
    snprintf(engine_, sizeof engine_, "%s%s", refused_ ? "none (the operating system forbids new code)" : "native ",
             refused_ ? "" : best_target->name);
  }
  return UM_OK;
}

um_status Code::Check(um_error* error) const {
  if (status_ == UM_NOT_TRUSTED) {
    return Fail(error, status_,
                "the file's machine code was not trusted, and this runtime has no other way to run it. Open it with "
                "its digest (UM_TRUST_DIGEST, `--trust sha256:...`) or vouch for it (UM_TRUST_YES, `--trust yes`)");
  }
  if (refused_) {
    return Fail(error, status_, "the operating system does not allow this process to run new machine code");
  }
  if (status_ == UM_NO_CODE_FOR_CPU) {
    return Fail(error, status_,
                "the file holds machine code for %s; this processor is %s. Save it again with code for that target",
                targets_[0] != '\0' ? targets_ : "no target", cpu_);
  }
  return UM_OK;
}

KernelFunction Code::kernel(uint32_t number) const {
  const uint8_t* start = memory_.data() + entries_[number].offset;
  KernelFunction function = nullptr;
  static_assert(sizeof function == sizeof start, "a code pointer is a data pointer here");
  memcpy(&function, &start, sizeof function);
  return function;
}

}  // namespace um
