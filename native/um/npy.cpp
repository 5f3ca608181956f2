// Reads and writes NumPy's .npy files (format versions 1 to 3), and .npz files that are not compressed.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

struct Code {
  const char* text;  // without the byte order
  um_dtype dtype;
};
constexpr Code kCodes[] = {{"b1", UM_BOOL}, {"u1", UM_U8},  {"u2", UM_BF16}, {"i1", UM_I8},  {"i2", UM_I16},
                           {"i4", UM_I32},  {"i8", UM_I64}, {"f2", UM_F16},  {"f4", UM_F32}, {"f8", UM_F64}};
constexpr const char* kMagic = "\x93NUMPY";

uint32_t Load(const uint8_t* from, size_t bytes) {
  uint32_t value = 0;
  for (size_t k = bytes; k > 0; --k) value = value << 8 | from[k - 1];
  return value;
}

bool Refuse(const char* from, const char* why) {
  Complain("%s: %s", from, why);
  return false;
}

// The text behind 'key': in the header, which is a Python dict of fixed form.
const char* Find(const char* header, const char* key) {
  const char* at = strstr(header, key);
  if (at == nullptr) return nullptr;
  at += strlen(key);
  while (*at == ' ' || *at == ':') ++at;
  return at;
}

bool ReadShape(const char* at, Value* value) {
  value->rank = 0;
  if (at == nullptr || *at++ != '(') return false;
  for (;;) {
    while (*at == ' ' || *at == ',') ++at;
    if (*at == ')') return true;
    if (*at < '0' || *at > '9' || value->rank == UM_MAX_RANK) return false;
    int64_t size = 0;
    for (; *at >= '0' && *at <= '9'; ++at) {
      if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, *at - '0', &size)) return false;
    }
    value->shape[value->rank++] = size;
  }
}

// Sets strides and bytes; false where the sizes overflow.
bool LayOut(bool fortran, Value* value) {
  int64_t stride = 1;
  for (int32_t k = 0; k < value->rank; ++k) {
    const int32_t axis = fortran ? k : value->rank - 1 - k;
    value->strides[axis] = stride;
    if (__builtin_mul_overflow(stride, value->shape[axis], &stride)) return false;
  }
  value->count = static_cast<size_t>(stride);
  return !__builtin_mul_overflow(value->count, um_dtype_size(value->dtype), &value->bytes);
}

}  // namespace

bool ReadNpy(const uint8_t* bytes, size_t count, const char* from, Value* value) {
  if (count < 10 || memcmp(bytes, kMagic, 6) != 0) return Refuse(from, "no .npy file");
  const size_t prefix = bytes[6] == 1 ? 10 : 12;
  if (bytes[6] < 1 || bytes[6] > 3 || count < prefix) return Refuse(from, "an unknown version of .npy");
  const size_t length = Load(bytes + 8, prefix - 8);
  if (length > count - prefix || length > 65536) return Refuse(from, "the .npy file is truncated");
  List<char> header;
  memcpy(header.AddMany(length), bytes + prefix, length);
  header.Add('\0');
  const char* descr = Find(header.data(), "'descr'");
  if (descr == nullptr || descr[0] != '\'') return Refuse(from, "its dtype is not a simple one");
  const char order = descr[1];
  value->dtype = static_cast<um_dtype>(0);
  for (const Code& code : kCodes) {
    if (strncmp(descr + 2, code.text, 2) == 0 && descr[4] == '\'') value->dtype = code.dtype;
  }
  if (value->dtype == 0 || (order != '<' && order != '|' && order != '=')) {
    Complain("%s: its dtype %.6s is none of little-endian bool, int or float", from, descr);
    return false;
  }
  const char* fortran = Find(header.data(), "'fortran_order'");
  if (fortran == nullptr || !ReadShape(Find(header.data(), "'shape'"), value) || !LayOut(fortran[0] == 'T', value)) {
    return Refuse(from, "its header is not as .npy files have it");
  }
  if (value->bytes != count - prefix - length) return Refuse(from, "its length does not fit its shape");
  value->data = Take(value->bytes);
  memcpy(value->data, bytes + prefix + length, value->bytes);
  return true;
}

