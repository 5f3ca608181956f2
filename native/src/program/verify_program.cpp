// Checks one program: every register is defined before it is used, and each instruction's operands fit.
#include "base/span.h"
#include "platform/memory.h"
#include "program/verify.h"

namespace um {

using format::FormulaOp;
using format::Opcode;
using format::Place;
using format::Role;

namespace {

class ProgramVerifier {
 public:
  ProgramVerifier(const Program& program, um_error* error)
      : p_(program), t_(program.tables), error_(error), early_(program.early()), next_(early_) {}

  um_status Run() {
    if (!TextsExist()) return Damaged("the head", 0);
    for (uint32_t k = 0; k < p_.row.spec_count; ++k) {
      if (!SpecIsSound(t_.specs[p_.row.first_spec + k], k < p_.row.input_count)) return Damaged("spec", k);
    }
    for (uint32_t k = 0; k < p_.formulas.size(); ++k) {
      if (!FormulaIsSound(p_.formulas[k], k)) return Damaged("formula", k);
    }
    for (uint32_t k = 0; k < p_.checks.size(); ++k) {
      const format::CheckRow& c = p_.checks[k];
      if (c.op >= format::kCheckOpCount || !IsEarly(c.left) || !IsEarly(c.right) || c.message >= p_.messages.size()) {
        return Damaged("check", k);
      }
    }
    for (uint32_t k = 0; k < p_.tensors.size(); ++k) {
      if (!TensorIsSound(p_.tensors[k], k)) return Damaged("tensor register", k);
    }
    for (uint32_t k = 0; k < p_.state_inputs.size(); ++k) {
      if (!StateInputIsSound(k)) return Damaged("state input", k);
    }
    for (uint32_t k = 0; k < p_.updates.size(); ++k) {
      if (!UpdateIsSound(k)) return Damaged("update", k);
    }
    return VerifyCode();
  }

 private:
  um_status Damaged(const char* what, uint32_t number) {
    return Fail(error_, UM_DAMAGED, "the file is damaged: %s %u of the program %u breaks the rules of the format", what,
                number, static_cast<uint32_t>(&p_.row - t_.programs.data()));
  }

  bool IsString(uint32_t string) const { return string < t_.strings.size(); }
  bool IsInt(uint32_t number) const { return number < p_.formulas.size(); }
  // Known before the code runs.
  bool IsEarly(uint32_t number) const { return IsInt(number) && number < early_; }
  // Known where the instruction stands.
  bool IsKnown(uint32_t number) const {
    return IsInt(number) && (number < early_ || defined_.data()[IntFlag(number)] != 0);
  }
  size_t IntFlag(uint32_t number) const { return p_.tensors.size() + p_.outputs.size() + number; }
  bool DimsAreKnown(const format::TensorRow& tensor) const {
    for (const format::RegisterRow& d : p_.dims(tensor)) {
      if (!IsKnown(d.number)) return false;
    }
    return true;
  }

  bool TextsExist() const {
    return IsString(p_.row.signature) && IsString(p_.row.arguments) && IsString(p_.row.result) &&
           IsEarly(p_.row.arena) && IsEarly(p_.row.flops) && IsEarly(p_.row.traffic);
  }

  bool SpecIsSound(const format::SpecRow& spec, bool is_input) const {
    if (!IsString(spec.name) || !IsDtype(spec.dtype) || spec.dim_count > UM_MAX_RANK) return false;
    for (const format::DimRow& d : p_.dims(spec)) {
      if (d.reserved != 0 || d.value < 0) return false;
      switch (static_cast<format::DimKind>(d.kind)) {
        case format::DimKind::kFixed:
          break;
        case format::DimKind::kSymbol:
          if (d.value >= p_.row.symbol_count) return false;
          break;
        case format::DimKind::kExpression:
          if (is_input || static_cast<uint64_t>(d.value) >= t_.strings.size()) return false;
          break;
        default:
          return false;
      }
    }
    return true;
  }

