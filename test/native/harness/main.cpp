#include "harness/harness.h"

int main(int argc, char** argv) { return countenance::test::run_tests(argc, argv); }
