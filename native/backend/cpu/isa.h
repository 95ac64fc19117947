#pragma once

// The files of backend/cpu are compiled once per instruction set, with COUNTENANCE_ISA_AVX512,
// COUNTENANCE_ISA_AVX2 or neither defined; each time into a namespace of its own.

#if defined(COUNTENANCE_ISA_AVX512)
#define COUNTENANCE_CPU cpu_avx512
#elif defined(COUNTENANCE_ISA_AVX2)
#define COUNTENANCE_CPU cpu_avx2
#else
#define COUNTENANCE_CPU cpu_portable
#endif
