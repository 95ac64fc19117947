#pragma once

// The addon's files include Node-API only through this header. A worker that is being terminated
// can no longer receive exceptions: node-addon-api would end the process unless configured to drop
// them.
#if !defined(NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#endif

#include <napi.h>