// A zip file's directory stands at its end; each entry there says where the member's own header is.
bool ReadNpz(const uint8_t* bytes, size_t count, const char* from, List<Value>* values) {
  size_t end = count;
  for (size_t k = 22; k <= count && k < 22 + 65536 && end == count; ++k) {
    if (memcmp(bytes + count - k, "PK\x05\x06", 4) == 0) end = count - k;
  }
  if (end == count) return Refuse(from, "no .npz file");
  const size_t members = Load(bytes + end + 10, 2);
  size_t at = Load(bytes + end + 16, 4);
  for (size_t k = 0; k < members; ++k) {
    if (at > end || end - at < 46 || memcmp(bytes + at, "PK\x01\x02", 4) != 0)
      return Refuse(from, "the file is damaged");
    const size_t method = Load(bytes + at + 10, 2), packed = Load(bytes + at + 20, 4), name = Load(bytes + at + 28, 2);
    const size_t skipped = Load(bytes + at + 30, 2) + Load(bytes + at + 32, 2), start = Load(bytes + at + 42, 4);
    if (method != 0) return Refuse(from, "it is compressed: write it with numpy.savez, not savez_compressed");
    if (end - at - 46 < name || start > end || end - start < 30) return Refuse(from, "the file is damaged");
    const size_t body = start + 30 + Load(bytes + start + 26, 2) + Load(bytes + start + 28, 2);
    if (body > end || packed > end - body) return Refuse(from, "the file is damaged, or too large for this reader");
    Value value = {};
    value.from = from;
    if (!ReadNpy(bytes + body, packed, from, &value)) return false;
    const size_t stem = name > 4 && memcmp(bytes + at + 46 + name - 4, ".npy", 4) == 0 ? name - 4 : name;
    char* text = static_cast<char*>(Take(stem + 1));
    memcpy(text, bytes + at + 46, stem);
    text[stem] = '\0';
    value.name = strncmp(text, "arr_", 4) == 0 ? nullptr : text;  // savez names what has no name arr_0, arr_1...
    values->Add(value);
    at += 46 + name + skipped;
  }
  return true;
}

namespace {

// The bytes of a .npy file before the tensor's own.
struct Head {
  uint8_t bytes[576];
  size_t count;
};

bool MakeHead(const char* path, const um_tensor& tensor, Head* head) {
  const char* descr = nullptr;
  for (const Code& code : kCodes) {
    if (code.dtype == tensor.dtype) descr = code.text;
  }
  if (descr == nullptr) return Refuse(path, "NumPy has no such dtype");
  char header[512];
  int used = snprintf(header, sizeof header, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                      um_dtype_size(tensor.dtype) == 1 ? '|' : '<', descr);
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    used += snprintf(header + used, sizeof header - static_cast<size_t>(used), "%" PRId64 "%s", tensor.shape[axis],
                     axis + 1 < tensor.rank ? ", "
                     : tensor.rank == 1     ? ","
                                            : "");
  }
  used += snprintf(header + used, sizeof header - static_cast<size_t>(used), "), }");
  while ((10 + used + 1) % 64 != 0) header[used++] = ' ';
  header[used++] = '\n';
  const uint8_t prefix[10] = {
      0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<uint8_t>(used & 255), static_cast<uint8_t>(used >> 8)};
  memcpy(head->bytes, prefix, sizeof prefix);
  memcpy(head->bytes + sizeof prefix, header, static_cast<size_t>(used));
  head->count = sizeof prefix + static_cast<size_t>(used);
  return true;
}

// Writes to a file, and remembers whether all went well.
class Writer {
 public:
  explicit Writer(const char* path) : path_(path), file_(fopen(path, "wb")), fine_(file_ != nullptr) {}
  void Put(const void* bytes, size_t count) {
    fine_ = fine_ && fwrite(bytes, 1, count, file_) == count;
    written_ += count;
  }
  void PutNumber(uint64_t value, size_t bytes) {
    for (size_t k = 0; k < bytes; ++k) {
      const uint8_t byte = static_cast<uint8_t>(value >> 8 * k);
      Put(&byte, 1);
    }
  }
  uint64_t written() const { return written_; }
  bool Close() {
    if (file_ != nullptr && fclose(file_) != 0) fine_ = false;
    if (!fine_) Complain("cannot write %s: %s", path_, strerror(errno));
    return fine_;
  }

