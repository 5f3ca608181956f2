// Opening: sound files, files that are spoilt in every way, trust.
#include <string.h>

#include <functional>
#include <string>

#include "base/cpu.h"
#include "doctest.h"
#include "files.h"
#include "vm/model.h"

using namespace test;

TEST_CASE("a sound file tells what it holds") {
  const Bytes file = Example().Encode();
  Model model;
  um_error error;
  REQUIRE_MESSAGE(OpenBytes(file, UM_TRUST_NO, &model, &error) == UM_OK, error.message);
  CHECK(um_method_count(model.get()) == 5);
  CHECK(um_method_name(model.get(), 0) == std::string("forward"));
  CHECK(um_method_name(model.get(), 5) == nullptr);
  CHECK(um_signature_count(model.get(), 0) == 2);
  CHECK(um_signature_text(model.get(), 0, 1) == std::string("(x: f32[s0, 3]) -> (f32[s0, 3])"));
  CHECK(um_signature_text(model.get(), 0, 2) == nullptr);
  CHECK(um_input_count(model.get(), 2, 0) == 2);
  CHECK(um_output_count(model.get(), 2, 0) == 1);
  CHECK(um_tensor_name(model.get(), 2, 0, 1) == std::string("b"));
  CHECK(um_tensor_dtype(model.get(), 2, 0, 1) == UM_F32);
  CHECK(um_tensor_rank(model.get(), 0, 1, 0) == 2);
  CHECK(um_tensor_dim(model.get(), 0, 1, 0, 0) == -1);
  CHECK(um_tensor_dim(model.get(), 0, 1, 0, 1) == 3);
  CHECK(um_tensor_name(model.get(), 2, 0, 3) == nullptr);
  CHECK(um_assumptions_text(model.get(), 0) == std::string("model.py:3 the mode is eval"));
  CHECK(um_target_count(model.get()) == 1);
  CHECK(um_target_name(model.get(), 0) == std::string("x86-64-v3"));
  CHECK(um_kernel_count(model.get()) == 3);
  CHECK(um_weight_bytes(model.get()) == 12);
  CHECK(std::string(um_model_digest(model.get())).size() == 71);
  size_t method = 99;
  CHECK(um_method_find(model.get(), "guarded", &method, &error) == UM_OK);
  CHECK(method == 1);
  CHECK(um_method_find(model.get(), "none", &method, &error) == UM_WRONG_ARGUMENT);
}

TEST_CASE("machine code runs only where it is trusted") {
  const Bytes file = Example().Encode();
  Model model;
  um_error error;
  um_session* session = nullptr;
  REQUIRE(OpenBytes(file, UM_TRUST_NO, &model, &error) == UM_OK);
  CHECK(um_model_engine(model.get()) == std::string("none (native code is present, but not trusted)"));
  CHECK(um_session_new(model.get(), nullptr, &session, &error) == UM_NOT_TRUSTED);
  CHECK(session == nullptr);
  CHECK(std::string(error.message).find("--trust") != std::string::npos);

  const std::string digest = um_model_digest(model.get());
  um_open_options options = {};
  options.size = sizeof options;
  options.trust = UM_TRUST_DIGEST;
  options.digest = digest.c_str();
  um_model* opened = nullptr;
  REQUIRE(um_open_memory(file.data(), file.size(), &options, &opened, &error) == UM_OK);
  model.reset(opened);
  if (um::DetectCpu().x86_64_v3) {
    CHECK(um_model_engine(opened) == std::string("native x86-64-v3"));
    REQUIRE(um_session_new(opened, nullptr, &session, &error) == UM_OK);
    um_session_free(session);
  }
  std::string other = digest;
  other.back() = other.back() == '0' ? '1' : '0';
  options.digest = other.c_str();
  CHECK(um_open_memory(file.data(), file.size(), &options, &opened, &error) == UM_WRONG_DIGEST);
  CHECK(std::string(error.message).find(digest) != std::string::npos);
  options.digest = "sha256:12";
  CHECK(um_open_memory(file.data(), file.size(), &options, &opened, &error) == UM_WRONG_ARGUMENT);
  options.size = 3;
  CHECK(um_open_memory(file.data(), file.size(), &options, &opened, &error) == UM_WRONG_ARGUMENT);
}

