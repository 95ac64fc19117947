# The second way to build the addon: `npx node-gyp rebuild`. The lists of sources are CMakeLists.txt's.
{
  # `-Dwerror=-Werror` after node-gyp's `--` makes warnings errors.
  'variables': { 'werror%': [] },
  'target_defaults': {
    'default_configuration': 'Release',
    'include_dirs': ['native'],
    # The flags of CMakeLists.txt, in its order and without those that Node's own build adds: so ccache
    # takes the objects of one build for the other.
    'cflags!': ['-O3', '-fPIC', '-fno-omit-frame-pointer', '-m64', '-pthread', '-Wall', '-Wextra',
                '-Wno-unused-parameter'],
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
    'cflags_cc': ['-O3', '-fPIC', '-fvisibility=hidden', '-fvisibility-inlines-hidden',
                  '-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast', '-Wall', '-Wextra',
                  '<@(werror)', '-std=c++20'],
    'defines': ['NDEBUG'],
    'defines!': ['_FILE_OFFSET_BITS=64', '_LARGEFILE_SOURCE', '__STDC_FORMAT_MACROS'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
      'GCC_ENABLE_CPP_RTTI': 'YES',
      'GCC_OPTIMIZATION_LEVEL': '3',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'OTHER_CFLAGS': ['-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast'],
    },
  },
  'targets': [
    {
      'target_name': 'countenance_cpu_portable',
      'type': 'static_library',
      'defines': ['COUNTENANCE_ISA_PORTABLE'],
      'sources': ['<!@(node tools/native-sources.mjs CPU_BACKEND_SOURCES)'],
    },
    {
      'target_name': 'countenance_core',
      'type': 'static_library',
      'sources': ['<!@(node tools/native-sources.mjs CORE_SOURCES)'],
      'defines': ['COUNTENANCE_HEADERS="<!(node tools/native-headers.mjs)"'],
      'conditions': [['OS=="linux"', { 'link_settings': { 'libraries': ['-ldl'] } }]],
    },
    {
      'target_name': 'countenance',
      'dependencies': ['countenance_core', 'countenance_cpu_portable'],
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_CPP_EXCEPTIONS'],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'sources': ['<!@(node tools/native-sources.mjs ADDON_SOURCES)'],
      'conditions': [
        ['target_arch=="x64"', {
          'dependencies': ['countenance_cpu_avx2', 'countenance_cpu_avx512'],
        }],
        ['OS=="linux"', {
          'ldflags': ['-Wl,-z,nodelete', '-static-libstdc++',
                      '-Wl,--exclude-libs,ALL'],
        }],
      ],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'countenance_cpu_avx2',
          'type': 'static_library',
          'defines': ['COUNTENANCE_ISA_AVX2'],
          'sources': ['<!@(node tools/native-sources.mjs CPU_BACKEND_SOURCES)'],
        },
        {
          'target_name': 'countenance_cpu_avx512',
          'type': 'static_library',
          'defines': ['COUNTENANCE_ISA_AVX512'],
          'sources': ['<!@(node tools/native-sources.mjs CPU_BACKEND_SOURCES)'],
        },
      ],
    }],
  ],
}