  // The last inputs are states, each once, as large as their weights.
  bool StateInputIsSound(uint32_t k) const {
    const format::StateInputRow& row = p_.state_inputs[k];
    const size_t count = p_.state_inputs.size();
    if (count > p_.inputs.size() || row.input != p_.inputs.size() - count + k) return false;
    for (uint32_t other = 0; other < k; ++other) {
      if (p_.state_inputs[other].state == row.state) return false;
    }
    const format::SpecRow& spec = p_.inputs[row.input];
    const format::WeightRow& weight = t_.weights[t_.states[row.state].weight];
    if (spec.dtype != weight.dtype || spec.dim_count != weight.dim_count) return false;
    for (uint32_t axis = 0; axis < spec.dim_count; ++axis) {
      const format::DimRow& d = p_.dims(spec)[axis];
      if (d.kind != static_cast<uint32_t>(format::DimKind::kFixed) ||
          d.value != t_.shapes[weight.first_dim + axis].size) {
        return false;
      }
    }
    return true;
  }

  // The last outputs go into inputs of the same dtype and dims, each into another.
  bool UpdateIsSound(uint32_t k) const {
    const format::UpdateRow& row = p_.updates[k];
    const size_t count = p_.updates.size();
    if (count > p_.outputs.size() || row.output != p_.outputs.size() - count + k || row.input >= p_.inputs.size()) {
      return false;
    }
    for (uint32_t other = 0; other < k; ++other) {
      if (p_.updates[other].input == row.input) return false;
    }
    for (const format::RegisterRow& d : p_.dims(p_.tensors[p_.inputs.size() + row.output])) {
      if (!IsEarly(d.number)) return false;
    }
    const format::SpecRow &from = p_.outputs[row.output], &to = p_.inputs[row.input];
    if (from.dtype != to.dtype || from.dim_count != to.dim_count) return false;
    for (uint32_t axis = 0; axis < from.dim_count; ++axis) {
      const format::DimRow &a = p_.dims(from)[axis], &b = p_.dims(to)[axis];
      if (a.kind != b.kind || a.value != b.value) return false;
    }
    return true;
  }

  bool FormulaIsSound(const format::FormulaRow& f, uint32_t number) const {
    if (f.op >= format::kFormulaOpCount || f.reserved != 0) return false;
    switch (static_cast<FormulaOp>(f.op)) {
      case FormulaOp::kConst:
        return f.b == 0;
      case FormulaOp::kDim:
        return f.a >= 0 && static_cast<uint64_t>(f.a) < p_.inputs.size() && f.b >= 0 &&
               f.b < p_.inputs[static_cast<size_t>(f.a)].dim_count;
      case FormulaOp::kContiguous:
        return f.a >= 0 && static_cast<uint64_t>(f.a) < p_.inputs.size() && f.b == 0;
      case FormulaOp::kGiven:
        return number >= early_ && f.a >= 0 && f.b == 0;
      default:
        return f.a >= 0 && f.a < number && f.b >= 0 && f.b < number;
    }
  }

  bool TensorIsSound(const format::TensorRow& tensor, uint32_t number) const {
    if (tensor.place >= format::kPlaceCount || !IsDtype(tensor.dtype) || tensor.dim_count > UM_MAX_RANK ||
        !IsEarly(tensor.bytes)) {
      return false;
    }
    for (const format::RegisterRow& d : p_.dims(tensor)) {
      if (number < p_.row.input_count ? !IsEarly(d.number) : !IsInt(d.number)) return false;
    }
    if (number < p_.row.spec_count) {
      const bool is_input = number < p_.row.input_count;
      const format::SpecRow& spec = t_.specs[p_.row.first_spec + number];
      const Place place = is_input ? Place::kInput : Place::kOutput;
      const uint32_t index = is_input ? number : number - p_.row.input_count;
      if (tensor.place != static_cast<uint32_t>(place) || tensor.index != index || tensor.dim_count != spec.dim_count) {
        return false;
      }
    }
    switch (static_cast<Place>(tensor.place)) {
      case Place::kInput:
        return tensor.index < p_.inputs.size() && p_.inputs[tensor.index].dtype == tensor.dtype;
      case Place::kOutput:
        return tensor.index < p_.outputs.size() && p_.outputs[tensor.index].dtype == tensor.dtype;
      case Place::kWeight:
        return tensor.index < t_.weights.size() && t_.weights[tensor.index].dtype == tensor.dtype;
      case Place::kArena:
        return IsEarly(tensor.index);
      case Place::kRow:
        return RowIsSound(tensor, number);
    }
    return false;
  }

