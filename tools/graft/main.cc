#include "program.h"

int main(int argc, char** argv) { return graft::RunProgram(argc, argv); }
