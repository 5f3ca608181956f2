// Reads tensors that are written out: 3.5, 1,2,3, [[1,2],[3,4]], true.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

class Reader {
 public:
  Reader(const char* text, Value* value) : text_(text), at_(text), value_(value) {}

  bool Run() {
    value_->rank = -1;
    SkipSpace();
    bool fine = false;
    if (*at_ == '[') {
      fine = ReadList(0);
    } else {
      fine = ReadNumber();
      SkipSpace();
      value_->rank = 0;
      if (fine && *at_ == ',') {  // bare numbers with commas: a list without its brackets
        value_->rank = 1;
        while (fine && *at_ == ',') {
          ++at_;
          SkipSpace();
          if (*at_ == '\0') break;  // "1," is a list of one
          fine = ReadNumber();
          SkipSpace();
        }
        value_->shape[0] = static_cast<int64_t>(numbers_.size());
      }
    }
    SkipSpace();
    if (!fine || *at_ != '\0') {
      if (!told_) Complain("%s: no tensor: a number, 1,2,3, [[1,2],[3,4]], or a file .npy or .npz is wanted", text_);
      return false;
    }
    value_->is_literal = true;
    value_->count = numbers_.size();
    value_->numbers = static_cast<Number*>(Take(numbers_.size() * sizeof(Number)));
    if (numbers_.size() > 0) memcpy(value_->numbers, numbers_.data(), numbers_.size() * sizeof(Number));
    return true;
  }

 private:
  void SkipSpace() {
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\t') ++at_;
  }

  bool ReadWord(const char* word, double real, bool is_bool) {
    const size_t length = strlen(word);
    if (strncmp(at_, word, length) != 0) return false;
    at_ += length;
    numbers_.Add({real, static_cast<int64_t>(is_bool ? real : 0.0), is_bool, is_bool});
    return true;
  }

  bool ReadNumber() {
    if (ReadWord("true", 1, true) || ReadWord("True", 1, true) || ReadWord("false", 0, true) ||
        ReadWord("False", 0, true)) {
      return true;
    }
    const bool starts = (*at_ >= '0' && *at_ <= '9') || *at_ == '-' || *at_ == '+' || *at_ == '.' || *at_ == 'i' ||
                        *at_ == 'n' || *at_ == 'I' || *at_ == 'N';
    char* end = nullptr;
    char* whole_end = nullptr;
    errno = 0;
    const double real = strtod(at_, &end);
    errno = 0;
    const long long whole = strtoll(at_, &whole_end, 10);
    if (!starts || end == at_) return false;
    const bool is_whole = whole_end == end && errno == 0;
    numbers_.Add({real, is_whole ? whole : 0, is_whole, false});
    at_ = end;
    return true;
  }

  // A list at a depth; all lists of a depth have one length, and numbers stand at one depth only.
  bool ReadList(int32_t depth) {
    if (depth == UM_MAX_RANK) return false;
    ++at_;
    int64_t count = 0;
    SkipSpace();
    while (*at_ != ']') {
      const bool nested = *at_ == '[';
      if (nested ? !ReadList(depth + 1) : !(SetRank(depth + 1) && ReadNumber())) return false;
      ++count;
      SkipSpace();
      if (*at_ == ',')
        ++at_;
      else if (*at_ != ']')
        return false;
      SkipSpace();
    }
    ++at_;
    if (count == 0 && !SetRank(depth + 1)) return false;
    if (seen_[depth] && value_->shape[depth] != count) return Ragged();
    seen_[depth] = true;
    value_->shape[depth] = count;
    return true;
  }

  bool SetRank(int32_t rank) {
    if (value_->rank >= 0 && value_->rank != rank) return Ragged();
    value_->rank = rank;
    return true;
  }

  bool Ragged() {
    if (!told_) Complain("%s: no tensor: its lists are of different lengths", text_);
    told_ = true;
    return false;
  }

  const char* text_;
  const char* at_;
  Value* value_;
  List<Number> numbers_;
  bool seen_[UM_MAX_RANK] = {};
  bool told_ = false;
};

}  // namespace

bool ReadLiteral(const char* text, Value* value) { return Reader(text, value).Run(); }

}  // namespace tool