  // A row is one of a plain tensor before it that is no row itself. Of both the sizes are known before the code runs.
  bool RowIsSound(const format::TensorRow& row, uint32_t number) const {
    if (row.index >= number) return false;
    const format::TensorRow& whole = p_.tensors[row.index];
    return whole.place != static_cast<uint32_t>(Place::kRow) && whole.dtype == row.dtype && !IsPanels(whole) &&
           DimsAreEarly(row) && DimsAreEarly(whole);
  }
  bool DimsAreEarly(const format::TensorRow& tensor) const {
    for (const format::RegisterRow& d : p_.dims(tensor)) {
      if (!IsEarly(d.number)) return false;
    }
    return true;
  }

  // -- code ---------------------------------------------------------------------------------------------------
  um_status VerifyCode() {
    UM_TRY(AllocateFlags());
    for (uint32_t k = 0; k < p_.code.size(); ++k) {
      const format::InstructionRow& i = p_.code[k];
      LeaveRegions(k);
      if (i.opcode >= format::kOpcodeCount || (i.source >= p_.row.source_count && i.source != 0)) {
        return Damaged("instruction", k);
      }
      for (const format::RegisterRow& r : p_.operands(i)) {
        if (r.number >= p_.tensors.size()) return Damaged("instruction", k);
      }
      if (static_cast<Opcode>(i.opcode) == Opcode::kBuiltin && !SetsInts(i)) return Damaged("instruction", k);
      for (const format::RegisterRow& r : p_.operands(i)) {
        if (!DimsAreKnown(p_.tensors[r.number])) return Damaged("instruction", k);
      }
      if (!InstructionIsSound(i, k)) return Damaged("instruction", k);
    }
    if (p_.code.size() == 0) return Damaged("the code: instruction", 0);
    return UM_OK;
  }

  um_status AllocateFlags() {
    const size_t flags = p_.tensors.size() + p_.outputs.size() + p_.formulas.size();
    size_t regions = 0, writes = 0;  // at most: each is bounded by rows of the file
    for (const format::InstructionRow& i : p_.code) {
      const Opcode opcode = static_cast<Opcode>(i.opcode);
      if (opcode == Opcode::kJumpUnless || opcode == Opcode::kLoop || opcode == Opcode::kWhile) ++regions;
      writes += i.tensor_count;
      if (static_cast<Opcode>(i.opcode) == Opcode::kBuiltin) writes += i.expected;
    }
    if (!defined_.AllocateZeroed(flags)) return OutOfMemory(error_, flags);
    if (regions == 0) return UM_OK;
    if (!moves_.AllocateZeroed(p_.tensors.size())) return OutOfMemory(error_, p_.tensors.size());
    if (!seen_.AllocateZeroed(flags)) return OutOfMemory(error_, flags);
    if (!region_memory_.Allocate(regions * sizeof(Region))) return OutOfMemory(error_, regions * sizeof(Region));
    if (!log_memory_.Allocate(writes * sizeof(uint32_t))) return OutOfMemory(error_, writes * sizeof(uint32_t));
    regions_ = reinterpret_cast<Region*>(region_memory_.data());
    log_ = reinterpret_cast<uint32_t*>(log_memory_.data());
    return UM_OK;
  }

