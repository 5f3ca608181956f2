// Names the formats that people confuse with ours by their first bytes.
#include "archive/strangers.h"

#include <string.h>

#include "generated/layout.inc"

namespace um {

namespace {

struct Stranger {
  const char* magic;
  size_t at;
  const char* what;
};

constexpr Stranger kStrangers[] = {
    {"PK\x03\x04", 0, "a zip file, as torch.save and torch.jit.save write them"},
    {"\x93NUMPY", 0, "a NumPy array"},
    {"\x80\x02", 0, "a pickle"},
    {"\x80\x03", 0, "a pickle"},
    {"\x80\x04", 0, "a pickle"},
    {"\x80\x05", 0, "a pickle"},
    {"\x89HDF", 0, "an HDF5 file"},
    {"\x1f\x8b", 0, "a gzip file"},
    {"GGUF", 0, "a GGUF model"},
    {"ET12", 4, "an ExecuTorch program"},
    {"TFL3", 4, "a LiteRT model"},
    {"\x7f"
     "ELF",
     0, "a program or shared library"},
    {"version https://git-lfs", 0, "a Git LFS pointer: fetch the file itself with `git lfs pull`"},
    {"<", 0, "text such as HTML, perhaps a failed download"},
    {"{\"", 8, "a safetensors file: it holds weights and no program"},
    {"\x08", 0, "perhaps an ONNX model"},
};

bool IsText(const uint8_t* head, size_t bytes) {
  for (size_t k = 0; k < bytes; ++k) {
    if ((head[k] < ' ' && head[k] != '\t' && head[k] != '\n' && head[k] != '\r') || head[k] > '~') return false;
  }
  return true;
}

}  // namespace

um_status RefuseStranger(const uint8_t* head, size_t bytes, um_error* error) {
  if (bytes == 0) return Fail(error, UM_NOT_UNMOOR, "the file is empty");
  if (bytes < sizeof format::kMagic && memcmp(head, format::kMagic, bytes) == 0) {
    return Fail(error, UM_DAMAGED, "the file is truncated: it ends after %zu bytes", bytes);
  }
  if (bytes >= 4 && memcmp(head + 1, format::kMagic + 1, 3) == 0) {
    return Fail(error, UM_DAMAGED,
                "the file was damaged on its way: a transfer as text changed its bytes. Copy it again as binary");
  }
  for (const Stranger& stranger : kStrangers) {
    const size_t length = strlen(stranger.magic);
    if (bytes >= stranger.at + length && memcmp(head + stranger.at, stranger.magic, length) == 0) {
      return Fail(error, UM_NOT_UNMOOR, "not an Unmoor file: it looks like %s", stranger.what);
    }
  }
  if (IsText(head, bytes)) return Fail(error, UM_NOT_UNMOOR, "not an Unmoor file: it looks like text");
  return Fail(error, UM_NOT_UNMOOR, "not an Unmoor file");
}

}  // namespace um
