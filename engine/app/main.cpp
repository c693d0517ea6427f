#include "engine/app/commands.h"

int main(int argc, char** argv) {
  return static_cast<int>(vitrail::app::run_program(argc, argv));
}
