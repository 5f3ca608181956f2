// Opening and freeing models.
#include "vm/model.h"

#include <string.h>

#include <new>

#include "base/version.h"
#include "program/verify.h"

namespace {

using um::Fail;

struct Trust {
  bool by_caller = false;
  bool by_digest = false;
  uint8_t digest[um::kDigestBytes];
};

um_status ReadOptions(const um_open_options* options, Trust* trust, um::WeightSource* weights, um_error* error) {
  if (options == nullptr) return UM_OK;
  if (options->size != sizeof *options) {
    return Fail(error, UM_WRONG_ARGUMENT, "um_open_options.size is %zu; this runtime's is %zu", options->size,
                sizeof *options);
  }
  weights->data = static_cast<const uint8_t*>(options->weights);
  weights->bytes = options->weights_bytes;
  weights->copied = options->weights_in == UM_WEIGHTS_HUGE;
  switch (options->trust) {
    case UM_TRUST_NO:
      return UM_OK;
    case UM_TRUST_YES:
      trust->by_caller = true;
      return UM_OK;
    case UM_TRUST_DIGEST:
      trust->by_digest = true;
      if (options->digest == nullptr || !um::ParseDigest(options->digest, trust->digest)) {
        return Fail(error, UM_WRONG_ARGUMENT, "a digest is \"sha256:\" and 64 hex digits; \"%s\" is not",
                    options->digest != nullptr ? options->digest : "(null)");
      }
      return UM_OK;
  }
  return Fail(error, UM_WRONG_ARGUMENT, "um_open_options.trust is %d, which means nothing",
              static_cast<int>(options->trust));
}

um_status Load(um_model* model, const um::Source& source, const um_open_options* options, um_error* error) {
  Trust trust;
  um::WeightSource weights;
  UM_TRY(ReadOptions(options, &trust, &weights, error));
  const um::Cpu cpu = um::DetectCpu();
  UM_TRY(model->archive.Open(source, weights, cpu, error));
  um::PrintDigest(model->archive.digest(), model->digest);
  if (trust.by_digest && memcmp(trust.digest, model->archive.digest(), um::kDigestBytes) != 0) {
    return Fail(error, UM_WRONG_DIGEST, "the file is another than was expected: its digest is %s, expected was %s",
                model->digest, options->digest);
  }
  model->tables = um::Tables(model->archive);
  UM_TRY(um::Verify(model->tables, model->archive, error));
  return model->code.Load(model->archive, cpu, model->tables.kernels.size(), trust.by_caller || trust.by_digest, error);
}

um_status Open(const um::Source& source, const um_open_options* options, um_model** model, um_error* error) {
  um::Block memory;
  if (!memory.Allocate(sizeof(um_model))) return um::OutOfMemory(error, sizeof(um_model));
  um_model* made = new (memory.data()) um_model();
  memory.Release();
  const um_status status = Load(made, source, options, error);
  if (status != UM_OK) {
    um_model_free(made);
    return status;
  }
  *model = made;
  return UM_OK;
}

}  // namespace

um_status um_open_file(const char* path, const um_open_options* options, um_model** model, um_error* error) {
  if (model == nullptr || path == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_open_file: a null pointer");
  *model = nullptr;
  um::File file;
  UM_TRY(file.Open(path, error));
  um::Source source;
  source.file = &file;
  source.bytes = file.bytes();
  return Open(source, options, model, error);
}

um_status um_open_memory(const void* data, size_t bytes, const um_open_options* options, um_model** model,
                         um_error* error) {
  if (model == nullptr || (data == nullptr && bytes > 0)) {
    return Fail(error, UM_WRONG_ARGUMENT, "um_open_memory: a null pointer");
  }
  *model = nullptr;
  um::Source source;
  source.memory = static_cast<const uint8_t*>(data);
  source.bytes = bytes;
  return Open(source, options, model, error);
}

void um_model_free(um_model* model) {
  if (model == nullptr || !model->Drop()) return;
  model->~um_model();
  um::Block memory;
  memory.Adopt(reinterpret_cast<uint8_t*>(model), sizeof(um_model));
}
