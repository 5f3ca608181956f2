// Checks methods, kernels, weights and machine code's entries, and calls the other checks in order.
#include "program/verify.h"

#include <string.h>

#include "base/checked.h"
#include "base/version.h"

namespace um {

namespace {

constexpr uint32_t kMaxMethods = 4096;

um_status Damaged(const char* what, uint32_t number, um_error* error) {
  return Fail(error, UM_DAMAGED, "the file is damaged: %s %u breaks the rules of the format", what, number);
}

um_status VerifyMethods(const Tables& t, um_error* error) {
  const uint32_t strings = static_cast<uint32_t>(t.strings.size());
  const uint32_t count = static_cast<uint32_t>(t.methods.size());
  if (count > kMaxMethods) return Fail(error, UM_DAMAGED, "the file is damaged: it has %u methods", count);
  for (uint32_t k = 0; k < count; ++k) {
    const format::MethodRow& m = t.methods[k];
    if (m.name >= strings || m.assumptions >= strings) return Damaged("the method", k, error);
    for (uint32_t other = 0; other < k; ++other) {
      if (strcmp(t.text(m.name), t.text(t.methods[other].name)) == 0) return Damaged("the method", k, error);
    }
  }
  for (uint32_t k = 0; k < t.names.size(); ++k) {
    if (t.names[k].string >= strings) return Damaged("the name", k, error);
  }
  for (uint32_t k = 0; k < t.constants.size(); ++k) {
    if (t.constants[k].name >= strings || t.constants[k].weight >= t.weights.size()) {
      return Damaged("the constant", k, error);
    }
  }
  for (uint32_t k = 0; k < t.relations.size(); ++k) {
    const format::RelationRow& r = t.relations[k];
    if (r.left >= strings || r.right >= strings || r.message >= strings || r.op >= format::kCheckOpCount) {
      return Damaged("the relation", k, error);
    }
  }
  for (uint32_t k = 0; k < t.sources.size(); ++k) {
    const format::SourceRow& s = t.sources[k];
    if (s.file >= strings || s.line_text >= strings || s.module >= strings) return Damaged("the source", k, error);
  }
  for (uint32_t k = 0; k < t.messages.size(); ++k) {
    const format::MessageRow& m = t.messages[k];
    if (m.text >= strings || m.file >= strings || m.line_text >= strings || m.module >= strings) {
      return Damaged("the message", k, error);
    }
  }
  return UM_OK;
}

// Bytes that a weight takes, from its shape or its panels; false where that is not what its row may say.
bool WeightBytes(const format::WeightRow& w, Span<const format::ShapeRow> shape, uint64_t* bytes) {
  uint64_t elements = 1;
  bool empty = false;
  for (const format::ShapeRow& row : shape) {
    if (row.size < 0) return false;
    empty = empty || row.size == 0;
    if (row.size > 0 && !Multiply<uint64_t>(elements, static_cast<uint64_t>(row.size), &elements)) return false;
  }
  if (empty) elements = 0;
  if (w.layout == static_cast<uint32_t>(format::WeightLayout::kPlain)) {
    if (w.transposed != 0 || w.panel_width != 0 || w.panel_align != 0 || w.batch != 0 || w.k != 0 || w.n != 0) {
      return false;
    }
  } else {
    if (w.layout != static_cast<uint32_t>(format::WeightLayout::kPanels) || w.transposed > 1 || shape.size() < 2 ||
        w.batch < 0 || w.panel_width != 48 || w.panel_align != 16) {
      return false;
    }
    const int64_t rows = shape[shape.size() - 2].size, columns = shape[shape.size() - 1].size;
    if (w.k != (w.transposed ? columns : rows) || w.n != (w.transposed ? rows : columns)) return false;
    uint64_t rows_of_all = 0, logical = 0, padded = 0;
    if (!Multiply(static_cast<uint64_t>(w.batch), static_cast<uint64_t>(w.k), &rows_of_all) ||
        !Multiply(rows_of_all, static_cast<uint64_t>(w.n), &logical) || logical != elements) {
      return false;
    }
    if (!RoundUp<uint64_t>(static_cast<uint64_t>(w.n), 16, &padded)) return false;
    if (!Multiply(rows_of_all, padded, &elements)) return false;
  }
  return Multiply<uint64_t>(elements, DtypeSize(w.dtype), bytes);
}

}  // namespace

um_status VerifyKernelsAndWeights(const Tables& t, const Archive& archive, um_error* error) {
  const uint32_t strings = static_cast<uint32_t>(t.strings.size());
  for (uint32_t k = 0; k < t.kernels.size(); ++k) {
    if (t.kernels[k].name >= strings) return Damaged("the kernel", k, error);
  }
  for (uint32_t k = 0; k < t.buffers.size(); ++k) {
    const format::BufferRow& b = t.buffers[k];
    if (b.role >= format::kRoleCount || !IsDtype(b.dtype) || b.panels > 1) return Damaged("the buffer", k, error);
  }
  for (uint32_t k = 0; k < t.weights.size(); ++k) {
    const format::WeightRow& w = t.weights[k];
    uint64_t bytes = 0;
    if (w.name >= strings || !IsDtype(w.dtype) || !WeightBytes(w, t.shapes.part(w.first_dim, w.dim_count), &bytes) ||
        w.bytes != bytes || w.offset % format::kWeightAlignment != 0 || w.offset > archive.weights().size() ||
        w.bytes > archive.weights().size() - w.offset) {
      return Damaged("the weight", k, error);
    }
  }
  for (const CodeSection& code : archive.code()) {
    if (code.entries.size() != t.kernels.size()) return Damaged("the code for the target", code.target, error);
    for (const format::CodeEntryRow& entry : code.entries) {
      if (entry.offset >= code.blob.size()) return Damaged("the code for the target", code.target, error);
    }
  }
  return UM_OK;
}

// States, and what ties programs to them. Which inputs and outputs these are is checked program by program.
um_status VerifyStates(const Tables& t, um_error* error) {
  for (uint32_t k = 0; k < t.states.size(); ++k) {
    const format::StateRow& s = t.states[k];
    if (s.name >= t.strings.size() || s.weight >= t.weights.size() ||
        t.weights[s.weight].layout != static_cast<uint32_t>(format::WeightLayout::kPlain)) {
      return Damaged("the state", k, error);
    }
    for (uint32_t other = 0; other < k; ++other) {
      if (strcmp(t.text(s.name), t.text(t.states[other].name)) == 0) return Damaged("the state", k, error);
    }
  }
  for (uint32_t k = 0; k < t.state_inputs.size(); ++k) {
    const format::StateInputRow& row = t.state_inputs[k];
    const bool in_order = k == 0 || t.state_inputs[k - 1].program <= row.program;
    if (row.program >= t.programs.size() || row.state >= t.states.size() || !in_order) {
      return Damaged("the state input", k, error);
    }
  }
  for (uint32_t k = 0; k < t.updates.size(); ++k) {
    const bool in_order = k == 0 || t.updates[k - 1].program <= t.updates[k].program;
    if (t.updates[k].program >= t.programs.size() || !in_order) return Damaged("the update", k, error);
  }
  return UM_OK;
}

// All programs of a method keep and change the same.
bool SameEffects(const Program& a, const Program& b) {
  if (a.state_inputs.size() != b.state_inputs.size() || a.updates.size() != b.updates.size()) return false;
  for (size_t k = 0; k < a.state_inputs.size(); ++k) {
    if (a.state_inputs[k].state != b.state_inputs[k].state) return false;
  }
  for (size_t k = 0; k < a.updates.size(); ++k) {
    if (a.updates[k].input != b.updates[k].input) return false;
  }
  return true;
}

um_status VerifyEffects(const Tables& t, um_error* error) {
  for (const format::MethodRow& method : t.methods) {
    for (uint32_t k = 1; k < method.program_count; ++k) {
      const uint32_t number = method.first_program + k;
      if (!SameEffects(Program(t, t.programs[method.first_program]), Program(t, t.programs[number]))) {
        return Damaged("the program", number, error);
      }
    }
  }
  return UM_OK;
}

// The builtins that the file names are this runtime's, each once, and each is called.
um_status VerifyBuiltins(const Tables& t, um_error* error) {
  uint64_t called = 0;
  static_assert(format::kBuiltinCount <= 64, "a bit for each");
  for (uint32_t k = 0; k < t.builtins.size(); ++k) {
    if (t.builtins[k].name >= t.strings.size()) return Damaged("the builtin", k, error);
    const char* name = t.text(t.builtins[k].name);
    if (FindBuiltin(name) == format::kBuiltinCount) {
      return Fail(error, UM_NEWER_FORMAT, "the file needs the builtin %s, which this runtime (Unmoor %s) lacks", name,
                  kVersion);
    }
    for (uint32_t other = 0; other < k; ++other) {
      if (strcmp(name, t.text(t.builtins[other].name)) == 0) return Damaged("the builtin", k, error);
    }
  }
  for (const format::InstructionRow& i : t.instructions) {
    if (static_cast<format::Opcode>(i.opcode) == format::Opcode::kBuiltin && i.kernel < t.builtins.size()) {
      called |= uint64_t{1} << i.kernel;
    }
  }
  for (uint32_t k = 0; k < t.builtins.size(); ++k) {
    if ((called >> k & 1) == 0) return Damaged("the builtin", k, error);
  }
  return UM_OK;
}

um_status Verify(const Tables& tables, const Archive& archive, um_error* error) {
  UM_TRY(VerifyStrings(tables, error));
  UM_TRY(VerifySpans(tables, error));
  UM_TRY(VerifyMethods(tables, error));
  UM_TRY(VerifyKernelsAndWeights(tables, archive, error));
  UM_TRY(VerifyStates(tables, error));
  UM_TRY(VerifyBuiltins(tables, error));
  for (const format::ProgramRow& row : tables.programs) UM_TRY(VerifyProgram(Program(tables, row), error));
  UM_TRY(VerifyEffects(tables, error));
  return VerifyExamples(tables, error);
}

}  // namespace um
