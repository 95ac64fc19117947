#pragma once

// Include this last, after every other header. The files of backend/cpu are compiled once per
// instruction set, with COUNTENANCE_ISA_AVX512, COUNTENANCE_ISA_AVX2 or neither defined and no -m
// flags: the target is switched here, behind the system headers, so that no inline function of the
// standard library is ever compiled for AVX-512 and then, merged by the linker, run on an older
// processor.

#if defined(COUNTENANCE_ISA_AVX512)
#define COUNTENANCE_CPU cpu_avx512
#define COUNTENANCE_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2"
#elif defined(COUNTENANCE_ISA_AVX2)
#define COUNTENANCE_CPU cpu_avx2
#define COUNTENANCE_TARGET "avx2,fma,f16c,bmi2"
#else
#define COUNTENANCE_CPU cpu_portable
#endif

#if defined(COUNTENANCE_TARGET)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target(COUNTENANCE_TARGET))), apply_to = function)
#else
#define COUNTENANCE_PRAGMA(text) _Pragma(#text)
#define COUNTENANCE_GCC_TARGET(target) COUNTENANCE_PRAGMA(GCC target(target))
COUNTENANCE_GCC_TARGET(COUNTENANCE_TARGET)
#endif
#endif