  bool InstructionIsSound(const format::InstructionRow& i, uint32_t number) {
    const Opcode opcode = static_cast<Opcode>(i.opcode);
    const size_t end = region_count_ > 0 ? regions_[region_count_ - 1].end : p_.code.size();
    const bool ends = opcode == Opcode::kReturn || opcode == Opcode::kRaise;
    if (ends ? number + 1 != end : number + 1 == p_.code.size()) return false;
    const bool loops = opcode == Opcode::kLoop;
    const bool jumps = opcode == Opcode::kJump || opcode == Opcode::kJumpUnless || loops || opcode == Opcode::kWhile ||
                       opcode == Opcode::kNext;
    const bool calls = opcode == Opcode::kCall || opcode == Opcode::kBuiltin;
    if (!calls && ((i.kernel != 0 && !jumps) || (i.extent != 0 && !loops) || i.int_count != 0)) return false;
    if (!calls && i.expected > (opcode == Opcode::kGuard || loops ? 1u : 0u)) return false;
    const bool speaks = opcode == Opcode::kGuard || opcode == Opcode::kRaise;
    if (speaks ? i.message >= p_.messages.size() : i.message != 0) return false;
    switch (opcode) {
      case Opcode::kCall:
        return CallIsSound(i);
      case Opcode::kCopy:
        return CopyIsSound(i);
      case Opcode::kGuard:
        return i.tensor_count >= 1 && TestIsSound(i) && ToldIsSound(i, 1);
      case Opcode::kRaise:
        return ToldIsSound(i, 0);
      case Opcode::kReturn:
        return i.tensor_count == 0 && region_count_ == 0 && OutputsAreDefined();
      case Opcode::kJump:
        return i.tensor_count == 0 && JumpIsSound(i.kernel, number);
      case Opcode::kJumpUnless:
        return GuardIsSound(i) && BranchIsSound(i.kernel, number);
      case Opcode::kBuiltin:
        return BuiltinIsSound(i);
      case Opcode::kLoop:
        return RowsAreSound(i) && LoopIsSound(i.kernel, number);
      case Opcode::kWhile:
        return GuardIsSound(i) && LoopIsSound(i.kernel, number);
      case Opcode::kNext:
        return NextIsSound(i, number);
    }
    return false;
  }

  // -- branches -----------------------------------------------------------------------------------------------
  // A block of a branch ends before the instruction `end`; a second block follows where a jump ends the first. What
  // has been written since it began is in the log from `start` on, in a second block from `second` on.
  struct Region {
    uint32_t end;
    uint32_t jump;  // where the jump at the end of the first block goes; 0 without one
    bool in_second;
    bool is_loop;  // `end` is its next, `began` its loop or while
    uint32_t began;
    size_t start;
    size_t second;
  };

  bool BranchIsSound(uint32_t target, uint32_t number) {
    const size_t limit = region_count_ > 0 ? regions_[region_count_ - 1].end : p_.code.size() - 1;
    if (target <= number || target > limit) return false;
    regions_[region_count_++] = {target, 0, false, false, 0, log_size_, 0};
    return true;
  }

  bool JumpIsSound(uint32_t target, uint32_t number) {
    if (region_count_ == 0) return false;
    Region& region = regions_[region_count_ - 1];
    const size_t limit = region_count_ > 1 ? regions_[region_count_ - 2].end : p_.code.size() - 1;
    if (region.is_loop || region.in_second || number + 1 != region.end || target < region.end || target > limit) return false;
    region.jump = target;
    return true;
  }

  // Ends the blocks that end before an instruction: what all paths to it have written is defined.
  void LeaveRegions(uint32_t number) {
    while (region_count_ > 0 && regions_[region_count_ - 1].end == number) {
      Region& region = regions_[region_count_ - 1];
      if (region.is_loop) return;  // its next ends it
      if (region.jump != 0) {
        Forget(region.start);
        region = {region.jump, 0, true, false, 0, region.start, log_size_};
        continue;
      }
      --region_count_;
      if (!region.in_second) {
        Forget(region.start);
        log_size_ = region.start;
      } else if (static_cast<Opcode>(p_.code[number - 1].opcode) == Opcode::kRaise) {
        Forget(region.second);
        log_size_ = region.second;
        for (size_t k = region.start; k < log_size_; ++k) defined_.data()[log_[k]] = 1;
      } else {
        KeepWhatBothWrote(region);
      }
    }
  }

