// Reads the command line: options, the file, and the tensors of a call.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

bool IsNumberOrList(const char* word) { return word[1] == '.' || (word[1] >= '0' && word[1] <= '9'); }

bool EndsWith(const char* text, const char* end) {
  const size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

bool ReadFile(const char* path, List<uint8_t>* bytes) {
  FILE* file = fopen(path, "rb");
  if (file == nullptr) {
    Complain("cannot read %s: %s", path, strerror(errno));
    return false;
  }
  uint8_t buffer[65536];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) memcpy(bytes->AddMany(got), buffer, got);
  const bool fine = ferror(file) == 0;
  if (!fine) Complain("cannot read %s: %s", path, strerror(errno));
  fclose(file);
  return fine;
}

// "name=rest": a name is what Python takes for one, with dots and brackets of nested arguments.
const char* SplitName(const char* text, const char** name) {
  const size_t length = strcspn(text, "=");
  *name = nullptr;
  if (text[length] == '\0' || length == 0 || (text[0] >= '0' && text[0] <= '9') || text[0] == '[') return text;
  char* copy = static_cast<char*>(Take(length + 1));
  memcpy(copy, text, length);
  copy[length] = '\0';
  *name = copy;
  return text + length + 1;
}

bool ReadValue(const char* text, List<Value>* values) {
  const char* name = nullptr;
  const char* rest = SplitName(text, &name);
  Value value = {};
  value.from = rest;
  if (EndsWith(rest, ".npz")) {
    List<uint8_t> bytes;
    if (name != nullptr) {
      Complain("%s: a .npz file brings its own names", text);
      return false;
    }
    return ReadFile(rest, &bytes) && ReadNpz(bytes.data(), bytes.size(), rest, values);
  }
  if (EndsWith(rest, ".npy")) {
    List<uint8_t> bytes;
    if (!ReadFile(rest, &bytes) || !ReadNpy(bytes.data(), bytes.size(), rest, &value)) return false;
  } else if (!ReadLiteral(rest, &value)) {
    return false;
  }
  value.name = name;
  values->Add(value);
  return true;
}

}  // namespace

bool ReadOptions(int count, char** words, Options* options) {
  bool only_arguments = false;
  for (int k = 0; k < count; ++k) {
    const char* word = words[k];
    const bool is_option = !only_arguments && word[0] == '-' && !IsNumberOrList(word);
    if (!is_option) {
      if (options->file == nullptr)
        options->file = word;
      else
        options->arguments.Add(word);
      continue;
    }
    if (strcmp(word, "--") == 0) {
      only_arguments = true;
      continue;
    }
    if (strcmp(word, "--assumptions") == 0) {
      options->assumptions = true;
      continue;
    }
    const bool known = strcmp(word, "--seed") == 0 || strcmp(word, "--state") == 0 ||
                       strcmp(word, "--state-out") == 0 || strcmp(word, "--trust") == 0 || strcmp(word, "--method") == 0 || strcmp(word, "-o") == 0 ||
                       strcmp(word, "--seconds") == 0 || strcmp(word, "--threads") == 0 || strcmp(word, "--weights") == 0;
    if (!known) {
      Complain("there is no option %s; `um --help` lists them", word);
      return false;
    }
    if (++k == count) {
      Complain("%s needs a word behind it", word);
      return false;
    }
    if (strcmp(word, "--trust") == 0) options->trust = words[k];
    if (strcmp(word, "--method") == 0) options->method = words[k];
    if (strcmp(word, "-o") == 0) options->outputs.Add(words[k]);
    if (strcmp(word, "--state") == 0) options->state = words[k];
    if (strcmp(word, "--state-out") == 0) options->state_out = words[k];
    if (strcmp(word, "--seed") == 0) {
      char* end = nullptr;
      errno = 0;
      options->seed = strtoll(words[k], &end, 10);
      options->seeded = true;
      if (*end != '\0' || end == words[k] || errno != 0) {
        Complain("--seed %s: a whole number of 64 bits is wanted", words[k]);
        return false;
      }
    }
    if (strcmp(word, "--weights") == 0) {
      options->huge_weights = strcmp(words[k], "huge") == 0;
      if (!options->huge_weights && strcmp(words[k], "map") != 0) {
        Complain("--weights %s: map or huge is wanted", words[k]);
        return false;
      }
    }
    if (strcmp(word, "--threads") == 0) {
      char* end = nullptr;
      const long threads = strtol(words[k], &end, 10);
      if (*end != '\0' || threads < 1 || threads > 1024) {
        Complain("--threads %s: a number from 1 to 1024 is wanted", words[k]);
        return false;
      }
      options->threads = static_cast<size_t>(threads);
    }
    if (strcmp(word, "--seconds") == 0) {
      options->seconds = atof(words[k]);
      if (!(options->seconds > 0 && options->seconds <= 3600)) {
        Complain("--seconds %s: a number between 0 and 3600 is wanted", words[k]);
        return false;
      }
    }
  }
  const char* trust = options->trust;
  if (strcmp(trust, "yes") != 0 && strcmp(trust, "no") != 0 && strncmp(trust, "sha256:", 7) != 0) {
    Complain("--trust %s: yes, no or sha256:... is wanted", trust);
    return false;
  }
  if (options->file == nullptr) {
    Complain("which file? `um --help` tells more");
    return false;
  }
  return true;
}

um_model* Open(const Options& options) {
  um_open_options how = {};
  how.size = sizeof how;
  how.trust = UM_TRUST_NO;
  how.weights_in = options.huge_weights ? UM_WEIGHTS_HUGE : UM_WEIGHTS_MAPPED;
  if (strcmp(options.trust, "yes") == 0) how.trust = UM_TRUST_YES;
  if (strncmp(options.trust, "sha256:", 7) == 0) {
    how.trust = UM_TRUST_DIGEST;
    how.digest = options.trust;
  }
  um_model* model = nullptr;
  um_error error;
  const um_status status = um_open_file(options.file, &how, &model, &error);
  if (status == UM_CANNOT_READ) Complain("%s", error.message);  // it names the file
  if (status != UM_OK && status != UM_CANNOT_READ) Complain("%s: %s", options.file, error.message);
  return model;
}

bool ReadNpzFile(const char* path, List<Value>* values) {
  List<uint8_t> bytes;
  return ReadFile(path, &bytes) && ReadNpz(bytes.data(), bytes.size(), path, values);
}

bool ReadValues(const List<const char*>& arguments, List<Value>* values) {
  for (size_t k = 0; k < arguments.size(); ++k) {
    if (!ReadValue(arguments[k], values)) return false;
  }
  return true;
}

}  // namespace tool
