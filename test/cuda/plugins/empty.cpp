// A library that is not a plugin.
extern "C" __attribute__((visibility("default"))) int nothing_to_see() { return 0; }