  // -- loops --------------------------------------------------------------------------------------------------
  enum Move : uint8_t { kNever, kMoving, kMoved };  // of a row register: each belongs to one loop

  bool RowsAreSound(const format::InstructionRow& i) {
    if (!IsEarly(i.extent)) return false;
    for (const format::RegisterRow& r : p_.operands(i)) {
      if (!IsRow(p_.tensors[r.number]) || moves_.data()[r.number] != kNever) return false;
      moves_.data()[r.number] = kMoving;
    }
    return true;
  }

  bool LoopIsSound(uint32_t target, uint32_t number) {
    const size_t limit = region_count_ > 0 ? regions_[region_count_ - 1].end : p_.code.size() - 1;
    if (target == 0) return false;
    const uint32_t end = target - 1;
    if (end <= number || end >= limit) return false;
    const format::InstructionRow& next = p_.code[end];
    if (static_cast<Opcode>(next.opcode) != Opcode::kNext || next.kernel != number) return false;
    regions_[region_count_++] = {end, 0, false, true, number, log_size_, 0};
    return true;
  }
  bool InLoop() const {
    for (size_t k = 0; k < region_count_; ++k) {
      if (regions_[k].is_loop) return true;
    }
    return false;
  }

  // Ends a turn. After the loop a tensor is written whose rows all turns have written.
  bool NextIsSound(const format::InstructionRow& i, uint32_t number) {
    if (region_count_ == 0) return false;
    const Region region = regions_[region_count_ - 1];
    if (!region.is_loop || region.end != number || region.began != i.kernel) return false;
    const format::InstructionRow& loop = p_.code[region.began];
    const bool counts = static_cast<Opcode>(loop.opcode) == Opcode::kLoop;
    if (counts ? i.tensor_count != 0 : !GuardIsSound(i)) return false;
    --region_count_;
    const Span<const format::RegisterRow> rows = counts ? p_.operands(loop) : Span<const format::RegisterRow>();
    for (const format::RegisterRow& r : rows) moves_.data()[r.number] = defined_.data()[r.number] ? kMoving : kMoved;
    Forget(region.start);
    log_size_ = region.start;
    for (const format::RegisterRow& r : rows) {
      if (moves_.data()[r.number] == kMoving) Define(p_.tensors[r.number].index);
      moves_.data()[r.number] = kMoved;
    }
    return true;
  }

  void Forget(size_t from) {
    for (size_t k = from; k < log_size_; ++k) defined_.data()[log_[k]] = 0;
  }

  void KeepWhatBothWrote(const Region& region) {
    uint8_t* seen = seen_.data();
    for (size_t k = region.start; k < region.second; ++k) seen[log_[k]] = 1;
    for (size_t k = region.second; k < log_size_; ++k) {
      if (seen[log_[k]] != 0) {
        seen[log_[k]] = 2;
      } else {
        defined_.data()[log_[k]] = 0;
      }
    }
    size_t kept = region.start;
    for (size_t k = region.start; k < region.second; ++k) {
      const uint32_t flag = log_[k];
      if (seen[flag] == 2) log_[kept++] = flag;
      seen[flag] = 0;
    }
    log_size_ = kept;
  }

  bool CallIsSound(const format::InstructionRow& i) {
    if (i.kernel >= t_.kernels.size() || !IsKnown(i.extent)) return false;
    if (i.expected != 0 && !IsKnown(i.expected - 1)) return false;
    const format::KernelRow& kernel = t_.kernels[i.kernel];
    if (i.tensor_count != kernel.buffer_count || i.int_count != kernel.int_count) return false;
    for (const format::RegisterRow& r : p_.ints(i)) {
      if (!IsKnown(r.number)) return false;
    }
    const Span<const format::RegisterRow> operands = p_.operands(i);
    const Span<const format::BufferRow> buffers = t_.buffers.part(kernel.first_buffer, kernel.buffer_count);
    for (size_t k = 0; k < operands.size(); ++k) {
      const uint32_t number = operands[k].number;
      const format::TensorRow& tensor = p_.tensors[number];
      if (tensor.dtype != buffers[k].dtype || PanelsDiffer(tensor, buffers[k])) return false;
      const Role role = static_cast<Role>(buffers[k].role);
      if (role == Role::kIn ? !IsDefined(number) : !IsWritable(number)) return false;
    }
    for (size_t k = 0; k < operands.size(); ++k) {
      if (static_cast<Role>(buffers[k].role) == Role::kOut) Define(operands[k].number);
    }
    return true;
  }

