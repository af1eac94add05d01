/* Replays @count@ digits, drawn by strokes, and compares the logits with those that were expected at the export. */

#include "@name@.h"

#include <math.h>
#include <stdio.h>

#define COUNT @count@
#define TOLERANCE @tolerance@

@vectors@

int main(void)
{
    int failed = 0;
    double largest = 0;
    for (int n = 0; n < COUNT; n++) {
        @logit@ logits[10];
        const int digit = @name@_predict(pixels[n], logits);
        int wrong = digit != digits[n];
        for (int i = 0; i < 10; i++) {
            const double difference = fabs((double)logits[i] - (double)expected[n][i]);
            largest = difference > largest ? difference : largest;
            wrong |= !(difference <= TOLERANCE);
        }
        failed += wrong;
    }
    printf("%d of %d agree, largest difference of a logit %g\n", COUNT - failed, COUNT, largest);
    return failed > 0;
}