TEST_CASE("code for another processor is refused by name") {
  Image image = Example();
  image.targets = {77};
  Model model;
  um_error error;
  um_session* session = nullptr;
  REQUIRE(OpenBytes(image.Encode(), UM_TRUST_YES, &model, &error) == UM_OK);
  CHECK(um_session_new(model.get(), nullptr, &session, &error) == UM_NO_CODE_FOR_CPU);
  CHECK(std::string(error.message).find("target 77") != std::string::npos);
}

TEST_CASE("a file without kernels needs no trust") {
  Opened opened(NoKernels());
  Model model;
  um_error error;
  um_session* session = nullptr;
  REQUIRE(OpenBytes(opened.file, UM_TRUST_NO, &model, &error) == UM_OK);
  CHECK(um_session_new(model.get(), nullptr, &session, &error) == UM_OK);
  um_session_free(session);
}

TEST_CASE("what is no Unmoor file is named") {
  const std::pair<std::string, std::string> strangers[] = {{"", "empty"},
                                                           {"PK\x03\x04rest of the zip", "zip"},
                                                           {"GGUF1234", "GGUF"},
                                                           {"hello, world", "not an Unmoor file"}};
  for (const auto& [bytes, said] : strangers) {
    Model model;
    um_error error;
    CHECK(OpenBytes(Bytes(bytes.begin(), bytes.end()), UM_TRUST_NO, &model, &error) == UM_NOT_UNMOOR);
    CHECK(std::string(error.message).find(said) != std::string::npos);
  }
  um_model* model = nullptr;
  um_error error;
  CHECK(um_open_file("/nowhere/at/all.unmoor", nullptr, &model, &error) == UM_CANNOT_READ);
  CHECK(std::string(error.message).find("/nowhere/at/all.unmoor") != std::string::npos);
  CHECK(um_open_file("/", nullptr, &model, &error) == UM_CANNOT_READ);
}

TEST_CASE("a newer format is told from a damaged one") {
  Image image = NoKernels();
  image.oldest_reader = 99;
  Model model;
  um_error error;
  CHECK(OpenBytes(image.Encode(), UM_TRUST_NO, &model, &error) == UM_NEWER_FORMAT);
  CHECK(std::string(error.message).find("newer Unmoor") != std::string::npos);
}

TEST_CASE("every truncation is refused") {
  const Bytes file = Example().Encode();
  for (size_t bytes = 0; bytes < file.size(); ++bytes) {
    // A copy of just that length: a sanitizer sees any read behind it.
    const Bytes part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(bytes));
    Model model;
    um_error error;
    const um_status status = OpenBytes(part, UM_TRUST_YES, &model, &error);
    if (status != UM_DAMAGED && !(bytes == 0 && status == UM_NOT_UNMOOR)) FAIL(bytes);
  }
}

TEST_CASE("every flipped byte is found") {
  Bytes file = NoKernels().Encode();
  for (size_t at = 0; at < file.size(); ++at) {
    for (uint8_t mask : {uint8_t{1}, uint8_t{0x80}, uint8_t{0xFF}}) {
      file[at] = static_cast<uint8_t>(file[at] ^ mask);
      Model model;
      um_error error;
      if (OpenBytes(file, UM_TRUST_YES, &model, &error) == UM_OK) FAIL(at);
      file[at] = static_cast<uint8_t>(file[at] ^ mask);
    }
  }
}

