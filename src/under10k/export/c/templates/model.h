/* @title@
 *
 * Made by under10k @version@; @origin@.
 * @weight_bytes@ bytes of weights, @other_bytes@ of biases and scales, @ram_bytes@ of static memory.
 * No allocation; nothing but <stdint.h> is needed.
 */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a logit is counted in: multiply by this to get the network's own. */
#define @NAME@_LOGIT_UNIT @unit@

/* Reads a picture: 28 rows of 28 pixels, 0 black to 255 white, the digit white. Writes ten logits, one for each digit,
 * and returns the digit that has the largest. Its buffers are static: one call at a time. */
int @name@_predict(const uint8_t pixels[784], @logit@ logits[10]);

#ifdef __cplusplus
}
#endif

#endif
