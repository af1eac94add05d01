/* Reads PGM files from standard input, each behind its length, as the demo of an exported network does, and answers each:
   with a line that says what is wrong, or with a P, the pixels that were read, and the logits as they lie in memory. */

#define _POSIX_C_SOURCE 200809L
#define main demo_main
#include "demo.c"
#undef main

int main(void)
{
    uint32_t size;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        char *content = malloc(size);
        uint8_t *pixels = malloc(PIXELS); /* of its own, so that a byte beyond it is noticed */
        if (content == NULL || pixels == NULL || fread(content, 1, size, stdin) != size)
            return 3;
        FILE *file = fmemopen(content, size, "rb");
        const char *fault = file ? read_pgm(file, pixels) : "cannot be opened";
        if (file)
            fclose(file);
        if (fault) {
            puts(fault);
        } else {
            LOGIT logits[10];
            NETWORK(pixels, logits);
            putchar('P');
            fwrite(pixels, 1, PIXELS, stdout);
            fwrite(logits, sizeof *logits, 10, stdout);
        }
        free(content);
        free(pixels);
    }
    return 0;
}
