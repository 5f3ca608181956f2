// What the parts of the command line share: exit codes, options, and the values that a call is given.
#pragma once

#include <stdint.h>

#include "list.h"
#include "unmoor.h"

namespace tool {

enum Exit { kOk = 0, kFailed = 1, kUsage = 2 };

// A tensor that the user gave. A literal has no dtype until the signature says which: it holds numbers.
struct Number {
  double real;
  int64_t whole;
  bool is_whole;
  bool is_bool;
};
struct Value {
  const char* name;  // of the input it is for, or null: it is for the next one
  const char* from;  // what the user wrote, for messages
  bool is_literal;
  um_dtype dtype;
  int32_t rank;
  int64_t shape[UM_MAX_RANK];
  int64_t strides[UM_MAX_RANK];
  size_t bytes;
  void* data;       // of a file
  Number* numbers;  // of a literal
  size_t count;
};

struct Options {
  const char* file = nullptr;
  const char* method = nullptr;
  const char* trust = "no";
  double seconds = 1.0;
  size_t threads = 1;
  bool huge_weights = false;
  bool assumptions = false;  // info: only what the trace froze
  bool seeded = false;
  int64_t seed = 0;
  const char* state = nullptr;      // the .npz file that the session's state comes from
  const char* state_out = nullptr;  // and that it goes to after the call
  List<const char*> outputs;
  List<const char*> arguments;
};

// Reads the words after the command. False: a message is written, and the usage was wrong.
bool ReadOptions(int count, char** words, Options* options);

// Writes "um: ..." to the error stream.
__attribute__((format(printf, 1, 2))) void Complain(const char* format, ...);

// Opens the file; null: a message is written.
um_model* Open(const Options& options);

// Reads the arguments; false: a message is written.
bool ReadValues(const List<const char*>& arguments, List<Value>* values);
bool ReadLiteral(const char* text, Value* value);
bool ReadNpy(const uint8_t* bytes, size_t count, const char* from, Value* value);
bool ReadNpz(const uint8_t* bytes, size_t count, const char* from, List<Value>* values);
bool WriteNpy(const char* path, const um_tensor& tensor);
struct Named {
  const char* name;
  um_tensor tensor;
};
bool WriteNpz(const char* path, const List<Named>& tensors);
// Reads the tensors of a .npz file; false: a message is written.
bool ReadNpzFile(const char* path, List<Value>* values);

// A session with a method's inputs, ready to be run.
struct Call {
  um_session* session = nullptr;
  size_t method = 0;
  size_t signature = 0;
  List<um_tensor> inputs;
  List<um_tensor> outputs;
};
// Makes the session, and the inputs of the first signature that the values fit.
bool PrepareCall(um_model* model, const Options& options, Call* call);

// Gives a session the state and the seed of the command line; false: a message is written.
bool SetState(um_model* model, const Options& options, um_session* session);
// Writes the session's state where the command line says so.
bool KeepState(um_model* model, const Options& options, um_session* session);

// Prints a tensor for people, cut short where it is long.
void PrintTensor(const char* name, const um_tensor& tensor);

int Info(const Options& options);
int Run(const Options& options);
int Bench(const Options& options);
int Verify(const Options& options);

}  // namespace tool
