// Writes the tests' example file, for the tests of the command line and of the C client.
#include <stdio.h>

#include "image.h"

int main(int count, char** words) {
  if (count != 2) return 2;
  const test::Bytes bytes = test::Example().Encode();
  FILE* file = fopen(words[1], "wb");
  if (file == nullptr || fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) return 1;
  return fclose(file) == 0 ? 0 : 1;
}
