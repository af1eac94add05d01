/* Reads a picture of a digit and prints what it shows. */

#include "@name@.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE };

static int is_space(int letter)
{
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

/* Reads a decimal number and the one character behind it; -1 if there is none, or it is beyond all that a PGM may hold. */
static int read_number(FILE *file)
{
    int letter = getc(file);
    while (is_space(letter) || letter == '#') {
        if (letter == '#')
            while (letter != '\n' && letter != EOF)
                letter = getc(file);
        else
            letter = getc(file);
    }
    int number = -1;
    for (; letter >= '0' && letter <= '9'; letter = getc(file)) {
        number = 10 * (number < 0 ? 0 : number) + (letter - '0');
        if (number > 65535)
            return -1;
    }
    if (letter == '#')
        ungetc(letter, file);
    else if (letter != EOF && !is_space(letter))
        return -1;
    return number;
}

/* Reads a PGM picture, P2 (text) or P5 (bytes); returns what is wrong with it, or NULL. */
static const char *read_pgm(FILE *file, uint8_t pixels[PIXELS])
{
    char magic[2];
    if (fread(magic, 1, 2, file) != 2 || magic[0] != 'P' || (magic[1] != '2' && magic[1] != '5'))
        return "not a PGM picture: it begins with neither P2 nor P5";
    const int width = read_number(file), height = read_number(file), white = read_number(file);
    if (width < 0 || height < 0 || white < 0)
        return "its header is damaged";
    if (width != SIDE || height != SIDE)
        return "not 28x28 pixels: scale it first";
    if (white < 1 || white > 255)
        return "white must be 1 to 255";
    for (int i = 0; i < PIXELS; i++) {
        const int pixel = magic[1] == '5' ? getc(file) : read_number(file);
        if (pixel < 0)
            return "it ends too early, or holds no number where a pixel should be";
        if (pixel > white)
            return "a pixel is brighter than white";
        pixels[i] = (uint8_t)((255 * pixel + white / 2) / white);
    }
    return NULL;
}

static void print_answer(int digit, const @logit@ logits[10])
{
    double sum = 0;
    printf("%d\n", digit);
    for (int i = 0; i < 10; i++)
        sum += exp(((double)logits[i] - (double)logits[digit]) * @NAME@_LOGIT_UNIT);
    for (int i = 0; i < 10; i++)
        printf("%d %6.2f %%\n", i, 100 * exp(((double)logits[i] - (double)logits[digit]) * @NAME@_LOGIT_UNIT) / sum);
}

static void print_time(uint8_t pixels[PIXELS], long count)
{
    @logit@ logits[10];
    const clock_t start = clock();
    for (long n = 0; n < count; n++) {
        pixels[0] = (uint8_t)n; /* so that no call can be left out */
        @name@_predict(pixels, logits);
    }
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("%.2f us an image, mean of %ld\n", 1e6 * seconds / (double)count, count);
}

int main(int count, char **arguments)
{
    static uint8_t pixels[PIXELS];
    if (count == 3 && strcmp(arguments[1], "--bench") == 0 && atol(arguments[2]) > 0) {
        print_time(pixels, atol(arguments[2]));
        return 0;
    }
    if (count != 2 || arguments[1][0] == '-') {
        fprintf(stderr, "usage: demo PICTURE.pgm (28x28, white on black), or demo --bench COUNT\n");
        return 2;
    }
    FILE *file = fopen(arguments[1], "rb");
    const char *fault = file ? read_pgm(file, pixels) : "cannot be opened";
    if (file)
        fclose(file);
    if (fault) {
        fprintf(stderr, "error: %s: %s\n", arguments[1], fault);
        return 1;
    }
    @logit@ logits[10];
    const int digit = @name@_predict(pixels, logits);
    print_answer(digit, logits);
    return 0;
}
