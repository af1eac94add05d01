/* @title@; @name@.h says how to use it. */

#include "@name@.h"

@code@