  // The int registers that a builtin's numbers set: the next ones, each of what is known by then.
  bool SetsInts(const format::InstructionRow& i) {
    if (i.kernel >= t_.builtins.size()) return false;
    for (const format::RegisterRow& r : p_.ints(i)) {
      if (!IsKnown(r.number)) return false;
    }
    const format::BuiltinInfo& builtin = format::kBuiltinTable[FindBuiltin(t_.text(t_.builtins[i.kernel].name))];
    if ((builtin.gives > 0) != (i.expected > 0) || (builtin.gives > 0 && InLoop())) return false;
    if (i.expected > 0 ? i.extent != next_ : i.extent != 0) return false;
    next_ += i.expected;
    if (next_ > static_cast<int64_t>(p_.formulas.size())) return false;
    for (uint32_t r = i.extent; r < i.extent + i.expected; ++r) {
      const format::FormulaRow& f = p_.formulas[r];
      switch (static_cast<FormulaOp>(f.op)) {
        case FormulaOp::kConst:
        case FormulaOp::kDim:
        case FormulaOp::kContiguous:
          break;
        case FormulaOp::kGiven:
          if (f.a >= builtin.gives) return false;
          break;
        default:
          if (!IsKnown(static_cast<uint32_t>(f.a)) || !IsKnown(static_cast<uint32_t>(f.b))) return false;
      }
      SetFlag(IntFlag(r));
    }
    return true;
  }

  bool BuiltinIsSound(const format::InstructionRow& i) {
    const format::BuiltinInfo& builtin = format::kBuiltinTable[FindBuiltin(t_.text(t_.builtins[i.kernel].name))];
    if (i.tensor_count != builtin.buffer_count || i.int_count != builtin.int_count) return false;
    const Span<const format::RegisterRow> operands = p_.operands(i);
    const uint32_t any = p_.tensors[operands[0].number].dtype;
    if (builtin.of != 0 && (any > 31 || (builtin.of >> any & 1) == 0)) return false;
    for (uint32_t k = 0; k < builtin.buffer_count; ++k) {
      const format::TensorRow& tensor = p_.tensors[operands[k].number];
      const uint32_t dtype = builtin.buffers[k].dtype;
      if (tensor.dtype != (dtype != 0 ? dtype : any) || IsPanels(tensor)) return false;
      const bool reads = static_cast<Role>(builtin.buffers[k].role) == Role::kIn;
      if (reads ? !IsDefined(operands[k].number) : !IsWritable(operands[k].number)) return false;
    }
    for (uint32_t k = 0; k < builtin.buffer_count; ++k) {
      if (static_cast<Role>(builtin.buffers[k].role) == Role::kOut) Define(operands[k].number);
    }
    return true;
  }

  bool CopyIsSound(const format::InstructionRow& i) {
    if (i.tensor_count != 2) return false;
    const uint32_t to = p_.operands(i)[0].number, from = p_.operands(i)[1].number;
    const format::TensorRow& source = p_.tensors[from];
    if (!IsWritable(to) || !IsDefined(from) || source.dtype != p_.tensors[to].dtype || IsPanels(source)) {
      return false;
    }
    Define(to);
    return true;
  }

  bool GuardIsSound(const format::InstructionRow& i) const { return i.tensor_count == 1 && TestIsSound(i); }

  // What is tested is a 0-dim bool that has been written.
  bool TestIsSound(const format::InstructionRow& i) const {
    if (i.expected > 1) return false;
    const uint32_t number = p_.operands(i)[0].number;
    const format::TensorRow& tested = p_.tensors[number];
    return tested.dtype == UM_BOOL && tested.dim_count == 0 && IsDefined(number) && !IsPanels(tested);
  }

