#pragma once

// The only way the addon's files include Node-API. A worker that is being terminated cannot take an
// exception any more: node-addon-api would end the process over it unless told to drop it.
#if !defined(NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#endif

#include <napi.h>
