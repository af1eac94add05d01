/* A digit in a camera's picture, framed as the network that reads it expects.
 *
 * Made by under10k @version@. No allocation; nothing but <stdint.h> is needed. About 1.5 KB of stack, no static memory:
 * it may be called from several threads at once.
 */
#ifndef @NAME@_FRAME_H
#define @NAME@_FRAME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Finds the ink in a grey picture, 0 black to 255 white, and writes it to `pixels` as @name@_predict reads it: white on
 * black, its longer side @BOX@ pixels, its centre of mass in the middle. Returns 1, or 0 and black pixels if there is no
 * ink. Ink may be darker or lighter than its paper; it is whichever covers less of the picture.
 *
 * `width` and `height` are in pixels, 1 to 4096 each (else 0 is returned). `stride` is the number of bytes from one row
 * to the next: `width` if nothing lies between, more for a part of a larger picture, negative if the rows go upwards. */
int @name@_frame(const uint8_t *grey, int width, int height, int stride, uint8_t pixels[784]);

#ifdef __cplusplus
}
#endif

#endif