 private:
  const char* path_;
  FILE* file_;
  bool fine_;
  uint64_t written_ = 0;
};

// The checksum of zip files, of bytes that follow those whose checksum is `sum`.
uint32_t Checksum(uint32_t sum, const void* bytes, size_t count) {
  const uint8_t* at = static_cast<const uint8_t*>(bytes);
  sum = ~sum;
  for (size_t k = 0; k < count; ++k) {
    sum ^= at[k];
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (0xedb88320u & (0u - (sum & 1u)));
  }
  return ~sum;
}

struct Member {
  const Named* named;
  Head head;
  uint32_t checksum;
  uint64_t start, bytes;
};

// What a member's own header and its entry of the directory share, from the version on.
void PutMember(const Member& member, Writer* writer) {
  writer->PutNumber(20, 2);  // the version of the format that a reader needs
  writer->PutNumber(0x0800, 4);  // names are UTF-8; stored as it is
  writer->PutNumber(0x00210000, 4);  // 1 January 1980: equal states give equal files
  writer->PutNumber(member.checksum, 4);
  writer->PutNumber(member.bytes, 4);
  writer->PutNumber(member.bytes, 4);
  writer->PutNumber(strlen(member.named->name) + 4, 2);
  writer->PutNumber(0, 2);
}

void PutName(const Member& member, Writer* writer) {
  writer->Put(member.named->name, strlen(member.named->name));
  writer->Put(".npy", 4);
}

}  // namespace

bool WriteNpy(const char* path, const um_tensor& tensor) {
  Head head;
  if (!MakeHead(path, tensor, &head)) return false;
  Writer writer(path);
  writer.Put(head.bytes, head.count);
  writer.Put(tensor.data, tensor.bytes);
  return writer.Close();
}

bool WriteNpz(const char* path, const List<Named>& tensors) {
  List<Member> members;
  uint64_t total = 0;
  for (size_t k = 0; k < tensors.size(); ++k) {
    const um_tensor& tensor = tensors[k].tensor;
    Member* member = members.AddMany(1);
    member->named = &tensors[k];
    if (!MakeHead(path, tensor, &member->head)) return false;
    member->bytes = member->head.count + tensor.bytes;
    member->checksum = Checksum(Checksum(0, member->head.bytes, member->head.count), tensor.data, tensor.bytes);
    total += member->bytes + 2 * strlen(tensors[k].name) + 128;
  }
  if (total > UINT32_MAX || tensors.size() > UINT16_MAX) return Refuse(path, "a .npz file holds up to 4 GB");
  Writer writer(path);
  for (Member& member : members) {
    member.start = writer.written();
    writer.Put("PK\x03\x04", 4);
    PutMember(member, &writer);
    PutName(member, &writer);
    writer.Put(member.head.bytes, member.head.count);
    writer.Put(member.named->tensor.data, member.named->tensor.bytes);
  }
  const uint64_t directory = writer.written();
  for (const Member& member : members) {
    writer.Put("PK\x01\x02", 4);
    writer.PutNumber(20, 2);  // the version of the writer
    PutMember(member, &writer);
    writer.PutNumber(0, 6);  // no comment, the first disk, no attributes
    writer.PutNumber(0, 4);
    writer.PutNumber(member.start, 4);
    PutName(member, &writer);
  }
  const uint64_t end = writer.written();
  writer.Put("PK\x05\x06", 4);
  writer.PutNumber(0, 4);
  writer.PutNumber(members.size(), 2);
  writer.PutNumber(members.size(), 2);
  writer.PutNumber(end - directory, 4);
  writer.PutNumber(directory, 4);
  writer.PutNumber(0, 2);
  return writer.Close();
}

}  // namespace tool