// Behind the digests: whatever the sections say, opening and running does not crash.
TEST_CASE("bytes flipped under right digests do no harm") {
  Bytes file = NoKernels().Encode();
  size_t opened = 0, ran = 0;
  for (size_t at = 0; at < file.size(); ++at) {
    for (uint8_t mask : {uint8_t{1}, uint8_t{2}, uint8_t{4}, uint8_t{0x80}, uint8_t{0xFF}}) {
      Bytes spoilt = file;
      spoilt[at] = static_cast<uint8_t>(spoilt[at] ^ mask);
      MakeDigestsRight(&spoilt);
      Opened o(spoilt, size_t{1} << 20);
      if (!o.session) continue;
      ++opened;
      Floats x({1, 2, 3});
      um_tensor input = x.tensor(), output = {};
      um_error error;
      if (um_run(o.session.get(), 0, &input, 1, &output, 1, &error) == UM_OK) ++ran;
    }
  }
  CHECK(opened > 0);  // texts and names may be anything
  CHECK(ran > 0);
}

// A small fuzzer with a fixed seed: numbers that matter, written over words anywhere behind the section table.
TEST_CASE("words overwritten under right digests do no harm") {
  const Bytes files[] = {NoKernels().Encode(), Example().Encode()};
  const uint64_t numbers[] = {0, 1, 2, 3, 16, 17, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, UINT64_MAX, UINT64_MAX / 2};
  uint64_t state = 12345;
  const auto next = [&state](uint64_t below) {  // xorshift64
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % below;
  };
  for (int round = 0; round < 20000; ++round) {
    const bool runs = round % 2 == 0;  // without machine code, which could do anything
    Bytes file = files[runs ? 0 : 1];
    const size_t start = sizeof(Header) + (next(8) == 0 ? 0 : 22 * sizeof(SectionEntry));
    for (uint64_t change = 0; change <= next(3); ++change) {
      const size_t width = next(2) == 0 ? 4 : 8;
      const size_t at = start + 4 * next((4088 - start) / 4);
      memcpy(file.data() + at, &numbers[next(sizeof numbers / sizeof *numbers)], width);
    }
    MakeDigestsRight(&file);
    Model model;
    um_error error;
    if (OpenBytes(file, UM_TRUST_NO, &model, &error) != UM_OK || !runs) continue;
    Opened o(file, size_t{1} << 20);
    REQUIRE(o.session);
    Floats x({1, 2, 3});
    um_tensor input = x.tensor(), output = {};
    um_run(o.session.get(), 0, &input, 1, &output, 1, &error);
  }
}

namespace {

using Spoil = std::function<void(Image&)>;

struct Rule {
  const char* name;
  Spoil spoil;
};

}  // namespace