  // The number that a message is about, if there is one, stands behind the `first` operands.
  bool ToldIsSound(const format::InstructionRow& i, uint32_t first) const {
    if (i.tensor_count == first) return true;
    if (i.tensor_count != first + 1) return false;
    const uint32_t number = p_.operands(i)[first].number;
    const format::TensorRow& told = p_.tensors[number];
    const bool fits = told.dtype == UM_BOOL || told.dtype == UM_I64 || told.dtype == UM_F64;
    return fits && told.dim_count == 0 && IsDefined(number) && !IsPanels(told);
  }

  bool OutputsAreDefined() const {
    for (size_t k = 0; k < p_.outputs.size(); ++k) {
      if (defined_.data()[p_.tensors.size() + k] == 0) return false;
      if (!DimsAreKnown(p_.tensors[p_.inputs.size() + k])) return false;
    }
    return true;
  }

  bool IsPanels(const format::TensorRow& tensor) const {
    return tensor.place == static_cast<uint32_t>(Place::kWeight) &&
           t_.weights[tensor.index].layout == static_cast<uint32_t>(format::WeightLayout::kPanels);
  }
  // A weight lies as its kernel expects it. What a kernel packed into the arena is the compiler's matter.
  bool PanelsDiffer(const format::TensorRow& tensor, const format::BufferRow& buffer) const {
    return tensor.place == static_cast<uint32_t>(Place::kWeight) && IsPanels(tensor) != (buffer.panels == 1);
  }

  static bool IsRow(const format::TensorRow& tensor) { return tensor.place == static_cast<uint32_t>(Place::kRow); }
  // A row exists in the loop that moves it.
  bool Exists(uint32_t number) const {
    return !IsRow(p_.tensors[number]) || (moves_.data() != nullptr && moves_.data()[number] == kMoving);
  }
  bool IsWritable(uint32_t number) const {
    if (!Exists(number)) return false;
    const bool row = IsRow(p_.tensors[number]);
    const format::TensorRow& tensor = p_.tensors[row ? p_.tensors[number].index : number];
    return tensor.place == static_cast<uint32_t>(Place::kOutput) ||
           tensor.place == static_cast<uint32_t>(Place::kArena);
  }
  // Has something been written there? An output may have several registers, which name the same memory.
  bool IsDefined(uint32_t number) const {
    const format::TensorRow& tensor = p_.tensors[number];
    switch (static_cast<Place>(tensor.place)) {
      case Place::kOutput:
        return defined_.data()[p_.tensors.size() + tensor.index] != 0;
      case Place::kArena:
        return defined_.data()[number] != 0;
      case Place::kRow:
        return Exists(number) && (defined_.data()[number] != 0 || IsDefined(tensor.index));
      default:
        return true;
    }
  }
  void Define(uint32_t number) {
    const format::TensorRow& tensor = p_.tensors[number];
    const bool is_output = tensor.place == static_cast<uint32_t>(Place::kOutput);
    SetFlag(is_output ? p_.tensors.size() + tensor.index : number);
  }
  void SetFlag(size_t flag) {
    if (defined_.data()[flag] == 0 && log_ != nullptr) log_[log_size_++] = static_cast<uint32_t>(flag);
    defined_.data()[flag] = 1;
  }

  const Program& p_;
  const Tables& t_;
  um_error* error_;
  int64_t early_;
  int64_t next_;   // the int register that the next builtin that sets any starts with
  Block defined_;  // a flag for each tensor register, then for each output, then for each int register
  Block moves_;    // for each tensor register, its Move; empty where there are no loops
  Block seen_, region_memory_, log_memory_;
  Region* regions_ = nullptr;  // the blocks around the instruction, the innermost last
  size_t region_count_ = 0;
  uint32_t* log_ = nullptr;  // the flags that were set in those blocks, in order; null where there are none
  size_t log_size_ = 0;
};

}  // namespace

um_status VerifyProgram(const Program& program, um_error* error) { return ProgramVerifier(program, error).Run(); }

}  // namespace um