TEST_CASE("each rule of meaning is checked") {
  const Rule rules[] = {
      {"two methods of one name", [](Image& i) { i.methods[1].name = i.methods[0].name; }},
      {"a string that does not exist", [](Image& i) { i.methods[0].name = 9999; }},
      {"a span past the end", [](Image& i) { i.methods[0].program_count = 99; }},
      {"rows that two programs share", [](Image& i) { i.programs[1].first_formula = 0; }},
      {"rows that nobody owns", [](Image& i) { i.formulas.push_back({0, 0, 0, 0}); }},
      {"strings with gaps", [](Image& i) { i.strings[1].offset += 1; }},
      {"text that is no UTF-8", [](Image& i) { i.string_bytes[i.strings[1].offset] = '\xC0'; }},
      {"a formula that reads itself", [](Image& i) { i.formulas[2].a = 2; }},
      {"a formula of an unknown operation", [](Image& i) { i.formulas[0].op = 77; }},
      {"a dim of an axis that does not exist", [](Image& i) { i.formulas[0].b = 1; }},
      {"a negative register", [](Image& i) { i.formulas[2].a = -1; }},
      {"an arena register that does not exist", [](Image& i) { i.programs[0].arena = 99; }},
      {"a tensor's dim register that does not exist", [](Image& i) { i.registers[0].number = 99; }},
      {"an input that is no input", [](Image& i) { i.tensors[0].place = 3; }},
      {"an unknown place", [](Image& i) { i.tensors[2].place = 4; }},
      {"an unknown dtype", [](Image& i) { i.specs[0].dtype = 11; }},
      {"a register of another dtype than its spec", [](Image& i) { i.specs[0].dtype = UM_I32; }},
      {"a weight that does not exist", [](Image& i) { i.tensors[5].index = 7; }},
      {"a kernel that does not exist", [](Image& i) { i.instructions[0].kernel = 7; }},
      {"a kernel with too few operands", [](Image& i) { i.instructions[0].kernel = 1; }},
      {"a kernel that writes an input", [](Image& i) { i.registers[4].number = 0; }},
      {"memory that is read before it is written", [](Image& i) { i.registers[3].number = 2; }},
      {"an output that is never written", [](Image& i) { i.registers[6].number = 2; }},
      {"code without an end", [](Image& i) { i.instructions[2].opcode = 0; }},
      {"an unknown instruction", [](Image& i) { i.instructions[0].opcode = 5; }},
      {"a message that does not exist",
       [](Image& i) {
         i.programs[2].message_count = 0;
         i.messages.erase(i.messages.begin());
       }},
      {"a kernel's buffer of an unknown role", [](Image& i) { i.buffers[0].role = 3; }},
      {"a weight whose length is not its shape's", [](Image& i) { i.weights[0].bytes = 8; }},
      {"a weight outside its section", [](Image& i) { i.weights[0].offset = 64; }},
      {"a weight that is not aligned", [](Image& i) { i.weights[0].offset = 4; }},
      {"a weight of negative size", [](Image& i) { i.shapes[0].size = -3; }},
      {"panels that are none", [](Image& i) { i.weights[0].layout = 1; }},
      {"a code entry outside the code", [](Image& i) { i.entries[0].offset = i.code.size(); }},
      {"too few code entries", [](Image& i) { i.entries.pop_back(); }},
      {"an input with an expression for a dim", [](Image& i) { i.dims[0].kind = 2; }},
      {"a symbol that does not exist", [](Image& i) { i.dims[0].value = 1; }},
      {"a reserved field", [](Image& i) { i.formulas[0].reserved = 1; }},
  };
  for (const Rule& rule : rules) {
    Image image = Example();
    rule.spoil(image);
    Model model;
    um_error error = {};
    CHECK_MESSAGE(OpenBytes(image.Encode(), UM_TRUST_YES, &model, &error) == UM_DAMAGED, rule.name);
    CHECK_MESSAGE(std::string(error.message).find("damaged") != std::string::npos, rule.name);
  }
}

TEST_CASE("weights may be kept apart from the file") {
  Image image = Example();
  image.weights_apart = true;
  const Bytes file = image.Encode();
  alignas(64) const float weights[3] = {1, 2, 3};
  um_open_options options = {};
  options.size = sizeof options;
  options.trust = UM_TRUST_YES;
  um_model* model = nullptr;
  um_error error;
  CHECK(um_open_memory(file.data(), file.size(), &options, &model, &error) == UM_WRONG_ARGUMENT);
  options.weights = weights;
  options.weights_bytes = 8;
  CHECK(um_open_memory(file.data(), file.size(), &options, &model, &error) == UM_WRONG_ARGUMENT);
  options.weights_bytes = sizeof weights;
  REQUIRE(um_open_memory(file.data(), file.size(), &options, &model, &error) == UM_OK);
  um_model_free(model);
  const Bytes whole = Example().Encode();
  CHECK(um_open_memory(whole.data(), whole.size(), &options, &model, &error) == UM_WRONG_ARGUMENT);
}

TEST_CASE("weights in the caller's memory stay there, or are copied where that is asked for") {
  Bytes file = Example().Encode();
  um_open_options options = {};
  options.size = sizeof options;
  options.trust = UM_TRUST_YES;
  um_model* model = nullptr;
  um_error error;
  for (const um_weights_in where : {UM_WEIGHTS_MAPPED, UM_WEIGHTS_HUGE}) {
    options.weights_in = where;
    REQUIRE(um_open_memory(file.data(), file.size(), &options, &model, &error) == UM_OK);
    const uint8_t* weights = model->archive.weights().data();
    const bool inside = weights >= file.data() && weights < file.data() + file.size();
    CHECK((!inside || where == UM_WEIGHTS_MAPPED));
    um_model_free(model);
  }
}
